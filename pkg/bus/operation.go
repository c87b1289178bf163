package bus

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// outcome is the inverse of keep.
func (s stored) outcome() outcome {
	if len(s.Error) > 0 {
		return outcome{err: decodeError(string(s.Kind), s.Error)}
	}
	return outcome{status: s.Status, header: s.Header, body: s.Body}
}

var errNoOperation = errs.New(errs.NotFound, "no such operation")

// OperationState is what is known about a command.
type OperationState struct {
	ID         string // "<service>.<uuid>"
	Operation  string
	Principal  string           // who gave it
	Pending    bool             // accepted, not answered yet
	AcceptedAt time.Time        // the same in every answer
	StartedAt  time.Time        // of the run that was committed; zero while there is none
	FinishedAt time.Time        // zero while pending
	Answer     *Answer          // nil after a refusal or failure; provisional, or nil, while pending
	Err        error            // of kind Refusal: refused; otherwise: given up after every try
	Progress   *outbox.Progress // of one that is pending and whose service says so
}

// Operation tells how the command went, to everybody in its project: who may
// ask in the project is the caller's to decide. One of the instance is told to
// its own principal alone. To all others it is errs.NotFound. While the service
// is silent the answer is what was noted when the command was accepted.
func (b *Bus) Operation(ctx context.Context, identity tenant.Identity, operationID string) (*OperationState, error) {
	service, id, err := splitOperationID(operationID)
	if err != nil {
		return nil, err
	}
	st, aerr := b.askOperation(ctx, service, identity, id)
	if aerr == nil && st != nil {
		s := &OperationState{
			ID: operationID, Operation: st.Operation, Principal: st.Principal,
			AcceptedAt: st.AcceptedAt, StartedAt: st.StartedAt, FinishedAt: st.FinishedAt, Progress: st.Progress,
		}
		if s.Pending = st.Answer.Status == outbox.Unfinished; s.Pending {
			s.FinishedAt = time.Time{}
		}
		if o := st.Answer.outcome(); o.err != nil {
			s.Err = o.err
		} else {
			s.Answer = o.answer()
			s.Answer.OperationID = operationID
		}
		return s, nil
	}
	n, err := b.note(ctx, identity.Project, operationID)
	if err != nil {
		return nil, err
	}
	if n == nil && aerr != nil {
		return nil, aerr
	}
	if n == nil || !shows(identity, n.Principal) {
		return nil, errNoOperation
	}
	return &OperationState{ID: operationID, Operation: n.Operation, Principal: n.Principal, Pending: true, AcceptedAt: n.AcceptedAt}, nil
}

// shows reports whether whoever asks may see a command that principal gave in
// the same project.
func shows(id tenant.Identity, principal string) bool {
	return id.Project != tenant.Instance || id.Principal == principal
}

func splitOperationID(s string) (service string, id uuid.UUID, err error) {
	at := bytes.IndexByte([]byte(s), '.')
	if at <= 0 || !validToken(s[:at]) {
		return "", uuid.Nil, errNoOperation
	}
	id, err = uuid.Parse(s[at+1:])
	if err != nil || id.String() != s[at+1:] {
		return "", uuid.Nil, errNoOperation
	}
	return s[:at], id, nil
}

// operationQuery asks a service about one of its commands.
type operationQuery struct {
	ID uuid.UUID `json:"id"`
}

// operationReply is the answer; a service that knows nothing answers 204.
type operationReply struct {
	Operation   string           `json:"operation"`
	Principal   string           `json:"principal"`
	AcceptedAt  time.Time        `json:"accepted_at"`
	StartedAt   time.Time        `json:"started_at,omitzero"`
	FinishedAt  time.Time        `json:"finished_at"`
	Fingerprint string           `json:"fingerprint"`
	Object      string           `json:"object,omitempty"`
	Answer      stored           `json:"answer"`
	Progress    *outbox.Progress `json:"progress,omitempty"`
}

