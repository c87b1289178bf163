package index

import (
	"fmt"
	"slices"
	"sync"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/vector"
)

// Config is the ranking of an index. The zero value of a field takes its
// default.
type Config struct {
	Dim     int // of the vectors; 0: that of the first one
	Lexical lexical.Config
	Fusion  fusion.Config
	Depth   int // fewest candidates of a leg; 100
	Graph   int // most vectors that are compared one by one; vector.DefaultThreshold
	// Languages are those that texts are in; which of them, each document tells by
	// its text, and by the first where it does not. English when there is none.
	Languages []terms.Language
}

func (c Config) withDefaults() Config {
	if c.Depth <= 0 {
		c.Depth = 100
	}
	if len(c.Languages) == 0 {
		c.Languages = []terms.Language{terms.English}
	}
	return c
}

type facet struct {
	field byte // 'c'ollection, 'k'ategory, 't'echnology
	value string
}

// Index is one project in memory. Safe for concurrent use.
type Index struct {
	c Config
	a *terms.Analyzer

	mu      sync.RWMutex
	state   State
	lex     *lexical.Index
	vec     *vector.Index
	slots   map[int64]uint32 // by passage id
	ids     []int64          // by slot
	docs    []int64          // by slot
	marks   [][4]facet       // by slot
	tongues tongues
	byDoc   map[int64][]uint32
	facets  map[facet]*bitmap.Set
	dead    int
	count   uint64 // of changes
	saved   mark   // in its image; belongs to the library
}

// New returns an empty index of generation 0.
func New(c Config, a *terms.Analyzer) *Index {
	c = c.withDefaults()
	return &Index{
		c: c, a: a, lex: lexical.New(c.Lexical), vec: vector.New(c.Dim, c.Graph),
		slots: map[int64]uint32{}, byDoc: map[int64][]uint32{}, facets: map[facet]*bitmap.Set{},
	}
}

// Generation is that of the newest change that the index has seen whole.
func (x *Index) Generation() int64 { return x.State().Generation }

// Model is the name of the vectors; "" while there are none.
func (x *Index) Model() string { return x.State().Model }

// State is the newest one that the index has reached.
func (x *Index) State() State {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.state
}

// Len is the number of passages, and of those with a vector.
func (x *Index) Len() (passages, vectors int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.lex.Len(), x.vec.Len()
}

// Bytes estimates the memory of the index.
func (x *Index) Bytes() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := x.lex.Bytes() + x.vec.Bytes() + 136*len(x.ids)
	for _, s := range x.facets {
		n += s.Bytes() + 64
	}
	return n
}

// Close ends what the index does in the background. It can still be searched.
func (x *Index) Close() { x.vec.Close() }

