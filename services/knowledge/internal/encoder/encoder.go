package encoder

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// Model is a loaded model. Close is called when nothing uses it any more.
type Model interface {
	document.Embedder
	search.Encoder
	chunk.Counter
	Close() error
}

// Config says how a model is looked for. The zero value of a field takes its
// default.
type Config struct {
	Patience time.Duration // how long indexing waits for a model that is on its way; 60 s
	Retry    time.Duration // first pause before the model is looked for again, doubling; 30 s
	RetryMax time.Duration // longest pause; 15 min
	Advice   string        // what to do while it is missing; anybody may read it
}

// Holder keeps one model. It is a part.
type Holder struct {
	load    func(ctx context.Context) (Model, error)
	ready   func(Model)
	log     *slog.Logger
	c       Config
	mu      sync.RWMutex
	model   Model
	missing string
	settled chan struct{} // closed when the first try has ended
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// The reasons for which a model is missing, as answers and the health of the
// instance give them to anybody: they name no file and no address of this
// machine, which the log does.
const (
	Loading     = "the embedding model is being loaded"
	Off         = "the embedding model is switched off"
	NotFetched  = "the embedding model has not been fetched yet"
	Unfetchable = "the embedding model cannot be fetched: there is no network, or no source has it"
	Damaged     = "the files of the embedding model are damaged"
	Unreadable  = "the files of the embedding model cannot be read or written"
	Unanswered  = "the embedding service does not answer as it should"
	Unusable    = "the embedding model cannot be loaded"
)

// Failure is why a model could not be loaded: one of the reasons above for
// everybody, and the error for the log.
type Failure struct {
	Reason string
	Err    error
}

// Error is that of the cause.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// reason is what everybody may know of err.
func reason(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return Unusable
}

// New returns a holder that loads the model with load, whose error may be a
// [Failure], and calls ready, on a
// goroutine of its own, when it is there. A nil load is a model that is
// switched off.
func New(load func(ctx context.Context) (Model, error), ready func(Model), log *slog.Logger, c Config) *Holder {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.Patience, time.Minute}, {&c.Retry, 30 * time.Second}, {&c.RetryMax, 15 * time.Minute}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	h := &Holder{load: load, ready: ready, log: log, c: c, missing: Loading, settled: make(chan struct{})}
	if load == nil {
		h.missing = Off
		close(h.settled)
	}
	return h
}

// Name is "knowledge.encoder".
func (h *Holder) Name() string { return "knowledge.encoder" }

// Start begins to load and returns at once.
func (h *Holder) Start(ctx context.Context) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	if h.load != nil {
		h.done.Go(func() { h.run(life) })
	}
	return nil
}

// Stop ends the loading and closes the model.
func (h *Holder) Stop(context.Context) error {
	h.stop()
	h.done.Wait()
	h.mu.Lock()
	m := h.model
	h.model, h.missing = nil, Off
	h.mu.Unlock()
	if m != nil {
		return m.Close()
	}
	return nil
}

func (h *Holder) run(ctx context.Context) {
	pause := h.c.Retry
	for first := true; ; first = false {
		began := time.Now()
		m, err := h.load(ctx)
		h.mu.Lock()
		if err == nil {
			h.model, h.missing = m, ""
		} else {
			h.missing = reason(err)
		}
		h.mu.Unlock()
		if first {
			close(h.settled)
		}
		if err == nil {
			h.log.InfoContext(ctx, "model.load", "outcome", "ready", "model", m.Name(), "dim", m.Dim(), "ms", time.Since(began).Milliseconds())
			if h.ready != nil {
				h.ready(m)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		h.log.WarnContext(ctx, "model.load", "outcome", "missing, search is by words", "err", err, "again_in", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, h.c.RetryMax)
	}
}

func (h *Holder) get() (Model, string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.model, h.missing
}

// Encoder is the model for questions, see search.Encoders.
func (h *Holder) Encoder() (search.Encoder, string) {
	m, missing := h.get()
	if m == nil {
		return nil, missing
	}
	return m, ""
}

// Counter is the model's tokenizer, or an estimate while there is no model.
func (h *Holder) Counter() chunk.Counter {
	if m, _ := h.get(); m != nil {
		return m
	}
	return chunk.Estimate{}
}

// Model is the name of the model and the length of its vectors; "" and 0 while
// there is none.
func (h *Holder) Model() (name string, dim int) {
	if m, _ := h.get(); m != nil {
		return m.Name(), m.Dim()
	}
	return "", 0
}

// Settled waits for the model as document.Modelling says: not longer than the
// configured patience.
func (h *Holder) Settled(ctx context.Context) (document.Embedder, error) {
	t := time.NewTimer(h.c.Patience)
	defer t.Stop()
	select {
	case <-h.settled:
	case <-t.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if m, _ := h.get(); m != nil {
		return m, nil
	}
	return nil, nil
}

// Check is the health of the model: degraded while it is missing.
func (h *Holder) Check(context.Context) error {
	if m, missing := h.get(); m == nil {
		return app.Degraded(missing + "; search is by words only. " + h.c.Advice)
	}
	return nil
}
