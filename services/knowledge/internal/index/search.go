package index

import (
	"errors"
	"fmt"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/query"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/topk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/vector"
)

// legs is a request under way.
type legs struct {
	x       *Index
	r       Request
	lq      *lexical.Query
	vq      *vector.Query
	words   *bitmap.Set // where the lexical leg may look; nil: everywhere
	meaning *bitmap.Set // where the vector leg may look
	matched *bitmap.Set // the passages that match by words; nil when they were not searched for
	listed  bool        // there are conditions alone: what meets them is the answer

	far    *asked
	firmly bool // the index is not let go while somebody else is asked
}

// Search ranks the passages that pass the filter. The error is that of a query
// vector of the wrong dimension, or of the request's Leg.
func (x *Index) Search(r Request) (Result, error) {
	q := query.Parse(r.Text)
	x.mu.RLock()
	defer x.mu.RUnlock()
	for try := 1; ; try++ {
		res, err := x.search(q, r, try == attempts)
		if !errors.Is(err, errMoved) {
			return res, err
		}
	}
}

func (x *Index) search(q query.Query, r Request, firmly bool) (Result, error) {
	res := Result{Generation: x.state.Generation, Total: -1}
	if r.Mode != Vector {
		res.Total = 0
	}
	allow, any := x.allowed(r.Filter)
	if !any || r.Limit <= 0 {
		return res, nil
	}
	l := &legs{x: x, r: r, firmly: firmly}
	understood := x.read(q)
	res.Terms, res.Languages = understood.terms, understood.heard
	if err := l.prepare(q, understood, allow); err != nil {
		return res, err
	}
	if l.matched != nil {
		res.Total = l.matched.Len()
	}
	list, err := l.candidates()
	if err != nil {
		return res, err
	}
	if r.Diversity > 0 {
		if list, err = l.diverse(list, min(r.Offset+r.Limit, len(list)), min(r.Diversity, 1)); err != nil {
			return res, err
		}
	}
	for _, c := range list[min(r.Offset, len(list)):min(len(list), r.Offset+r.Limit)] {
		h := Hit{
			ID: c.ID, Document: x.docs[c.Slot], Score: c.Score, TextLanguage: x.tongues.of[c.Slot],
			Lexical: c.Lexical, LexicalRank: c.LexicalRank, Cosine: c.Cosine, HasVector: c.HasVector, VectorRank: c.VectorRank,
		}
		if r.Group {
			h.Others = l.others(c)
		}
		if r.Explain {
			h.Account = l.explain(c)
		}
		res.Hits = append(res.Hits, h)
	}
	return res, nil
}

func (l *legs) prepare(q query.Query, understood *reading, allow *bitmap.Set) (err error) {
	x, r := l.x, l.r
	l.words, l.meaning = allow, allow
	if !q.Plain {
		if bounds := understood.bounds(q.Root); bounds != nil {
			l.meaning = bitmap.And(allow, bounds)
		}
		if matched, ok := understood.match(q.Root); ok {
			l.words = bitmap.And(allow, matched)
		}
	}
	if r.Mode != Vector {
		l.lq = x.lex.Query(understood.words, understood.groups...)
		l.listed = !q.Plain && len(understood.terms) == 0 && l.words != nil && r.Vector == nil
		if l.matched = bitmap.And(l.words, x.lex.Alive()); !l.listed {
			l.matched = bitmap.And(l.words, l.lq.Matching())
		}
	}
	switch {
	case r.Mode == Keyword || r.Vector == nil:
	case r.Leg != nil:
		l.far = &asked{cosines: map[uint32]float64{}}
	default:
		l.vq, err = x.vec.Query(r.Vector)
	}
	return err
}

// candidates are the passages of both legs, best first; with Group, the best
// of each document. The legs are asked for more while what they give makes too
// few documents.
func (l *legs) candidates() ([]fusion.Candidate, error) {
	need := l.r.Offset + l.r.Limit
	for depth := max(l.x.c.Depth, 5*need); ; depth *= 4 {
		list, all, err := l.joined(depth)
		if err != nil || !l.r.Group {
			return list, err
		}
		seen := map[int64]bool{}
		best := list[:0]
		for _, c := range list {
			if d := l.x.docs[c.Slot]; !seen[d] {
				seen[d] = true
				best = append(best, c)
			}
		}
		if len(best) >= need || all {
			return best, nil
		}
	}
}

