package ireval

import (
	"cmp"
	"maps"
	"slices"
)

// Qrels are the relevance of documents by query; above 0 is relevant.
type Qrels map[string]map[string]int

// Add judges one document of a query.
func (q Qrels) Add(query, document string, relevance int) {
	if q[query] == nil {
		q[query] = map[string]int{}
	}
	q[query][document] = relevance
}

// Judged are the queries with a positive judgement, in order.
func (q Qrels) Judged() []string {
	var out []string
	for id, rel := range q {
		for _, v := range rel {
			if v > 0 {
				out = append(out, id)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// Run is the score of documents by query.
type Run map[string]map[string]float64

// Add scores one document of a query.
func (r Run) Add(query, document string, score float64) {
	if r[query] == nil {
		r[query] = map[string]float64{}
	}
	r[query][document] = score
}

// Ranked are the documents of a query, best first. Order is that of trec_eval:
// by score in single precision, and of equal ones the higher name first.
func (r Run) Ranked(query string) []string {
	scores := r[query]
	return slices.SortedFunc(maps.Keys(scores), func(a, b string) int {
		if c := cmp.Compare(float32(scores[b]), float32(scores[a])); c != 0 {
			return c
		}
		return cmp.Compare(b, a)
	})
}

// Listed scores documents so that they rank as they are listed. The first of
// those that are listed twice counts.
func Listed(documents []string) map[string]float64 {
	out := make(map[string]float64, len(documents))
	for i, d := range documents {
		if _, twice := out[d]; !twice {
			out[d] = float64(len(documents) - i)
		}
	}
	return out
}
