package feed

import (
	"errors"
	"sort"
	"sync"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// What a reader may be told in place of facts.
var (
	// ErrReset says that the stream of facts is another than the reader's place is
	// in: what was said in between is not known.
	ErrReset = errors.New("feed: the stream of facts began anew")
	// ErrBehind says that the ring does not reach back to the reader's place.
	ErrBehind = errors.New("feed: the place has left the ring")
)

// Ring keeps the latest facts of all projects, bounded in number and bytes.
type Ring struct {
	mostFacts, mostBytes int

	mu      sync.RWMutex
	age     int // counts beginnings
	start   bus.Position
	end     bus.Position
	facts   []Fact // by position
	dropped uint64 // how many have left at the front
	bytes   int
	readers map[tenant.Project]map[*Reader]struct{}
}

// NewRing returns an empty ring, whose bounds are above zero.
func NewRing(mostFacts, mostBytes int) *Ring {
	return &Ring{mostFacts: mostFacts, mostBytes: mostBytes, readers: map[tenant.Project]map[*Reader]struct{}{}}
}

// Begin forgets everything: the next fact follows p. Every reader is told.
func (r *Ring) Begin(p bus.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age++
	r.start, r.end = p, p
	r.dropped += uint64(len(r.facts))
	r.facts, r.bytes = nil, 0
	for _, of := range r.readers {
		for x := range of {
			x.ring()
		}
	}
}

// Add appends what was said last, and wakes those whom it may concern.
func (r *Ring) Add(s bus.Said) {
	f, ok := Read(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = s.Position
	if !ok {
		return
	}
	r.facts = append(r.facts, f)
	r.bytes += len(f.JSON)
	for len(r.facts) > r.mostFacts || r.bytes > r.mostBytes && len(r.facts) > 1 {
		r.start = r.facts[0].Position
		r.bytes -= len(r.facts[0].JSON)
		r.facts[0] = Fact{}
		r.facts = r.facts[1:]
		r.dropped++
	}
	for x := range r.readers[f.Project] {
		x.ring()
	}
}

// End is behind the last fact that was said.
func (r *Ring) End() bus.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.end
}

// Reader is one place in the ring. It is used by one goroutine.
type Reader struct {
	// Bell rings when there may be something to read.
	Bell <-chan struct{}

	of     *Ring
	filter Filter
	bell   chan struct{}
	age    int
	index  uint64 // of the next fact, dropped ones counted
	at     bus.Position
}

// Join returns a reader of what follows p, to be left with Leave. p may be ahead
// of the ring, by what a reading of the stream has shown already.
func (r *Ring) Join(f Filter, p bus.Position) (*Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case p.Created != r.end.Created:
		return nil, ErrReset
	case p.Seq < r.start.Seq:
		return nil, ErrBehind
	}
	bell := make(chan struct{}, 1)
	x := &Reader{Bell: bell, bell: bell, of: r, filter: f, age: r.age, at: p}
	x.index = r.dropped + uint64(sort.Search(len(r.facts), func(i int) bool { return r.facts[i].Position.Seq > p.Seq })) //nolint:gosec // G115: not negative
	if r.readers[f.Project] == nil {
		r.readers[f.Project] = map[*Reader]struct{}{}
	}
	r.readers[f.Project][x] = struct{}{}
	x.ring()
	return x, nil
}

// Covers reports whether a reader can join at p without reading the stream.
func (r *Ring) Covers(p bus.Position) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.Created == r.end.Created && p.Seq >= r.start.Seq && p.Seq <= r.end.Seq
}

func (x *Reader) ring() {
	select {
	case x.bell <- struct{}{}:
	default:
	}
}

// Next appends to buf the next facts that the filter wants, at most so many
// that cap(buf) is reached, and returns the place behind all that was looked
// at. It does not wait. More may be left when buf comes back full.
func (x *Reader) Next(buf []Fact) ([]Fact, bus.Position, error) {
	r := x.of
	r.mu.RLock()
	defer r.mu.RUnlock()
	if x.age != r.age {
		return buf, r.end, ErrReset
	}
	if x.index < r.dropped {
		if x.at.Seq < r.start.Seq {
			return buf, x.at, ErrBehind
		}
		x.index = r.dropped // what was dropped was shown already: it joined ahead of the ring
	}
	for ; x.index-r.dropped < uint64(len(r.facts)); x.index++ {
		if len(buf) == cap(buf) {
			return buf, x.at, nil
		}
		f := &r.facts[x.index-r.dropped]
		if f.Position.Seq <= x.at.Seq { // joined ahead of the ring
			continue
		}
		x.at = f.Position
		if x.filter.Wants(f) {
			buf = append(buf, *f)
		}
	}
	if r.end.Seq > x.at.Seq {
		x.at = r.end
	}
	return buf, x.at, nil
}

// Leave ends the reading.
func (x *Reader) Leave() {
	r := x.of
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.readers[x.filter.Project]
	delete(of, x)
	if len(of) == 0 {
		delete(r.readers, x.filter.Project)
	}
}

// Again rings the reader's own bell: it has more to read.
func (x *Reader) Again() { x.ring() }
