package encoder

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// Known is a model that may be used.
type Known struct {
	Name    string                                   // as settings call it
	Vectors string                                   // name of its vectors; "" where only the loaded model tells it
	Choice  bool                                     // projects may choose it; else only what has its vectors still uses it
	Load    func(ctx context.Context) (Model, error) // nil: switched off
}

// Unknown is the reason for which vectors cannot be searched whose model this
// instance does not know.
const Unknown = "the embedding model that made the vectors of this project is not known here"

// Models keeps those that are in use: the first one always, the others from when
// they are asked for until [Models.Keep] is told that nobody needs them. It is a
// part.
type Models struct {
	known []Known
	make  func(k Known) *Holder

	mu      sync.Mutex
	holders []*Holder // by place in known; nil: not in use
	stopped bool
}

// NewModels returns the models known, the first of which is that of the instance.
// ready is called, on a goroutine of its own, when one is there. The advice of c
// is on the first one.
func NewModels(known []Known, ready func(Model), log *slog.Logger, c Config) *Models {
	m := &Models{known: known, holders: make([]*Holder, len(known))}
	m.make = func(k Known) *Holder { return New(k.Load, ready, log.With("choice", k.Name), c) }
	m.holders[0] = m.make(known[0])
	return m
}

// Name is "knowledge.encoder".
func (m *Models) Name() string { return "knowledge.encoder" }

// Start begins to load the first one and returns at once.
func (m *Models) Start(ctx context.Context) error { return m.holders[0].Start(ctx) }

// Stop ends the loading and closes all.
func (m *Models) Stop(ctx context.Context) error {
	m.mu.Lock()
	held := slices.Clone(m.holders)
	m.stopped = true
	m.mu.Unlock()
	var faults []error
	for _, h := range held {
		if h != nil {
			faults = append(faults, h.Stop(ctx))
		}
	}
	return errors.Join(faults...)
}

// place is that of the model with vectors of a name; below 0 when there is none.
func (m *Models) place(vectors string) int {
	if vectors == "" {
		return 0
	}
	return slices.IndexFunc(m.known, func(k Known) bool {
		if k.Vectors != "" {
			return k.Vectors == vectors
		}
		name, _ := m.holders[0].Model()
		return k.Name == m.known[0].Name && name == vectors
	})
}

// use is the holder at a place, which begins to load when it is used first; nil
// when there is none.
func (m *Models) use(ctx context.Context, place int) *Holder {
	m.mu.Lock()
	defer m.mu.Unlock()
	if place < 0 || m.stopped && place > 0 && m.holders[place] == nil {
		return nil
	}
	if m.holders[place] == nil {
		h := m.make(m.known[place])
		if h.Start(ctx) != nil { // which never fails
			return nil
		}
		m.holders[place] = h
	}
	return m.holders[place]
}

// Encoder is the model for questions, see search.Encoders.
func (m *Models) Encoder(ctx context.Context, vectors string) (search.Encoder, string) {
	h := m.use(ctx, m.place(vectors))
	if h == nil {
		return nil, Unknown
	}
	return h.Encoder()
}

// Settled is the model for passages, see document.Modelling.
func (m *Models) Settled(ctx context.Context, vectors string) (document.Embedder, error) {
	h := m.use(ctx, m.place(vectors))
	if h == nil {
		return nil, ctx.Err()
	}
	return h.Settled(ctx)
}

// Counter is the tokenizer of the first one, or an estimate while it is not there:
// passages are cut alike for all models.
func (m *Models) Counter() chunk.Counter { return m.holders[0].Counter() }

// Choices are the names of what projects may choose, the first one's before them.
func (m *Models) Choices() (first string, others []string) {
	for _, k := range m.known[1:] {
		if k.Choice {
			others = append(others, k.Name)
		}
	}
	return m.known[0].Name, others
}

// chosen is the place of a choice: the first one where it is none, or no longer one.
func (m *Models) chosen(choice string) int {
	return max(0, slices.IndexFunc(m.known, func(k Known) bool { return k.Choice && k.Name == choice }))
}

// Vectors is the name of the vectors of a choice, "" while it is not known.
func (m *Models) Vectors(choice string) string {
	k := m.known[m.chosen(choice)]
	if k.Vectors != "" || k.Load == nil {
		return k.Vectors
	}
	name, _ := m.holders[0].Model()
	return name
}

// Knows reports whether vectors of a name can be searched.
func (m *Models) Knows(vectors string) bool { return m.place(vectors) >= 0 }

// Loaded is the name of the vectors of a model and their length, "" and 0 when it
// is not there.
func (m *Models) Loaded(vectors string) (name string, dim int) {
	place := m.place(vectors)
	m.mu.Lock()
	defer m.mu.Unlock()
	if place < 0 || m.holders[place] == nil {
		return "", 0
	}
	return m.holders[place].Model()
}

// Keep has all models with vectors of these names loaded, and closes all others
// but the first one.
func (m *Models) Keep(ctx context.Context, vectors map[string]bool) error {
	var idle []*Holder
	places := map[int]bool{0: true}
	for name := range vectors {
		if place := m.place(name); place > 0 {
			places[place] = true
			m.use(ctx, place)
		}
	}
	m.mu.Lock()
	for place, h := range m.holders {
		if h != nil && !places[place] {
			idle = append(idle, h)
			m.holders[place] = nil
		}
	}
	m.mu.Unlock()
	var faults []error
	for _, h := range idle {
		faults = append(faults, h.Stop(ctx))
	}
	return errors.Join(faults...)
}

// Check is the health of the models in use: degraded while one is missing.
func (m *Models) Check(ctx context.Context) error {
	if err := m.holders[0].Check(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for place, h := range m.holders[1:] {
		if h == nil {
			continue
		}
		if model, missing := h.get(); model == nil {
			return app.Degraded(m.known[place+1].Name + ": " + missing + "; projects that have chosen it are searched by words or by their model before")
		}
	}
	return nil
}
