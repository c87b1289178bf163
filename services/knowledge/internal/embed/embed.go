package embed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/fetch"
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
	name    string
	profile Profile
	set     kernel.Set
	model   *bert.Model
	tokens  Tokenizer
	limit   int // tokens of one text
	workers int // parts of a batch at a time
	gate    *gate
	cache   *cache
	scratch sync.Pool // of *bert.Scratch

	closing atomic.Bool
	mu      sync.Mutex
	running int        // passes
	idle    *sync.Cond // running went to 0
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
	profile := o.Model.Profile
	tokens, err := loadTokenizer(filepath.Join(dir, fetch.TokenizerFile))
	if err != nil {
		return nil, fmt.Errorf("load the embedding model: %w", err)
	}
	model, err := bert.Open(filepath.Join(dir, fetch.WeightsFile), profile.Network, set)
	if err != nil {
		return nil, fmt.Errorf("load the embedding model: %w", err)
	}
	if tokens.Size() > model.Vocab() {
		return nil, errors.Join(fmt.Errorf("load the embedding model from %s: %d tokens, weights for %d", dir, tokens.Size(), model.Vocab()), model.Close())
	}
	places := o.Workers
	if places < 1 {
		places = runtime.GOMAXPROCS(0)
	}
	batches := o.BatchWorkers
	if batches < 1 {
		batches = places - 1
	}
	batches = min(max(batches, 1), places)
	e := &Embedder{
		name:    o.Name,
		profile: profile,
		set:     set,
		model:   model,
		tokens:  tokens,
		limit:   min(cmp.Or(profile.Window, defaultWindow), model.MaxTokens()),
		workers: batches,
		gate:    newGate(places, batches, cmp.Or(max(o.MaxQueries, 0), 256)),
		cache:   newCache(cmp.Or(o.QueryCache, 1024)),
	}
	if e.name == "" {
		source := o.Model.Source
		if source.Repository == "" {
			source = fetch.MiniLM
		}
		e.name = source.Name()
	}
	e.idle = sync.NewCond(&e.mu)
	return e, nil
}

// Name identifies model and revision: vectors of different names do not mix.
func (e *Embedder) Name() string { return e.name }

// Kernel names the arithmetic in use: "avx512", "avx2", "neon" or "plain".
func (e *Embedder) Kernel() string { return e.set.String() }

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
	key := keyOf(tokens)
	if v, ok := e.cache.get(key); ok {
		return v, nil
	}
	if err := e.gate.enterQuery(ctx); err != nil {
		return nil, err
	}
	defer e.gate.leaveQuery()
	out := [][]float32{make([]float32, e.Dim())}
	if err := e.pass([][]int32{tokens}, out, ctx.Err); err != nil {
		return nil, err
	}
	e.cache.put(key, out[0])
	return out[0], nil
}

// pass runs the model once. The caller has a place.
func (e *Embedder) pass(tokens [][]int32, out [][]float32, pause func() error) error {
	if !e.begin() {
		return ErrClosed
	}
	defer e.end()
	stop := func() error {
		if e.closing.Load() {
			return ErrClosed
		}
		return pause()
	}
	s, ok := e.scratch.Get().(*bert.Scratch)
	if !ok {
		s = new(bert.Scratch)
	}
	defer e.scratch.Put(s)
	return e.model.Forward(s, tokens, out, stop)
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
	for range min(e.workers, len(b.parts)) {
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
	return b.e.pass(tokens, out, func() error {
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

// begin counts a pass, so that the weights stay until its end; false when the
// embedder is closing.
func (e *Embedder) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Load() {
		return false
	}
	e.running++
	return true
}

func (e *Embedder) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running--; e.running == 0 {
		e.idle.Broadcast()
	}
}

// Close frees the weights. Calls that are running end with [ErrClosed] at
// their next half layer; Close waits for them. A second call does nothing.
func (e *Embedder) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Swap(true) {
		return nil
	}
	for e.running > 0 {
		e.idle.Wait()
	}
	return e.model.Close()
}
