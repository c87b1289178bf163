package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Follower hears one kind of fact on every replica. It is a part.
type Follower struct {
	b      *Bus
	filter string
	name   string
	err    error
	handle func(ctx context.Context, m *nats.Msg)

	sub  *nats.Subscription
	hard context.CancelCauseFunc
	busy sync.WaitGroup
}

// Follow hears every fact of type E from the start of the part on, one after
// another, on every replica, without a record: for caches and indexes that can
// be built again. What is missed while the connection is down is caught up.
// The caller in ctx is the service itself, in the project of the fact. A
// message that is not a valid E is logged and left out.
func Follow[E proto.Message](b *Bus, h func(ctx context.Context, m Meta, e E)) *Follower {
	var none E
	d, err := events.Describe(none)
	if err != nil {
		return &Follower{b: b, err: err}
	}
	f := &Follower{b: b, filter: eventFilter(d), name: d.ID()}
	f.handle = func(ctx context.Context, m *nats.Msg) {
		began := time.Now()
		del := &Delivery{Subject: m.Subject, Header: m.Header, Data: m.Data, Attempt: 1}
		if md, err := m.Metadata(); err == nil {
			del.Sequence, del.Time = md.Sequence.Stream, md.Timestamp
		}
		meta, e, err := decodeEvent[E](del)
		outcome := "ok"
		if err != nil {
			outcome = "invalid"
			b.log.Warn("event.followed", "filter", f.filter, "subject", m.Subject, "seq", del.Sequence, "outcome", outcome, "err", err)
		} else {
			ctx = b.prop.Extract(ctx, headerCarrier(m.Header))
			h(tenant.With(ctx, AsService(b.service, meta.Project)), meta, e)
			b.log.DebugContext(ctx, "event.followed", "subject", m.Subject, "seq", del.Sequence, "outcome", outcome, "ms", time.Since(began).Milliseconds())
		}
		b.m.consumed.WithLabelValues("follow-"+b.service+"-"+f.name, outcome).Observe(time.Since(began).Seconds())
	}
	return f
}

// Name says who follows what.
func (f *Follower) Name() string { return f.b.service + ".follow." + f.name }

// Start returns when every fact from now on will be heard.
func (f *Follower) Start(ctx context.Context) error {
	if f.err != nil {
		return fmt.Errorf("follow: %w", f.err)
	}
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.hard = cancel
	var err error
	f.sub, err = f.b.ordered(StreamEvents, f.filter, func(m *nats.Msg) {
		f.busy.Add(1)
		defer f.busy.Done()
		if run.Err() == nil {
			f.handle(run, m)
		}
	}, nats.DeliverNew())
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.filter, err)
	}
	return nil
}

// Stop ends the following and waits for a running handler until ctx ends.
func (f *Follower) Stop(ctx context.Context) error {
	if f.sub == nil {
		return nil
	}
	defer f.hard(errStopped)
	err := f.sub.Unsubscribe()
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		err = nil
	}
	done := make(chan struct{})
	go func() { defer close(done); f.busy.Wait() }()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("follow %s: a handler did not finish: %w", f.filter, context.Cause(ctx))
	}
}

// ordered hears a filter of a stream in order, resuming where it was after a
// loss. The consumer's create subject carries the filter, to which the
// service's permissions are bound.
func (b *Bus) ordered(stream, filter string, h nats.MsgHandler, from nats.SubOpt) (*nats.Subscription, error) {
	js, err := b.nc.JetStream(nats.MaxWait(b.timeout))
	if err != nil {
		return nil, err
	}
	return js.Subscribe(filter, h, nats.OrderedConsumer(), nats.BindStream(stream), from)
}

// Live says how far a job is, or a part of what it yields, to whoever follows
// it now. v is written as JSON. It may be lost; nil means only that it was
// handed to the connection.
func (b *Bus) Live(p tenant.Project, job string, v any) error {
	if !validToken(job) {
		return fmt.Errorf("live: job %q is not a name", job)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("live: %w", err)
	}
	if len(data) > MaxJSON {
		return errs.New(errs.TooLarge, "a live message is too large")
	}
	if err := b.nc.Publish(liveSubject(p, job), data); err != nil {
		return fmt.Errorf("live: %w", err)
	}
	return nil
}

// FollowLive hands fn what was said about the job in the last minutes and what
// is said from now on, in order, until stop is called. stop returns when fn
// will not be called any more.
func (b *Bus) FollowLive(ctx context.Context, p tenant.Project, job string, fn func(data []byte)) (stop func(), err error) {
	if !validToken(job) {
		return nil, errs.Newf(errs.NotFound, "job %q is not a name", job)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("follow live: %w", context.Cause(ctx))
	}
	var mu sync.Mutex
	over := false
	sub, err := b.ordered(StreamLive, liveSubject(p, job), func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			fn(m.Data)
		}
	}, nats.DeliverAll())
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "follow live: %w", err)
	}
	return func() {
		mu.Lock()
		over = true
		mu.Unlock()
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
			b.log.Warn("bus.unfollow", "job", job, "err", err)
		}
	}, nil
}