// joined is the best of both legs, to a depth; all says that there is nothing
// below.
func (l *legs) joined(depth int) (list []fusion.Candidate, all bool, err error) {
	x := l.x
	before := func(a, b uint32) bool { return x.ids[a] < x.ids[b] }
	found := map[uint32]*fusion.Candidate{}
	candidate := func(slot uint32) *fusion.Candidate {
		c := found[slot]
		if c == nil {
			c = &fusion.Candidate{ID: x.ids[slot], Slot: slot}
			found[slot] = c
		}
		return c
	}
	all = true
	ceiling := 0.0
	switch {
	case l.listed:
		first := topk.New(depth, before)
		l.matched.All(func(slot uint32) bool { first.Offer(slot, 0); return true })
		for _, s := range first.Ranked() {
			candidate(s.Slot)
		}
		all = len(found) < depth
	case l.lq != nil:
		hits := l.lq.Search(depth, l.words, before)
		for i, h := range hits {
			candidate(h.Slot).LexicalRank = i + 1
		}
		all = len(hits) < depth
		ceiling = l.lq.Ceiling
	}
	if l.vq != nil {
		hits := l.vq.Search(depth, l.meaning, before)
		for i, h := range hits {
			candidate(h.Slot).VectorRank = i + 1
		}
		all = all && len(hits) < depth
	}
	if l.far != nil {
		slots, more, err := l.ask(depth, found)
		if err != nil {
			return nil, false, err
		}
		for i, slot := range slots {
			candidate(slot).VectorRank = i + 1
		}
		all = all && !more
	}
	list = make([]fusion.Candidate, 0, len(found))
	for slot, c := range found {
		if l.lq != nil {
			c.Lexical = l.lq.Score(slot)
		}
		if l.vq != nil {
			c.Cosine, c.HasVector = l.vq.Cosine(slot)
		}
		if l.far != nil {
			c.Cosine, c.HasVector = l.far.cosine(slot)
		}
		list = append(list, *c)
	}
	fusion.Join(list, l.r.Method, l.weight(), ceiling, x.c.Fusion)
	return list, all, nil
}

// weight is alpha where both legs run, and all of the one that does else.
func (l *legs) weight() float64 {
	switch {
	case l.vq == nil && l.far == nil:
		return 0
	case l.lq == nil:
		return 1
	}
	return min(max(l.r.Alpha, 0), 1)
}

// others counts the passages of a candidate's document that were found beside
// it: those that match by words, all of them.
func (l *legs) others(c fusion.Candidate) int {
	if l.matched == nil {
		return 0
	}
	n := 0
	for _, slot := range l.x.byDoc[l.x.docs[c.Slot]] {
		if slot != c.Slot && l.matched.Has(slot) {
			n++
		}
	}
	return n
}

func (l *legs) explain(c fusion.Candidate) *Explanation {
	e := &Explanation{Weight: l.weight(), Cosine01: fusion.Cosine01(c.Cosine)}
	if l.lq != nil {
		e.Terms, e.Lexical01 = l.lq.Explain(c.Slot), fusion.Lexical01(c.Lexical, l.lq.Ceiling)
	}
	return e
}

// poolFactor is how many candidates stand behind each place of a diverse
// answer, and maxPool the most that are compared.
const (
	poolFactor = 10
	maxPool    = 500
)

// diverse picks the first n by maximal marginal relevance: each the best by
// score, less how near it is to the nearest that was picked before. Passages
// without a vector are near to none.
func (l *legs) diverse(list []fusion.Candidate, n int, diversity float64) ([]fusion.Candidate, error) {
	pool := list[:min(len(list), maxPool, max(n*poolFactor, 50))]
	between, err := l.between(pool)
	if err != nil {
		return nil, err
	}
	near := make([]float64, len(pool))
	taken := make([]bool, len(pool))
	out := make([]fusion.Candidate, 0, n)
	for len(out) < min(n, len(pool)) {
		best, value := -1, 0.0
		for i, c := range pool {
			if v := (1-diversity)*c.Score - diversity*near[i]; !taken[i] && (best < 0 || v > value) {
				best, value = i, v
			}
		}
		taken[best] = true
		out = append(out, pool[best])
		for i, c := range pool {
			if cosine, ok := between(pool[best], c); ok && !taken[i] {
				near[i] = max(near[i], cosine)
			}
		}
	}
	return out, nil
}

// allowed is the set of passages that pass the filter, nil for all; any is
// false when none can.
func (x *Index) allowed(f Filter) (allow *bitmap.Set, any bool) {
	var sets []*bitmap.Set
	for _, want := range []struct {
		f  facet
		on bool
	}{
		{facet{'c', f.Collection}, f.Collection != ""}, {facet{'k', f.Category}, f.Category != ""},
		{facet{'t', fmt.Sprint(f.Technology)}, f.Technology != 0}, {facet{'r', fmt.Sprint(f.Repository)}, f.Repository != 0},
	} {
		if !want.on {
			continue
		}
		s := x.facets[want.f]
		if s == nil {
			return nil, false
		}
		sets = append(sets, s)
	}
	if len(sets) == 0 {
		return nil, true
	}
	return bitmap.And(sets...), true
}
