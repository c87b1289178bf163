package embed

import (
	"encoding/binary"
	"slices"
	"sync"
)

// cache keeps the vectors of the latest queries, by their tokens: texts that
// differ in case, accents or blanks are one query to the model.
type cache struct {
	mu  sync.Mutex
	max int
	by  map[string]*cached
	end cached // of a ring: older than it is the latest, newer the oldest
}

type cached struct {
	key          string
	vector       []float32
	newer, older *cached
}

func newCache(entries int) *cache {
	c := &cache{max: entries, by: map[string]*cached{}}
	c.end.newer, c.end.older = &c.end, &c.end
	return c
}

// toFront puts e, which is nowhere, before the latest.
func (c *cache) toFront(e *cached) {
	e.newer, e.older = &c.end, c.end.older
	e.older.newer, c.end.older = e, e
}

func (e *cached) takeOut() { e.newer.older, e.older.newer = e.older, e.newer }

// keyOf spells tokens as a string; a number of a token fits four bytes.
func keyOf(tokens []int32) string {
	b := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return string(b)
}

// get returns a copy, which is the caller's.
func (c *cache) get(key string) ([]float32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.by[key]
	if !ok {
		return nil, false
	}
	e.takeOut()
	c.toFront(e)
	return slices.Clone(e.vector), true
}

// put keeps a copy of vector.
func (c *cache) put(key string, vector []float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.max <= 0 || c.by[key] != nil {
		return
	}
	if len(c.by) >= c.max {
		oldest := c.end.newer
		oldest.takeOut()
		delete(c.by, oldest.key)
	}
	e := &cached{key: key, vector: slices.Clone(vector)}
	c.by[key] = e
	c.toFront(e)
}
