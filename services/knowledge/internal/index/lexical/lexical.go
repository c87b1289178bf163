package lexical

import (
	"math"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// Config is the ranking. The zero value of a field takes its default.
type Config struct {
	K1     float64 // saturation of repeated terms; 1.2
	B      float64 // how much a long body is held against it, 0 to 1; 0.5
	Title  float64 // weight of a term in the title against one in the body; 2
	TitleB float64 // like B, for the title; 0.4
}

func (c Config) withDefaults() Config {
	if c.K1 <= 0 {
		c.K1 = 1.2
	}
	if c.B <= 0 {
		c.B = 0.5
	}
	if c.Title <= 0 {
		c.Title = 2
	}
	if c.TitleB <= 0 {
		c.TitleB = 0.4
	}
	return c
}

// Field is one field of a passage as terms, see package terms.
type Field struct {
	Terms  []string
	Length int
	Names  []int32
	Stops  []terms.Stop
}

// Hit is a passage with its score.
type Hit struct {
	Slot  uint32
	Score float64
}

type posting struct {
	slot  uint32
	body  uint16
	title uint16
}

type term struct {
	name string
	list []posting // by slot
	peak float64   // the largest x (see score) of the list, at the reference lengths
}

// Index is the words of one project.
type Index struct {
	c       Config
	ids     map[string]uint32
	terms   []term
	body    []uint32 // length by slot
	title   []uint16
	order   [][]byte // the words of a passage one after another, see words.go
	alive   bitmap.Set
	n       int // alive passages
	dead    int // slots that are not
	sumBody int
	sumTtl  int
	// Peaks were computed at these average lengths; they are scaled to the
	// present ones, and computed anew when those have moved away.
	refBody, refTtl float64
	bytes           int
}

// New returns an empty index.
func New(c Config) *Index {
	return &Index{c: c.withDefaults(), ids: map[string]uint32{}, refBody: 1, refTtl: 1}
}

// Add indexes a passage under slot, which must be above every slot that was
// added before. Labels are terms that can be asked for and do not rank.
func (x *Index) Add(slot uint32, title, body Field, labels ...string) {
	for int(slot) >= len(x.body) {
		x.body = append(x.body, 0)
		x.title = append(x.title, 0)
		x.order = append(x.order, nil)
	}
	x.body[slot] = uint32(body.Length)
	x.title[slot] = uint16(min(title.Length, math.MaxUint16))
	x.alive.Add(slot)
	x.n++
	x.sumBody += body.Length
	x.sumTtl += int(x.title[slot])
	counts := make(map[string]*posting, len(body.Terms))
	tally := func(words []string, in func(*posting) *uint16) {
		for _, t := range words {
			p := counts[t]
			if p == nil {
				p = &posting{slot: slot}
				counts[t] = p
			}
			if f := in(p); *f < math.MaxUint16 {
				*f++
			}
		}
	}
	tally(body.Terms, func(p *posting) *uint16 { return &p.body })
	tally(title.Terms, func(p *posting) *uint16 { return &p.title })
	for _, t := range labels {
		if counts[t] == nil {
			counts[t] = &posting{slot: slot}
		}
	}
	for t, p := range counts {
		id, ok := x.ids[t]
		if !ok {
			id = uint32(len(x.terms))
			t = strings.Clone(t) // it may be a piece of a whole document
			x.ids[t] = id
			x.terms = append(x.terms, term{name: t})
			x.bytes += len(t) + 96
		}
		e := &x.terms[id]
		e.list = append(e.list, *p)
		e.peak = math.Max(e.peak, x.x(*p, x.refBody, x.refTtl))
	}
	x.order[slot] = x.write(title, body)
	x.bytes += 10*len(counts) + len(x.order[slot]) + 30
	x.rebase()
}

// rebase computes the peaks at the present average lengths, when the old ones
// are off by so much that bounds become loose.
func (x *Index) rebase() {
	b, t := x.averages()
	near := func(a, ref float64) bool { return a < ref*1.5 && ref < a*1.5 }
	if near(b, x.refBody) && near(t, x.refTtl) {
		return
	}
	x.refBody, x.refTtl = b, t
	for i := range x.terms {
		e := &x.terms[i]
		e.peak = 0
		for _, p := range e.list {
			e.peak = math.Max(e.peak, x.x(p, b, t))
		}
	}
}

func (x *Index) averages() (body, title float64) {
	n := float64(max(x.n, 1))
	return math.Max(float64(x.sumBody)/n, 1), math.Max(float64(x.sumTtl)/n, 1)
}

// x is the weighted and length-normalised frequency of a term in a passage.
func (x *Index) x(p posting, avgBody, avgTitle float64) float64 {
	v := 0.0
	if p.body > 0 {
		v = float64(p.body) / (1 - x.c.B + x.c.B*float64(x.body[p.slot])/avgBody)
	}
	if p.title > 0 {
		v += x.c.Title * float64(p.title) / (1 - x.c.TitleB + x.c.TitleB*float64(x.title[p.slot])/avgTitle)
	}
	return v
}

// Remove takes a passage out. Its postings stay until [Index.Compact].
func (x *Index) Remove(slot uint32) {
	if !x.alive.Has(slot) {
		return
	}
	x.alive.Remove(slot)
	x.n--
	x.dead++
	x.sumBody -= int(x.body[slot])
	x.sumTtl -= int(x.title[slot])
	x.bytes -= len(x.order[slot])
	x.order[slot] = nil
}

// Compact drops the postings of removed passages and gives the others the
// slots that to names, which must keep their order.
func (x *Index) Compact(to []uint32) {
	var body []uint32
	var title []uint16
	var order [][]byte
	var alive bitmap.Set
	x.alive.All(func(s uint32) bool {
		for int(to[s]) >= len(body) {
			body = append(body, 0)
			title = append(title, 0)
			order = append(order, nil)
		}
		order[to[s]] = x.order[s]
		body[to[s]], title[to[s]] = x.body[s], x.title[s]
		alive.Add(to[s])
		return true
	})
	for t, id := range x.ids {
		e := &x.terms[id]
		kept := e.list[:0]
		for _, p := range e.list {
			if x.alive.Has(p.slot) {
				p.slot = to[p.slot]
				kept = append(kept, p)
			}
		}
		x.bytes -= 10 * (len(e.list) - len(kept))
		if e.list = kept; len(kept) == 0 {
			e.list = nil
			delete(x.ids, t)
			x.bytes -= len(t) + 96
		}
	}
	// Terms keep their order, so that frequent ones, which came early, have
	// small numbers.
	left := make([]term, 0, len(x.ids))
	moved := make([]uint32, len(x.terms))
	for id, e := range x.terms {
		if e.list != nil {
			moved[id] = uint32(len(left))
			x.ids[e.name] = moved[id]
			left = append(left, e)
		}
	}
	for i, o := range order {
		x.bytes -= len(o)
		order[i] = renumber(o, moved)
		x.bytes += len(order[i])
	}
	x.terms, x.body, x.title, x.order, x.alive, x.dead = left, body, title, order, alive, 0
	x.refBody, x.refTtl = 0, 0
	x.rebase()
}

// Len is the number of passages.
func (x *Index) Len() int { return x.n }

// Bytes estimates the memory of the index.
func (x *Index) Bytes() int { return x.bytes + x.alive.Bytes() }
