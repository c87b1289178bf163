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
	// Workers is how many handlers run at the same time. One keeps the order
	// of the stream.
	Workers int
	// Attempts is how often a message is tried before it is a dead letter; 5
	// when 0. A try that ends with errs.Unavailable does not count: what the
	// message needs is away, not the message at fault. It is tried again, here
	// and at growing intervals, for Patience; an hour when 0.
	Attempts int
	Patience time.Duration
	// Backoff is the wait after each failed try; the last one repeats. Short:
	// what must wait longer than a minute belongs into a row.
	Backoff []time.Duration
	// Line is the constant message of the log line per message.
	Line string
}

var defaultBackoff = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second}

// maxRetryAfter bounds how long a message may occupy its consumer.
const maxRetryAfter = time.Minute

// crashes is how many deliveries beyond the attempts a message may have
// without an outcome: restarts count as deliveries, and so does a message that
// takes the process down with it.
const crashes = 10

// Consumer takes the messages of one durable consumer, which the provisioning
// user made, and hands them to one function. It is a part.
type Consumer struct {
	b      *Bus
	c      ConsumerConfig
	handle func(ctx context.Context, d *Delivery) error

	ackWait  time.Duration
	iter     jetstream.MessagesContext
	work     chan jetstream.Msg
	stopping chan struct{}
	stopOnce sync.Once
	hard     context.CancelCauseFunc // ends running handlers
	fetcher  sync.WaitGroup
	workers  sync.WaitGroup
	failed   chan error
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
	cons, err := c.b.js.Consumer(ctx, c.c.Stream, c.c.Durable)
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w (consumers are made when the instance is provisioned)", c.c.Durable, c.c.Stream, err)
	}
	c.ackWait = cons.CachedInfo().Config.AckWait
	// Not more than the workers can take soon: what waits here is not with
	// another replica.
	if c.iter, err = cons.Messages(jetstream.PullMaxMessages(max(2, 2*c.c.Workers)), jetstream.PullHeartbeat(5*time.Second), jetstream.PullExpiry(30*time.Second)); err != nil {
		return fmt.Errorf("consumer %s of %s: %w", c.c.Durable, c.c.Stream, err)
	}
	// Handlers outlive the context of the start; Stop ends them.
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c.hard = cancel
	c.work = make(chan jetstream.Msg)
	c.fetcher.Go(c.fetch)
	for range c.c.Workers {
		c.workers.Go(func() {
			for m := range c.work {
				c.one(run, m)
			}
		})
	}
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
		c.iter.Drain()
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
		return nil
	case <-ctx.Done():
		c.hard(errStopped)
		return fmt.Errorf("consumer %s: a handler did not finish: %w", c.c.Durable, context.Cause(ctx))
	}
}

