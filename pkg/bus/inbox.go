package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Meta is what is known about a fact beside the fact itself.
type Meta struct {
	ID       string // of the message; the same at every delivery
	Subject  string
	Project  tenant.Project
	Sequence uint64    // in the stream
	Time     time.Time // when it happened
	Attempt  int       // from 1
	Type     string    // full name of the message
}

// InboxConfig says for whom facts are heard.
type InboxConfig struct {
	Service string // b's service when empty
	// DB keeps the record of what was heard, with its effect. Without it a
	// handler must bear to hear a fact twice.
	DB *pg.DB
	// Attempts, Patience and Backoff are those of [ConsumerConfig].
	Attempts int
	Patience time.Duration
	Backoff  []time.Duration
}

// Inbox hears the facts of a service's contract. It is a part.
type Inbox struct {
	b         *Bus
	c         InboxConfig
	consumers []*Consumer
	handlers  map[string]func(ctx context.Context, d *Delivery) error // by type of fact
	lanes     map[string]heldLane                                     // by durable
	kick      chan struct{}                                           // a fact was held
	halt      context.CancelCauseFunc
	released  chan struct{} // nothing that waited is tried any more
	err       error
	failed    chan error
}

// NewInbox returns an inbox that hears nothing yet; see [Handle].
func NewInbox(b *Bus, c InboxConfig) *Inbox {
	if c.Service == "" {
		c.Service = b.service
	}
	return &Inbox{b: b, c: c, failed: make(chan error, 1), handlers: map[string]func(context.Context, *Delivery) error{}, lanes: map[string]heldLane{}, kick: make(chan struct{}, 1)}
}

// Handle hears every fact of type E, of every project, in the order of the
// stream, project by project: one that cannot be handled now waits in a row, with
// what follows it in its project, and holds up no other project. Under ctx the calls of the inbox's DB join one transaction, which
// commits, together with the record of the message, when h returns nil; the
// caller is the service itself, in the project of the fact. A message that is
// not a valid E is a dead letter. Handle must be called before Start.
func Handle[E proto.Message](in *Inbox, h func(ctx context.Context, m Meta, e E) error) {
	var none E
	d, err := events.Describe(none)
	if err != nil {
		in.err = errors.Join(in.err, fmt.Errorf("inbox of %s: %w", in.c.Service, err))
		return
	}
	durable := EventDurable(in.c.Service, d)
	tries := unended{in.c.DB, durable}
	take := func(ctx context.Context, del *Delivery, ordered bool) error {
		m, e, err := decodeEvent[E](del)
		if err != nil {
			return Bury(err)
		}
		del.Note(slog.String("message_id", m.ID), slog.String("project", m.Project.Token()), slog.String("type", m.Type))
		ctx = tenant.With(ctx, AsService(in.c.Service, m.Project))
		again, err := in.once(ctx, durable, m, ordered, func(ctx context.Context) error { return h(ctx, m, e) })
		if again {
			del.outcome = "again"
		}
		return err
	}
	handle := func(ctx context.Context, del *Delivery) error { return take(ctx, del, false) }
	in.handlers[string(d.Name)] = handle
	in.b.takers.Store(durable, handle)
	var c *Consumer
	c = NewConsumer(in.b, ConsumerConfig{
		Stream: StreamEvents, Durable: durable, Workers: 1, Attempts: in.c.Attempts, Patience: in.c.Patience, Backoff: in.c.Backoff, Line: "event.handled",
		Began: tries.began, Ended: tries.ended,
	}, func(ctx context.Context, del *Delivery) error {
		if in.c.DB == nil {
			return handle(ctx, del)
		}
		return in.aside(ctx, c.c, del, guarded(ctx, del, func(ctx context.Context, del *Delivery) error { return take(ctx, del, true) }))
	})
	in.consumers = append(in.consumers, c)
	in.lanes[durable] = heldLane{c, handle}
}

