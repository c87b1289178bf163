package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Hear takes one in. What cannot be a heartbeat of another instance is counted
// and never seen again; a fault of ours brings it back.
func (p *Presence) Hear(ctx context.Context, m bus.Presence) error {
	heard := m.Time // it may have waited in the stream
	if now := p.Now(); heard.IsZero() || heard.After(now) {
		heard = now
	}
	began := time.Now()
	hb, err := instance.Decode(m.Slug, m.Data, heard)
	if err == nil {
		err = hb.Verify(Check)
	}
	if err == nil {
		err = p.Catalog.Hear(ctx, hb)
	}
	outcome := outcomeOf(err)
	p.heard.WithLabelValues(outcome).Inc()
	p.took.Observe(time.Since(began).Seconds())
	switch {
	case err == nil, errors.Is(err, instance.ErrOwn), errors.Is(err, instance.ErrAgain), errors.Is(err, instance.ErrReplay):
		return nil // two ways lead here, and what waited comes late
	case errors.Is(err, instance.ErrCollision):
		if p.Collision.Note(heard) { // it comes every 30 s from now on
			p.Log.WarnContext(ctx, "federation.collision", "slug", hb.Slug, "other_id", hb.ID, "other_url", hb.HubURL, "other_version", hb.Version)
		}
		return nil
	case outcome == fault:
		return err
	}
	return bus.Drop(err)
}

const fault = "fault"

// outcomeOf is a label of few values: slugs are chosen by others and would be
// without bound.
func outcomeOf(err error) string {
	if err == nil {
		return "heard"
	}
	for reason, label := range outcomes {
		if errors.Is(err, reason) {
			return label
		}
	}
	return fault
}

var outcomes = map[error]string{
	instance.ErrOwn: "own", instance.ErrCollision: "collision", instance.ErrReserved: "reserved", instance.ErrForeign: "foreign",
	instance.ErrClock: "clock", instance.ErrUnreadable: "unreadable", instance.ErrFull: "full", instance.ErrUnknown: "unknown",
	instance.ErrSignature: "signature", instance.ErrUnsigned: "unsigned", instance.ErrKey: "key", instance.ErrReplay: "replay",
	instance.ErrAgain: "again",
}
