package search

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
)

// MaxCandidates is how many passages can be ranked anew.
const MaxCandidates = 200

// Rankers ranks passages anew.
type Rankers interface {
	// Names are those of the models that there are, that of the instance first.
	Names() []string
	// Rank says of each passage how well it answers the question, 0 to 1, by the
	// model of a name, "" being that of the instance; by is what the model is
	// called. Or it says why it does not. The error is that of ctx.
	Rank(ctx context.Context, name, question string, passages []string) (scores []float64, by, why string, err error)
}

// Rerank is whether the best passages are ranked anew, and how.
type Rerank struct {
	On         *bool  // nil: as the engine is configured
	Model      string // "" is that of the instance
	Candidates int    // how many of the best; 0 is as the engine is configured
}

// Reranked is the account of a passage that was ranked anew.
type Reranked struct {
	Score     float64 // 0 to 1
	First     float64 // the score before
	FirstRank int     // from 1
}

// checkRerank checks what a query says of re-ranking.
func (e *Engine) checkRerank(q *Query) error {
	r := &q.Rerank
	if names := e.rankers.Names(); r.Model != "" && !slices.Contains(names, r.Model) {
		return errs.InvalidField("enum", "rerank must be "+strings.Join(append([]string{"true", "false"}, names...), ", ")+" here", "query", "rerank")
	}
	if r.Candidates < 0 || r.Candidates > MaxCandidates {
		return errs.InvalidField("out_of_range", fmt.Sprintf("candidates must be from 1 to %d", MaxCandidates), "query", "candidates")
	}
	if r.On == nil {
		r.On = &e.c.Rerank
	}
	if r.Candidates == 0 {
		r.Candidates = e.c.Candidates
	}
	if r.Candidates = max(r.Candidates, q.Offset+q.Limit); *r.On && r.Candidates > MaxCandidates {
		return errs.InvalidField("out_of_range", fmt.Sprintf("offset and limit must not be beyond the best %d, which can be re-ranked", MaxCandidates), "query", "offset")
	}
	return nil
}

// rank puts what was found into the order of a re-ranker, or says in a why it did
// not.
func (e *Engine) rank(ctx context.Context, q Query, topic string, a *Answer) error {
	switch {
	case q.Diversity > 0:
		a.Unranked = "the query asks for diversity, which has an order of its own"
	case strings.TrimSpace(topic) == "":
		a.Unranked = "the query has conditions and no topic"
	}
	if a.Unranked != "" || len(a.Found) == 0 {
		return nil
	}
	texts := make([]string, len(a.Found))
	for i, f := range a.Found {
		texts[i] = chunk.Chunk{Text: f.Text, Path: f.Path}.Embedded(f.Title) // as its vector was made
	}
	scores, by, why, err := e.rankers.Rank(ctx, q.Rerank.Model, topic, texts)
	if err != nil {
		return err
	}
	if why != "" {
		a.Unranked = why
		return nil
	}
	a.RankedBy = by
	for i := range a.Found {
		a.Found[i].Reranked = &Reranked{Score: scores[i], First: a.Found[i].Score, FirstRank: i + 1}
	}
	slices.SortStableFunc(a.Found, func(x, y Found) int {
		switch {
		case x.Reranked.Score > y.Reranked.Score:
			return -1
		case x.Reranked.Score < y.Reranked.Score:
			return 1
		}
		return 0
	})
	return nil
}
