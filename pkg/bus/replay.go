package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// askReplay is answered by a service that can say again what is true: see
// [OnReplay].
const askReplay = "replay"

// ReplayQuery says what is to be told.
type ReplayQuery struct {
	Project tenant.Project `json:"project"` // the instance: of every project
	// Since leaves out what has not changed after it; a service that does not
	// know that of a thing tells it. Zero asks for all.
	Since time.Time `json:"since,omitzero"`
}

// Telling hands one fact, and when it became true, to whoever asked.
type Telling func(fact proto.Message, at time.Time) error

// OnReplay registers how the service tells its state as facts: for each thing
// the facts that somebody needs who has heard none, with the version that the
// thing has now. Such a fact is not said on EVENTS; its id follows from what it
// says, so that telling it twice is telling it once. It may be asked by
// services only.
func OnReplay(s *Server, h func(ctx context.Context, q ReplayQuery, tell Telling) error) {
	op := &operation{name: askReplay, delivery: asInternal}
	op.stream = func(ctx context.Context, data []byte, send func(body []byte) error) outcome {
		var q ReplayQuery
		if err := json.Unmarshal(data, &q); err != nil {
			return outcome{err: errs.Newf(errs.Malformed, "replay: %w", err)}
		}
		err := h(ctx, q, func(fact proto.Message, at time.Time) error {
			body, err := told(fact, at)
			if err != nil {
				return err
			}
			return send(body)
		})
		if err != nil {
			return outcome{err: err}
		}
		return outcome{status: 204}
	}
	s.add(op)
}

// toldFact is a fact in a frame.
type toldFact struct {
	Subject string          `json:"subject"`
	Header  nats.Header     `json:"header"`
	Data    json.RawMessage `json:"data"`
}

// toldSpace is the namespace of the ids of facts that are told again.
var toldSpace = uuid.MustParse("0d9f9f6c-7c58-5a0c-8c9a-3a7f0c1d2e4b")

func told(fact proto.Message, at time.Time) ([]byte, error) {
	d, err := events.Describe(fact)
	if err != nil {
		return nil, err
	}
	key, err := events.Aggregate(fact)
	if err != nil {
		return nil, err
	}
	data, err := events.Marshal(fact)
	if err != nil {
		return nil, err
	}
	subject := d.Subject(tenant.Project(key.Project).Token())
	says, err := proto.MarshalOptions{Deterministic: true}.Marshal(fact) // JSON differs from build to build
	if err != nil {
		return nil, err
	}
	id := uuid.NewSHA1(toldSpace, append([]byte(subject+" "), says...))
	header, err := events.Headers(fact, id.String(), events.Source("", d.Service), at)
	if err != nil {
		return nil, err
	}
	return json.Marshal(toldFact{subject, header, data})
}

// Replay asks a service what is true and hands each fact to fn, in the order in
// which it is told. It is for a reader that is new, or begins anew, beyond what
// EVENTS still holds: note where EVENTS ends, replay, and go on from there;
// what is in both comes twice, with the same version.
func (b *Bus) Replay(ctx context.Context, service string, q ReplayQuery, fn func(Said) error) error {
	ask, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("replay of %s: %w", service, err)
	}
	f, err := b.Stream(ctx, Target{Service: service, Operation: askReplay}, AsService(b.service, tenant.Instance), ask)
	if err != nil {
		return fmt.Errorf("replay of %s: %w", service, err)
	}
	defer f.Close()
	for {
		body, err := f.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("replay of %s: %w", service, err)
		}
		var t toldFact
		if err := json.Unmarshal(body, &t); err != nil {
			return errs.Newf(errs.Upstream, "replay of %s: %w", service, err)
		}
		s := Said{Subject: t.Subject, Header: t.Header, Data: t.Data}
		if a, err := events.ParseAttributes(t.Header); err == nil {
			s.Time = a.Time
		}
		if err := fn(s); err != nil {
			return err
		}
	}
}

// Rebuild lets the inbox's handlers hear what the service tells, each fact once
// with its effect, as if it had come from EVENTS. Facts that no handler is for
// are left out. The inbox need not be started.
func (in *Inbox) Rebuild(ctx context.Context, service string, q ReplayQuery) (heard int, err error) {
	if in.err != nil {
		return 0, in.err
	}
	err = in.b.Replay(ctx, service, q, func(s Said) error {
		handle := in.handlers[get(s.Header, "ce-type")]
		if handle == nil {
			return nil
		}
		heard++
		return handle(ctx, &Delivery{Subject: s.Subject, Header: s.Header, Data: s.Data, Time: s.Time, Attempt: 1, Delivered: 1})
	})
	return heard, err
}
