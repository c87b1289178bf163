package evaluation

import (
	"math"
	"sort"
)

// Judgements are the relevance of documents by query; above 0 is relevant.
type Judgements map[string]map[string]int

// Run is the score of documents by query.
type Run map[string]map[string]float64

// Figures are averages over the judged queries, each 0 to 1.
type Figures struct {
	Queries   int
	NDCG10    float64
	Recall10  float64
	Recall100 float64
	MAP       float64
	MRR10     float64
}

// Measure compares a run with the judgements. A query that is missing from the
// run counts as 0; only, when not nil, says which queries count.
func Measure(j Judgements, r Run, only func(query string) bool) Figures {
	var f Figures
	for q, rel := range j {
		if only != nil && !only(q) {
			continue
		}
		var ideal []float64
		for _, v := range rel {
			if v > 0 {
				ideal = append(ideal, float64(v))
			}
		}
		if len(ideal) == 0 {
			continue
		}
		f.Queries++
		sort.Sort(sort.Reverse(sort.Float64Slice(ideal)))
		idcg := 0.0
		for i, v := range ideal[:min(len(ideal), 10)] {
			idcg += v / math.Log2(float64(i+2))
		}
		dcg, hits, ap := 0.0, 0, 0.0
		for i, d := range ranked(r[q])[:min(len(r[q]), 1000)] {
			v := rel[d]
			if v <= 0 {
				continue
			}
			hits++
			ap += float64(hits) / float64(i+1)
			if i < 10 {
				dcg += float64(v) / math.Log2(float64(i+2))
				f.Recall10 += 1 / float64(len(ideal))
				if hits == 1 {
					f.MRR10 += 1 / float64(i+1)
				}
			}
			if i < 100 {
				f.Recall100 += 1 / float64(len(ideal))
			}
		}
		f.NDCG10 += dcg / idcg
		f.MAP += ap / float64(len(ideal))
	}
	if n := float64(f.Queries); n > 0 {
		for _, v := range []*float64{&f.NDCG10, &f.Recall10, &f.Recall100, &f.MAP, &f.MRR10} {
			*v /= n
		}
	}
	return f
}

func ranked(scores map[string]float64) []string {
	ids := make([]string, 0, len(scores))
	for d := range scores {
		ids = append(ids, d)
	}
	sort.Slice(ids, func(a, b int) bool {
		if scores[ids[a]] != scores[ids[b]] {
			return scores[ids[a]] > scores[ids[b]]
		}
		return ids[a] > ids[b]
	})
	return ids
}
