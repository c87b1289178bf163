package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// CommandOptions say how a command is repeated and waited for.
type CommandOptions struct {
	// Key is the caller's Idempotency-Key. The same key of the same principal
	// for the same operation of the same project is the same command: it runs
	// once, and every call gets its answer, or 202 once an earlier one was given
	// that. While the first call is in hand every other is refused as a Conflict,
	// and one with another body as Invalid. Without a key every call is its own.
	Key string
	// Wait is how long to wait for the answer before it is answered 202; 5 s
	// when 0, not at all when negative.
	Wait time.Duration
}

const defaultWait = 5 * time.Second

// commandSpace is the namespace of ids that are made from idempotency keys.
var commandSpace = uuid.MustParse("6f0a4c52-1f0e-5d0b-9b33-6d5a0c6f7a10")

// errOtherBody is the refusal of a key that was used for something else.
var errOtherBody = errs.InvalidField("idempotency_key_reused", "the Idempotency-Key was used with another body", "header", "Idempotency-Key")

// errInHand is the refusal of a key whose first call has not been answered.
var errInHand = errs.New(errs.Conflict, "a call with this Idempotency-Key is in hand").After(time.Second)

// commandID is the id of a command: of its key, or its own. The length of each
// part goes in, so that no two lists of parts read alike.
func commandID(t Target, principal, key string) (uuid.UUID, error) {
	if key == "" {
		id, err := uuid.NewV7() // in order of time, which keeps the index of the answers dense
		if err != nil {
			return uuid.Nil, fmt.Errorf("command id: %w", err)
		}
		return id, nil
	}
	var b bytes.Buffer
	for _, s := range []string{t.Project.Token(), principal, t.Service + "." + t.Operation, key} {
		fmt.Fprintf(&b, "%d:%s", len(s), s)
	}
	return uuid.NewSHA1(commandSpace, b.Bytes()), nil
}

// keyed reports whether the id was made from a key.
func keyed(id uuid.UUID) bool { return id.Version() == 5 }

// fingerprint is the SHA-256 of the payload, as if an uploaded object had no
// name: the same file put again has another one.
func fingerprint(payload []byte) (sum [sha256.Size]byte, object string) {
	if bytes.Contains(payload, []byte(`"upload"`)) {
		var p struct {
			Upload *ObjectRef `json:"upload"`
		}
		if err := json.Unmarshal(payload, &p); err == nil && p.Upload != nil && p.Upload.Name != "" {
			object = p.Upload.Name
			payload = bytes.Replace(payload, []byte(`"`+object+`"`), []byte(`""`), 1)
		}
	}
	return sha256.Sum256(payload), object
}

// Command puts a command on the stream and waits for its answer. Once it is on
// the stream it runs, whatever happens here: the answer is then the service's,
// or, when none came in time, 202 with Pending set. A refusal by the service
// is an [errs.Error], as for [Bus.Request], and [Settled]; Unavailable means that
// nothing was stored, or that it is not known; a call with the same key finds out.
func (b *Bus) Command(ctx context.Context, t Target, identity tenant.Identity, payload []byte, o CommandOptions) (*Answer, error) {
	r, err := b.route(t.Service, t.Operation)
	if err != nil {
		return nil, unsent{err}
	}
	began := time.Now()
	ctx, span := b.tracer.Start(ctx, "bus.command "+r.audience, trace.WithSpanKind(trace.SpanKindProducer), r.attrs)
	defer span.End()
	a, err := b.command(ctx, r, t, identity, payload, o)
	var class string
	if err != nil {
		class = statusClass(outcome{err: err})
		span.SetStatus(codes.Error, class)
	} else if class = statusClass(outcome{status: a.Status}); a.Pending {
		class = "pending"
	}
	r.done(class, time.Since(began))
	return a, err
}