// once runs h and records the message, in one transaction, unless it is
// recorded already, or ordered and behind one that waits. Of a project that was
// purged nothing is done or recorded.
func (in *Inbox) once(ctx context.Context, durable string, m Meta, ordered bool, h func(ctx context.Context) error) (again bool, err error) {
	if in.c.DB == nil {
		return false, h(ctx)
	}
	ctx, unit := in.c.DB.Unit(ctx)
	defer unit.Rollback()
	first := false
	err = in.c.DB.InTenant(ctx, m.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := unhold(ctx, tx, durable, ordered); err != nil {
			return err
		}
		first, err = outbox.Once(ctx, tx, durable, m.ID)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("inbox: %w", err)
	}
	if !first {
		return true, unit.Commit(ctx)
	}
	if err := h(ctx); err != nil {
		return false, err
	}
	err = unit.CommitIn(ctx, m.Project, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Open(ctx, tx, m.Project) })
	if errors.Is(err, outbox.ErrClosed) { // it was purged: nobody needs it any more
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("inbox: commit: %w", err)
	}
	return false, nil
}

// decodeEvent reads a fact and what is known about it.
func decodeEvent[E proto.Message](d *Delivery) (Meta, E, error) {
	var none E
	a, err := parseSubject(d.Subject)
	if err != nil {
		return Meta{}, none, err
	}
	e, ok := none.ProtoReflect().New().Interface().(E)
	if !ok {
		return Meta{}, none, fmt.Errorf("cannot make a %T", none)
	}
	attrs, err := events.ParseAttributes(d.Header)
	if err != nil {
		return Meta{}, none, err
	}
	want := string(none.ProtoReflect().Descriptor().FullName())
	if attrs.Type != want {
		return Meta{}, none, fmt.Errorf("message of type %s on the subject of %s", attrs.Type, want)
	}
	if err := events.Unmarshal(d.Data, attrs.ContentType, e); err != nil {
		return Meta{}, none, err
	}
	at := attrs.Time
	if at.IsZero() {
		at = d.Time
	}
	return Meta{ID: messageID(d.Header, attrs), Subject: d.Subject, Project: a.project, Sequence: d.Sequence, Time: at, Attempt: d.Attempt, Type: want}, e, nil
}

// messageID is the CloudEvents id, which stays when the fact is published again.
func messageID(h nats.Header, a events.Attributes) string {
	if a.ID != "" {
		return a.ID
	}
	return get(h, jetstream.MsgIDHeader)
}

// Name is "inbox".
func (in *Inbox) Name() string { return in.c.Service + ".inbox" }

// Failed delivers an error when a consumer cannot go on.
func (in *Inbox) Failed() <-chan error { return in.failed }

// Start begins to hear everything that was registered. After an error nothing
// runs.
func (in *Inbox) Start(ctx context.Context) error {
	if in.err != nil {
		return in.err
	}
	for i, c := range in.consumers {
		if err := c.Start(ctx); err != nil {
			return errors.Join(fmt.Errorf("inbox of %s: %w", in.c.Service, err), stopAll(ctx, in.consumers[:i]))
		}
		go func() {
			select {
			case err := <-c.failed:
				select {
				case in.failed <- err:
				default: // one is enough to end the process
				}
			case <-c.stopping:
			}
		}()
	}
	if in.c.DB != nil && len(in.lanes) > 0 {
		run, halt := context.WithCancelCause(context.WithoutCancel(ctx))
		in.halt, in.released = halt, make(chan struct{})
		go func() {
			defer close(in.released)
			in.release(run)
		}()
	}
	return nil
}

// Stop stops to fetch and waits for running handlers until ctx ends.
func (in *Inbox) Stop(ctx context.Context) error {
	err := stopAll(ctx, in.consumers)
	if in.halt == nil {
		return err
	}
	in.halt(errStopped) // what waits is in rows, and is tried again
	select {
	case <-in.released:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("inbox of %s: a handler did not finish: %w", in.c.Service, context.Cause(ctx)))
	}
}

func stopAll(ctx context.Context, cs []*Consumer) error {
	errc := make([]error, len(cs))
	var wg sync.WaitGroup
	for i, c := range cs {
		wg.Go(func() { errc[i] = c.Stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errc...)
}
