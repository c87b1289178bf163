package inbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// catalog takes heartbeats in.
type catalog interface {
	Hear(ctx context.Context, hb instance.Heartbeat) error
}

// Presence decides about heartbeats as they come.
type Presence struct {
	Config
	heard *prometheus.CounterVec
	took  prometheus.Histogram
}

// Config is what a [Presence] needs.
type Config struct {
	Catalog    catalog
	Collision  *instance.Collision   // told of others with our slug
	Registerer prometheus.Registerer // may be nil
	Log        *slog.Logger
	Now        func() time.Time
}

// NewPresence returns the handler.
func NewPresence(c Config) (*Presence, error) {
	p := &Presence{Config: c, heard: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "federation_heartbeats_total",
		Help: "Heartbeats that came in, by what became of them.",
	}, []string{"outcome"}), took: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "federation_heartbeat_processing_seconds",
		Help: "Time to decide about a heartbeat that came in.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
	})}
	if c.Registerer == nil {
		return p, nil
	}
	return p, errors.Join(c.Registerer.Register(p.heard), c.Registerer.Register(p.took))
}

// Subscriptions are all that the service hears: heartbeats, from the stream of
// our own hub and on the servers of neighbours. What neighbours' servers carry
// is decided upon as if it had come over ours; their clients are returned once
// more, to be announced to.
func (p *Presence) Subscriptions(hub *bus.Hub, others []bus.NeighbourConfig) ([]app.Part, []*bus.Neighbour, error) {
	parts := []app.Part{hub.Presences(p.Hear)}
	var neighbours []*bus.Neighbour
	for _, c := range others {
		c.Heard = p.Hear
		n, err := bus.NewNeighbour(c)
		if err != nil {
			return nil, nil, err
		}
		parts, neighbours = append(parts, n), append(neighbours, n)
	}
	return parts, neighbours, nil
}
