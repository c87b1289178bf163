package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// ConsumerConfig says what a [Consumer] takes and how it gives up.
type ConsumerConfig struct {
	Stream, Durable string
	// Workers is how many handlers run at the same time. One keeps the order of
	// the stream within a project, except for what has to be tried again.
	Workers int
	// Share is how many of the workers one project may hold at a time; all of
	// them when 0. Below Workers it keeps room for the others, and a project
	// whose messages fill what may wait here gives up its latest for them.
	Share int
	// Ahead is how many messages may be in hand, running ones included;
	// 2 × Workers when 0.
	Ahead int
	// Attempts is how often a message is tried before it is a dead letter; 5
	// when 0. What counts is that the handler ran and failed: a delivery that
	// ended with the process does not, nor does a try that ends with
	// errs.Unavailable, because what the message needs is away and not the
	// message at fault. It is tried again at growing intervals, without holding
	// a worker, for Patience; an hour when 0. Both begin anew in another process.
	Attempts int
	Patience time.Duration
	// Backoff is the wait after each failed try; the last one repeats. Short:
	// what must wait longer than a minute belongs into a row.
	Backoff []time.Duration
	// Began, when set, keeps that a try begins and returns how many have without
	// an end; Ended takes that back. They are asked only about a message that
	// came suspiciously often: deliveries are also what a restart leaves behind
	// of messages that it has not touched.
	Began func(ctx context.Context, d *Delivery) (int, error)
	Ended func(ctx context.Context, d *Delivery) error
	// Buried, when set, runs before a message becomes a dead letter. While it
	// fails with errs.Unavailable the message is kept and tried again.
	Buried func(ctx context.Context, d *Delivery, cause error) error
	// Line is the constant message of the log line per message.
	Line string
}

var defaultBackoff = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second}

const (
	// maxRetryAfter bounds how long a message may occupy its consumer.
	maxRetryAfter = time.Minute
	// crashes is how many deliveries of a message are nothing to suspect. From
	// then on those are counted whose try begins and never ends: a message that
	// takes the process down with it is given up when they are its attempts.
	crashes = 10
	// ackWithin is how long a worker waits for the server to take a message off.
	ackWithin = 2 * time.Second
	// aheadBytes bounds what all messages in hand may weigh. Behind them come at most
	// maxFetched that were not looked at yet, of MaxPayload each; the next are asked
	// for when half of them are taken. They are bound by their number and not by
	// bytes: for a request with a bound of bytes the server also says that it was
	// met, the library has room for as many messages as were asked for and no more,
	// and the one for which there is none then comes again after the ack wait alone.
	aheadBytes = 40 << 20
	maxFetched = 24
	// beat is how often a consumer's server says that it is there; after two that
	// are missed the consumer asks again. A second, on a cluster, cost an idle one
	// more than a hundredth of a core.
	beat = 2 * time.Second
	// lull is after how long without a message the library is asked once more. It
	// asks the server for the next ones when it is asked, but not while it is still
	// about to, and would then sleep over what waits until a beat is missed.
	lull = 50 * time.Millisecond
)

// Consumer takes the messages of one durable consumer, which the provisioning
// user made, and hands them to one function. It is a part.
type Consumer struct {
	b      *Bus
	c      ConsumerConfig
	handle func(ctx context.Context, d *Delivery) error

	ackWait  time.Duration
	iter     jetstream.MessagesContext
	hold     *hold
	stopping chan struct{}
	stopOnce sync.Once
	hard     context.CancelCauseFunc // ends running handlers
	fetcher  sync.WaitGroup
	workers  sync.WaitGroup
	failed   chan error
	alive    func() // ends the keeping alive
}

// errStopped is the cause of contexts that end because the part's deadline is
// over.
var errStopped = errors.New("stopped before it was done")

// NewConsumer returns a consumer that is not running. handle returns nil to
// acknowledge; see [Drop], [Bury] and [RetryAfter] for the rest. ctx of handle
// has the message's trace and ends with the part.
func NewConsumer(b *Bus, c ConsumerConfig, handle func(ctx context.Context, d *Delivery) error) *Consumer {
	if c.Workers <= 0 {
		c.Workers = 1
	}
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	if len(c.Backoff) == 0 {
		c.Backoff = defaultBackoff
	}
	c.Ahead = max(c.Ahead, 2*c.Workers)
	if c.Patience <= 0 {
		c.Patience = time.Hour
	}
	if c.Line == "" {
		c.Line = "bus.consumed"
	}
	return &Consumer{b: b, c: c, handle: handle, failed: make(chan error, 1), stopping: make(chan struct{})}
}

