package reranker

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// key is a model, a question and a passage: a score depends on nothing else, so
// that it does not matter whose they are.
type key [16]byte

func keyOf(model, question, passage string) (k key) {
	h := sha256.New()
	for _, s := range []string{model, question, passage} {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s)))) // never fails
		h.Write([]byte(s))
	}
	copy(k[:], h.Sum(nil))
	return k
}

// cache keeps the latest scores.
type cache struct {
	mu    sync.Mutex
	most  int
	by    map[key]*list.Element
	order list.List // of entry, the latest first
}

type entry struct {
	key   key
	score float64
}

func newCache(most int) *cache { return &cache{most: most, by: map[key]*list.Element{}} }

func (c *cache) get(k key) (float64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.by[k]
	if e == nil {
		return 0, false
	}
	c.order.MoveToFront(e)
	return e.Value.(entry).score, true
}

func (c *cache) put(k key, score float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[k] != nil {
		return
	}
	if len(c.by) >= c.most {
		oldest := c.order.Back()
		delete(c.by, c.order.Remove(oldest).(entry).key)
	}
	c.by[k] = c.order.PushFront(entry{k, score})
}