func (c *Consumer) fetch() {
	defer close(c.work)
	for {
		m, err := c.iter.Next()
		if err != nil {
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) || c.b.nc.IsClosed() {
				return
			}
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || c.gone() {
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
		select {
		case <-c.stopping:
			c.giveBack(m)
			continue
		default:
		}
		select {
		case c.work <- m:
		case <-c.stopping:
			c.giveBack(m)
		}
	}
}

// remade is how long a consumer may be missing while a server that has lost it
// is provisioned again.
const remade = 3 * time.Second

// gone reports whether the server knows the consumer no more. One that was
// deleted between two pulls does not say so: it is silent.
func (c *Consumer) gone() bool {
	missing := func() bool {
		ctx, cancel := c.b.bounded(context.Background())
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

func (c *Consumer) giveBack(m jetstream.Msg) {
	if err := m.Nak(); err != nil { // then it comes again after the ack wait
		c.b.log.Warn("bus.nak", "consumer", c.c.Durable, "err", err)
	}
}

// one runs the handler for one message and tells the stream how it went.
func (c *Consumer) one(run context.Context, m jetstream.Msg) {
	began := time.Now()
	md, err := m.Metadata()
	if err != nil {
		c.b.log.Error("bus.metadata", "consumer", c.c.Durable, "err", err)
		return
	}
	d := &Delivery{
		Subject: m.Subject(), Header: m.Headers(), Data: m.Data(), Sequence: md.Sequence.Stream, Time: md.Timestamp,
		Attempt: int(min(md.NumDelivered, 1<<30)), //nolint:gosec // G115: bounded
	}
	if d.Header == nil {
		d.Header = nats.Header{}
	}
	ctx := c.b.prop.Extract(run, headerCarrier(d.Header))
	ctx, span := c.b.tracer.Start(ctx, "bus.consume "+c.c.Durable, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", d.Subject)))
	defer span.End()
	progress := c.keepAlive(m)
	if d.Attempt > c.c.Attempts+crashes {
		err = Bury(fmt.Errorf("delivered %d times without an outcome", d.Attempt))
	} else {
		err = c.patient(ctx, d)
	}
	progress()
	outcome := c.settle(ctx, m, d, err)
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

// patient runs the handler until it does not find the database or another
// party away, holding the message meanwhile: were it given back each time, an
// outage would use up its attempts.
func (c *Consumer) patient(ctx context.Context, d *Delivery) error {
	began := time.Now()
	for try := 0; ; try++ {
		d.held = time.Since(began) < c.c.Patience
		err := c.guarded(ctx, d)
		var drop *dropped
		var bury *buried
		var later *delayed
		if errs.KindOf(err) != errs.Unavailable || errors.As(err, &drop) || errors.As(err, &bury) || errors.As(err, &later) ||
			ctx.Err() != nil || !d.held {
			return err
		}
		c.b.log.WarnContext(ctx, "bus.waiting", "consumer", c.c.Durable, "seq", d.Sequence, "for", time.Since(began).Round(time.Millisecond), "err", err)
		pause := time.NewTimer(c.c.Backoff[min(try, len(c.c.Backoff)-1)])
		select {
		case <-pause.C:
		case <-c.stopping:
			pause.Stop()
			return errGiveBack
		case <-ctx.Done():
			pause.Stop()
			return err
		}
		d.attrs, d.outcome, d.after = nil, "", nil
	}
}

// errGiveBack ends a wait because the part stops: another replica goes on.
var errGiveBack = errors.New("given back while it waited")

// guarded turns a panic of the handler into a failure of this message.
func (c *Consumer) guarded(ctx context.Context, d *Delivery) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	return c.handle(ctx, d)
}

func panicked(r any) error {
	return errs.Wrap(errs.Internal, fmt.Errorf("panic: %v\n%s", r, debug.Stack()), "internal error")
}

// keepAlive tells the stream, while the handler runs, that it does. The
// returned function ends that.
func (c *Consumer) keepAlive(m jetstream.Msg) (stop func()) {
	if c.ackWait <= 0 {
		return func() {}
	}
	every := c.ackWait / 3
	var mu sync.Mutex
	var t *time.Timer
	over := false
	mu.Lock()
	defer mu.Unlock()
	t = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if err := m.InProgress(); err != nil {
			c.b.log.Warn("bus.in_progress", "consumer", c.c.Durable, "err", err)
		}
		t.Reset(every)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		t.Stop()
	}
}

// settle acknowledges, delays, terminates or buries, and names the outcome.
func (c *Consumer) settle(ctx context.Context, m jetstream.Msg, d *Delivery, err error) string {
	var drop *dropped
	var bury *buried
	var later *delayed
	report := func(step string, err error) {
		if err != nil { // the message comes again
			c.b.log.WarnContext(ctx, "bus."+step, "consumer", c.c.Durable, "seq", d.Sequence, "err", err)
		}
	}
	switch {
	case err == nil:
		report("ack", m.Ack())
		if d.outcome != "" {
			return d.outcome
		}
		return "ok"
	case errors.As(err, &drop):
		report("term", m.TermWithReason(reason(err)))
		return "dropped"
	case errors.Is(err, errGiveBack), context.Cause(ctx) == errStopped: //nolint:errorlint // the very value that Stop gives
		report("nak", m.Nak())
		return "stopped"
	case errors.As(err, &bury), d.Attempt >= c.c.Attempts:
		if derr := c.b.bury(ctx, c.c, d, err); derr != nil {
			report("bury", derr)
			report("nak", m.NakWithDelay(5*time.Second))
			return "retry"
		}
		report("term", m.TermWithReason(reason(err)))
		return "dead"
	}
	wait := c.c.Backoff[min(d.Attempt, len(c.c.Backoff))-1]
	if errors.As(err, &later) {
		wait = later.d
	}
	report("nak", m.NakWithDelay(wait))
	return "retry"
}

// reason is an error's text as the stream's advisories carry it.
func reason(err error) string {
	s := err.Error()
	if len(s) > 256 {
		s = s[:256]
	}
	return s
}
