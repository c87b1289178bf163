package embed

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

// Ranker is a cross-encoder: it reads a question and a passage as one text, and
// says how well the one answers the other. Safe for concurrent use.
type Ranker struct{ *network }

// LoadRanker opens the model in dir, see [Load].
func LoadRanker(dir string, o Options) (*Ranker, error) {
	n, err := openNetwork(dir, o, kernel.Best())
	if err != nil {
		return nil, fmt.Errorf("load the re-ranking model: %w", err)
	}
	return &Ranker{n}, nil
}

// Score says of each passage how well it answers the question, in their order:
// the numbers of the model's head, which are the logarithm of the odds. It goes
// behind questions that are to be embedded, and before passages that are. Errors:
// the context's and [ErrClosed].
func (r *Ranker) Score(ctx context.Context, question string, passages []string) ([]float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pairs, second := make([][]int32, len(passages)), make([]int, len(passages))
	for i, p := range passages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pairs[i], second[i] = r.pair(question, p)
	}
	out := make([]float64, len(passages))
	parts := make(chan []int)
	var running sync.WaitGroup
	for range min(r.gate.places, len(passages)) {
		running.Go(func() {
			for part := range parts {
				if err := r.score(ctx, pairs, second, part, out); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for _, part := range inParts(pairs) {
		select {
		case parts <- part:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(parts)
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// score runs the model once, for a part of the pairs.
func (r *Ranker) score(ctx context.Context, pairs [][]int32, second []int, part []int, out []float64) error {
	if err := r.gate.enterRanking(ctx); err != nil {
		return err
	}
	lost := false
	defer func() {
		if !lost {
			r.gate.leaveRanking()
		}
	}()
	p, at, scores := make([][]int32, len(part)), make([]int, len(part)), make([]float32, len(part))
	for i, n := range part {
		p[i], at[i] = pairs[n], second[n]
	}
	err := r.pass(func() error {
		runtime.Gosched()
		err := r.gate.yieldRanking(ctx)
		lost = err != nil
		return err
	}, func(s *bert.Scratch, pause func() error) error { return r.model.Score(s, p, at, scores, pause) })
	for i, n := range part {
		out[n] = float64(scores[i])
	}
	return err
}

// markers is how many stand around and between a pair of texts.
const markers = 3

// pair is a question and a passage as one sequence, and where the passage begins.
// Of what is too long the longer text is cut, as the publishers of such models do
// it: the shorter one keeps up to half of the room.
func (r *Ranker) pair(question, passage string) (tokens []int32, second int) {
	room := r.limit - markers
	q := r.tokens.Encode(nil, question, r.limit)
	p := r.tokens.Encode(nil, passage, r.limit)
	begin, end := q[0], q[len(q)-1]
	q, p = q[1:len(q)-1], p[1:len(p)-1]
	if len(q)+len(p) > room {
		short := min(len(q), len(p), room/2)
		if len(q) <= len(p) {
			q, p = q[:short], p[:room-short]
		} else {
			q, p = q[:room-short], p[:short]
		}
	}
	tokens = append(make([]int32, 0, len(q)+len(p)+markers), begin)
	tokens = append(append(tokens, q...), end)
	second = len(tokens)
	return append(append(tokens, p...), end), second
}
