package embed

import (
	"container/list"
	"encoding/binary"
	"slices"
	"sync"
)

// cache keeps the vectors of the latest queries, by their tokens: texts that
// differ in case, accents or blanks are one query to the model.
type cache struct {
	mu    sync.Mutex
	max   int
	order list.List // of *cached, the latest first
	by    map[string]*list.Element
}

type cached struct {
	key    string
	vector []float32
}

func newCache(entries int) *cache {
	return &cache{max: entries, by: map[string]*list.Element{}}
}

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
	c.order.MoveToFront(e)
	return slices.Clone(e.Value.(*cached).vector), true
}

// put keeps a copy of vector.
func (c *cache) put(key string, vector []float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.max <= 0 || c.by[key] != nil {
		return
	}
	if len(c.by) >= c.max {
		last := c.order.Back()
		delete(c.by, c.order.Remove(last).(*cached).key)
	}
	c.by[key] = c.order.PushFront(&cached{key, slices.Clone(vector)})
}
