package serve

import (
	"context"
	"sync"
)

// Bounds of how many calls read the stream of facts at a time; the others wait.
// A caller who is slow, or many at once, keeps nobody else from it.
const (
	mostReadings    = 16
	readingsOfOwner = 2 // of one principal
)

// readings hands out the turns to read the stream.
type readings struct {
	all chan struct{}
	mu  sync.Mutex
	of  map[string]*ownReadings
}

// ownReadings are the turns of one principal; there only while one is wanted.
type ownReadings struct {
	turns  chan struct{}
	wanted int
}

func newReadings() *readings {
	return &readings{all: make(chan struct{}, mostReadings), of: map[string]*ownReadings{}}
}

// enter waits for a turn, first among the caller's own. It fails when ctx ends
// or, where drain is given, the process is about to.
func (x *readings) enter(ctx context.Context, who string, drain <-chan struct{}) (leave func(), err error) {
	x.mu.Lock()
	own := x.of[who]
	if own == nil {
		own = &ownReadings{turns: make(chan struct{}, readingsOfOwner)}
		x.of[who] = own
	}
	own.wanted++
	x.mu.Unlock()
	gone := func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if own.wanted--; own.wanted == 0 {
			delete(x.of, who)
		}
	}
	for i, turns := range []chan struct{}{own.turns, x.all} {
		select {
		case turns <- struct{}{}:
			continue
		case <-ctx.Done():
		case <-drain:
		}
		if i > 0 {
			<-own.turns
		}
		gone()
		return nil, errBusy
	}
	return func() {
		<-x.all
		<-own.turns
		gone()
	}, nil
}
