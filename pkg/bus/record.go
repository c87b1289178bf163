package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	events "github.com/commandcenter/commandcenter/proto-events"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Origin is what an edge knows about a call and its service does not.
type Origin struct {
	// Writes says that the call is there to change something, so that its service
	// has to record it. Every command is recorded, whatever this says.
	Writes  bool    `json:"w,omitempty"`
	Address string  `json:"a,omitempty"` // of the caller
	Agent   string  `json:"u,omitempty"` // the caller's program, as it names itself; of who comes as nobody
	Named   []Named `json:"n,omitempty"` // what the call's address names
}

// Named is one thing that a call is about.
type Named struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

type originKey struct{}

// WithOrigin gives what is asked under ctx its origin. It goes as far as the
// service that is asked: what that one asks of others is its own doing.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// setOrigin writes the origin of ctx into a message.
func setOrigin(ctx context.Context, h nats.Header) error {
	o, ok := ctx.Value(originKey{}).(Origin)
	if !ok {
		return nil
	}
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("origin of a call: %w", err)
	}
	h[headerOrigin] = []string{string(text)}
	return nil
}

// originOf reads it. One that cannot be read is none: it decides nothing but
// what is recorded.
func originOf(h nats.Header) (o Origin) {
	if text := get(h, headerOrigin); text != "" {
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return Origin{}
		}
	}
	return o
}

// CameFrom is the origin of the call that ctx answers.
func CameFrom(ctx context.Context) Origin {
	if s, ok := ctx.Value(callKey{}).(*callState); ok {
		return originOf(s.header)
	}
	return Origin{}
}

// ActedAs says who the caller of a request turned out to be, where that is what
// the request is about: whoever logs in comes as nobody.
func ActedAs(ctx context.Context, principal string) {
	if s, ok := ctx.Value(callKey{}).(*callState); ok {
		s.actor.Store(&principal)
	}
}

// Noted adds to the record of the call that ctx answers what it was about besides
// what its address names: what it turned out to change. It is no place for a
// secret, or for what a person may want removed.
func Noted(ctx context.Context, name, value string) {
	if s, ok := ctx.Value(callKey{}).(*callState); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notes = append(s.notes, Named{Name: name, Value: value})
	}
}

// Changed adds to the record of the call that ctx answers that a field had one
// value and has another now, as field.before and field.after; "" is none, and is
// left out.
// What stays as it was is not told, a call that fails tells of no change, and of
// several changes of a field the last one counts, so that what runs again after
// its transaction failed says each once. As with [Noted], no secret is told.
func Changed(ctx context.Context, field, before, after string) {
	s, ok := ctx.Value(callKey{}).(*callState)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns = slices.DeleteFunc(s.turns, func(n Named) bool { return n.Name == field+".before" || n.Name == field+".after" })
	if before != after && before != "" {
		s.turns = append(s.turns, Named{Name: field + ".before", Value: before})
	}
	if before != after && after != "" {
		s.turns = append(s.turns, Named{Name: field + ".after", Value: after})
	}
}

// Touched is [Changed] for a field whose values are not told, since anything may
// stand in it: the record says changed=field.
func Touched(ctx context.Context, field string) {
	s, ok := ctx.Value(callKey{}).(*callState)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if said := (Named{Name: "changed", Value: field}); !slices.Contains(s.turns, said) {
		s.turns = append(s.turns, said)
	}
}

// notesOf returns what was noted about the call, and what it has changed.
func notesOf(ctx context.Context, failed bool) []Named {
	s, ok := ctx.Value(callKey{}).(*callState)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed {
		return slices.Clone(s.notes)
	}
	return slices.Concat(s.notes, s.turns)
}

// ActedIn says that a request came into a project, which is recorded there as
// well: whoever accepts an invitation comes from outside.
func ActedIn(ctx context.Context, p tenant.Project) {
	if s, ok := ctx.Value(callKey{}).(*callState); ok {
		s.also.Store(int64(p))
	}
}

// About is what a service knows of a request that it refused to who came as nobody,
// and that the edge records: a login, that failed, to some account. It goes to the
// edge beside the answer and no further.
type About struct {
	Actor string  `json:"a,omitempty"` // see [ActedAs]
	Named []Named `json:"n,omitempty"` // see [Noted]
}

// aboutOf is what was noted about the request, nil for nothing.
func aboutOf(ctx context.Context, actor string) *About {
	a := About{Actor: actor, Named: notesOf(ctx, true)}
	if a.Actor == "" && len(a.Named) == 0 {
		return nil
	}
	a.Named = a.Named[:min(len(a.Named), maxNames)]
	return &a
}

func setAbout(h nats.Header, a *About) {
	if a == nil {
		return
	}
	if text, err := json.Marshal(a); err == nil { // texts always marshal
		h[headerAbout] = []string{string(text)}
	}
}

