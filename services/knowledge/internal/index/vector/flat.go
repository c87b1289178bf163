package vector

import (
	"fmt"
	"math"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/topk"
)

// Hit is a passage with the cosine of its vector and the query's.
type Hit struct {
	Slot   uint32
	Cosine float64
}

// rowsPerBlock is how many vectors are allocated together.
const rowsPerBlock = 256

// Flat holds vectors by slot. It is not safe for writes beside other calls.
type Flat struct {
	dim    int
	stride int // dim, rounded up to what the kernel takes at once
	blocks [][]float32
	has    bitmap.Set
	n      int
}

// NewFlat returns an empty Flat of vectors with dim elements; with 0 it takes
// the dimension of the first vector.
func NewFlat(dim int) *Flat {
	f := &Flat{}
	f.measure(dim)
	return f
}

func (f *Flat) measure(dim int) { f.dim, f.stride = dim, (dim+lanes-1)/lanes*lanes }

// Add puts the vector of slot; it is copied, and brought to unit length. The
// error says that the vector has the wrong dimension or no direction.
func (f *Flat) Add(slot uint32, v []float32) error {
	u, err := f.unit(v)
	if err != nil {
		return err
	}
	f.put(slot, u)
	return nil
}

// put takes a unit vector.
func (f *Flat) put(slot uint32, u []float32) {
	b := int(slot) / rowsPerBlock
	for b >= len(f.blocks) {
		f.blocks = append(f.blocks, nil)
	}
	if f.blocks[b] == nil {
		f.blocks[b] = make([]float32, rowsPerBlock*f.stride)
	}
	copy(f.row(slot), u)
	if !f.has.Has(slot) {
		f.n++
	}
	f.has.Add(slot)
}

// unit is v at unit length, filled up to the stride. The first decides the
// dimension where none was given.
func (f *Flat) unit(v []float32) ([]float32, error) {
	if f.dim == 0 {
		f.measure(len(v))
	}
	if len(v) != f.dim {
		return nil, fmt.Errorf("vector of %d elements, want %d", len(v), f.dim)
	}
	sum := 0.0
	for _, e := range v {
		sum += float64(e) * float64(e)
	}
	if sum == 0 || math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil, fmt.Errorf("vector of length %v has no direction", math.Sqrt(sum))
	}
	u := make([]float32, f.stride)
	scale := 1 / math.Sqrt(sum)
	for i, e := range v {
		u[i] = float32(float64(e) * scale)
	}
	return u, nil
}

func (f *Flat) row(slot uint32) []float32 {
	at := int(slot) % rowsPerBlock * f.stride
	return f.blocks[int(slot)/rowsPerBlock][at : at+f.stride]
}

// Remove takes the vector of slot out.
func (f *Flat) Remove(slot uint32) {
	if f.has.Has(slot) {
		f.has.Remove(slot)
		f.n--
	}
}

// Compact gives the vectors the slots that to names, which must keep their
// order and never be above the old ones.
func (f *Flat) Compact(to []uint32) {
	var has bitmap.Set
	last := -1
	f.has.All(func(s uint32) bool {
		t := to[s]
		if b := int(t) / rowsPerBlock; f.blocks[b] == nil {
			f.blocks[b] = make([]float32, rowsPerBlock*f.stride)
		}
		if t != s {
			copy(f.row(t), f.row(s))
		}
		has.Add(t)
		last = int(t) / rowsPerBlock
		return true
	})
	clear(f.blocks[last+1:])
	f.blocks = f.blocks[:last+1]
	f.has = has
}

// Len is the number of vectors.
func (f *Flat) Len() int { return f.n }

// Bytes is the memory of the vectors.
func (f *Flat) Bytes() int {
	n := f.has.Bytes()
	for _, b := range f.blocks {
		n += 4 * len(b)
	}
	return n
}

// FlatQuery is a query vector, prepared.
type FlatQuery struct {
	f *Flat
	u []float32
}

// Query prepares v; the error is as in [Flat.Add].
func (f *Flat) Query(v []float32) (*FlatQuery, error) {
	if f.dim == 0 {
		return &FlatQuery{f, nil}, nil // there is nothing to find
	}
	u, err := f.unit(v)
	if err != nil {
		return nil, err
	}
	return &FlatQuery{f, u}, nil
}

// Cosine is the cosine of one passage; ok is false when it has no vector.
func (q *FlatQuery) Cosine(slot uint32) (cosine float64, ok bool) {
	if !q.f.has.Has(slot) {
		return 0, false
	}
	return float64(dot(q.u, q.f.row(slot))), true
}

// Search returns the k nearest of the passages in allow (nil: all), nearest
// first. before breaks ties between slots.
func (q *FlatQuery) Search(k int, allow *bitmap.Set, before func(a, b uint32) bool) []Hit {
	if k <= 0 {
		return nil
	}
	members := &q.f.has
	if allow != nil {
		members = bitmap.And(members, allow)
	}
	return q.scan(k, members, before)
}

// scan compares all members, which have vectors.
func (q *FlatQuery) scan(k int, members *bitmap.Set, before func(a, b uint32) bool) []Hit {
	best := topk.New(k, before)
	members.All(func(s uint32) bool {
		c := float64(dot(q.u, q.f.row(s)))
		if !best.Full() || c >= best.Floor() {
			best.Offer(s, c)
		}
		return true
	})
	return hitsOf(best)
}

func hitsOf(best *topk.Best) []Hit {
	ranked := best.Ranked()
	hits := make([]Hit, len(ranked))
	for i, r := range ranked {
		hits[i] = Hit{r.Slot, r.Score}
	}
	return hits
}