// Answered returns the answer that an earlier call with this key has, and never
// runs anything: for a caller who may not give the command any more. It returns nil
// when there is none, when the service is silent, and for another body.
func (b *Bus) Answered(ctx context.Context, t Target, identity tenant.Identity, payload []byte, key string) (*Answer, error) {
	identity.Project = t.Project
	id, err := commandID(t, identity.Principal, key)
	if err != nil || !keyed(id) {
		return nil, err
	}
	sum, object := fingerprint(payload)
	p := pendingCommand{b: b, t: t, identity: identity, id: id, sum: sum, object: object}
	st, err := p.ask(ctx)
	if st == nil || err != nil || st.Principal != identity.Principal || st.Fingerprint != hex.EncodeToString(sum[:]) {
		return nil, err
	}
	return p.stored(st)
}

// unsent is a failure before the stream had the command.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// Unsent reports whether an error of [Bus.Command] says for sure that the
// command was not stored and will never run, so that what came with it is
// nobody's.
func Unsent(err error) bool {
	var u unsent
	return errors.As(err, &u)
}

// settled is a failure that is the service's answer.
type settled struct{ error }

func (s settled) Unwrap() error { return s.error }

// Settled reports whether an error of [Bus.Command] is the answer of the
// service: kept, and given again to a call with the same key.
func Settled(err error) bool {
	var s settled
	return errors.As(err, &s)
}

func (b *Bus) command(ctx context.Context, r *route, t Target, identity tenant.Identity, payload []byte, o CommandOptions) (*Answer, error) {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	identity.Project = t.Project
	id, err := commandID(t, identity.Principal, o.Key)
	if err != nil {
		return nil, unsent{err}
	}
	sum, object := fingerprint(payload)
	p := pendingCommand{b: b, t: t, identity: identity, id: id, sum: sum, object: object}
	if o.Key != "" {
		// The stream forgets in minutes, and what waits there must not be overtaken
		// by another body.
		if a, err := p.noted(ctx, time.Now().Add(o.Wait)); a != nil || err != nil {
			return a, err
		}
	}
	if err := b.Backlog(t.Service); err != nil {
		return nil, unsent{err}
	}
	done, err := b.turns.take(ctx, t.Project, false)
	if err != nil {
		return nil, unsent{err}
	}
	defer done()
	m, err := b.message(ctx, r, commandSubject(t.Project, t.Service, t.Operation), t.Project, identity, payload, func(ctx context.Context, body []byte) (string, error) {
		return b.send(ctx, kindBody, t.Service, t.Project, body)
	})
	if err != nil {
		return nil, unsent{err}
	}
	reply, stored := b.mux.open(1), b.mux.open(1)
	defer b.mux.close(reply)
	defer b.mux.close(stored)
	sid := id.String()
	m.Header[headerCommand] = []string{sid}
	m.Header[jetstream.MsgIDHeader] = []string{sid}
	m.Header[headerBody] = []string{hex.EncodeToString(sum[:])}
	if object != "" {
		m.Header[headerObject] = []string{object}
	}
	m.Header[headerReply] = []string{reply.subject}
	m.Reply = stored.subject
	began := time.Now()
	p.accepted = began.UTC().Truncate(time.Microsecond) // as a database keeps it
	m.Header[headerAccepted] = []string{p.accepted.Format(time.RFC3339Nano)}
	m.Header[headerWait] = []string{strconv.FormatInt(max(0, o.Wait.Milliseconds()), 10)}
	b.given(t.Service)
	answer, ack, retried, err := b.give(ctx, m, reply, stored)
	switch {
	case err != nil:
		return nil, err
	case answer != nil:
		return p.answered(ctx, answer)
	}
	seq, again, err := pubAck(ack)
	if err != nil {
		return nil, err
	}
	done()
	if again && !retried {
		return p.again(ctx, seq)
	}
	wait := time.NewTimer(max(0, o.Wait-time.Since(began)))
	defer wait.Stop()
	select {
	case a := <-reply.ch:
		return p.answered(ctx, a)
	case <-ctx.Done():
	case <-wait.C:
	}
	if again { // perhaps of an earlier call
		return p.again(ctx, seq)
	}
	return p.pending(ctx)
}