// askOperation returns nil when the service has no answer for the id.
func (b *Bus) askOperation(ctx context.Context, service string, identity tenant.Identity, id uuid.UUID) (*operationReply, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	q, err := json.Marshal(operationQuery{ID: id})
	if err != nil {
		return nil, fmt.Errorf("ask for an operation: %w", err)
	}
	// It is asked for a write that was recorded when it ran, and writes nothing.
	ctx = WithOrigin(ctx, Origin{})
	o, err := b.ask(ctx, Target{Service: service, Operation: getOperation, Project: identity.Project}, identity, q, "")
	if err != nil {
		return nil, err
	}
	if o.status == http.StatusNoContent {
		return nil, nil
	}
	var r operationReply
	if err := json.Unmarshal(o.body, &r); err != nil {
		return nil, errs.Newf(errs.Upstream, "state of an operation: %w", err)
	}
	return &r, nil
}

// note is what is kept about a command that was answered 202.
type note struct {
	Operation   string    `json:"operation"`
	Principal   string    `json:"principal"`
	AcceptedAt  time.Time `json:"accepted_at"`
	Fingerprint string    `json:"fingerprint"`
}

// noteKey puts the project first, so that its notes can be listed.
func noteKey(p tenant.Project, operationID string) string { return p.Token() + "." + operationID }

// keep writes the note, again and again while ctx lasts.
func (p *pendingCommand) keep(ctx context.Context, n note) (note, error) {
	for {
		kept, err := p.keepOnce(ctx, n)
		if err == nil {
			return kept, nil
		}
		again := time.NewTimer(noteAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return note{}, err
		}
	}
}

// A note that got no answer is written again after noteWithin: the server may
// have died over it.
const (
	noteWithin = 2 * time.Second
	noteAgain  = 100 * time.Millisecond
)

func (p *pendingCommand) keepOnce(ctx context.Context, n note) (note, error) {
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	done, err := p.b.turns.take(ctx, p.t.Project, true)
	if err != nil {
		return note{}, err
	}
	defer done()
	return p.b.takeNote(ctx, p.t.Project, p.operationID(), n)
}

// takeNote keeps n, unless there is a note of the operation already, and returns
// the one that is kept.
func (b *Bus) takeNote(ctx context.Context, p tenant.Project, operationID string, n note) (note, error) {
	kv, err := b.ops.get(ctx)
	if err != nil {
		return note{}, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	data, err := json.Marshal(n)
	if err != nil {
		return note{}, fmt.Errorf("operations: %w", err)
	}
	_, err = kv.Create(ctx, noteKey(p, operationID), data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		var old *note
		if old, err = b.note(ctx, p, operationID); err != nil {
			return note{}, err
		}
		if old != nil {
			return *old, nil
		}
	}
	if err != nil {
		return note{}, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	return n, nil
}

// readWithin is how long a note may take to come: who was asked for it may have
// been lost with the question, and to ask another costs nothing.
const readWithin = time.Second

func (b *Bus) note(ctx context.Context, p tenant.Project, operationID string) (*note, error) {
	kv, err := b.ops.get(ctx)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	var e jetstream.KeyValueEntry
	for {
		try, cancel := context.WithTimeout(ctx, readWithin)
		e, err = kv.Get(try, noteKey(p, operationID))
		cancel()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	var n note
	if err := json.Unmarshal(e.Value(), &n); err != nil {
		return nil, errs.Newf(errs.Internal, "operations: %w", err)
	}
	return &n, nil
}

// operationState answers getOperation: what became of a command of this
// service, to whoever may see it.
func (s *Server) operationState(ctx context.Context, q operationQuery) (operationAnswer, error) {
	id := tenant.From(ctx)
	rec, found, err := s.answers.Lookup(ctx, q.ID)
	if err != nil {
		return operationAnswer{}, err
	}
	if !found || rec.Project != id.Project || !shows(id, rec.Principal) {
		return operationAnswer{}, nil
	}
	sum, object := splitFingerprint(rec.Fingerprint)
	return operationAnswer{&operationReply{
		Operation: rec.Operation, Principal: rec.Principal, AcceptedAt: rec.CreatedAt, StartedAt: rec.StartedAt, FinishedAt: rec.FinishedAt,
		Fingerprint: hex.EncodeToString(sum), Object: object, Answer: recorded(rec), Progress: rec.Progress,
	}}, nil
}

type operationAnswer struct{ r *operationReply }

// StatusCode is 204 when the service knows nothing.
func (a operationAnswer) StatusCode() int {
	if a.r == nil {
		return http.StatusNoContent
	}
	return http.StatusOK
}

// MarshalJSON writes the reply.
func (a operationAnswer) MarshalJSON() ([]byte, error) { return json.Marshal(a.r) }
