package embed

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

// defaultWindow is how much of a text the default model was made to see.
const defaultWindow = 256

// passTokens bounds the tokens of one forward pass of a batch: enough for the
// matrix products to be at their best, few enough for a query to wait only
// some milliseconds for the next half layer.
const passTokens = 256

// ErrClosed says that the embedder was closed, before or during the call.
var ErrClosed = errs.New(errs.Unavailable, "the embedding model is shut down")

// Embedder runs the model. Safe for concurrent use.
type Embedder struct {
	*network
	cache *otter.Cache[string, []float32] // of the latest queries, by their tokens; nil for none
}

// New is [Locate], then [Load].
func New(o Options) (*Embedder, error) {
	dir, err := Locate(o)
	if err != nil {
		return nil, err
	}
	return Load(dir, o)
}

// Load opens the model in dir, which is run by the profile of [Options].Model,
// whatever model of the family it is: it is [Locate] and [Fetch] that check the
// files. It takes some 50 ms for the default model.
func Load(dir string, o Options) (*Embedder, error) {
	return load(dir, o, kernel.Best())
}

func load(dir string, o Options, set kernel.Set) (*Embedder, error) {
	n, err := openNetwork(dir, o, set)
	if err != nil {
		return nil, fmt.Errorf("load the embedding model: %w", err)
	}
	return &Embedder{network: n, cache: newCache(cmp.Or(o.QueryCache, 1024))}, nil
}

// Dim is the length of a vector.
func (e *Embedder) Dim() int { return e.model.Dim() }

// MaxTokens is how much of a text the model sees, the two markers included: a
// text of up to MaxTokens()-2 tokens is seen whole, the rest is cut off.
func (e *Embedder) MaxTokens() int { return e.limit }

// Tokenizer is the model's own.
func (e *Embedder) Tokenizer() Tokenizer { return e.tokens }

// EmbedQuery gives the vector of one short text, ahead of any batch. The slice
// is the caller's. Errors: the context's, [ErrClosed], and Unavailable when
// too many queries wait.
func (e *Embedder) EmbedQuery(ctx context.Context, text string) ([]float32, error) {
	if e.closing.Load() {
		return nil, ErrClosed
	}
	tokens := e.tokens.Encode(nil, e.profile.Query+text, e.limit)
	if e.cache == nil {
		return e.encode(ctx, tokens)
	}
	v, err := e.cache.Get(ctx, keyOf(tokens), otter.LoaderFunc[string, []float32](func(ctx context.Context, _ string) ([]float32, error) {
		return e.encode(ctx, tokens)
	}))
	return slices.Clone(v), err
}

// encode gives the vector of a query, which takes its turn.
func (e *Embedder) encode(ctx context.Context, tokens []int32) ([]float32, error) {
	if err := e.gate.enterQuery(ctx); err != nil {
		return nil, err
	}
	defer e.gate.leaveQuery()
	out := [][]float32{make([]float32, e.Dim())}
	if err := e.embed([][]int32{tokens}, out, ctx.Err); err != nil {
		return nil, err
	}
	return out[0], nil
}

// embed runs the model once. The caller has a place.
func (e *Embedder) embed(tokens [][]int32, out [][]float32, pause func() error) error {
	return e.pass(pause, func(s *bert.Scratch, pause func() error) error {
		return e.model.Forward(s, tokens, out, pause)
	})
}

// EmbedBatch gives the vectors of texts, in their order. progress, if not nil,
// hears how many are done; its calls do not overlap and never go back. After
// an error there are no vectors; it is the context's or [ErrClosed].
func (e *Embedder) EmbedBatch(ctx context.Context, texts []string, progress func(done int)) ([][]float32, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &batch{e: e, progress: progress}
	of := make([]int, 0, len(texts)) // text of each sequence
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, part := range e.sequences(e.profile.Passage + text) {
			b.tokens, of = append(b.tokens, part), append(of, i)
		}
	}
	flat := make([]float32, len(of)*e.Dim())
	for i := range of {
		b.out = append(b.out, flat[i*e.Dim():(i+1)*e.Dim():(i+1)*e.Dim()])
	}
	if len(of) > len(texts) && progress != nil { // parts are no texts
		b.progress = func(done int) { progress(done * len(texts) / len(of)) }
	}
	b.parts = inParts(b.tokens)
	var running sync.WaitGroup
	for range min(e.gate.most, len(b.parts)) {
		running.Go(func() {
			if err := b.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(of) > len(texts) {
		return joined(b, of, len(texts)), nil
	}
	return b.out, nil
}

// batch is one call of EmbedBatch.
type batch struct {
	e      *Embedder
	tokens [][]int32
	out    [][]float32
	parts  [][]int // of texts, by their place

	next     atomic.Int64 // part
	mu       sync.Mutex
	done     int
	progress func(int)
}

// work takes part after part until there are no more.
func (b *batch) work(ctx context.Context) error {
	for {
		i := int(b.next.Add(1)) - 1
		if i >= len(b.parts) {
			return nil
		}
		if err := b.run(ctx, b.parts[i]); err != nil {
			return err
		}
		b.mu.Lock()
		b.done += len(b.parts[i])
		if b.progress != nil {
			b.progress(b.done)
		}
		b.mu.Unlock()
	}
}

func (b *batch) run(ctx context.Context, part []int) error {
	if err := b.e.gate.enterBatch(ctx); err != nil {
		return err
	}
	lost := false
	defer func() {
		if !lost {
			b.e.gate.leaveBatch()
		}
	}()
	tokens, out := make([][]int32, len(part)), make([][]float32, len(part))
	for i, at := range part {
		tokens[i], out[i] = b.tokens[at], b.out[at]
	}
	return b.e.embed(tokens, out, func() error {
		// A pass is long for others that wait for the processor, too.
		runtime.Gosched()
		err := b.e.gate.yield(ctx)
		lost = err != nil
		return err
	})
}

// inParts cuts a batch into forward passes: texts of like length together, so
// that none runs out of step with the rest.
func inParts(tokens [][]int32) (parts [][]int) {
	order := make([]int, len(tokens))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(tokens[b]) - len(tokens[a]) })
	from, sum := 0, 0
	for i, at := range order {
		if sum+len(tokens[at]) > passTokens && i > from {
			parts = append(parts, order[from:i])
			from, sum = i, 0
		}
		sum += len(tokens[at])
	}
	if from < len(order) {
		parts = append(parts, order[from:])
	}
	return parts
}