// Name is the durable's name.
func (c *Consumer) Name() string { return c.c.Durable }

// Failed delivers an error when the consumer is gone and cannot go on.
func (c *Consumer) Failed() <-chan error { return c.failed }

// Start returns when messages can arrive.
func (c *Consumer) Start(ctx context.Context) error {
	cons, err := c.find(ctx)
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w (consumers are made when the instance is provisioned)", c.c.Durable, c.c.Stream, err)
	}
	c.ackWait = cons.CachedInfo().Config.AckWait
	// Not more at once than is soon taken: what waits in the iterator is not with
	// another replica, and is not kept alive.
	pull := min(c.c.Ahead, maxFetched)
	if c.iter, err = cons.Messages(jetstream.PullMaxMessages(pull), jetstream.PullHeartbeat(beat), jetstream.PullExpiry(30*time.Second)); err != nil {
		return fmt.Errorf("consumer %s of %s: %w", c.c.Durable, c.c.Stream, err)
	}
	// Handlers outlive the context of the start; Stop ends them.
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c.hard = cancel
	c.hold = newHold(c.c)
	c.fetcher.Go(c.fetch)
	for range c.c.Workers {
		c.workers.Go(func() {
			for {
				e, ok := c.hold.take()
				if !ok {
					return
				}
				c.one(run, e)
			}
		})
	}
	c.alive = sync.OnceFunc(c.keepAlive())
	c.b.m.queues.add(c.b, c.c.Stream, c.c.Durable, c.b.service)
	return nil
}

// Stop stops to fetch, gives back what no handler has begun, and waits for the
// handlers. When ctx ends first they are cancelled, and their messages come
// again.
func (c *Consumer) Stop(ctx context.Context) error {
	if c.iter == nil {
		return nil
	}
	c.stopOnce.Do(func() {
		close(c.stopping)
		c.b.m.queues.remove(c.b, c.c.Stream, c.c.Durable, c.b.service)
		c.iter.Drain()
		for _, e := range c.hold.close() {
			c.giveBack(e.m, 0)
		}
	})
	defer c.hard(errStopped)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.fetcher.Wait()
		c.workers.Wait()
	}()
	select {
	case <-done:
		c.alive()
		return nil
	case <-ctx.Done():
		c.hard(errStopped)
		c.alive()
		return fmt.Errorf("consumer %s: a handler did not finish: %w", c.c.Durable, context.Cause(ctx))
	}
}

func (c *Consumer) fetch() {
	var wait []jetstream.NextOpt
	for missed := 0; ; {
		m, err := c.iter.Next(wait...)
		if wait != nil && errors.Is(err, nats.ErrTimeout) {
			wait = nil
			continue
		}
		if err != nil {
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) || c.b.nc.IsClosed() {
				return
			}
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || c.doubtful(&missed) && c.gone() {
				c.failed <- fmt.Errorf("consumer %s of %s: %w", c.c.Durable, c.c.Stream, err)
				return
			}
			// Anything else (a missed heartbeat, a lost connection) the iterator repairs.
			c.b.log.Warn("bus.fetch", "consumer", c.c.Durable, "err", err)
			select {
			case <-c.stopping:
				return
			default:
				continue
			}
		}
		missed, wait = 0, []jetstream.NextOpt{jetstream.NextMaxWait(lull)}
		md, err := m.Metadata()
		if err != nil {
			c.b.log.Error("bus.metadata", "consumer", c.c.Durable, "err", err)
			continue
		}
		for _, back := range c.hold.add(&entry{m: m, md: md, lane: laneOf(m.Subject()), size: weight(m)}) {
			c.giveBack(back.m, comeBack)
		}
	}
}

// weight is what a message takes in memory, about.
func weight(m jetstream.Msg) int {
	n := len(m.Subject()) + len(m.Reply()) + len(m.Data())
	for k, vs := range m.Headers() {
		n += len(k)
		for _, v := range vs {
			n += len(v)
		}
	}
	return n
}

