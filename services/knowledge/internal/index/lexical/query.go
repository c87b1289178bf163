package lexical

import (
	"math"
	"sort"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
)

// leg is a term of a query with its list.
type leg struct {
	name   string
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

// Query prepares a query of the given terms. Each group counts as one more
// term, which a passage has as often as it has any of the group's.
func (x *Index) Query(terms []string, groups ...Group) *Query {
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
		q.add(t, e.list, e.peak*grow, float64(counts[t]))
	}
	for _, g := range groups {
		peak := 0.0
		for _, p := range g.list {
			peak = math.Max(peak, x.x(p, q.avgBody, q.avgTitle))
		}
		q.add(g.Name, g.list, peak, 1)
	}
	return q
}

// add takes a list into the query. Terms that no passage has add to the
// ceiling.
func (q *Query) add(name string, list []posting, peak, count float64) {
	x := q.x
	df := len(list)
	if x.dead > 0 {
		df = 0
		for _, p := range list {
			if x.alive.Has(p.slot) {
				df++
			}
		}
	}
	w := count * math.Log(1+(float64(x.n)-float64(df)+0.5)/(float64(df)+0.5))
	q.Ceiling += w
	if df > 0 {
		q.legs = append(q.legs, leg{name: name, list: list, weight: w, bound: w * peak / (x.c.K1 + peak)})
	}
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

// Matching is the passages that have any of the query's terms.
func (q *Query) Matching() *bitmap.Set {
	out := &bitmap.Set{}
	for i := range q.legs {
		for _, p := range q.legs[i].list {
			out.Add(p.slot)
		}
	}
	return bitmap.And(out, &q.x.alive)
}

// Share is what one term gives to the score of a passage.
type Share struct {
	Term   string
	Weight float64 // inverse document frequency, times the count in the query
	Body   int     // how often the term is there
	Title  int
	Score  float64
}

// Explain takes a score apart, the largest share first.
func (q *Query) Explain(slot uint32) []Share {
	var out []Share
	for i := range q.legs {
		l := &q.legs[i]
		j := sort.Search(len(l.list), func(j int) bool { return l.list[j].slot >= slot })
		if j < len(l.list) && l.list[j].slot == slot {
			p := l.list[j]
			out = append(out, Share{Term: l.name, Weight: l.weight, Body: int(p.body), Title: int(p.title), Score: q.share(l, p)})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Score > out[j].Score })
	return out
}
