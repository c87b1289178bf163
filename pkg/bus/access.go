package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Access is what another team may do on the bus, in one project.
type Access struct {
	Name    string // of the grant
	Project tenant.Project
	Team    string // under which it says facts
	// Says are facts of its own, "invoice.paid.v1"; "*" stands for a noun, a fact
	// or a version, and ">" for all of them.
	Says []string
	// Hears are facts of ours by id, "knowledge.document.indexed.v1". Only public
	// ones can be granted.
	Hears   []string
	Expires time.Time // zero: never
}

// AccessDomain is the JetStream domain under which a grant finds its consumer.
// Without it the server answers for the grant's own account, which has no
// streams.
const AccessDomain = "commandcenter"

var teamName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// ExternalSubject is where a team says a fact.
func ExternalSubject(p tenant.Project, team, fact string) string {
	return "ext." + p.Token() + "." + team + "." + fact
}

// ParseAccess reads what an operator writes: facts of the team, short or as
// subjects, and ids of public facts, where "*" at the end stands for any rest.
// Facts of the instance are granted as subjects alone, "evt.instance.…", since
// they are of no project.
func ParseAccess(name string, p tenant.Project, team string, says, hears []string) (Access, error) {
	a := Access{Name: name, Project: p, Team: team}
	var faulty []error
	if p < 1 {
		faulty = append(faulty, errors.New("a grant is for one project"))
	}
	if !teamName.MatchString(team) {
		faulty = append(faulty, fmt.Errorf("team %q: want lower-case letters, digits and dashes", team))
	}
	own := ExternalSubject(p, team, "")
	for _, s := range says {
		fact := strings.TrimPrefix(s, own)
		if !validExternal(fact) {
			faulty = append(faulty, fmt.Errorf("publish %q: want noun.fact.v1, or a part of %s>", s, own))
			continue
		}
		a.Says = append(a.Says, fact)
	}
	for _, s := range hears {
		pattern, instance := strings.CutPrefix(s, "evt."+tenant.Instance.Token()+".")
		found := publicFacts(strings.TrimPrefix(pattern, "evt."+p.Token()+"."), instance)
		switch {
		case len(found) > 0:
		case !instance && len(publicFacts(s, true)) > 0:
			faulty = append(faulty, fmt.Errorf("subscribe %q: that is of the instance and no project: write evt.instance.%s", s, s))
		default:
			faulty = append(faulty, fmt.Errorf("subscribe %q: no public fact of that name", s))
		}
		a.Hears = append(a.Hears, found...)
	}
	slices.Sort(a.Hears)
	a.Hears = slices.Compact(a.Hears)
	if len(says)+len(hears) == 0 {
		faulty = append(faulty, errors.New("nothing is granted: name what to publish or what to subscribe to"))
	}
	if err := errors.Join(faulty...); err != nil {
		return Access{}, errs.Wrap(errs.Invalid, err, err.Error())
	}
	return a, nil
}

// validExternal takes noun.fact.v1 with wildcards in the place of whole words.
func validExternal(fact string) bool {
	if fact == ">" {
		return true
	}
	t := strings.Split(fact, ".")
	if len(t) != 3 {
		return false
	}
	for _, word := range t {
		if word != "*" && !validToken(word) {
			return false
		}
	}
	n, err := strconv.Atoi(strings.TrimPrefix(t[2], "v"))
	return t[2] == "*" || t[2][0] == 'v' && err == nil && n > 0
}

// publicFacts lists the ids of public facts that fit: a whole id, or a part of
// one that ends in "*" or ">". They are of the instance, or else of projects.
func publicFacts(pattern string, instance bool) []string {
	part, any := strings.CutSuffix(strings.TrimSuffix(pattern, ">"), "*")
	any = any || strings.HasSuffix(pattern, ">")
	var out []string
	for _, d := range events.Catalogue() {
		if d.Public && d.Instance == instance && d.Service != events.Any && (d.ID() == pattern || any && strings.HasPrefix(d.ID(), part)) {
			out = append(out, d.ID())
		}
	}
	return out
}

// Durable is the consumer that keeps for the grant what it has not heard yet,
// "" when it hears nothing.
func (a Access) Durable() string {
	if len(a.Hears) == 0 {
		return ""
	}
	return "grant-" + a.Name
}

// Subjects are where the facts that it hears are said.
func (a Access) Subjects() []string {
	out := make([]string, 0, len(a.Hears))
	for _, d := range events.Catalogue() {
		if slices.Contains(a.Hears, d.ID()) {
			out = append(out, d.Subject(a.Project.Token()))
		}
	}
	slices.Sort(out)
	return out
}

// Grant derives the account. Of JetStream it has nothing but the consumer that
// [ProvisionAccess] makes: it can take from that one, ask how it is, and
// acknowledge.
func (a Access) Grant() natsd.GrantSpec {
	s := natsd.GrantSpec{Name: a.Name, Hears: a.Subjects(), Expires: a.Expires}
	for _, fact := range a.Says {
		s.Asks = append(s.Asks, natsd.Ask{Subject: ExternalSubject(a.Project, a.Team, fact)})
	}
	if d := a.Durable(); d != "" {
		for _, what := range []string{"CONSUMER.INFO.", "CONSUMER.MSG.NEXT."} {
			subject := what + StreamEvents + "." + d
			s.Asks = append(s.Asks, natsd.Ask{Subject: "$JS.API." + subject, As: "$JS." + AccessDomain + ".API." + subject})
		}
		s.Asks = append(s.Asks, natsd.Ask{Subject: "$JS.ACK." + StreamEvents + "." + d + ".>"})
	}
	return s
}