// refusal is one with what its service told the edge beside it.
type refusal struct {
	error
	about About
}

func (t refusal) Unwrap() error { return t.error }

func withAbout(err error, text string) error {
	var a About
	if text == "" || json.Unmarshal([]byte(text), &a) != nil {
		return err
	}
	return refusal{err, a}
}

// AboutOf is what the service has told of the refusal err besides.
func AboutOf(err error) About {
	var t refusal
	if errors.As(err, &t) {
		return t.about
	}
	return About{}
}

// Say publishes a fact of this service, durably: for an edge, which has no
// database to say it from. The same id twice is one fact.
func (b *Bus) Say(ctx context.Context, m proto.Message, id uuid.UUID, at time.Time) error {
	d, err := events.Describe(m)
	if err != nil {
		return err
	}
	key, err := events.Aggregate(m)
	if err != nil {
		return err
	}
	header, err := events.Headers(m, id.String(), events.Source("", b.service), at)
	if err != nil {
		return err
	}
	data, err := events.Marshal(m)
	if err != nil {
		return err
	}
	_, _, err = b.Publish(ctx, d.By(b.service).Subject(tenant.Project(key.Project).Token()), id.String(), nats.Header(header), data)
	return err
}

// Bounds of a record. What is longer is cut: it is named, not kept.
const (
	maxNames    = 16
	maxNamed    = 200 // bytes
	recordsTake = 5 * time.Second
)

// attempt is what is recorded about one call.
type attempt struct {
	call      string // id of the command, or of the record
	op        string
	id        tenant.Identity
	principal string
	header    nats.Header
	accepted  time.Time
	outcome   outcome
}

// tell adds the record of a call to the outbox of tx, which commits it together
// with the answer. No handler has a part in it, so none can forget it.
func (s *Server) tell(ctx context.Context, tx *sqlx.Tx, p tenant.Project, t attempt, opts ...outbox.Option) error {
	return outbox.Add(ctx, tx, s.recordOf(ctx, p, t), append(opts, outbox.At(t.accepted))...)
}

func (s *Server) recordOf(ctx context.Context, p tenant.Project, t attempt) *platformv1.CallRecorded {
	o := originOf(t.header)
	m := &platformv1.CallRecorded{
		ProjectId: int32(p), CallId: t.call, Version: 1, Service: s.c.Service, Operation: t.op, //nolint:gosec // G115: ids of projects have 31 bits
		Principal: t.principal, KeyId: t.id.Key, Status: int32(t.outcome.status), Address: Clean(o.Address), //nolint:gosec // G115: a status of HTTP
		RequestId: Clean(get(t.header, headerRequestID)), AcceptedAt: timestamppb.New(t.accepted), Count: 1,
	}
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		m.TraceId = sc.TraceID().String()
	}
	if t.outcome.err != nil {
		m.Status, m.Reason = 0, string(errs.KindOf(t.outcome.err))
	}
	named := append(slices.Clone(o.Named[:min(len(o.Named), maxNames)]), notesOf(ctx, t.outcome.err != nil)...)
	for _, n := range named[:min(len(named), 2*maxNames)] {
		m.Target = append(m.Target, &platformv1.CallTarget{Name: Clean(n.Name), Value: Clean(n.Value)})
	}
	if id := made(t.outcome); id != "" {
		m.Target = append(m.Target, &platformv1.CallTarget{Name: "id", Value: id})
	}
	return m
}

// Clean is a text as it is recorded: one that every database and every terminal
// takes, cut to a bound.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxNamed {
		s = strings.ToValidUTF8(s[:maxNamed], "")
	}
	return s
}

// made is the id of what a call has made, "" when its answer tells none: its own,
// or that of the only thing in it which has one, as of a key beside its secret.
// Nothing else of an answer is looked at.
func made(o outcome) string {
	if o.err != nil || o.status != 201 && o.status != 202 || len(o.body) > maxLooked {
		return ""
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(o.body, &answer); err != nil {
		return "" // a list, or no JSON
	}
	if id, there := answer["id"]; there {
		if said := idIn(id); said != "0" { // of what there is not yet
			return said
		}
		return ""
	}
	found := ""
	for _, v := range answer {
		var part struct {
			ID json.RawMessage `json:"id"`
		}
		if json.Unmarshal(v, &part) != nil || len(part.ID) == 0 {
			continue
		}
		if found != "" {
			return ""
		}
		found = idIn(part.ID)
	}
	return found
}

// idIn reads an id, which is a text or a number.
func idIn(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) == nil {
		return Clean(text)
	}
	var number json.Number
	if json.Unmarshal(v, &number) == nil {
		return Clean(number.String())
	}
	return ""
}

// maxLooked is the largest answer in which an id is looked for.
const maxLooked = 64 << 10