// doubtful reports whether it is time to ask for the consumer after one more
// failure in a row. On a cluster the first is most often an election, and who
// asks then takes nothing meanwhile.
func (c *Consumer) doubtful(missed *int) bool {
	*missed++
	return *missed > 1 || c.b.nc.ConnectedClusterName() == ""
}

// remade is how long a consumer may be missing while a server that has lost it
// is provisioned again.
const remade = 3 * time.Second

// goneWithin bounds that question: while a consumer has no leader nobody
// answers, and who waits for that takes no messages when there is one again.
const goneWithin = time.Second

// gone reports whether the server knows the consumer no more. One that was
// deleted between two pulls does not say so: it is silent.
func (c *Consumer) gone() bool {
	missing := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), goneWithin)
		defer cancel()
		_, err := c.b.js.Consumer(ctx, c.c.Stream, c.c.Durable)
		return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
	}
	if !missing() {
		return false
	}
	select {
	case <-c.stopping:
		return false
	case <-time.After(remade):
		return missing()
	}
}

// giveBack lets another replica have the message, or this one later.
func (c *Consumer) giveBack(m jetstream.Msg, after time.Duration) {
	select {
	case <-c.stopping:
		after = 0
	default:
	}
	var err error
	if after > 0 {
		err = m.NakWithDelay(after)
	} else {
		err = m.Nak()
	}
	if err != nil { // then it comes again after the ack wait
		c.b.log.Warn("bus.nak", "consumer", c.c.Durable, "err", err)
	}
}

// one runs the handler for one message and tells the stream how it went.
func (c *Consumer) one(run context.Context, e *entry) {
	began := time.Now()
	d := &Delivery{
		Subject: e.m.Subject(), Header: e.m.Headers(), Data: e.m.Data(), Sequence: e.md.Sequence.Stream, Time: e.md.Timestamp,
		Attempt: e.t.tries + 1, Delivered: int(min(e.md.NumDelivered, 1<<30)), //nolint:gosec // G115: bounded
		waited: e.t.waits,
	}
	if d.Header == nil {
		d.Header = nats.Header{}
	}
	ctx := c.b.prop.Extract(run, headerCarrier(d.Header))
	ctx, span := c.b.tracer.Start(ctx, "bus.consume "+c.c.Durable, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", d.Subject)))
	defer span.End()
	err := c.suspect(ctx, d)
	if err == nil {
		err = guarded(ctx, d, c.handle)
		c.cleared(ctx, d, err)
	}
	outcome := c.settle(ctx, e, d, err)
	if d.after != nil && err == nil {
		d.after()
	}
	took := time.Since(began)
	c.b.m.consumed.WithLabelValues(c.c.Durable, outcome).Observe(took.Seconds())
	level := slog.LevelInfo
	attrs := append([]slog.Attr{slog.String("consumer", c.c.Durable), slog.String("subject", d.Subject), slog.Uint64("seq", d.Sequence),
		slog.Int("attempt", d.Attempt), slog.String("outcome", outcome), slog.Float64("ms", float64(took.Microseconds())/1000)}, d.attrs...)
	if err != nil {
		level = slog.LevelWarn
		span.SetStatus(codes.Error, outcome)
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	c.b.log.LogAttrs(ctx, level, c.c.Line, attrs...)
}

// guarded turns a panic of the handler into a failure of this message.
func guarded(ctx context.Context, d *Delivery, handle func(context.Context, *Delivery) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	return handle(ctx, d)
}

func panicked(r any) error {
	return errs.Wrap(errs.Internal, fmt.Errorf("panic: %v\n%s", r, debug.Stack()), "internal error")
}

// keepAlive tells the stream that the messages in hand are, until the returned
// function is called.
func (c *Consumer) keepAlive() (stop func()) {
	if c.ackWait <= 0 {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(c.ackWait / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-over:
				return
			}
			for _, e := range c.hold.all() {
				if err := e.m.InProgress(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
					c.b.log.Warn("bus.in_progress", "consumer", c.c.Durable, "err", err)
					break // the connection is away: the others would say the same
				}
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}