// ExternalStream keeps what a team has said in a project until it is handled.
func ExternalStream(p tenant.Project, team string) string {
	return StreamExt + "_" + p.Token() + "_" + team
}

// ProvisionExternal makes the stream of a team, from which the service takes what
// the team says, or brings it up to date. A team has its own, so that the bound is
// its own: who says more than is handled is refused, by the server and with its
// reason, and pushes out nothing of anybody. What was handled is removed. It is
// kept as EVENTS is.
func ProvisionExternal(ctx context.Context, admin *nats.Conn, service string, p tenant.Project, team string) error {
	js, err := jetstream.New(admin)
	if err != nil {
		return fmt.Errorf("team %s: %w", team, err)
	}
	facts, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return fmt.Errorf("team %s: %w", team, err)
	}
	like, name := facts.CachedInfo().Config, ExternalStream(p, team)
	err = stream(ctx, js, jetstream.StreamConfig{
		Name: name, Description: "facts of the team " + team, Subjects: []string{ExternalSubject(p, team, ">")}, Storage: like.Storage, Replicas: like.Replicas,
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: maxExt, Duplicates: dedupeWindow,
	})
	if err != nil {
		return err
	}
	return consumer(ctx, js, durable(name, ExternalDurable(service), ExternalSubject(p, team, ">"), 64))
}

// RemoveExternal removes the stream of a team that may say nothing more. It is
// false while something in it is still to be handled.
func RemoveExternal(ctx context.Context, admin *nats.Conn, p tenant.Project, team string) (gone bool, err error) {
	js, err := jetstream.New(admin)
	if err != nil {
		return false, fmt.Errorf("team %s: %w", team, err)
	}
	return removeEmpty(ctx, js, ExternalStream(p, team))
}

func removeEmpty(ctx context.Context, js jetstream.JetStream, name string) (gone bool, err error) {
	s, err := js.Stream(ctx, name)
	if err == nil && s.CachedInfo().State.Msgs > 0 {
		return false, nil
	}
	if err == nil {
		err = js.DeleteStream(ctx, name)
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, fmt.Errorf("stream %s: %w", name, err)
	}
	return true, nil
}

// retire ends the one stream for all teams that there was before each had its
// own: it takes nothing more, and is removed when all in it was handled.
func retire(ctx context.Context, js jetstream.JetStream) error {
	s, err := js.Stream(ctx, StreamExt)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamExt, err)
	}
	left := 0
	consumers := s.ListConsumers(ctx)
	for c := range consumers.Info() {
		left += int(min(c.NumPending, 1<<30)) + c.NumAckPending //nolint:gosec // G115: bounded
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("stream %s: %w", StreamExt, err)
	}
	if left == 0 {
		return js.DeleteStream(ctx, StreamExt)
	}
	c := s.CachedInfo().Config
	c.Subjects = []string{"ext-before"}
	if _, err := js.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("stream %s: %w", StreamExt, err)
	}
	return nil
}

// ProvisionAccess makes the grant's durable consumer, or brings it up to date.
// A new one begins at since, or with what is said from now on. admin must be a
// connection of the provisioning user.
func ProvisionAccess(ctx context.Context, admin *nats.Conn, a Access, since time.Time) error {
	if a.Durable() == "" {
		return RemoveAccess(ctx, admin, a.Name)
	}
	js, err := jetstream.New(admin)
	if err != nil {
		return fmt.Errorf("grant %s: %w", a.Name, err)
	}
	c := jetstream.ConsumerConfig{
		Durable: a.Durable(), Description: "of the team " + a.Team, FilterSubjects: a.Subjects(), AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		MaxDeliver: -1, MaxAckPending: 1000, MaxWaiting: 64, MaxRequestBatch: 1000, DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if !since.IsZero() {
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	have, err := js.Consumer(ctx, StreamEvents, a.Durable())
	if err == nil { // where it began cannot change, and need not
		was := have.CachedInfo().Config
		c.DeliverPolicy, c.OptStartTime, c.OptStartSeq = was.DeliverPolicy, was.OptStartTime, was.OptStartSeq
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, StreamEvents, c); err != nil {
		return fmt.Errorf("grant %s: %w", a.Name, err)
	}
	return nil
}

// RemoveAccess removes the consumer of a grant that is revoked.
func RemoveAccess(ctx context.Context, admin *nats.Conn, name string) error {
	js, err := jetstream.New(admin)
	if err != nil {
		return fmt.Errorf("grant %s: %w", name, err)
	}
	if err := js.DeleteConsumer(ctx, StreamEvents, "grant-"+name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("grant %s: %w", name, err)
	}
	return nil
}
