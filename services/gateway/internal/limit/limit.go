package limit

import (
	"hash/maphash"
	"math"
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

type window struct {
	began     time.Time
	per       time.Duration
	prev, cur int
}

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
		if len(s.at) >= l.room {
			s.makeRoom(now)
		}
		w = &window{began: now, per: per}
		s.at[key] = w
	}
	w.slide(now)
	share := w.share(now)
	used := float64(w.prev)*share + float64(w.cur)
	if used+1 > float64(n) {
		return Decision{Limit: n, Reset: w.reset(now), Wait: w.wait(now, n)}
	}
	w.cur++
	left := n - int(math.Ceil(used)) - 1
	return Decision{OK: true, Limit: n, Remaining: max(left, 0), Reset: w.reset(now)}
}

// slide moves the window so that now is in the current half.
func (w *window) slide(now time.Time) {
	past := now.Sub(w.began)
	switch {
	case past < w.per:
	case past < 2*w.per:
		w.prev, w.cur, w.began = w.cur, 0, w.began.Add(w.per)
	default:
		w.prev, w.cur, w.began = 0, 0, now
	}
}

// share is how much of the last full window still counts.
func (w *window) share(now time.Time) float64 {
	return 1 - float64(now.Sub(w.began))/float64(w.per)
}

func (w *window) reset(now time.Time) time.Duration {
	end := w.began.Add(w.per)
	if w.cur > 0 {
		end = end.Add(w.per)
	}
	return end.Sub(now)
}

// wait is the time until one more call fits.
func (w *window) wait(now time.Time, n int) time.Duration {
	room := float64(n - 1 - w.cur)
	if room >= 0 && w.prev > 0 {
		at := 1 - room/float64(w.prev)
		return w.began.Add(time.Duration(math.Ceil(at * float64(w.per)))).Sub(now)
	}
	// Not in this window: in the next one, when enough of it has aged.
	at := 1 - float64(n-1)/float64(w.cur)
	return w.began.Add(w.per + time.Duration(math.Ceil(at*float64(w.per)))).Sub(now)
}

// makeRoom drops idle counters, and a few others when all are in use.
func (s *shard) makeRoom(now time.Time) {
	before := len(s.at)
	for k, w := range s.at {
		if now.Sub(w.began) >= 2*w.per {
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