// How long a stream on a cluster may be silent before it is told again, and how
// soon after nobody was there to hear. Its server may just have been lost: another
// takes its place, and knows by the id what it has already.
const (
	tellAgain  = 500 * time.Millisecond
	nobodyWait = 250 * time.Millisecond
)

// give puts the command on the stream until it is acknowledged or answered, or
// the time is over. The service may be quicker than the stream; its answer says
// that the command was stored as well. retried reports that the stream was told
// more than once: a repetition that it speaks of may be our own.
func (b *Bus) give(ctx context.Context, m *nats.Msg, reply, stored *waiter) (answer, ack *nats.Msg, retried bool, err error) {
	if err := b.nc.PublishMsg(m); err != nil {
		return nil, nil, false, unsent{publishError(err, m.Subject)}
	}
	until := time.NewTimer(b.timeout)
	defer until.Stop()
	again := time.NewTimer(tellAgain)
	defer again.Stop()
	cluster := b.nc.ConnectedClusterName() != ""
	asked, unknown := true, false // the last try, or an earlier one, had no answer
	for {
		select {
		case a := <-reply.ch:
			return a, nil, retried, nil
		case a := <-stored.ch:
			if !unheard(a) || !cluster {
				return nil, a, retried, nil
			}
			asked = false
			again.Reset(nobodyWait)
		case <-again.C:
			if !cluster {
				continue // it is slow, and the only one
			}
			unknown = unknown || asked
			if b.nc.PublishMsg(m) == nil {
				retried, asked = true, true
			}
			again.Reset(tellAgain)
		case <-ctx.Done():
			return nil, nil, retried, fmt.Errorf("command %s: %w", m.Subject, context.Cause(ctx))
		case <-until.C:
			err := errs.New(errs.Unavailable, "the stream does not answer").After(time.Second)
			if !unknown && !asked {
				return nil, nil, retried, unsent{err}
			}
			return nil, nil, retried, err
		}
	}
}

// unheard reports whether no stream was there to take a message.
func unheard(m *nats.Msg) bool { return len(m.Data) == 0 && get(m.Header, "Status") == "503" }

