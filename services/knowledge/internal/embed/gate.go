package embed

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// patience is how many queries and rankings may go before a batch that waits.
// Without it a stream of them would stop every batch for good.
const patience = 8

// Gate admits forward passes: a bounded number at a time, queries first, then
// what ranks passages for somebody who waits, and batches in a part of the places
// only, so that a query mostly finds one free. Models that share a gate share the
// places.
type Gate struct {
	mu         sync.Mutex
	places     int // in all
	most       int // of them for batches
	free       int // places that nobody holds
	batchRoom  int // batches that may still come in
	maxQueries int // that may wait
	queries    line
	rankings   line
	batches    line
	passed     int // of others let in since a batch has been waiting
}

// line is who waits, the next one first: a turn comes when its channel closes.
type line []chan struct{}

// next calls the first one in.
func (l *line) next() {
	close((*l)[0])
	*l = (*l)[1:]
}

// NewGate returns a gate with as many places as workers, 0 being one per
// processor; batches leave one of them free where there are two.
func NewGate(workers int) *Gate {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	return newGate(workers, max(workers-1, 1), 0)
}

// newGate is NewGate with what batches may have and how many queries may wait,
// 0 being 256.
func newGate(places, batches, maxQueries int) *Gate {
	return &Gate{places: places, most: batches, free: places, batchRoom: batches, maxQueries: cmp.Or(max(maxQueries, 0), 256)}
}

// enterQuery waits for a place for a query. When too many wait it refuses.
func (g *Gate) enterQuery(ctx context.Context) error {
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
func (g *Gate) enterBatch(ctx context.Context) error { return g.enter(ctx, &g.batches) }

// enterRanking waits for a place for a part of a ranking.
func (g *Gate) enterRanking(ctx context.Context) error { return g.enter(ctx, &g.rankings) }

func (g *Gate) enter(ctx context.Context, in *line) error {
	g.mu.Lock()
	turn := make(chan struct{})
	*in = append(*in, turn)
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, in, turn)
}

// yield gives a batch's place up if somebody waits for one who goes first, and
// gets it back. After an error the place is lost.
func (g *Gate) yield(ctx context.Context) error { return g.yieldTo(ctx, &g.batches) }

// yieldRanking is yield for a ranking, which goes before batches.
func (g *Gate) yieldRanking(ctx context.Context) error { return g.yieldTo(ctx, &g.rankings) }

func (g *Gate) yieldTo(ctx context.Context, own *line) error {
	g.mu.Lock()
	if len(g.queries) == 0 && (own == &g.rankings || len(g.rankings) == 0) {
		g.mu.Unlock()
		if err := ctx.Err(); err != nil {
			g.leave(own)
			return err
		}
		return nil
	}
	g.back(own)
	turn := make(chan struct{})
	*own = slices.Insert(*own, 0, turn)
	g.admit()
	g.mu.Unlock()
	return g.wait(ctx, own, turn)
}

func (g *Gate) leaveQuery() { g.leave(&g.queries) }

func (g *Gate) leaveBatch() { g.leave(&g.batches) }

func (g *Gate) leaveRanking() { g.leave(&g.rankings) }

func (g *Gate) leave(from *line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.back(from)
	g.admit()
}

// back takes a place back.
func (g *Gate) back(from *line) {
	g.free++
	if from == &g.batches {
		g.batchRoom++
	}
}

// admit lets in whoever is next, as long as there are places.
func (g *Gate) admit() {
	for g.free > 0 {
		batch := len(g.batches) > 0 && g.batchRoom > 0
		first := &g.queries
		if len(g.queries) == 0 {
			first = &g.rankings
		}
		switch {
		case len(*first) > 0 && (!batch || g.passed < patience):
			if batch {
				g.passed++
			}
			first.next()
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
func (g *Gate) wait(ctx context.Context, in *line, turn chan struct{}) error {
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	select {
	case <-turn: // both at once: the place is ours, and goes back
		g.mu.Unlock()
		g.leave(in)
	default:
		at := slices.Index(*in, turn)
		*in = slices.Delete(*in, at, at+1)
		g.mu.Unlock()
	}
	return ctx.Err()
}

var errBusy = errs.New(errs.Unavailable, "too many queries are waiting to be embedded")
