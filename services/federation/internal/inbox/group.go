package inbox

import (
	"context"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// group takes heartbeats in together: those that come within a moment share a
// transaction, which is most of what one costs.
type group struct {
	all    func(ctx context.Context, beats []instance.Heartbeat) []error
	moment time.Duration
	most   int // so many do not wait for more

	mu   sync.Mutex
	open *round // that others may still join
}

type round struct {
	beats []instance.Heartbeat
	full  chan struct{}
	done  chan struct{}
	errs  []error
}

// groupWithin bounds the transaction of a round.
const groupWithin = 20 * time.Second

// Hear joins the open round, or opens one and ends it for all of them.
func (g *group) Hear(ctx context.Context, hb instance.Heartbeat) error {
	g.mu.Lock()
	r, leads := g.open, false
	if r == nil {
		r, leads = &round{full: make(chan struct{}), done: make(chan struct{})}, true
		g.open = r
	}
	n := len(r.beats)
	r.beats = append(r.beats, hb)
	if len(r.beats) >= g.most {
		g.open = nil
		close(r.full)
	}
	g.mu.Unlock()
	if leads {
		g.lead(ctx, r)
	}
	select {
	case <-r.done:
		return r.errs[n]
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *group) lead(ctx context.Context, r *round) {
	wait := time.NewTimer(g.moment)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-r.full:
	case <-ctx.Done():
	}
	g.mu.Lock()
	if g.open == r {
		g.open = nil
	}
	g.mu.Unlock()
	// The others of the round have contexts of their own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), groupWithin)
	defer cancel()
	r.errs = g.all(ctx, r.beats)
	close(r.done)
}
