package bus

import (
	"bytes"
	"context"
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
	Pending    bool      // accepted, not answered yet
	AcceptedAt time.Time // the same in every answer
	FinishedAt time.Time // zero while pending
	Answer     *Answer   // nil after a refusal or failure; provisional, or nil, while pending
	Err        error     // of kind Refusal: refused; otherwise: given up after every try
}

// Operation tells how the command went. Only its own principal may ask, in the
// same project; to everybody else it is errs.NotFound. While the service is
// silent the answer is what was noted when the command was accepted.
func (b *Bus) Operation(ctx context.Context, identity tenant.Identity, operationID string) (*OperationState, error) {
	service, id, err := splitOperationID(operationID)
	if err != nil {
		return nil, err
	}
	st, aerr := b.askOperation(ctx, service, identity, id)
	if aerr == nil && st != nil {
		s := &OperationState{ID: operationID, Operation: st.Operation, AcceptedAt: st.AcceptedAt, FinishedAt: st.FinishedAt}
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
	n, err := b.note(ctx, operationID)
	if err != nil {
		return nil, err
	}
	if n == nil || n.Project != int64(identity.Project) || n.Principal != identity.Principal {
		if aerr != nil && n == nil {
			return nil, aerr
		}
		return nil, errNoOperation
	}
	return &OperationState{ID: operationID, Operation: n.Operation, Pending: true, AcceptedAt: n.AcceptedAt}, nil
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
	Operation   string    `json:"operation"`
	AcceptedAt  time.Time `json:"accepted_at"`
	FinishedAt  time.Time `json:"finished_at"`
	Fingerprint string    `json:"fingerprint"`
	Object      string    `json:"object,omitempty"`
	Answer      stored    `json:"answer"`
}

// askOperation returns nil when the service has no answer for the id.
func (b *Bus) askOperation(ctx context.Context, service string, identity tenant.Identity, id uuid.UUID) (*operationReply, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	q, err := json.Marshal(operationQuery{ID: id})
	if err != nil {
		return nil, fmt.Errorf("ask for an operation: %w", err)
	}
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
	Project     int64     `json:"project"`
	Principal   string    `json:"principal"`
	AcceptedAt  time.Time `json:"accepted_at"`
	Fingerprint string    `json:"fingerprint"`
}

// takeNote keeps n, unless there is a note of the operation already, and returns
// the one that is kept.
func (b *Bus) takeNote(ctx context.Context, operationID string, n note) (note, error) {
	kv, err := b.ops.get(ctx)
	if err != nil {
		return note{}, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	data, err := json.Marshal(n)
	if err != nil {
		return note{}, fmt.Errorf("operations: %w", err)
	}
	_, err = kv.Create(ctx, operationID, data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		var old *note
		if old, err = b.note(ctx, operationID); err != nil {
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

func (b *Bus) note(ctx context.Context, operationID string) (*note, error) {
	kv, err := b.ops.get(ctx)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "operations: %w", err)
	}
	e, err := kv.Get(ctx, operationID)
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
