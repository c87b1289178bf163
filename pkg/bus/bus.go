package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Config says where the bus is and who is connecting.
type Config struct {
	URL       string                     // of a server in another process
	InProcess nats.InProcessConnProvider // a server in this process; wins over URL
	CredsFile string                     // the service's credentials
	Service   string                     // who is connecting: "knowledge"
	Log       *slog.Logger               // slog.Default() when nil
	// Registerer takes the bus's metrics; nil keeps none. Several buses of one
	// process may share one.
	Registerer prometheus.Registerer
	// Issuers maps a service to the public key that it signs identities with.
	// A token of anybody else is refused.
	Issuers map[string]string
	// Edges are the services whose tokens may name a person; {"gateway"} when
	// empty. Any other service speaks for itself, or passes on what an edge
	// signed.
	Edges []string
	// SigningSeed signs this service's tokens. Without it nothing can be
	// asked.
	SigningSeed []byte
	// Announcing is for [ConnectHub].
	Announcing Announcing
	// MaxBacklog is how many commands may wait for a service before more of them
	// are refused; see [Bus.Backlog]. No bound but the stream's when 0.
	MaxBacklog int
	// Recheck is that of every server on this bus that has none of its own, see
	// [ServerConfig]. It is given the bus, to ask who knows.
	Recheck func(ctx context.Context, b *Bus, id tenant.Identity, operation string) (tenant.Identity, error)
	// Timeout is how long a request waits when its context has no deadline;
	// 10 s when 0.
	Timeout time.Duration
}

// Bus is one service's connection. Close it after every part that uses it has
// stopped.
type Bus struct {
	service string
	nc      *nats.Conn
	js      jetstream.JetStream
	log     *slog.Logger
	timeout time.Duration
	tracer  trace.Tracer
	prop    propagation.TextMapPropagator
	signer  *signer
	checker *verifier
	m       *metrics
	mux     mux
	routes  sync.Map // Target without project -> *route
	objects lazy[jetstream.ObjectStore]
	blobs   lazy[jetstream.Stream] // behind objects
	ops     lazy[jetstream.KeyValue]
	epochs  sync.Map // stream name -> string
	hooks   sync.Map // of reconnections: *func() -> nothing
	takers  sync.Map // durable -> how a fact that it gave up is taken again
	closed  atomic.Bool

	turns      turns // of projects that give commands
	maxBacklog int
	recheck    func(ctx context.Context, b *Bus, id tenant.Identity, operation string) (tenant.Identity, error)
	depths     sync.Map // service -> *depth
	asking     sync.WaitGroup
}

// Connect returns when the server has accepted the credentials. Later losses
// of the connection are repaired without end; meanwhile requests fail and
// streams wait.
func Connect(ctx context.Context, c Config) (*Bus, error) {
	if !validToken(c.Service) {
		return nil, fmt.Errorf("connect to the bus: service %q is not a name", c.Service)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if len(c.Edges) == 0 {
		c.Edges = []string{"gateway"}
	}
	b := &Bus{service: c.Service, log: c.Log.With("service", c.Service), timeout: c.Timeout, maxBacklog: c.MaxBacklog, recheck: c.Recheck,
		tracer: otel.GetTracerProvider().Tracer("github.com/commandcenter/commandcenter/pkg/bus"), prop: propagation.TraceContext{}}
	var err error
	if b.m, err = newMetrics(c.Registerer); err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	if b.signer, err = newSigner(c.Service, c.SigningSeed); err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	if b.checker, err = newVerifier(c.Issuers, c.Edges); err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	// A server that comes back may have other streams.
	if b.nc, err = dial(ctx, c, b.log, b.reconnected); err != nil {
		return nil, err
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(c.Timeout)); err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	if err := b.mux.start(b.nc, "rsp."+c.Service+"."+nuid.Next()+"."); err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	b.objects.open = func(ctx context.Context) (jetstream.ObjectStore, error) { return b.js.ObjectStore(ctx, BucketBlobs) }
	b.blobs.open = func(ctx context.Context) (jetstream.Stream, error) { return b.js.Stream(ctx, "OBJ_"+BucketBlobs) }
	b.ops.open = func(ctx context.Context) (jetstream.KeyValue, error) { return b.js.KeyValue(ctx, BucketOperations) }
	return b, nil
}

// reconnected runs when the connection is back.
func (b *Bus) reconnected() {
	b.epochs.Clear()
	b.hooks.Range(func(hook, _ any) bool {
		(*hook.(*func()))()
		return true
	})
}

// onReconnect runs fn, which must not block, whenever the connection is back,
// until forget is called.
func (b *Bus) onReconnect(fn func()) (forget func()) {
	b.hooks.Store(&fn, nil)
	return func() { b.hooks.Delete(&fn) }
}

// dialWithin is how long a server may take to let us in before the next one is
// tried.
const dialWithin = 5 * time.Second

// dial connects under the service's name and with its own inbox, so that
// nobody else can listen to what it is answered.
func dial(ctx context.Context, c Config, log *slog.Logger, reconnected func()) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(c.Service), nats.CustomInboxPrefix("_INBOX_" + c.Service),
		nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // what cannot be sent fails; nothing is sent late
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("bus.disconnected", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			log.Info("bus.reconnected")
			if reconnected != nil {
				reconnected()
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("bus.error", "subject", subject, "err", err)
		}),
	}
	if c.CredsFile != "" {
		if _, err := os.Stat(c.CredsFile); err != nil {
			return nil, fmt.Errorf("connect to the bus as %s: credentials: %w (they are written when the instance is provisioned)", c.Service, err)
		}
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	url := c.URL
	if c.InProcess != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(c.InProcess))
	} else {
		// A connection that is cut says nothing: whoever asks every second finds
		// out in three, and goes to another server.
		opts = append(opts, nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2))
	}
	// It holds for each server that is tried, now and later.
	within := dialWithin
	if d, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(d))
	}
	opts = append(opts, nats.Timeout(within))
	type result struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := nats.Connect(url, opts...)
		done <- result{nc, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			where := url
			if where == "" {
				where = "the server of this process"
			}
			return nil, fmt.Errorf("connect to the bus as %s at %s: %w", c.Service, where, r.err)
		}
		return r.nc, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, fmt.Errorf("connect to the bus as %s: %w", c.Service, context.Cause(ctx))
	}
}

