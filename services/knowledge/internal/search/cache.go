package search

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/maypok86/otter/v2"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

// cacheKey is a project, what is known of it, and a question with all that was
// said of it.
type cacheKey [sha256.Size]byte

// answers keeps what was answered. Nothing is ever taken out for being old: the
// generation of a project is a part of the key, and the database is asked for it
// before anything that was kept is given.
type answers = otter.Cache[cacheKey, Answer]

// atOnce has the cache keep its bound by who writes to it, and not a little later.
func atOnce(evict func()) { evict() }

// weight of an answer, and of a passage, beside its texts.
const (
	weightOfAnswer  = 1 << 10
	weightOfPassage = 1 << 9
)

func newAnswers(bytes int64) *answers {
	if bytes <= 0 {
		return nil
	}
	return otter.Must(&otter.Options[cacheKey, Answer]{MaximumWeight: uint64(bytes), Executor: atOnce, Weigher: func(_ cacheKey, a Answer) uint32 {
		n := weightOfAnswer + 4*len(a.Vector)
		for _, f := range a.Found {
			n += weightOfPassage + len(f.Text) + 16*len(f.Highlights)
			for _, s := range slices.Concat(f.Before, f.After) {
				n += len(s)
			}
		}
		return uint32(min(n, 1<<31)) //nolint:gosec // G115: bounded in the line
	}})
}

// notKept is an answer that may be another one in a moment: a model was not
// there, or the index was behind.
type notKept struct{ Answer }

func (notKept) Error() string { return "not kept" }

// cached answers q, which was checked, from what is kept when nothing has changed
// in the project since, and otherwise once for all who ask it at this moment.
func (e *Engine) cached(ctx context.Context, p tenant.Project, q Query) (Answer, error) {
	x, err := e.indexes.At(ctx, p, 0)
	if err != nil {
		return Answer{}, err
	}
	state := x.State()
	// An answer by words alone is good for as long as its reason is. Whoever asks for
	// words has no model loaded.
	missing := ""
	if mode, _, _ := e.decide(q, state.Settings); mode != index.Keyword {
		_, missing = e.encoders.Encoder(ctx, state.Model)
	}
	key, err := keyOf(p, x, missing, q)
	if err != nil {
		return Answer{}, err
	}
	if a, ok := e.answers.GetIfPresent(key); ok {
		generation, err := e.shelf.Generation(ctx, p)
		if err != nil {
			return Answer{}, err
		}
		if generation == state.Generation {
			a.Cached = true
			return a, nil
		}
		return e.search(ctx, p, q)
	}
	a, err := e.answers.Get(ctx, key, otter.LoaderFunc[cacheKey, Answer](func(ctx context.Context, _ cacheKey) (Answer, error) {
		a, err := e.search(ctx, p, q)
		if err == nil && (a.Reason != "" && a.Reason != NoTopic && a.Reason != missing || a.Unranked != "" || a.Generation != state.Generation || a.Generation == 0) {
			err = notKept{a}
		}
		return a, err
	}))
	if not, ok := errors.AsType[notKept](err); ok {
		return not.Answer, nil
	}
	return a, err
}

// keyOf names a question, asked while an encoder is there or is missing for a reason.
// The languages of an index are a part of it, since those of the project may already
// be others.
func keyOf(p tenant.Project, x *index.Index, missing string, q Query) (cacheKey, error) {
	asked, err := json.Marshal(q)
	if err != nil {
		return cacheKey{}, fmt.Errorf("spell a query: %w", err)
	}
	known, err := json.Marshal(x.State())
	if err != nil {
		return cacheKey{}, fmt.Errorf("spell the state of an index: %w", err)
	}
	return sha256.Sum256(fmt.Appendf(nil, "%d\n%v\n%q\n%s\n%s", p, x.Languages(), missing, known, asked)), nil
}
