package bus

import (
	"context"
	"encoding/json"
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
	handle func(ctx context.Context, d *Delivery)

	heard *ordered
	hard  context.CancelCauseFunc
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
	f.handle = func(ctx context.Context, del *Delivery) {
		began := time.Now()
		meta, e, err := decodeEvent[E](del)
		outcome := "ok"
		if err != nil {
			outcome = "invalid"
			b.log.Warn("event.followed", "filter", f.filter, "subject", del.Subject, "seq", del.Sequence, "outcome", outcome, "err", err)
		} else {
			ctx = b.prop.Extract(ctx, headerCarrier(del.Header))
			h(tenant.With(ctx, AsService(b.service, meta.Project)), meta, e)
			b.log.DebugContext(ctx, "event.followed", "subject", del.Subject, "seq", del.Sequence, "outcome", outcome, "ms", time.Since(began).Milliseconds())
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
	f.heard, err = f.b.follow(ctx, StreamEvents, f.filter, false, func(m *nats.Msg, seq uint64, at time.Time) {
		if run.Err() == nil {
			f.handle(run, &Delivery{Subject: m.Subject, Header: m.Header, Data: m.Data, Sequence: seq, Time: at, Attempt: 1})
		}
	})
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.filter, err)
	}
	return nil
}

// Stop ends the following and waits for a running handler until ctx ends.
func (f *Follower) Stop(ctx context.Context) error {
	if f.heard == nil {
		return nil
	}
	defer f.hard(errStopped)
	return f.heard.stop(ctx)
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
// will not be called any more, so fn must not call it.
func (b *Bus) FollowLive(ctx context.Context, p tenant.Project, job string, fn func(data []byte)) (stop func(), err error) {
	if !validToken(job) {
		return nil, errs.Newf(errs.NotFound, "job %q is not a name", job)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("follow live: %w", context.Cause(ctx))
	}
	o, err := b.follow(ctx, StreamLive, liveSubject(p, job), true, func(m *nats.Msg, _ uint64, _ time.Time) { fn(m.Data) })
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "follow live: %w", err)
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			if err := o.stop(context.Background()); err != nil {
				b.log.Warn("bus.unfollow", "job", job, "err", err)
			}
		})
	}, nil
}
