package inbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/services/federation/internal/inbox"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

type heard []instance.Heartbeat

func (h *heard) Hear(_ context.Context, hb instance.Heartbeat) error {
	*h = append(*h, hb)
	if hb.Slug == "us" {
		return instance.ErrCollision
	}
	return nil
}

func (h *heard) HearAll(ctx context.Context, beats []instance.Heartbeat) (out []error) {
	for _, hb := range beats {
		out = append(out, h.Hear(ctx, hb))
	}
	return out
}

func TestAHeartbeatThatWaitedWasHeardWhenItCameIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ stored, want time.Time }{
		"an hour ago":           {now.Add(-time.Hour), now.Add(-time.Hour)},
		"by a clock before us":  {now.Add(time.Minute), now},
		"nobody says when":      {time.Time{}, now},
		"that very instant now": {now, now},
	} {
		var h heard
		p, err := inbox.NewPresence(inbox.Config{Catalog: &h, Collision: &instance.Collision{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		data := fmt.Appendf(nil, `{"project_slug":"apollo","timestamp":%q}`, c.want.Add(-time.Second).Format(time.RFC3339))
		if err := p.Hear(t.Context(), bus.Presence{Slug: "apollo", Data: data, Time: c.stored}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(h) != 1 || !h[0].Heard.Equal(c.want) {
			t.Errorf("%s: %+v, want %s", name, h, c.want)
		}
	}
}

func TestACollisionThatWaitedIsOver(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for ago, lasts := range map[time.Duration]bool{time.Hour: false, time.Minute: true} {
		collision := &instance.Collision{}
		p, err := inbox.NewPresence(inbox.Config{Catalog: &heard{}, Collision: collision, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Hear(t.Context(), bus.Presence{Slug: "us", Data: []byte(`{"project_slug":"us"}`), Time: now.Add(-ago)}); err != nil {
			t.Fatal(err)
		}
		if collision.Lasts(now) != lasts {
			t.Errorf("%s ago: lasts %v", ago, !lasts)
		}
	}
}
