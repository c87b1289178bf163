package knowledge

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// metrics are the service's own; labels are bounded sets, never projects.
type metrics struct {
	searches *prometheus.HistogramVec
	kept     *prometheus.CounterVec
	accepted *prometheus.CounterVec
	rankings *prometheus.HistogramVec
	scores   *prometheus.CounterVec
	answers  *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, library *index.Library, model func() string) (*metrics, error) {
	m := &metrics{
		searches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "knowledge_search_seconds", Help: "Time to answer a question, by the legs that were used.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5},
		}, []string{"mode", "outcome"}),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "knowledge_documents_submitted_total", Help: "Documents that were submitted, by what became of them.",
		}, []string{"outcome"}),
	}
	m.kept = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "knowledge_search_answers_total", Help: "Answers of searches, by where they came from: the index, or what was kept of an earlier answer.",
	}, []string{"source"})
	m.rankings = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "knowledge_rerank_seconds", Help: "Time to rank results anew, by how it ended.",
		Buckets: []float64{.001, .01, .05, .1, .2, .5, 1, 2, 5, 20},
	}, []string{"outcome"})
	m.scores = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "knowledge_rerank_passages_total", Help: "Passages that were ranked anew, by where their score came from.",
	}, []string{"source"})
	m.answers = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "knowledge_answer_seconds", Help: "Time to answer a question in the words of a language model, by how it ended.",
		Buckets: []float64{.1, .2, .5, 1, 2, 5, 10, 20, 60, 120, 300},
	}, []string{"outcome"})
	m.tokens = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "knowledge_answer_tokens_total", Help: "Tokens that answers took, as the language model counts them: of what it read and of what it wrote.",
	}, []string{"kind"})
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.searches, m.kept, m.accepted, m.rankings, m.scores, m.answers, m.tokens,
		gauge("knowledge_indexes", "Indexes of projects in memory.", func() float64 { n, _ := library.Size(); return float64(n) }),
		gauge("knowledge_index_bytes", "Memory of the indexes.", func() float64 { _, b := library.Size(); return float64(b) }),
		gauge("knowledge_model_ready", "1 when the embedding model is loaded.", func() float64 {
			if model() == "" {
				return 0
			}
			return 1
		}),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

// ranked measures a ranking.
func (m *metrics) ranked(outcome string, took time.Duration, computed, kept int) {
	m.rankings.WithLabelValues(outcome).Observe(took.Seconds())
	m.scores.WithLabelValues("model").Add(float64(computed))
	m.scores.WithLabelValues("cache").Add(float64(kept))
}

// answered measures an answer.
func (m *metrics) answered(a answer.Answer, err error, took time.Duration) {
	how := outcome(err)
	if err == nil {
		if how = string(a.Outcome); a.Cached != "" {
			how = "cached"
		}
	}
	m.answers.WithLabelValues(how).Observe(took.Seconds())
	if a.Usage != nil {
		m.tokens.WithLabelValues("prompt").Add(float64(max(0, a.Usage.Prompt)))
		m.tokens.WithLabelValues("completion").Add(float64(max(0, a.Usage.Completion)))
	}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return string(errs.KindOf(err))
}

// timed measures searches.
type timed struct {
	*search.Engine
	m *metrics
}

// Search is the engine's, measured.
func (t timed) Search(ctx context.Context, p tenant.Project, q search.Query) (search.Answer, error) {
	began := time.Now()
	a, err := t.Engine.Search(ctx, p, q)
	mode := string(a.Mode)
	if mode == "" {
		mode = "none"
	}
	if source := "index"; err == nil {
		if a.Cached {
			source = "cache"
		}
		t.m.kept.WithLabelValues(source).Inc()
	}
	t.m.searches.WithLabelValues(mode, outcome(err)).Observe(time.Since(began).Seconds())
	return a, err
}

// counted counts submissions.
type counted struct {
	*document.Intake
	m *metrics
}

// Accept is the intake's, counted.
func (c counted) Accept(ctx context.Context, s document.Submission) (document.Document, error) {
	d, err := c.Intake.Accept(ctx, s)
	c.m.accepted.WithLabelValues(outcome(err)).Inc()
	return d, err
}
