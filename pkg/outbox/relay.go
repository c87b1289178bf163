package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// Publisher puts one message on its stream and returns after the stream's ack:
// the stream's epoch, which changes when the stream is made anew, and the
// message's sequence in it. A refusal ([errs.Kind.Refusal]) says that the
// stream will never take the message; any other error, that it may later. One
// that has more to offer, see [Pipeline] and [StreamState], is used for it.
type Publisher interface {
	Publish(ctx context.Context, subject, msgID string, header nats.Header, data []byte) (epoch string, seq uint64, err error)
}

// StreamState is a [Publisher] that knows how far a stream has got. The relay
// compares it with its marks and publishes again what the stream has lost.
type StreamState interface {
	StreamState(ctx context.Context, stream string) (epoch string, lastSeq uint64, err error)
}

// Relay publishes the outbox of one schema. It is a part of an application: it
// works from Start to Stop, in one process of the cluster at a time. An event
// that the stream will never take it parks, and tries again when it takes the
// lead: restart the service after mending what refused it.
type Relay struct {
	db   *pg.DB
	pub  Publisher
	log  *slog.Logger
	conf relayConfig

	metrics *metrics
	stop    context.CancelFunc // no further fetches
	kill    context.CancelFunc // nor anything else
	done    chan struct{}
}

type relayConfig struct {
	stream     string
	poll       time.Duration
	batch      int
	ackWithin  time.Duration
	silence    time.Duration // on a cluster: without an ack, before it is asked again
	sweepEvery time.Duration
	keep       time.Duration
	keepHeard  time.Duration
	keepAnswer time.Duration
	keepOpen   time.Duration // answers that never became final
	registerer prometheus.Registerer
}

// RelayOption changes a relay.
type RelayOption func(*relayConfig)

// Poll sets how often the relay looks for rows that other processes have
// written; those of its own process it hears of. By default 250 ms.
func Poll(d time.Duration) RelayOption { return func(c *relayConfig) { c.poll = d } }

// Batch sets how many messages are under way at once. By default 256.
func Batch(n int) RelayOption { return func(c *relayConfig) { c.batch = n } }

// Stream names the stream that the events go to, for a publisher that is a
// [StreamState]. By default EVENTS.
func Stream(name string) RelayOption { return func(c *relayConfig) { c.stream = name } }

// Keep sets how long published rows are kept, to be published again when a
// stream is lost. By default seven days.
func Keep(d time.Duration) RelayOption { return func(c *relayConfig) { c.keep = d } }

// SweepEvery sets how often old rows are deleted. By default every ten
// minutes.
func SweepEvery(d time.Duration) RelayOption { return func(c *relayConfig) { c.sweepEvery = d } }

// Metrics registers the relay's figures: waiting and parked messages, age of
// the oldest, published in total.
func Metrics(r prometheus.Registerer) RelayOption {
	return func(c *relayConfig) { c.registerer = r }
}

// NewRelay returns the relay of db's schema.
func NewRelay(db *pg.DB, pub Publisher, log *slog.Logger, opts ...RelayOption) *Relay {
	c := relayConfig{
		stream: "EVENTS", poll: 250 * time.Millisecond, batch: 256, ackWithin: 10 * time.Second, silence: 2 * time.Second,
		sweepEvery: 10 * time.Minute, keep: 7 * 24 * time.Hour, keepHeard: 30 * 24 * time.Hour, keepAnswer: 24 * time.Hour,
		keepOpen: 7 * 24 * time.Hour,
	}
	for _, o := range opts {
		o(&c)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Relay{db: db, pub: pub, log: log.With("service", db.Service()), conf: c, done: make(chan struct{})}
}

// Name is "outbox/<service>".
func (r *Relay) Name() string { return "outbox/" + r.db.Service() }

// Start begins to publish. It does not wait for the bus: rows wait until it is
// there.
func (r *Relay) Start(ctx context.Context) error {
	m, err := newMetrics(r.db.Service(), r.conf.registerer)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	r.metrics = m
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	fetch, stop := context.WithCancel(life)
	r.stop, r.kill = stop, kill
	go func() {
		defer close(r.done)
		r.db.Lead(fetch, topic, r.lost, func(ctx context.Context, s *pg.Session) error {
			return r.lead(life, ctx, s)
		})
	}()
	return nil
}

// Stop publishes what waits as long as the bus takes it and ctx allows, and
// returns when nothing of the relay runs any more. What is left waits for the
// next relay.
func (r *Relay) Stop(ctx context.Context) error {
	defer r.metrics.close()
	r.stop()
	var err error
	select {
	case <-r.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
		r.kill()
		<-r.done
	}
	r.kill()
	return err
}

func (r *Relay) lost(err error) {
	r.metrics.leading.Set(0)
	r.log.Warn("outbox.relay", "outcome", "lost the lead", "err", err)
}

// lead works while this process has the lock. fetch ends when the relay is
// asked to stop, life when it must.
func (r *Relay) lead(life, fetch context.Context, s *pg.Session) error {
	r.metrics.leading.Set(1)
	defer r.metrics.leading.Set(0)
	rung, deaf := r.db.Listen(topic)
	defer deaf()
	w := &work{Relay: r, s: s, unsure: true, doubted: map[int64]place{}}
	if err := w.unpark(life); err != nil {
		return err
	}
	var wait wait
	for {
		stopping := fetch.Err() != nil // asked before the round: what is committed by now, it sees
		n, err := w.round(life)
		if errors.Is(err, errSession) {
			return err // and with it the lock: somebody else may be publishing
		}
		if stopping && (err != nil || n == 0) {
			return nil
		}
		if err != nil {
			w.unsure = true
			d := wait.next()
			r.log.Warn("outbox.relay", "outcome", "waiting for the bus", "retry_in", d, "err", err)
			if !sleep(fetch, d, nil) {
				return nil
			}
			continue
		}
		wait.reset()
		if err := w.promises(life); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if err := w.tidy(life); err != nil {
			return err
		}
		if !sleep(fetch, r.conf.poll, rung) {
			continue // asked to stop: one more round, for what came meanwhile
		}
	}
}

// sleep waits for d, a ring, or the end of ctx, which it reports as false.
func sleep(ctx context.Context, d time.Duration, rung <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-rung:
	}
	return true
}

// wait grows from 100 ms to 10 s, each time by chance between half and all.
type wait struct{ d time.Duration }

func (w *wait) next() time.Duration {
	w.d = min(max(2*w.d, 100*time.Millisecond), 10*time.Second)
	return w.d/2 + rand.N(w.d/2) //nolint:gosec // G404: chance against herds, not secrecy
}

func (w *wait) reset() { w.d = 0 }
