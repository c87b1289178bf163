package ireval

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Measure is a figure of a ranking. Make it with [ParseMeasure].
type Measure struct {
	kind string
	cut  int // 0: none
}

// MaxCut is the deepest that a measure looks.
const MaxCut = 10_000

// ParseMeasure reads "ndcg@10", "recall@100", "p@5", "map" or "mrr". Those with
// a cut look no deeper, and those that can go without one look at all.
func ParseMeasure(name string) (Measure, error) {
	kind, cut, cuts := strings.Cut(strings.ToLower(name), "@")
	if !slices.Contains([]string{"ndcg", "recall", "p", "map", "mrr"}, kind) {
		return Measure{}, fmt.Errorf("measure %q is none of ndcg, recall, p, map and mrr", name)
	}
	if !cuts {
		if kind == "p" || kind == "recall" {
			return Measure{}, fmt.Errorf("measure %q needs a depth, as in %s@10", name, kind)
		}
		return Measure{kind: kind}, nil
	}
	n, err := strconv.Atoi(cut)
	if err != nil || n < 1 || n > MaxCut {
		return Measure{}, fmt.Errorf("measure %q: the depth is from 1 to %d", name, MaxCut)
	}
	return Measure{kind, n}, nil
}

// Measures reads several, and panics at what is none: for those that a program
// knows.
func Measures(names ...string) []Measure {
	out := make([]Measure, len(names))
	for i, n := range names {
		var err error
		if out[i], err = ParseMeasure(n); err != nil {
			panic(err)
		}
	}
	return out
}

// String is the name that [ParseMeasure] reads.
func (m Measure) String() string {
	if m.cut == 0 {
		return m.kind
	}
	return m.kind + "@" + strconv.Itoa(m.cut)
}

// Of is the figure of one ranking, 0 to 1. Without a positive judgement it is 0.
func (m Measure) Of(ranked []string, judged map[string]int) float64 {
	var ideal []int
	for _, v := range judged {
		if v > 0 {
			ideal = append(ideal, v)
		}
	}
	if len(ideal) == 0 {
		return 0
	}
	if m.cut > 0 {
		ranked = ranked[:min(len(ranked), m.cut)]
	}
	hits, gain, precisions := 0, 0.0, 0.0
	for i, d := range ranked {
		v := judged[d]
		if v <= 0 {
			continue
		}
		hits++
		if m.kind == "mrr" {
			return 1 / float64(i+1)
		}
		gain += float64(v) / math.Log2(float64(i+2))
		precisions += float64(hits) / float64(i+1)
	}
	switch m.kind {
	case "ndcg":
		return gain / m.most(ideal)
	case "recall":
		return float64(hits) / float64(len(ideal))
	case "p":
		return float64(hits) / float64(m.cut)
	case "map":
		return precisions / float64(len(ideal))
	}
	return 0
}

// most is the gain of the best ranking that the judgements allow: of all that was
// judged, not of what was found.
func (m Measure) most(ideal []int) (gain float64) {
	slices.SortFunc(ideal, func(a, b int) int { return b - a })
	if m.cut > 0 {
		ideal = ideal[:min(len(ideal), m.cut)]
	}
	for i, v := range ideal {
		gain += float64(v) / math.Log2(float64(i+2))
	}
	return gain
}

// Figures are what was measured, query by query.
type Figures struct {
	Queries []string             // the judged ones, in order
	Values  map[string][]float64 // by measure, in the order of Queries
}

// Evaluate measures a run on the judged queries; only, when not nil, says which
// of them count.
func Evaluate(q Qrels, r Run, only func(query string) bool, measures ...Measure) Figures {
	f := Figures{Values: map[string][]float64{}}
	for _, id := range q.Judged() {
		if only != nil && !only(id) {
			continue
		}
		f.Queries = append(f.Queries, id)
		ranked := r.Ranked(id)
		for _, m := range measures {
			f.Values[m.String()] = append(f.Values[m.String()], m.Of(ranked, q[id]))
		}
	}
	return f
}

// Mean is the mean of a measure over the queries, 0 without any.
func (f Figures) Mean(measure string) float64 { return mean(f.Values[measure]) }

func mean(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