// Service is the name that the bus was connected under.
func (b *Bus) Service() string { return b.service }

// Conn is the connection itself, for the sibling packages that this package
// does not cover. Its subjects are bound by the service's permissions.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream is the streams' interface over [Bus.Conn].
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Ready asks the server for one round trip: a health check.
func (b *Bus) Ready(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return errs.New(errs.Unavailable, "the bus is not connected")
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}

// Close sends what is buffered and disconnects. Waiting requests fail.
func (b *Bus) Close() {
	if b.closed.CompareAndSwap(false, true) {
		// A flush that fails has nobody left to tell.
		_ = b.nc.FlushTimeout(time.Second)
		b.m.queues.forget(b)
		b.nc.Close()
		b.mux.stop()
		b.asking.Wait()
	}
}

// Publish puts data on a stream and returns when the stream has stored it:
// with the stream's creation time as its epoch, and the sequence in it. A
// message whose msgID the stream has seen lately is not stored again. It is
// for the relay of the outbox, which has it all from rows; services use
// outbox.Add.
func (b *Bus) Publish(ctx context.Context, subject, msgID string, header nats.Header, data []byte) (epoch string, seq uint64, err error) {
	m := &nats.Msg{Subject: subject, Header: header, Data: data}
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	if msgID != "" {
		m.Header[jetstream.MsgIDHeader] = []string{msgID}
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, m)
	if err != nil {
		return "", 0, publishError(err, subject)
	}
	epoch, err = b.epoch(ctx, ack.Stream)
	return epoch, ack.Sequence, err
}

// epoch is the creation time of a stream: a sequence means something only
// together with it.
func (b *Bus) epoch(ctx context.Context, stream string) (string, error) {
	if e, ok := b.epochs.Load(stream); ok {
		return e.(string), nil
	}
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return "", fmt.Errorf("stream %s: %w", stream, err)
	}
	e := s.CachedInfo().Created.UTC().Format(time.RFC3339Nano)
	b.epochs.Store(stream, e)
	return e, nil
}

// StreamState returns a stream's epoch and last sequence as they are now. A
// relay whose last mark lies beyond it must publish again from there.
func (b *Bus) StreamState(ctx context.Context, stream string) (epoch string, lastSeq uint64, err error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return "", 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	epoch = info.Created.UTC().Format(time.RFC3339Nano)
	b.epochs.Store(stream, epoch)
	return epoch, info.State.LastSeq, nil
}

// publishError gives a failed publish the kind that the caller can act on.
func publishError(err error, subject string) error {
	switch {
	case crowded(err):
		return errs.Newf(errs.RateLimited, "too many commands of the project wait: %w", err).After(5 * time.Second)
	case full(err):
		return errs.Newf(errs.Unavailable, "the stream is full: %w", err).After(5 * time.Second)
	case errors.Is(err, nats.ErrMaxPayload):
		return errs.Wrap(errs.TooLarge, err, "the message is too large")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return errs.Newf(errs.Unavailable, "the stream does not answer: %w", err).After(time.Second)
}

// crowded reports whether a stream has as many messages of one subject as it
// may.
func crowded(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10077 && strings.Contains(api.Description, "per subject")
}

// full reports whether a stream or the account is at its limit.
func full(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10077 || api.ErrorCode == 10122 || api.ErrorCode == 10047 || api.ErrorCode == 10028)
}

// bounded gives ctx the default timeout when it has no deadline.
func (b *Bus) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, b.timeout)
}

// lazy opens a handle on first use and keeps it. A failure is not kept.
type lazy[T any] struct {
	open func(context.Context) (T, error)
	mu   sync.Mutex
	ok   bool
	v    T
}

func (l *lazy[T]) get(ctx context.Context) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ok {
		return l.v, nil
	}
	v, err := l.open(ctx)
	if err != nil {
		return v, err
	}
	l.v, l.ok = v, true
	return v, nil
}
