package lexical

import (
	"math"
	"sort"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
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
// added before.
func (x *Index) Add(slot uint32, title, body Field) {
	for int(slot) >= len(x.body) {
		x.body = append(x.body, 0)
		x.title = append(x.title, 0)
	}
	x.body[slot] = uint32(body.Length)
	x.title[slot] = uint16(min(title.Length, math.MaxUint16))
	x.alive.Add(slot)
	x.n++
	x.sumBody += body.Length
	x.sumTtl += int(x.title[slot])
	counts := make(map[string]*posting, len(body.Terms))
	tally := func(terms []string, in func(*posting) *uint16) {
		for _, t := range terms {
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
	for t, p := range counts {
		id, ok := x.ids[t]
		if !ok {
			id = uint32(len(x.terms))
			x.ids[strings.Clone(t)] = id // t may be a piece of a whole document
			x.terms = append(x.terms, term{})
			x.bytes += len(t) + 80
		}
		e := &x.terms[id]
		e.list = append(e.list, *p)
		e.peak = math.Max(e.peak, x.x(*p, x.refBody, x.refTtl))
	}
	x.bytes += 10*len(counts) + 6
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
}

// Compact drops the postings of removed passages and gives the others the
// slots that to names, which must keep their order.
func (x *Index) Compact(to []uint32) {
	var body []uint32
	var title []uint16
	var alive bitmap.Set
	x.alive.All(func(s uint32) bool {
		for int(to[s]) >= len(body) {
			body = append(body, 0)
			title = append(title, 0)
		}
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
			x.bytes -= len(t) + 80
		}
	}
	terms := make([]term, 0, len(x.ids))
	for t, id := range x.ids {
		x.ids[t] = uint32(len(terms))
		terms = append(terms, x.terms[id])
	}
	x.terms, x.body, x.title, x.alive, x.dead = terms, body, title, alive, 0
	x.refBody, x.refTtl = 0, 0
	x.rebase()
}

// Len is the number of passages.
func (x *Index) Len() int { return x.n }

// Bytes estimates the memory of the index.
func (x *Index) Bytes() int { return x.bytes + x.alive.Bytes() }

// leg is a term of a query with its list.
type leg struct {
	list   []posting
	weight float64 // inverse document frequency, times its count in the query
	bound  float64 // of its share of any score
	at     int
}

// Query is a query against one state of an index: it is used at once and
// dropped before the index changes.
type Query struct {
	x                 *Index
	legs              []leg // by term, so that sums are the same everywhere
	avgBody, avgTitle float64
	// Ceiling is the score that a passage approaches when it repeats every
	// term of the query without end; terms that no passage has included.
	Ceiling float64
}

// Query prepares a query of the given terms.
func (x *Index) Query(terms []string) *Query {
	q := &Query{x: x}
	q.avgBody, q.avgTitle = x.averages()
	counts := map[string]int{}
	for _, t := range terms {
		counts[t]++
	}
	names := make([]string, 0, len(counts))
	for t := range counts {
		names = append(names, t)
	}
	sort.Strings(names)
	grow := math.Max(1, math.Max(q.avgBody/x.refBody, q.avgTitle/x.refTtl))
	for _, t := range names {
		var e term
		if id, ok := x.ids[t]; ok {
			e = x.terms[id]
		}
		df := len(e.list)
		if x.dead > 0 {
			df = 0
			for _, p := range e.list {
				if x.alive.Has(p.slot) {
					df++
				}
			}
		}
		w := float64(counts[t]) * math.Log(1+(float64(x.n)-float64(df)+0.5)/(float64(df)+0.5))
		q.Ceiling += w
		if df > 0 {
			peak := e.peak * grow
			q.legs = append(q.legs, leg{list: e.list, weight: w, bound: w * peak / (x.c.K1 + peak)})
		}
	}
	return q
}

// share is what one posting gives to a score.
func (q *Query) share(l *leg, p posting) float64 {
	v := q.x.x(p, q.avgBody, q.avgTitle)
	return l.weight * v / (q.x.c.K1 + v)
}

// Score is the score of one passage, 0 when it has none of the terms.
func (q *Query) Score(slot uint32) float64 {
	if !q.x.alive.Has(slot) {
		return 0
	}
	sum := 0.0
	for i := range q.legs {
		l := &q.legs[i]
		j := sort.Search(len(l.list), func(j int) bool { return l.list[j].slot >= slot })
		if j < len(l.list) && l.list[j].slot == slot {
			sum += q.share(l, l.list[j])
		}
	}
	return sum
}
