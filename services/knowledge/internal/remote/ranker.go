package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// The kinds of services that rank passages.
const (
	Cohere = "cohere" // v2 of its interface
	Jina   = "jina"
	TEI    = "tei" // text-embeddings-inference
)

// RankerConfig says which service ranks passages, and by which of its models.
type RankerConfig struct {
	Kind    string
	URL     string // before /rerank; "" is the public one of the kind
	Model   string // tei has but one, and needs no name
	Key     string // "" sends none
	KeyFile string // a file with the key, read when the service is first asked
}

// ErrRankerAway says that the service cannot be asked now.
var ErrRankerAway = errs.New(errs.Unavailable, "the re-ranking service does not answer")

// Validate returns what is wrong with c.
func (c RankerConfig) Validate() error {
	switch c.Kind {
	case Cohere, Jina:
	case TEI:
		if c.URL == "" {
			return errors.New("url: tei has no public address")
		}
		if c.Model == "" {
			c.Model = TEI
		}
	default:
		return fmt.Errorf("kind: %s, %s or %s", Cohere, Jina, TEI)
	}
	return address{c.base(), c.Model, c.Key, c.KeyFile}.validate()
}

func (c RankerConfig) base() string {
	switch {
	case c.URL != "":
		return strings.TrimSuffix(c.URL, "/")
	case c.Kind == Jina:
		return "https://api.jina.ai/v1"
	}
	return "https://api.cohere.com/v2"
}

// Ranker is a service that says how well passages answer a question. Safe for
// concurrent use.
type Ranker struct {
	*caller
	c RankerConfig
}

// OpenRanker returns the service; it is not asked before there is a question.
func OpenRanker(c RankerConfig) (*Ranker, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	key, err := keyOf(c.Key, c.KeyFile)
	if err != nil {
		return nil, err
	}
	c.Key = key
	return &Ranker{newCaller("the re-ranking service", key, ErrRankerAway), c}, nil
}

// Name tells its scores from those of others.
func (r *Ranker) Name() string {
	if r.c.Model == "" {
		return r.c.Kind
	}
	return r.c.Kind + ":" + r.c.Model
}

// AtOnce is how many passages a call takes: more are refused by a
// text-embeddings-inference as it is installed.
func (r *Ranker) AtOnce() int {
	if r.c.Kind == TEI {
		return 32
	}
	return 200
}

// Score says of each passage how well it answers the question, 0 to 1, in their
// order.
func (r *Ranker) Score(ctx context.Context, question string, passages []string) (scores []float64, err error) {
	err = r.call(ctx, askTries,
		func(ctx context.Context) (*http.Request, error) { return r.request(ctx, question, passages) },
		func(body []byte) error {
			if scores, err = r.read(body, len(passages)); err != nil {
				return fmt.Errorf("the answer of the re-ranking service: %w", err)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	return scores, nil
}

func (r *Ranker) request(ctx context.Context, question string, passages []string) (*http.Request, error) {
	var body map[string]any
	switch r.c.Kind {
	case TEI:
		body = map[string]any{"query": question, "texts": passages, "raw_scores": false, "truncate": true}
	case Jina:
		body = map[string]any{"model": r.c.Model, "query": question, "documents": passages, "top_n": len(passages), "return_documents": false}
	default:
		body = map[string]any{"model": r.c.Model, "query": question, "documents": passages, "top_n": len(passages)}
	}
	req, err := post(ctx, r.c.base()+"/rerank", body)
	if err == nil && r.c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+r.c.Key)
	}
	return req, err
}

type scored struct {
	Index     *int     `json:"index"`
	Score     *float64 `json:"score"`
	Relevance *float64 `json:"relevance_score"`
}

// read takes a list as text-embeddings-inference sends it, or the results of the
// others: one score for each passage, in whatever order.
func (r *Ranker) read(body []byte, n int) ([]float64, error) {
	var list []scored
	if r.c.Kind == TEI {
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, err
		}
	} else {
		var a struct {
			Results []scored `json:"results"`
		}
		if err := json.Unmarshal(body, &a); err != nil {
			return nil, err
		}
		list = a.Results
	}
	if len(list) != n {
		return nil, fmt.Errorf("it has %d scores for %d passages", len(list), n)
	}
	out, seen := make([]float64, n), make([]bool, n)
	for _, s := range list {
		score := s.Relevance
		if r.c.Kind == TEI {
			score = s.Score
		}
		if s.Index == nil || *s.Index < 0 || *s.Index >= n || seen[*s.Index] || score == nil {
			return nil, errors.New("it has not one score for each passage")
		}
		// What is beyond 0 to 1 is as good or bad as can be.
		out[*s.Index], seen[*s.Index] = math.Min(math.Max(*score, 0), 1), true
	}
	return out, nil
}
