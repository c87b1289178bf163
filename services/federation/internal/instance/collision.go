package instance

import (
	"sync"
	"time"
)

// collisionMemory is how long a collision is told after it was last seen:
// longer than a heartbeat may stay away, and replicas share what comes.
const collisionMemory = 5 * time.Minute

// Collision remembers that another instance calls itself as we do. Its zero
// value has seen none.
type Collision struct {
	mu   sync.Mutex
	last time.Time
}

// Note takes down one that is seen at now. first tells the first of a row, so
// that it can be warned of once.
func (c *Collision) Note(now time.Time) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = c.last.IsZero() || now.Sub(c.last) > collisionMemory
	c.last = now
	return first
}

// Lasts reports whether there is one at now, as far as is known.
func (c *Collision) Lasts(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && now.Sub(c.last) <= collisionMemory
}
