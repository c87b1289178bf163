package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// ranking is what a service that ranks hears and says, checked as the
// documentation of its kind has it.
type ranking struct {
	t      *testing.T
	kind   string
	calls  atomic.Int64
	handle func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func (x *ranking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.calls.Add(1)
	if x.handle != nil && x.handle(w, r) {
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v2/rerank" || r.Header.Get("Authorization") != "Bearer "+key || r.Header.Get("Content-Type") != "application/json" {
		x.t.Errorf("%s %s with %v", r.Method, r.URL.Path, r.Header)
	}
	var q map[string]any
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		x.t.Error(err)
	}
	texts, named := "documents", []string{"documents", "model", "query", "top_n"}
	switch x.kind {
	case TEI:
		texts, named = "texts", []string{"query", "raw_scores", "texts", "truncate"}
	case Jina:
		named = []string{"documents", "model", "query", "return_documents", "top_n"}
	}
	var got []string
	for name := range q {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, named) || q["query"] != "which?" {
		x.t.Errorf("%s was asked with %v", x.kind, q)
	}
	var out []map[string]any
	for i, text := range q[texts].([]any) {
		score := float64(len(text.(string))) / 10
		if x.kind == TEI {
			out = append(out, map[string]any{"index": i, "score": score})
		} else {
			out = append(out, map[string]any{"index": i, "relevance_score": score})
		}
	}
	slices.Reverse(out) // which the index mends
	var body any = out
	if x.kind != TEI {
		body = map[string]any{"results": out}
	}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		x.t.Error(err)
	}
}

func openRanker(t *testing.T, x *ranking) *Ranker {
	t.Helper()
	x.t = t
	h := httptest.NewServer(x)
	t.Cleanup(h.Close)
	r, err := OpenRanker(RankerConfig{Kind: x.kind, URL: h.URL + "/v2/", Model: "small", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	r.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestEachKindOfServiceRanksPassages(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{Cohere, Jina, TEI} {
		r := openRanker(t, &ranking{kind: kind})
		got, err := r.Score(t.Context(), "which?", []string{"abc", "", "abcdefghijklmnop"})
		if err != nil || !slices.Equal(got, []float64{.3, 0, 1}) { // what is beyond 1 is 1
			t.Errorf("%s: %v, %v", kind, got, err)
		}
		if r.Name() != kind+":small" || r.AtOnce() < 32 {
			t.Errorf("%s of %d", r.Name(), r.AtOnce())
		}
	}
}

func TestScoresThatAreNotOneForEachPassageAreRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{Cohere, TEI} {
		for name, list := range map[string]string{
			"no JSON":       `<html>`,
			"too few":       `[{"index": 0, "X": 0.5}]`,
			"one twice":     `[{"index": 0, "X": 0.5}, {"index": 0, "X": 0.5}]`,
			"another index": `[{"index": 0, "X": 0.5}, {"index": 2, "X": 0.5}]`,
			"below":         `[{"index": 0, "X": 0.5}, {"index": -1, "X": 0.5}]`,
			"no index":      `[{"index": 0, "X": 0.5}, {"X": 0.5}]`,
			"no score":      `[{"index": 0, "X": 0.5}, {"index": 1}]`,
			"words":         `[{"index": 0, "X": "high"}, {"index": 1, "X": 0.5}]`,
		} {
			x := &ranking{kind: kind}
			r := openRanker(t, x)
			body := strings.ReplaceAll(list, `"X"`, `"score"`)
			if kind == Cohere {
				body = `{"results": ` + strings.ReplaceAll(list, `"X"`, `"relevance_score"`) + `}`
			}
			x.handle = func(w http.ResponseWriter, _ *http.Request) bool {
				_, _ = io.WriteString(w, body)
				return true
			}
			if got, err := r.Score(t.Context(), "which?", []string{"a", "b"}); err == nil || got != nil || x.calls.Load() != 1 {
				t.Errorf("%s, %s: %v, %v after %d calls", kind, name, got, err, x.calls.Load())
			}
		}
	}
}

func TestARankingServiceThatHangsIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	x := &ranking{kind: Cohere}
	r := openRanker(t, x)
	gone := make(chan struct{})
	x.handle = func(_ http.ResponseWriter, q *http.Request) bool {
		_, _ = io.Copy(io.Discard, q.Body) // then the server sees that the caller has gone
		select {
		case <-q.Context().Done():
		case <-gone:
		}
		return true
	}
	t.Cleanup(func() { close(gone) })
	for range patience {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := r.Score(ctx, "which?", []string{"a"}); err == nil {
			t.Error("it answered")
		}
		cancel()
	}
	n := x.calls.Load()
	if _, err := r.Score(t.Context(), "which?", []string{"a"}); errs.KindOf(err) != errs.Unavailable || x.calls.Load() != n {
		t.Errorf("%v after %d calls, %d before", err, x.calls.Load(), n)
	}
}

func TestARefusalOfTheRankingServiceDoesNotShowTheKey(t *testing.T) {
	t.Parallel()
	x := &ranking{kind: Jina}
	r := openRanker(t, x)
	x.handle = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, "key %s is wrong", key)
		return true
	}
	if _, err := r.Score(t.Context(), "which?", []string{"a"}); err == nil || strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "401") || x.calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, x.calls.Load())
	}
}

func TestAConfigurationOfARankingServiceThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []RankerConfig{
		{Kind: Cohere, Model: "rerank-v3.5", Key: "k"}, {Kind: Jina, Model: "jina-reranker-v2-base-multilingual", KeyFile: file},
		{Kind: TEI, URL: "http://tei:8080"}, {Kind: TEI, URL: "http://127.0.0.1:8080", Model: "bge-reranker-base"},
	} {
		if _, err := OpenRanker(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for name, c := range map[string]RankerConfig{
		"kind": {Kind: "x", Model: "m"}, "no address": {Kind: TEI}, "no model": {Kind: Cohere}, "two keys": {Kind: Cohere, Model: "m", Key: "k", KeyFile: file},
		"plain": {Kind: Jina, URL: "http://a.example", Model: "m", Key: "k"}, "no file": {Kind: Jina, Model: "m", KeyFile: file + "x"},
	} {
		if _, err := OpenRanker(c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