// pubAck reads the stream's acknowledgement.
func pubAck(m *nats.Msg) (seq uint64, again bool, err error) {
	if unheard(m) {
		return 0, false, unsent{errs.New(errs.Unavailable, "no stream takes commands: the instance is not provisioned").After(5 * time.Second)}
	}
	var ack struct {
		Error     *jetstream.APIError `json:"error"`
		Stream    string              `json:"stream"`
		Seq       uint64              `json:"seq"` // of a duplicate that of the first
		Duplicate bool                `json:"duplicate"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return 0, false, errs.Newf(errs.Unavailable, "the stream's answer: %w", err)
	}
	if ack.Error != nil {
		return 0, false, unsent{publishError(ack.Error, m.Subject)}
	}
	if ack.Stream != StreamCommands {
		return 0, false, errs.Newf(errs.Internal, "a command went to stream %q", ack.Stream)
	}
	return ack.Seq, ack.Duplicate, nil
}

// pendingCommand is a command that is on the stream.
type pendingCommand struct {
	b        *Bus
	t        Target
	identity tenant.Identity
	id       uuid.UUID
	sum      [sha256.Size]byte
	object   string
	accepted time.Time
}

func (p *pendingCommand) operationID() string { return p.t.Service + "." + p.id.String() }

// answered turns the service's reply into the caller's answer.
func (p *pendingCommand) answered(ctx context.Context, m *nats.Msg) (*Answer, error) {
	o, err := p.b.read(ctx, m, p.t)
	if err != nil {
		return nil, err
	}
	if o.err != nil {
		return nil, settled{o.err}
	}
	return p.answer(o, get(m.Header, headerReplayed) != ""), nil
}

// again is for a command that the stream has had before. Its service may have
// answered, or the caller may have been told to ask later; else another call is
// waiting for the answer right now, or was when its edge died.
func (p *pendingCommand) again(ctx context.Context, seq uint64) (*Answer, error) {
	if st, err := p.ask(ctx); st != nil || err != nil {
		return p.told(st, err)
	}
	if a, err := p.noted(ctx, time.Time{}); a != nil || err != nil {
		return a, err
	}
	return p.adopt(ctx, seq)
}

// noted is for a key whose call was answered 202 before: the answer of the
// service, if there is one by then, or 202 again. It returns nil when there was
// no such call.
func (p *pendingCommand) noted(ctx context.Context, until time.Time) (*Answer, error) {
	n, err := p.b.note(ctx, p.t.Project, p.operationID())
	switch {
	case err != nil:
		return nil, unsent{err}
	case n == nil:
		return nil, nil
	case n.Fingerprint != hex.EncodeToString(p.sum[:]):
		return nil, unsent{errOtherBody}
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		if st, err := p.ask(ctx); st != nil || err != nil {
			return p.told(st, err)
		}
		left := time.Until(until)
		if left <= 0 {
			a := p.answer(outcome{status: outbox.Unfinished, accepted: n.AcceptedAt}, true)
			a.Committed = false
			return a, nil
		}
		wait := time.NewTimer(min(pause, left))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, fmt.Errorf("command: %w", context.Cause(ctx))
		}
	}
}

// ask returns what the service has stored; nil also when it is silent.
func (p *pendingCommand) ask(ctx context.Context) (*operationReply, error) {
	st, err := p.b.askOperation(ctx, p.t.Service, p.identity, p.id)
	if kind := errs.KindOf(err); err != nil && (kind == errs.Unavailable || kind == errs.Timeout) {
		return nil, nil
	}
	return st, err
}

// told is what to make of what ask has returned.
func (p *pendingCommand) told(st *operationReply, err error) (*Answer, error) {
	if err != nil {
		return nil, err
	}
	return p.stored(st)
}

// stored is what the service has stored as this call's answer.
func (p *pendingCommand) stored(st *operationReply) (*Answer, error) {
	if st.Fingerprint != hex.EncodeToString(p.sum[:]) {
		return nil, errOtherBody
	}
	o := st.Answer.outcome()
	if o.err != nil {
		return nil, settled{o.err}
	}
	o.accepted = st.AcceptedAt
	return p.answer(o, st.Object != p.object || p.object == ""), nil
}

func (p *pendingCommand) answer(o outcome, replayed bool) *Answer {
	a := o.answer()
	a.OperationID, a.Replayed, a.Pending, a.Committed = p.operationID(), replayed, o.status == outbox.Unfinished, true
	return a
}

// pending writes down that the command was accepted, for as long as the
// service says nothing, and is the 202. A server that comes back meanwhile gets
// the note then: without it the operation is unknown until it runs. It is a 202
// without the note as well: the stream has the command, so that a failure would be
// an invitation to have the effect twice, and the id says which service knows.
func (p *pendingCommand) pending(ctx context.Context) (*Answer, error) {
	// The caller's time may be over; that the command runs must be known all
	// the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.b.timeout)
	defer cancel()
	sum := hex.EncodeToString(p.sum[:])
	n := note{Operation: p.t.Operation, Principal: p.identity.Principal, AcceptedAt: p.accepted, Fingerprint: sum}
	if kept, err := p.keep(ctx, n); err != nil {
		p.b.log.WarnContext(ctx, "bus.note", "operation", p.operationID(), "err", err)
	} else {
		n = kept
	}
	if n.Fingerprint != "" && n.Fingerprint != sum {
		return nil, errOtherBody
	}
	a := p.answer(outcome{status: outbox.Unfinished, accepted: n.AcceptedAt}, false)
	a.Committed = false
	return a, nil
}
