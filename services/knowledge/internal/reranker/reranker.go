package reranker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Ranker is a model.
type Ranker interface {
	Name() string
	// Score says of each passage how well it answers the question, 0 to 1.
	Score(ctx context.Context, question string, passages []string) ([]float64, error)
	// AtOnce is how many passages it takes in one call.
	AtOnce() int
	Close() error
}

// Known is a model that may be asked for.
type Known struct {
	Name string // as queries call it
	// Load loads it. Its error may be a [Failure].
	Load func(ctx context.Context) (Ranker, error)
}

// Failure is why a model is not there: a reason for everybody, and the error for
// the log.
type Failure struct {
	Reason string
	Err    error
}

// Error is that of the cause.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// The reasons for which nothing was ranked anew, beside those of a [Failure].
const (
	Off     = "no re-ranking model is set for this instance"
	Loading = "the re-ranking model is being loaded"
	Broken  = "the re-ranking model cannot be loaded"
	Crowded = "too many searches are being re-ranked"
	Failed  = "the re-ranking failed"
)

// Outcomes of a ranking, for who measures.
const (
	Ranked  = "ok"
	Missing = "missing" // the model
	Full    = "busy"
	Late    = "late"
	Fault   = "failed"
)

// Config bounds the work. The zero value of a field takes its default.
type Config struct {
	Deadline time.Duration // of one ranking; 2 s
	AtOnce   int           // rankings; 4
	Cached   int           // scores kept; 20,000
	Retry    time.Duration // first pause before a model is looked for again, doubling up to 15 min; 30 s
	// Observe hears how each ranking ended, how long it took, and how many scores
	// were computed and how many were there. nil hears nothing.
	Observe func(outcome string, took time.Duration, computed, kept int)
}

// longest is the longest pause before a model is looked for again.
const longest = 15 * time.Minute

// Rankers ranks passages. It is a part.
type Rankers struct {
	c       Config
	log     *slog.Logger
	holders []*holder
	scores  *cache
	places  chan struct{}

	mu   sync.Mutex
	life context.Context //nolint:containedctx // of what loads, between Start and Stop
	stop context.CancelFunc
	load sync.WaitGroup
}

// holder is a model, once it is loaded.
type holder struct {
	Known
	ranker  Ranker
	why     string
	loading bool
	pause   time.Duration
	next    time.Time // before which it is not looked for again
}

// New returns the models known, the first of which is that of the instance.
func New(known []Known, log *slog.Logger, c Config) *Rankers {
	if c.Deadline <= 0 {
		c.Deadline = 2 * time.Second
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 4
	}
	if c.Cached <= 0 {
		c.Cached = 20_000
	}
	if c.Retry <= 0 {
		c.Retry = 30 * time.Second
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, int, int) {}
	}
	r := &Rankers{c: c, log: log, scores: newCache(c.Cached), places: make(chan struct{}, c.AtOnce)}
	for _, k := range known {
		r.holders = append(r.holders, &holder{Known: k, why: Loading})
	}
	return r
}

// Name is "knowledge.reranker".
func (r *Rankers) Name() string { return "knowledge.reranker" }

// Start loads nothing.
func (r *Rankers) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.life, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	return nil
}

// Stop ends the loading and closes what is loaded.
func (r *Rankers) Stop(context.Context) error {
	r.mu.Lock()
	if r.stop != nil {
		r.stop()
	}
	r.life = nil
	r.mu.Unlock()
	r.load.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var faults []error
	for _, h := range r.holders {
		if h.ranker != nil {
			faults = append(faults, h.ranker.Close())
			h.ranker, h.why = nil, Off
		}
	}
	return errors.Join(faults...)
}

// Names are what queries may ask for, that of the instance first.
func (r *Rankers) Names() (names []string) {
	for _, h := range r.holders {
		names = append(names, h.Name)
	}
	return names
}

// get is the model of a name, "" being that of the instance, or why it is not
// there; who asks first has it loaded.
func (r *Rankers) get(name string) (Ranker, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, h := range r.holders {
		if h.Name != name && (name != "" || i > 0) {
			continue
		}
		if h.ranker == nil && !h.loading && r.life != nil && !time.Now().Before(h.next) {
			h.loading = true
			life := r.life
			r.load.Go(func() { r.fetch(life, h) })
		}
		return h.ranker, h.why
	}
	return nil, Off
}

func (r *Rankers) fetch(ctx context.Context, h *holder) {
	began := time.Now()
	m, err := h.Load(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	h.loading = false
	if err != nil {
		h.pause = min(max(2*h.pause, r.c.Retry), longest)
		h.why, h.next = Broken, time.Now().Add(h.pause)
		var f *Failure
		if errors.As(err, &f) {
			h.why = f.Reason
		}
		if ctx.Err() == nil {
			r.log.WarnContext(ctx, "reranker.load", "choice", h.Name, "outcome", "missing, results keep their first order", "err", err, "again_in", h.pause.String())
		}
		return
	}
	h.ranker, h.why, h.pause = m, "", 0
	r.log.InfoContext(ctx, "reranker.load", "choice", h.Name, "outcome", "ready", "model", m.Name(), "ms", time.Since(began).Milliseconds())
}

// Rank says of each passage how well it answers the question, 0 to 1, by the model
// of a name, "" being that of the instance; by is what the model is called. Or it
// says why it does not. The error is that of ctx.
func (r *Rankers) Rank(ctx context.Context, name, question string, passages []string) (scores []float64, by, why string, err error) {
	began := time.Now()
	m, why := r.get(name)
	if m == nil {
		r.c.Observe(Missing, time.Since(began), 0, 0)
		return nil, "", why, nil
	}
	scores, kept, why, outcome := r.rank(ctx, m, question, passages)
	computed := 0
	if outcome == Ranked {
		computed = len(passages) - kept
	}
	r.c.Observe(outcome, time.Since(began), computed, kept)
	if err := ctx.Err(); err != nil && why != "" {
		return nil, "", "", err
	}
	return scores, m.Name(), why, nil
}

// rank takes the scores that are kept, and has the others computed. What was
// computed when the time is over is kept for the next one who asks.
func (r *Rankers) rank(ctx context.Context, m Ranker, question string, passages []string) (scores []float64, kept int, why, outcome string) {
	scores = make([]float64, len(passages))
	keys := make([]key, len(passages))
	var missing []int
	for i, p := range passages {
		keys[i] = keyOf(m.Name(), question, p)
		var ok bool
		if scores[i], ok = r.scores.GetIfPresent(keys[i]); !ok {
			missing = append(missing, i)
		}
	}
	kept = len(passages) - len(missing)
	if len(missing) == 0 {
		return scores, kept, "", Ranked
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.Deadline)
	defer cancel()
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	case <-ctx.Done():
		return nil, kept, Crowded, Full
	}
	for len(missing) > 0 {
		part := missing[:min(len(missing), m.AtOnce())]
		missing = missing[len(part):]
		texts := make([]string, len(part))
		for i, at := range part {
			texts[i] = passages[at]
		}
		got, err := m.Score(ctx, question, texts)
		switch {
		case err == nil && len(got) == len(part):
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, kept, fmt.Sprintf("re-ranking takes longer than %v", r.c.Deadline), Late
		default:
			r.log.WarnContext(ctx, "reranker.rank", "model", m.Name(), "err", err)
			return nil, kept, Failed, Fault
		}
		for i, at := range part {
			scores[at] = got[i]
			r.scores.Set(keys[at], got[i])
		}
	}
	return scores, kept, "", Ranked
}
