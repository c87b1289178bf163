package embed

import (
	"context"
	"slices"
	"sync"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// patience is how many queries may go before a batch that waits. Without it a
// stream of queries would stop every batch for good.
const patience = 8

// gate admits forward passes: a bounded number at a time, queries first, and
// batches in a part of the places only, so that a query mostly finds one free.
type gate struct {
	mu         sync.Mutex
	free       int // places that nobody holds
	batchRoom  int // batches that may still come in
	maxQueries int // that may wait
	queries    line
	batches    line
	passed     int // queries let in since a batch has been waiting
}

// line is who waits, the next one first: a turn comes when its channel closes.
type line []chan struct{}

// next calls the first one in.
func (l *line) next() {
	close((*l)[0])
	*l = (*l)[1:]
}

func newGate(places, batches, maxQueries int) *gate {
	return &gate{free: places, batchRoom: batches, maxQueries: maxQueries}
}

// enterQuery waits for a place for a query. When too many wait it refuses.
func (g *gate) enterQuery(ctx context.Context) error {
	g.mu.Lock()
	if len(g.queries) >= g.maxQueries {
		g.mu.Unlock()
		return errBusy
	}
	turn := make(chan struct{})
	g.queries = append(g.queries, turn)
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, &g.queries, turn)
}

// enterBatch waits for a place for a part of a batch.
func (g *gate) enterBatch(ctx context.Context) error {
	g.mu.Lock()
	turn := make(chan struct{})
	g.batches = append(g.batches, turn)
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, &g.batches, turn)
}

// yield gives a batch's place up if a query waits for one, and gets it back.
// After an error the place is lost.
func (g *gate) yield(ctx context.Context) error {
	g.mu.Lock()
	if len(g.queries) == 0 {
		g.mu.Unlock()
		if err := ctx.Err(); err != nil {
			g.leaveBatch()
			return err
		}
		return nil
	}
	g.free++
	g.batchRoom++
	turn := make(chan struct{})
	g.batches = slices.Insert(g.batches, 0, turn)
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, &g.batches, turn)
}

func (g *gate) leaveQuery() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free++
	g.admit()
}

func (g *gate) leaveBatch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free++
	g.batchRoom++
	g.admit()
}

// admit lets in whoever is next, as long as there are places.
func (g *gate) admit() {
	for g.free > 0 {
		query, batch := len(g.queries) > 0, len(g.batches) > 0 && g.batchRoom > 0
		switch {
		case query && (!batch || g.passed < patience):
			if batch {
				g.passed++
			}
			g.queries.next()
		case batch:
			g.passed = 0
			g.batchRoom--
			g.batches.next()
		default:
			return
		}
		g.free--
	}
}

// wait returns when it is the caller's turn, or with the context's error.
func (g *gate) wait(ctx context.Context, in *line, turn chan struct{}) error {
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	select {
	case <-turn: // both at once: the place is ours, and goes back
		g.mu.Unlock()
		if in == &g.queries {
			g.leaveQuery()
		} else {
			g.leaveBatch()
		}
	default:
		at := slices.Index(*in, turn)
		*in = slices.Delete(*in, at, at+1)
		g.mu.Unlock()
	}
	return ctx.Err()
}

var errBusy = errs.New(errs.Unavailable, "too many queries are waiting to be embedded")
