package inbox

import (
	"context"
	"errors"

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
	hb, err := instance.Decode(m.Slug, m.Data, heard)
	if err == nil {
		err = p.Catalog.Hear(ctx, hb)
	}
	outcome := outcomeOf(err)
	p.heard.WithLabelValues(outcome).Inc()
	switch {
	case err == nil, errors.Is(err, instance.ErrOwn):
		return nil
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
	switch {
	case err == nil:
		return "heard"
	case errors.Is(err, instance.ErrOwn):
		return "own"
	case errors.Is(err, instance.ErrCollision):
		return "collision"
	case errors.Is(err, instance.ErrReserved):
		return "reserved"
	case errors.Is(err, instance.ErrForeign):
		return "foreign"
	case errors.Is(err, instance.ErrClock):
		return "clock"
	case errors.Is(err, instance.ErrUnreadable):
		return "unreadable"
	case errors.Is(err, instance.ErrFull):
		return "full"
	}
	return fault
}
