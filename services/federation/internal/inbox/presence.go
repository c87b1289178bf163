package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// catalog takes heartbeats in.
type catalog interface {
	Hear(ctx context.Context, hb instance.Heartbeat) error
}

// Presence decides about heartbeats as they come.
type Presence struct {
	catalog catalog
	now     func() time.Time
	heard   *prometheus.CounterVec
}

// NewPresence returns the handler; reg may be nil.
func NewPresence(c catalog, reg prometheus.Registerer, now func() time.Time) (*Presence, error) {
	p := &Presence{catalog: c, now: now, heard: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "federation_heartbeats_total",
		Help: "Heartbeats that came in, by what became of them.",
	}, []string{"outcome"})}
	if reg == nil {
		return p, nil
	}
	return p, reg.Register(p.heard)
}

// Hear takes one in. What cannot be a heartbeat is counted and never seen
// again; a fault of ours brings it back.
func (p *Presence) Hear(ctx context.Context, m bus.Presence) error {
	hb, err := instance.Decode(m.Slug, m.Data, p.now())
	if err == nil {
		err = p.catalog.Hear(ctx, hb)
	}
	outcome := outcomeOf(err)
	p.heard.WithLabelValues(outcome).Inc()
	if err != nil && outcome != fault {
		return bus.Drop(err)
	}
	return err
}

const fault = "fault"

// outcomeOf is a label of few values: slugs are chosen by others and would be
// without bound.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "heard"
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
