package fusion

import (
	"math"
	"sort"
)

// Method is a way to join the legs.
type Method string

// The methods. Convex keeps how far apart passages are; RRF only their order.
const (
	Convex Method = "convex"
	RRF    Method = "rrf"
)

// Config says how legs are joined. The zero value of a field takes its
// default.
type Config struct {
	K float64 // of RRF; 60
}

// Candidate is a passage with the scores of its legs. A rank is the place
// in the leg from 1, or 0 when the leg did not list the passage.
type Candidate struct {
	ID          int64 // breaks ties, the lower first
	Slot        uint32
	Lexical     float64
	LexicalRank int
	Cosine      float64
	HasVector   bool
	VectorRank  int
	Score       float64 // the result, 0 to 1
}

// Lexical01 brings a lexical score into 0 to 1: the share of what the query's
// terms could give at most. It depends on the query and the passage alone, so
// it means the same on every page and in every project.
func Lexical01(score, ceiling float64) float64 {
	if ceiling <= 0 {
		return 0
	}
	return clamp(score / ceiling)
}

// Cosine01 brings a cosine into 0 to 1. Directions that disagree are as
// unrelated as those that have nothing to do with each other.
func Cosine01(c float64) float64 { return clamp(c) }

func clamp(v float64) float64 { return math.Min(math.Max(v, 0), 1) }

// Join scores the candidates and sorts them, best first. alpha is the weight
// of the vector leg, 0 to 1; ceiling is that of the lexical query.
func Join(cs []Candidate, m Method, alpha, ceiling float64, c Config) {
	if c.K <= 0 {
		c.K = 60
	}
	switch m {
	case RRF:
		// The most that both legs can give is alpha+(1-alpha) at rank 1.
		at := func(rank int) float64 {
			if rank == 0 {
				return 0
			}
			return (c.K + 1) / (c.K + float64(rank))
		}
		for i := range cs {
			cs[i].Score = alpha*at(cs[i].VectorRank) + (1-alpha)*at(cs[i].LexicalRank)
		}
	default:
		for i := range cs {
			words := Lexical01(cs[i].Lexical, ceiling)
			if !cs[i].HasVector { // not embedded yet: judged by its words alone
				cs[i].Score = words
				continue
			}
			cs[i].Score = alpha*Cosine01(cs[i].Cosine) + (1-alpha)*words
		}
	}
	sort.Slice(cs, func(i, j int) bool {
		if cs[i].Score != cs[j].Score {
			return cs[i].Score > cs[j].Score
		}
		return cs[i].ID < cs[j].ID
	})
}
