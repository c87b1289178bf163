package limit

import (
	"hash/maphash"
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
	Limit     int           // calls per period
	Remaining int           // calls left now
	Reset     time.Duration // until all are back; at most the period
	Wait      time.Duration // until the next call passes; 0 when OK
}

// Limiter holds the counters. Make one with [New].
type Limiter struct {
	seed   maphash.Seed
	shards [shards]shard
	room   int // counters per shard
}

type shard struct {
	mu    sync.Mutex
	at    map[Key]*bucket
	dirty []Key // with something untold
}

// bucket is empty up to the time that it holds: nothing of it is spent when
// that has passed.
type bucket struct {
	full   time.Time
	untold time.Duration // spent here, and not told to others yet
}

// New returns a limiter that remembers at most about room counters.
func New(room int) *Limiter {
	l := &Limiter{seed: maphash.MakeSeed(), room: max(room/shards, 1)}
	for i := range l.shards {
		l.shards[i].at = map[Key]*bucket{}
	}
	return l
}

// Take counts a call at the time now, unless the bucket of n calls per period
// is empty.
func (l *Limiter) Take(now time.Time, key Key, n int, per time.Duration) Decision {
	d, _ := l.take(now, key, n, per, 0)
	return d
}

// take is [Limiter.Take] that also notes what others have to be told, and
// returns it as soon as it is hold or more; with a hold of 0 it notes nothing.
func (l *Limiter) take(now time.Time, key Key, n int, per, hold time.Duration) (d Decision, tell time.Duration) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(now, key, l.room)
	each := per / time.Duration(n) // of the period, that one call costs
	whole := each * time.Duration(n)
	owed := max(b.full.Sub(now), 0)
	if owed+each > whole {
		return Decision{Limit: n, Reset: min(owed, per), Wait: owed + each - whole}, 0
	}
	owed += each
	b.full = now.Add(owed)
	if hold > 0 {
		if b.untold == 0 {
			s.dirty = append(s.dirty, key)
		}
		if b.untold += each; b.untold >= hold {
			tell, b.untold = b.untold, 0
		}
	}
	return Decision{OK: true, Limit: n, Remaining: int((whole - owed) / each), Reset: owed}, tell
}

// Give takes a call back that [Limiter.Take] has counted at a time since which
// nothing of it was forgotten.
func (l *Limiter) Give(now time.Time, key Key, n int, per time.Duration) Decision {
	return l.give(now, key, n, per, false)
}

// give is [Limiter.Give] that also notes that others have to be told.
func (l *Limiter) give(now time.Time, key Key, n int, per time.Duration, tell bool) Decision {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(now, key, l.room)
	each := per / time.Duration(n)
	owed := max(b.full.Sub(now)-each, 0)
	b.full = now.Add(owed)
	if tell {
		if b.untold == 0 {
			s.dirty = append(s.dirty, key)
		}
		b.untold -= each
	}
	whole := each * time.Duration(n)
	return Decision{OK: true, Limit: n, Remaining: int(max(whole-owed, 0) / each), Reset: min(owed, per)}
}

// charge counts what was let through elsewhere, or was given back there when cost
// is below zero.
func (l *Limiter) charge(now time.Time, key Key, cost time.Duration) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(now, key, l.room)
	b.full = now.Add(max(b.full.Sub(now), 0) + cost)
}

// owe brings a counter to what another gateway knows of it, when that is more.
func (l *Limiter) owe(now time.Time, key Key, owed time.Duration) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bucket(now, key, l.room); b.full.Before(now.Add(owed)) {
		b.full = now.Add(owed)
	}
}

// each calls fn with every counter of which something is spent.
func (l *Limiter) each(now time.Time, fn func(key Key, owed time.Duration)) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for k, b := range s.at {
			if owed := b.full.Sub(now); owed > 0 {
				fn(k, owed)
			}
		}
		s.mu.Unlock()
	}
}

// untold calls fn with everything that others have not been told, once.
func (l *Limiter) untold(fn func(key Key, cost time.Duration)) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for _, k := range s.dirty {
			if b := s.at[k]; b != nil && b.untold != 0 {
				fn(k, b.untold)
				b.untold = 0
			}
		}
		s.dirty = s.dirty[:0]
		s.mu.Unlock()
	}
}

func (l *Limiter) shard(key Key) *shard { return &l.shards[maphash.Comparable(l.seed, key)%shards] }

func (s *shard) bucket(now time.Time, key Key, room int) *bucket {
	b := s.at[key]
	if b == nil {
		if len(s.at) >= room {
			s.makeRoom(now)
		}
		b = &bucket{}
		s.at[key] = b
	}
	return b
}

// makeRoom drops idle counters, and a few others when all are in use.
func (s *shard) makeRoom(now time.Time) {
	before := len(s.at)
	for k, b := range s.at {
		if !b.full.After(now) && b.untold == 0 {
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
