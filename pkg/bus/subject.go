package bus

import (
	"fmt"
	"strconv"
	"strings"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// The streams and buckets of an instance.
const (
	StreamCommands = "COMMANDS"
	StreamEvents   = "EVENTS"
	StreamJobs     = "JOBS"
	StreamDead     = "DEAD"
	StreamExt      = "EXT" // facts from outside; each team of each project has one of its own, see [ExternalStream]
	StreamLive     = "LIVE"
	StreamSpill    = "SPILL"  // requests and answers too large for a message, for minutes
	StreamBodies   = "BODIES" // of commands that are too large for a message, until they have run

	BucketBlobs      = "blobs"      // what was uploaded
	BucketOperations = "OPERATIONS" // what was answered 202
)

// getOperation is answered by every server with commands: the state of one of
// them.
const getOperation = "getOperation"

// requestSubject is where one operation of one service is asked.
func requestSubject(p tenant.Project, service, operation string) string {
	return "req." + p.Token() + "." + service + "." + operation
}

// commandSubject is where one command of one service is put.
func commandSubject(p tenant.Project, service, operation string) string {
	return "cmd." + p.Token() + "." + service + "." + operation
}

// JobSubject is where a job of a kind is put for a service to run.
func JobSubject(p tenant.Project, service, kind string) string {
	return "job." + p.Token() + "." + service + "." + kind
}

func liveSubject(p tenant.Project, job string) string { return "live." + p.Token() + "." + job }

// CommandDurable is the consumer from which a service takes its commands.
func CommandDurable(service string) string { return "cmd-" + service }

// commandFilter selects the commands of a service.
func commandFilter(service string) string { return "cmd.*." + service + ".>" }

// JobDurable is the consumer from which a service takes its jobs.
func JobDurable(service string) string { return "job-" + service }

// EventDurable is the consumer from which a service takes one kind of fact:
// "evt-knowledge-auth-project-deleting-v1".
func EventDurable(consumer string, d events.Description) string {
	return "evt-" + consumer + "-" + strings.ReplaceAll(d.ID(), ".", "-")
}

// eventFilter selects one kind of fact of every project.
func eventFilter(d events.Description) string { return d.Subject("*") }

// address is what a subject of ours says.
type address struct {
	kind    string // req, cmd, evt, job, live
	project tenant.Project
	service string
	rest    string // operation; noun.fact.vN; job kind
}

func parseSubject(subject string) (address, error) {
	kind, rest, _ := strings.Cut(subject, ".")
	token, rest, _ := strings.Cut(rest, ".")
	service, rest, ok := strings.Cut(rest, ".")
	if !ok || service == "" || rest == "" {
		return address{}, fmt.Errorf("subject %q: want <kind>.<project>.<service>.<what>", subject)
	}
	p, err := tenant.ParseToken(token)
	if err != nil {
		return address{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	return address{kind, p, service, rest}, nil
}

// validToken reports whether s may be one token of a subject.
func validToken(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
