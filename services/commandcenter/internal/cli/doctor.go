package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

// The outcomes of a finding.
const (
	findingOK   = "ok"
	findingWarn = "warning"
	findingFail = "failed"
	findingSkip = "skipped"
)

// finding is what doctor says of one part.
type finding struct {
	Part   string `json:"part"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`

	component bool // of the server, and as that says
}

// partPostgres is the finding that others are explained with.
const partPostgres = "PostgreSQL"

func fine(part, detail string) finding {
	return finding{Part: part, Status: findingOK, Detail: detail}
}

func skip(part, detail, fix string) finding {
	return finding{Part: part, Status: findingSkip, Detail: detail, Fix: fix}
}

func warn(part, detail, fix string) finding {
	return finding{Part: part, Status: findingWarn, Detail: detail, Fix: fix}
}

func fail(part, detail, fix string) finding {
	return finding{Part: part, Status: findingFail, Detail: detail, Fix: fix}
}

func (e *env) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check every part and say how to mend it",
		Long: `Checks the settings, the data directory, PostgreSQL, NATS with its streams and
services, the HTTP gateway with every component behind it, and your login. It
changes nothing. The exit code is 7 when something has failed, also when nothing
runs; warnings leave it 0.`,
		Example:     "  commandcenter doctor\n  commandcenter doctor --json | jq '.[] | select(.status != \"ok\")'",
		Args:        nargs(0, 0),
		Annotations: mendable,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := e.examine(cmd.Context())
			if e.json {
				e.print(e.Out, found)
			} else {
				e.printFindings(found)
			}
			return verdict(found)
		},
	}
	e.bind(c, false, "http", "nats", "database_url", "nats_url", "client.server", "client.ca_file")
	return ends(c, exitPartly)
}

// verdict is the failure of all findings together. Parts come before those
// that stand on them, so that the first one is where to begin.
func verdict(found []finding) error {
	failed, first := 0, ""
	for _, f := range found {
		if f.Status == findingFail {
			if failed++; first == "" {
				first = f.Part
			}
		}
	}
	switch {
	case failed == 0:
		return nil
	case failed == 1:
		return partlyError{fmt.Errorf("1 of %s failed: %s", count(len(found), "check"), first)}
	}
	return partlyError{fmt.Errorf("%d of %s failed: begin with %s", failed, count(len(found), "check"), first)}
}

func (e *env) printFindings(found []finding) {
	width := 0
	for _, f := range found {
		width = max(width, len(f.Part))
	}
	for _, f := range found {
		mark, colour := "✓", green
		switch f.Status {
		case findingWarn:
			mark, colour = "!", yellow
		case findingFail:
			mark, colour = "✗", red
		case findingSkip:
			mark, colour = "-", dim
		}
		for i, l := range e.lines(f.Detail, width+4) {
			if i > 0 {
				mark, f.Part = " ", ""
			}
			e.line("%s %-*s  %s", e.paint(e.Out, colour, mark), width, f.Part, l)
		}
		if f.Fix == "" {
			continue
		}
		for _, l := range e.lines(f.Fix, width+4) {
			e.line("  %-*s  %s", width, "", e.paint(e.Out, bold, l))
		}
	}
}

// lines breaks text for a terminal with an indent; for a program it stays whole.
func (e *env) lines(text string, indent int) []string {
	if text != "" && terminal(e.Out) {
		return wrap(text, e.width()-indent, false)
	}
	return []string{oneLine(text)}
}

func (e *env) examine(ctx context.Context) []finding {
	out := []finding{e.checkSettings()}
	if out[0].Status == findingFail {
		return out // nothing else can be trusted
	}
	d := datadir.At(e.cfg.DataDir)
	out = append(out, e.checkDataDir(d), checkDisk(d))
	for _, check := range []func(context.Context, *datadir.Dir) []finding{e.checkPostgres, e.checkSecrets, checkLeftovers, e.checkBus, e.checkHTTP} {
		ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
		out = append(out, check(ctx, d)...)
		cancel()
	}
	return explain(out)
}

// explain says of what fails because of something else what that is.
func explain(found []finding) []finding {
	i := slices.IndexFunc(found, func(f finding) bool { return f.Part == partPostgres })
	down := i >= 0 && found[i].Status == findingFail
	for i, f := range found {
		if below := slices.IndexFunc(found, func(c finding) bool { return strings.HasPrefix(c.Part, f.Part+".") && c.Status == f.Status }); below >= 0 && f.Status != findingOK {
			found[i].Detail, found[i].Fix = "because of "+found[below].Part, ""
			continue
		}
		if !f.component || f.Status != findingFail {
			continue
		}
		switch {
		case down:
			found[i].Fix = "mend PostgreSQL first"
		case f.Part == "database" || strings.HasSuffix(f.Part, ".database"):
			found[i].Detail = "PostgreSQL does not answer"
		}
	}
	return found
}
