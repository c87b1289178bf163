package instance

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Beat publishes this instance's heartbeat at once and then every interval. It
// is a part of an application.
type Beat struct {
	Self            Self
	HubURL, Version string
	Interval        time.Duration
	// Announce puts a heartbeat on hub.presence.<slug>.
	Announce func(ctx context.Context, slug string, data []byte) error
	// Sent takes down one that was announced.
	Sent func(ctx context.Context, hb Heartbeat) error
	// Degraded reports whether this instance works with less than usual.
	Degraded func(ctx context.Context) bool
	Now      func() time.Time
	Log      *slog.Logger

	stop context.CancelFunc
	done sync.WaitGroup
}

// Name is "heartbeat".
func (b *Beat) Name() string { return "heartbeat" }

// Start sends the first heartbeat. One that cannot be sent is no reason not to
// start: the next one comes.
func (b *Beat) Start(ctx context.Context) error {
	ctx, b.stop = context.WithCancel(ctx)
	b.beat(ctx)
	b.done.Go(func() {
		t := time.NewTicker(b.Interval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				b.beat(ctx)
			}
		}
	})
	return nil
}

func (b *Beat) beat(ctx context.Context) {
	hb := Heartbeat{
		Slug: b.Self.Slug, ID: b.Self.ID, HubURL: b.HubURL, Namespace: "hub." + b.Self.Slug, Version: b.Version,
		Sent: b.Now(), Degraded: b.Degraded(ctx),
	}
	data, err := hb.Encode()
	if err == nil {
		err = b.Announce(ctx, b.Self.Slug, data)
	}
	if err == nil {
		err = b.Sent(ctx, hb)
	}
	if err != nil {
		b.Log.WarnContext(ctx, "federation.heartbeat", "err", err)
	}
}

// Stop ends it.
func (b *Beat) Stop(context.Context) error {
	b.stop()
	b.done.Wait()
	return nil
}
