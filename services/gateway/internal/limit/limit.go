package limit

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const shards = 32

// Key names one counter.
type Key struct {
	Rule string // what is counted: an operation, or a default
	Who  string // an address or a principal
}

// Decision is the outcome of one call.
type Decision struct {
	OK        bool
	Limit     int           // calls per window
	Remaining int           // calls left now
	Reset     time.Duration // until all are back
	Wait      time.Duration // until the next call passes; 0 when OK
}

// Limiter holds the counters. Make one with [New].
type Limiter struct {
	seed   maphash.Seed
	shards [shards]shard
	room   int // counters per shard
}

type shard struct {
	mu sync.Mutex
	at map[Key]*window
}

// window is the calls of one counter that still count, oldest first.
type window struct {
	per   time.Duration
	slots []slot
	used  int
}

// slot counts calls that were made close to each other. All of them count
// until the last one is per old: no call too short, none much too long.
type slot struct {
	first, last time.Time
	n           int
}

// grain is by how much less than per the calls of a slot lie apart: it bounds
// the slots of a window.
const grain = 10

// New returns a limiter that remembers at most about room counters.
func New(room int) *Limiter {
	l := &Limiter{seed: maphash.MakeSeed(), room: max(room/shards, 1)}
	for i := range l.shards {
		l.shards[i].at = map[Key]*window{}
	}
	return l
}

// Take counts a call at the time now, unless n calls have been made within per.
func (l *Limiter) Take(now time.Time, key Key, n int, per time.Duration) Decision {
	s := &l.shards[maphash.Comparable(l.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.at[key]
	if w == nil || w.per != per {
		if w == nil && len(s.at) >= l.room {
			s.makeRoom(now)
		}
		w = &window{per: per}
		s.at[key] = w
	}
	w.slide(now)
	if w.used >= n {
		return Decision{Limit: n, Reset: w.reset(now), Wait: w.wait(now, n)}
	}
	w.count(now)
	return Decision{OK: true, Limit: n, Remaining: n - w.used, Reset: w.reset(now)}
}

// slide forgets the calls that count no more.
func (w *window) slide(now time.Time) {
	gone := 0
	for gone < len(w.slots) && now.Sub(w.slots[gone].last) >= w.per {
		w.used -= w.slots[gone].n
		gone++
	}
	w.slots = slices.Delete(w.slots, 0, gone)
}

func (w *window) count(now time.Time) {
	w.used++
	if at := len(w.slots) - 1; at >= 0 && now.Sub(w.slots[at].first) < w.per/grain {
		w.slots[at].last = now
		w.slots[at].n++
		return
	}
	w.slots = append(w.slots, slot{first: now, last: now, n: 1})
}

// reset is the time until nothing counts any more.
func (w *window) reset(now time.Time) time.Duration {
	if len(w.slots) == 0 {
		return 0
	}
	return w.slots[len(w.slots)-1].last.Add(w.per).Sub(now)
}

// wait is the time until one more call fits.
func (w *window) wait(now time.Time, n int) time.Duration {
	left := w.used
	for _, s := range w.slots {
		if left -= s.n; left < n {
			return s.last.Add(w.per).Sub(now)
		}
	}
	return w.reset(now)
}

// makeRoom drops idle counters, and a few others when all are in use.
func (s *shard) makeRoom(now time.Time) {
	before := len(s.at)
	for k, w := range s.at {
		if w.slide(now); w.used == 0 {
			delete(s.at, k)
		}
	}
	if len(s.at) < before {
		return
	}
	drop := before/8 + 1
	for k := range s.at {
		if drop == 0 {
			return
		}
		delete(s.at, k)
		drop--
	}
}
