package instance

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Beat publishes this instance's heartbeat at once and then every interval, and
// again within the interval until it is acknowledged. It is a part of an
// application.
type Beat struct {
	// Always is what is the same in all of them: who we are and what we can do.
	Always   Heartbeat
	Key      Signer // nil signs nothing
	Interval time.Duration
	// Announce puts a heartbeat on hub.presence.<slug>; nil says that a stream
	// has it.
	Announce func(ctx context.Context, slug string, data []byte) error
	// Next is the sequence of the next one, Sent takes down one that a stream has.
	Next func(ctx context.Context) (int64, error)
	Sent func(ctx context.Context, hb Heartbeat) error
	// Degraded reports whether this instance works with less than usual.
	Degraded func(ctx context.Context) bool
	// Load is the share of its processors that is in use; nil says nothing.
	Load func() *float64
	// Told is given what became of each announcement; may be nil.
	Told func(outcome string)
	Now  func() time.Time
	Log  *slog.Logger

	last int64 // sequence
	stop context.CancelFunc
	done sync.WaitGroup
}

// What became of an announcement.
const (
	Acknowledged = "acknowledged"
	Repeated     = "repeated" // not acknowledged, and said again
	Lost         = "lost"     // not acknowledged within the interval
)

// Repeats are so many in an interval, at most.
const repeats = 10

// Name is "heartbeat".
func (b *Beat) Name() string { return "heartbeat" }

// Start sends the first heartbeat. One that cannot be sent is no reason not to
// start: it is sent again.
func (b *Beat) Start(ctx context.Context) error {
	ctx, b.stop = context.WithCancel(ctx)
	hb, data := b.next(ctx)
	ok := b.say(ctx, hb, data)
	b.done.Go(func() {
		tick := time.NewTicker(b.Interval)
		defer tick.Stop()
		for {
			if ok = ok || b.insist(ctx, hb, data, tick.C); !ok && ctx.Err() == nil {
				hb, data = b.next(ctx) // the next one is due
				ok = b.say(ctx, hb, data)
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				hb, data = b.next(ctx)
				ok = b.say(ctx, hb, data)
			}
		}
	})
	return nil
}

// next makes a heartbeat as of now.
func (b *Beat) next(ctx context.Context) (Heartbeat, []byte) {
	hb := b.Always
	hb.Sent, hb.Degraded, hb.Interval = b.Now(), b.Degraded(ctx), b.Interval
	if b.Load != nil {
		hb.Load = b.Load()
	}
	n, err := b.Next(ctx)
	if err != nil { // others know us by the last one, which we know too
		b.Log.WarnContext(ctx, "federation.heartbeat", "err", err)
	}
	b.last = max(b.last+1, n, hb.Sent.UnixMilli())
	hb.Sequence = b.last
	data, err := hb.Encode(b.Key)
	if err != nil {
		b.Log.ErrorContext(ctx, "federation.heartbeat", "err", err)
	}
	return hb, data
}

// say announces it once.
func (b *Beat) say(ctx context.Context, hb Heartbeat, data []byte) bool {
	if data == nil {
		return true
	}
	within, cancel := context.WithTimeout(ctx, b.Interval/repeats)
	defer cancel()
	err := b.Announce(within, hb.Slug, data)
	if err == nil {
		b.told(Acknowledged)
		if err = b.Sent(ctx, hb); err == nil {
			return true
		}
	}
	if ctx.Err() == nil {
		b.Log.WarnContext(ctx, "federation.heartbeat", "err", err)
	}
	return false
}

// insist says it again, the same one, until it is acknowledged or the next is
// due.
func (b *Beat) insist(ctx context.Context, hb Heartbeat, data []byte, due <-chan time.Time) bool {
	pause := time.NewTicker(b.Interval / repeats)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due:
			b.told(Lost)
			return false
		case <-pause.C:
			b.told(Repeated)
			if b.say(ctx, hb, data) {
				return true
			}
		}
	}
}

func (b *Beat) told(outcome string) {
	if b.Told != nil {
		b.Told(outcome)
	}
}

// Stop ends it.
func (b *Beat) Stop(context.Context) error {
	b.stop()
	b.done.Wait()
	return nil
}
