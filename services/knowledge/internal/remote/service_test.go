package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

const key = "sk-test-0123456789"

// wire is what a service hears and says, checked as its documentation has it.
type wire struct {
	t      *testing.T
	kind   string
	dim    int
	calls  atomic.Int64
	handle func(w http.ResponseWriter, call int64) bool // true: it has answered
	tasks  []string
}

// vector is that of a text: longer than 1, and another one for each length.
func vector(text string, dim int) []float32 {
	v := make([]float32, dim)
	v[0], v[len(text)%(dim-1)+1] = 3, 4
	return v
}

func (x *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := x.calls.Add(1)
	if x.handle != nil && x.handle(w, call) {
		return
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		x.t.Errorf("%s with %q", r.Method, r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		x.t.Error(err)
	}
	if x.kind == Gemini {
		x.gemini(w, r, body)
		return
	}
	if r.URL.Path != "/v1/embeddings" || r.Header.Get("Authorization") != "Bearer "+key {
		x.t.Errorf("%s with authorization %q", r.URL.Path, r.Header.Get("Authorization"))
	}
	var q struct {
		Model  string   `json:"model"`
		Input  []string `json:"input"`
		Format string   `json:"encoding_format"`
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Model != "small" || q.Format != "float" || len(q.Input) == 0 || len(q.Input) > perCall {
		x.t.Errorf("%v: %s", err, body)
	}
	var data []map[string]any
	for i, text := range q.Input { // in another order, which the index mends
		data = append([]map[string]any{{"object": "embedding", "index": i, "embedding": vector(text, x.dim)}}, data...)
	}
	x.say(w, map[string]any{"object": "list", "data": data, "model": q.Model, "usage": map[string]int{"prompt_tokens": 5, "total_tokens": 5}})
}

func (x *wire) gemini(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.URL.Path != "/v1/models/small:batchEmbedContents" || r.Header.Get("X-Goog-Api-Key") != key {
		x.t.Errorf("%s with key %q", r.URL.Path, r.Header.Get("X-Goog-Api-Key"))
	}
	var q struct {
		Requests []struct {
			Model   string `json:"model"`
			Content struct {
				Parts []struct {
					Text string `json:"text"`
				} `json:"parts"`
			} `json:"content"`
			Task string `json:"taskType"`
			Dim  int    `json:"outputDimensionality"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(body, &q); err != nil || len(q.Requests) == 0 {
		x.t.Errorf("%v: %s", err, body)
	}
	var all []map[string]any
	for _, e := range q.Requests {
		if e.Model != "models/small" || e.Dim != x.dim || len(e.Content.Parts) != 1 {
			x.t.Errorf("%+v", e)
		}
		x.tasks = append(x.tasks, e.Task)
		all = append(all, map[string]any{"values": vector(e.Content.Parts[0].Text, x.dim)})
	}
	x.say(w, map[string]any{"embeddings": all})
}

func (x *wire) say(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		x.t.Error(err)
	}
}

// open starts x and returns its service, which does not really wait.
func open(t *testing.T, x *wire, change func(*Config)) (*Service, error) {
	t.Helper()
	x.t, x.dim = t, 16
	h := httptest.NewServer(x)
	t.Cleanup(h.Close)
	c := Config{Kind: x.kind, URL: h.URL + "/v1/", Model: "small", Key: key, Dimensions: 16}
	if change != nil {
		change(&c)
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		return nil, err
	}
	s.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, nil
}

func TestTextsAreEmbeddedInTheirOrderByEveryKindOfService(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{OpenAI, Gemini} {
		x := &wire{kind: kind}
		s, err := open(t, x, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name() != kind+":small@16" || s.Dim() != 16 || s.Count("two words") < 1 {
			t.Errorf("%s of %d", s.Name(), s.Dim())
		}
		var texts []string
		for i := range 2*perCall + 3 {
			texts = append(texts, strings.Repeat("x", 1+i%40))
		}
		var heard []int
		v, err := s.EmbedBatch(t.Context(), texts, func(n int) { heard = append(heard, n) })
		if err != nil || len(v) != len(texts) {
			t.Fatalf("%d vectors, %v", len(v), err)
		}
		for i, text := range texts {
			for j, want := range vector(text, 16) {
				if math.Abs(float64(v[i][j]-want/5)) > 1e-6 {
					t.Fatalf("%s: text %d has %v, want a fifth of %v", kind, i, v[i], vector(text, 16))
				}
			}
		}
		if got := fmt.Sprint(heard); got != "[64 128 131]" || x.calls.Load() != 4 { // one call when it was opened
			t.Errorf("progress %s in %d calls", got, x.calls.Load())
		}
		q, err := s.EmbedQuery(t.Context(), "abc")
		if err != nil || len(q) != 16 {
			t.Errorf("%v, %v", q, err)
		}
		if kind == Gemini && (x.tasks[0] != "RETRIEVAL_QUERY" || x.tasks[1] != "RETRIEVAL_DOCUMENT") {
			t.Errorf("tasks %v", x.tasks[:2])
		}
		if none, err := s.EmbedBatch(t.Context(), nil, nil); err != nil || len(none) != 0 {
			t.Errorf("no texts: %v, %v", none, err)
		}
	}
}

func TestTheKeyMayLieInAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, &wire{kind: OpenAI}, func(c *Config) { c.Key, c.KeyFile = "", path }); err != nil {
		t.Error(err)
	}
	if _, err := open(t, &wire{kind: OpenAI}, func(c *Config) { c.Key, c.KeyFile = "", path+"x" }); err == nil {
		t.Error("without the file")
	}
}

func TestWhatMayPassIsTriedAgainAndWhatWillNotIsNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		calls  int64
		ok     bool
	}{
		"too many":    {429, 3, true},
		"broken":      {500, 3, true},
		"starting":    {503, 3, true},
		"no such key": {401, 1, false},
		"not allowed": {403, 1, false},
		"bad":         {400, 1, false},
		"elsewhere":   {302, 1, false},
	} {
		x := &wire{kind: OpenAI}
		s, err := open(t, x, nil)
		if err != nil {
			t.Fatal(err)
		}
		x.calls.Store(0)
		x.handle = func(w http.ResponseWriter, call int64) bool {
			if call > 2 {
				return false
			}
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(c.status)
			_, _ = fmt.Fprintf(w, `{"error": "key %s\nis wrong"}`, key)
			return true
		}
		_, err = s.EmbedBatch(t.Context(), []string{"a"}, nil)
		if (err == nil) != c.ok || x.calls.Load() != c.calls {
			t.Errorf("%s: %v after %d calls", name, err, x.calls.Load())
		}
		if err != nil && (strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), fmt.Sprint(c.status)) || errs.KindOf(err) == errs.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAnswerThatIsNotWhatWasAskedForIsRefused(t *testing.T) {
	t.Parallel()
	one := `[` + strings.Repeat("1,", 15) + `1]`
	for name, body := range map[string]string{
		"no JSON":          `<html>`,
		"nothing":          `{}`,
		"too few":          `{"data": [{"index": 0, "embedding": ` + one + `}]}`,
		"one twice":        `{"data": [{"index": 0, "embedding": ` + one + `}, {"index": 0, "embedding": ` + one + `}]}`,
		"another index":    `{"data": [{"index": 0, "embedding": ` + one + `}, {"index": 2, "embedding": ` + one + `}]}`,
		"short vector":     `{"data": [{"index": 0, "embedding": ` + one + `}, {"index": 1, "embedding": [1, 2]}]}`,
		"no vector":        `{"data": [{"index": 0, "embedding": ` + one + `}, {"index": 1}]}`,
		"without a length": `{"data": [{"index": 0, "embedding": ` + one + `}, {"index": 1, "embedding": [` + strings.Repeat("0,", 15) + `0]}]}`,
	} {
		x := &wire{kind: OpenAI}
		s, err := open(t, x, nil)
		if err != nil {
			t.Fatal(err)
		}
		x.handle = func(w http.ResponseWriter, _ int64) bool {
			_, _ = io.WriteString(w, body)
			return true
		}
		x.calls.Store(0)
		if v, err := s.EmbedBatch(t.Context(), []string{"a", "b"}, nil); err == nil || v != nil || x.calls.Load() != 1 {
			t.Errorf("%s: %v, %v after %d calls", name, v, err, x.calls.Load())
		}
	}
	if _, err := open(t, &wire{kind: OpenAI}, func(c *Config) { c.Dimensions = 32 }); err == nil || !strings.Contains(err.Error(), "16 numbers, and 32 are set") {
		t.Errorf("opened with other dimensions: %v", err)
	}
}

func TestAServiceThatFailsIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	x := &wire{kind: OpenAI}
	s, err := open(t, x, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.now = func() time.Time { return now }
	down := true
	x.handle = func(w http.ResponseWriter, _ int64) bool {
		if down {
			w.WriteHeader(http.StatusBadGateway)
		}
		return down
	}
	x.calls.Store(0)
	ask := func() error { _, err := s.EmbedQuery(t.Context(), "a"); return err }
	for range 10 {
		if err := ask(); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%v", err)
		}
	}
	if n := x.calls.Load(); n != patience {
		t.Errorf("%d calls, want %d", n, patience)
	}
	now = now.Add(rest)
	if err := ask(); err == nil || x.calls.Load() != patience+1 {
		t.Errorf("%v after %d calls: one is to try", err, x.calls.Load())
	}
	now = now.Add(rest) // it is twice as long by now
	if err := ask(); err == nil || x.calls.Load() != patience+1 {
		t.Errorf("%v after %d calls", err, x.calls.Load())
	}
	down, now = false, now.Add(rest)
	if err := ask(); err != nil {
		t.Errorf("when it is well again: %v", err)
	}
	if err := ask(); err != nil || x.calls.Load() != patience+3 {
		t.Errorf("%v after %d calls", err, x.calls.Load())
	}
	// A caller that went says nothing of the service.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * patience {
		if _, err := s.EmbedQuery(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
}

func TestOneCallAtATimeTriesAServiceThatFailed(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Now()
	for range patience {
		b.end(now, false, true, false)
	}
	now = now.Add(rest)
	if ok, probe := b.admit(now); !ok || !probe {
		t.Error("nobody tries")
	}
	if ok, _ := b.admit(now); ok {
		t.Error("a second one tries meanwhile")
	}
	b.end(now, true, true, true) // it was taken back
	if ok, probe := b.admit(now); !ok || !probe {
		t.Error("nobody tries after one that was taken back")
	}
	for range 20 {
		b.end(now, true, true, false)
	}
	if b.pause != longest {
		t.Errorf("pause %v", b.pause)
	}
}

func TestBetweenTriesThereIsAPauseThatEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := sleep(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	for header, want := range map[string]time.Duration{"": 0, "x": 0, "-1": 0, "7": 7 * time.Second, "86400": time.Minute} {
		if got := pause(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestNoServiceIsAskedWhereNoneIs(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://169.254.169.254/v1", "http://[fe80::1]/v1", "http://0.0.0.0/v1", "http://[::ffff:169.254.169.254]/v1"} {
		s := &Service{caller: newCaller("the embedding service", "", ErrAway), c: Config{Kind: OpenAI, URL: address, Model: "m", Dimensions: 8}, speak: openAI{}}
		s.sleep = func(context.Context, time.Duration) error { return nil }
		if _, err := s.vectors(t.Context(), []string{"a"}, true, 1); err == nil || !strings.Contains(err.Error(), "no address of a service") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAConfigurationThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	good := Config{Kind: OpenAI, Model: "m", Key: "k", Dimensions: 1536}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*Config){
		"kind":        func(c *Config) { c.Kind = "x" },
		"no scheme":   func(c *Config) { c.URL = "api.example.org" },
		"file":        func(c *Config) { c.URL = "file:///etc/passwd" },
		"query":       func(c *Config) { c.URL = "https://a.example/v1?x=1" },
		"password":    func(c *Config) { c.URL = "https://u:p@a.example/v1" },
		"plain":       func(c *Config) { c.URL = "http://a.example/v1" },
		"plain file":  func(c *Config) { c.URL, c.Key, c.KeyFile = "http://a.example/v1", "", "/f" },
		"no model":    func(c *Config) { c.Model = "" },
		"odd model":   func(c *Config) { c.Model = "a?b" },
		"two keys":    func(c *Config) { c.KeyFile = "/f" },
		"dimensions":  func(c *Config) { c.Dimensions = 0 },
		"dimensions+": func(c *Config) { c.Dimensions = 1 << 20 },
	} {
		c := good
		edit(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	for _, c := range []Config{
		{Kind: OpenAI, URL: "http://ollama:11434/v1", Model: "nomic-embed-text", Dimensions: 768},
		{Kind: OpenAI, URL: "http://127.0.0.1:8080/v1", Model: "m", Key: "k", Dimensions: 768},
		{Kind: Gemini, Model: "models/gemini-embedding-001", Key: "k", Dimensions: 768},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
