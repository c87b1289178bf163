package bus

import "sync"

// cache is a bounded map with a cheap notion of age: two generations, of which
// the older one is dropped as a whole when the younger one is full. Anything
// used between two drops stays.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	max        int // entries of one generation
	young, old map[K]V
}

func newCache[K comparable, V any](max int) *cache[K, V] {
	return &cache[K, V]{max: max, young: make(map[K]V)}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.young[k]; ok {
		return v, true
	}
	v, ok := c.old[k]
	if ok {
		c.put(k, v)
	}
	return v, ok
}

func (c *cache[K, V]) set(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(k, v)
}

func (c *cache[K, V]) put(k K, v V) {
	if len(c.young) >= c.max {
		c.old, c.young = c.young, make(map[K]V, c.max/4)
	}
	c.young[k] = v
}

// size is at most twice max.
func (c *cache[K, V]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