// Put adds passages, or gives known ones their vector and filters. The words
// are analysed before the index is locked.
func (x *Index) Put(passages []Passage) error {
	type analysed struct {
		title, body terms.Analysis
		labels      []string
	}
	analyse := func(p Passage) analysed {
		r := x.a.In(x.tongue(p))
		return analysed{r.Analyze(p.Title), r.Analyze(p.Body), labels(r, p)}
	}
	words := make([]analysed, len(passages))
	for i, p := range passages {
		if !x.has(p) {
			words[i] = analyse(p)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count++
	for i, p := range passages {
		slot, known := x.slots[p.ID]
		if known && p.TextLanguage != "" && x.tongues.of[slot].String() != p.TextLanguage {
			x.remove(slot)
			x.byDoc[p.Document] = slices.DeleteFunc(x.byDoc[p.Document], func(s uint32) bool { return s == slot })
			known = false
		}
		if !known {
			slot = uint32(len(x.ids))
			w := words[i]
			if w.body.Terms == nil { // dropped between the two looks
				w = analyse(p)
			}
			x.lex.Add(slot, lexical.Field(w.title), lexical.Field(w.body), w.labels...)
			x.ids = append(x.ids, p.ID)
			x.docs = append(x.docs, p.Document)
			x.marks = append(x.marks, [4]facet{})
			x.tongues.add(x.tongue(p))
			x.slots[p.ID] = slot
			x.byDoc[p.Document] = append(x.byDoc[p.Document], slot)
		}
		x.classify(slot, p)
		if p.Vector == nil {
			x.vec.Remove(slot)
		} else if err := x.vec.Add(slot, p.Vector); err != nil {
			return fmt.Errorf("passage %d: %w", p.ID, err)
		}
	}
	return nil
}

// has reports whether a passage is there, in its language.
func (x *Index) has(p Passage) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	slot, ok := x.slots[p.ID]
	return ok && (p.TextLanguage == "" || x.tongues.of[slot].String() == p.TextLanguage)
}

func facetsOf(p Passage) [4]facet {
	f := [4]facet{{'c', p.Collection}, {'k', p.Category}}
	if p.Technology != 0 {
		f[2] = facet{'t', fmt.Sprint(p.Technology)}
	}
	if p.Repository != 0 {
		f[3] = facet{'r', fmt.Sprint(p.Repository)}
	}
	return f
}

func (x *Index) classify(slot uint32, p Passage) {
	marks := facetsOf(p)
	if x.marks[slot] == marks {
		return
	}
	x.unmark(slot)
	x.marks[slot] = marks
	for _, f := range marks {
		if f.field == 0 {
			continue
		}
		s := x.facets[f]
		if s == nil {
			s = &bitmap.Set{}
			x.facets[f] = s
		}
		s.Add(slot)
	}
}

// unmark takes a passage out of its filters; a filter that nothing passes any
// more is forgotten.
func (x *Index) unmark(slot uint32) {
	for _, f := range x.marks[slot] {
		if s := x.facets[f]; s != nil {
			if s.Remove(slot); s.Empty() {
				delete(x.facets, f)
			}
		}
	}
	x.marks[slot] = [4]facet{}
}

// Keep removes the passages of a document whose id is not in keep; nil
// removes the document.
func (x *Index) Keep(document int64, keep map[int64]bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count++
	left := x.byDoc[document][:0]
	for _, slot := range x.byDoc[document] {
		if keep[x.ids[slot]] {
			left = append(left, slot)
			continue
		}
		x.remove(slot)
	}
	if x.byDoc[document] = left; len(left) == 0 {
		delete(x.byDoc, document)
	}
	if x.dead > 1024 && x.dead > len(x.ids)/3 {
		x.compact()
	}
}

func (x *Index) remove(slot uint32) {
	x.lex.Remove(slot)
	x.vec.Remove(slot)
	x.unmark(slot)
	x.tongues.remove(slot)
	delete(x.slots, x.ids[slot])
	x.dead++
}

// compact gives the living passages new slots without gaps, in order.
func (x *Index) compact() {
	to := make([]uint32, len(x.ids))
	var spoken tongues
	ids := make([]int64, 0, len(x.slots))
	docs := make([]int64, 0, len(x.slots))
	marks := make([][4]facet, 0, len(x.slots))
	for old, id := range x.ids {
		if slot, ok := x.slots[id]; ok && int(slot) == old {
			to[old] = uint32(len(ids))
			ids = append(ids, id)
			docs = append(docs, x.docs[old])
			marks = append(marks, x.marks[old])
			spoken.add(x.tongues.of[old])
		}
	}
	x.lex.Compact(to)
	x.vec.Compact(to)
	facets := map[facet]*bitmap.Set{}
	for f, s := range x.facets {
		moved := &bitmap.Set{}
		s.All(func(old uint32) bool {
			moved.Add(to[old])
			return true
		})
		facets[f] = moved
	}
	byDoc := make(map[int64][]uint32, len(x.byDoc))
	for slot, d := range docs {
		byDoc[d] = append(byDoc[d], uint32(slot))
		x.slots[ids[slot]] = uint32(slot)
	}
	x.ids, x.docs, x.marks, x.facets, x.byDoc, x.tongues, x.dead = ids, docs, marks, facets, byDoc, spoken, 0
}

// Seen says that every change up to generation has been applied. It never
// goes back.
func (x *Index) Seen(generation int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.state.Generation = max(x.state.Generation, generation)
}

// Reached is Seen, and says whose vectors the index holds, of which database, and
// how the project has it searched.
func (x *Index) Reached(s State) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s.Generation = max(x.state.Generation, s.Generation)
	x.state = s
}

// Settle waits until the graph holds every vector.
func (x *Index) Settle() { x.vec.Settle() }
