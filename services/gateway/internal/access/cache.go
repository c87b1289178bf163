package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// cache keeps answers until a stated time, asks once for all who want the same
// one at the same moment, and keeps no answer that was asked for before the
// latest drop. What was known before goes on being good for a while when nobody
// is there to be asked.
type cache[K comparable, V any] struct {
	mu      sync.Mutex
	most    int
	away    time.Duration // for which an answer is good in all, while nobody answers
	epoch   uint64        // counts drops
	entries map[K]entry[V]
	flights map[K]*flight[V]
	also    func(K, V) K // another question that has the same answer; nil without
}

type entry[V any] struct {
	v       V
	expires time.Time
	end     time.Time // of what it is good for while nobody answers
}

type flight[V any] struct {
	done chan struct{}
	v    V
	err  error
}

func newCache[K comparable, V any](most int, away time.Duration) *cache[K, V] {
	return &cache[K, V]{most: most, away: away, entries: map[K]entry[V]{}, flights: map[K]*flight[V]{}}
}

// find returns what is kept under k and has not expired.
func (c *cache[K, V]) find(k K, now time.Time) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok || !now.Before(e.expires) {
		var none V
		return none, false
	}
	return e.v, true
}

// get returns what is kept under k, else what ask answers. ask outlives a
// caller that gives up, since others may be waiting for it too; it has to have
// a deadline of its own.
func (c *cache[K, V]) get(ctx context.Context, k K, now time.Time, ask func(context.Context) (V, time.Time, error)) (V, error) {
	c.mu.Lock()
	if e, ok := c.entries[k]; ok && now.Before(e.expires) {
		c.mu.Unlock()
		return e.v, nil
	}
	f := c.flights[k]
	if f == nil {
		f = &flight[V]{done: make(chan struct{})}
		c.flights[k] = f
		epoch := c.epoch
		go c.fly(context.WithoutCancel(ctx), k, f, epoch, now, ask)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.v, f.err
	case <-ctx.Done():
		var none V
		return none, context.Cause(ctx)
	}
}

func (c *cache[K, V]) fly(ctx context.Context, k K, f *flight[V], epoch uint64, now time.Time, ask func(context.Context) (V, time.Time, error)) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	v, expires, err := ask(ctx)
	c.mu.Lock()
	// A drop starts a new flight for who comes after it.
	if c.flights[k] == f {
		delete(c.flights, k)
	}
	e, known := c.entries[k] // not what was dropped meanwhile
	switch {
	case known && nobody(err) && now.Before(e.end):
		e.expires = now.Add(askAgain)
		c.entries[k] = e
		v, err = e.v, nil
	case err == nil && epoch == c.epoch && now.Before(expires):
		c.keep(k, v, expires, now)
		if c.also != nil {
			c.keep(c.also(k, v), v, expires, now)
		}
	}
	f.v, f.err = v, err
	c.mu.Unlock()
	close(f.done)
}

// askWithin bounds one question to the auth service; askAgain is how soon it is
// asked again about what it did not answer, so that a silent one does not hold up
// every call.
const (
	askWithin = 3 * time.Second
	askAgain  = 5 * time.Second
)

// nobody reports whether err says that nobody answered.
func nobody(err error) bool {
	kind := errs.KindOf(err)
	return err != nil && (kind == errs.Unavailable || kind == errs.Timeout || errors.Is(err, context.DeadlineExceeded))
}

// now is what [cache.putAsOf] compares.
func (c *cache[K, V]) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// putAsOf keeps v, which was found at the epoch, unless something was dropped
// since.
func (c *cache[K, V]) putAsOf(epoch uint64, k K, v V, expires, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch == c.epoch {
		c.keep(k, v, expires, now)
	}
}

func (c *cache[K, V]) keep(k K, v V, expires, now time.Time) {
	if len(c.entries) >= c.most {
		c.makeRoom(now)
	}
	c.entries[k] = entry[V]{v, expires, now.Add(c.away)}
}

// makeRoom drops what has expired, and an eighth of the rest when nothing has.
func (c *cache[K, V]) makeRoom(now time.Time) {
	before := len(c.entries)
	for k, e := range c.entries {
		if !now.Before(e.expires) {
			delete(c.entries, k)
		}
	}
	spare := before/8 + 1
	for k := range c.entries {
		if len(c.entries) <= before-spare {
			return
		}
		delete(c.entries, k)
	}
}

// drop forgets what which names, and every answer that is under way.
func (c *cache[K, V]) drop(which func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	clear(c.flights)
	for k, e := range c.entries {
		if which(k, e.v) {
			delete(c.entries, k)
		}
	}
}
