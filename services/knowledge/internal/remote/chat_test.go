package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
)

// talking is a language model that says what it is told to, in the form of
// OpenAI's streams, and checks what it is asked.
type talking struct {
	t      *testing.T
	kind   string
	calls  atomic.Int64
	handle func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

const talk = `: keep-alive

data: {"id":"x","object":"chat.completion.chunk","model":"small-2026","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"model":"small-2026","choices":[{"index":0,"delta":{"content":"A lever"},"finish_reason":null}],"usage":null}

data: {"model":"small-2026","choices":[{"index":0,"delta":{"content":" [1]."},"finish_reason":null}]}

data: {"model":"small-2026","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"model":"small-2026","choices":[],"usage":{"prompt_tokens":90,"completion_tokens":7,"total_tokens":97}}

data: [DONE]

`

func (x *talking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.calls.Add(1)
	if x.handle != nil && x.handle(w, r) {
		return
	}
	var q struct {
		Model    string
		Stream   bool
		Messages []struct{ Role, Content string }
		Old      int  `json:"max_tokens"`
		New      int  `json:"max_completion_tokens"`
		Warm     *int `json:"temperature"`
		Options  struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		x.t.Error(err)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+key || r.Header.Get("Accept") != "text/event-stream" {
		x.t.Errorf("%s %s with %v", r.Method, r.URL.Path, r.Header)
	}
	if q.Model != "small" || !q.Stream || !q.Options.Usage || len(q.Messages) != 2 || q.Messages[0].Role+q.Messages[1].Role != "systemuser" || q.Messages[0].Content != "rules" || q.Messages[1].Content != "why?" {
		x.t.Errorf("%+v", q)
	}
	if old := x.kind == Compatible; old != (q.Old == 50) || old == (q.New == 50) || old != (q.Warm != nil) {
		x.t.Errorf("%s was asked with %+v", x.kind, q)
	}
	streamed(w, talk)
}

func streamed(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_, _ = io.WriteString(w, text) // the caller may have gone
}

func openChat(t *testing.T, x *talking) *Chat {
	t.Helper()
	x.t = t
	if x.kind == "" {
		x.kind = Compatible
	}
	h := httptest.NewServer(x)
	t.Cleanup(h.Close)
	s, err := OpenChat(ChatConfig{Kind: x.kind, URL: h.URL + "/v1/", Model: "small", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	s.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var ask = answer.Prompt{System: "rules", User: "why?", Tokens: 50}

func TestALanguageModelIsHeardPieceByPiece(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{OpenAI, Compatible} {
		s := openChat(t, &talking{kind: kind})
		var said []string
		end, err := s.Complete(t.Context(), ask, func(text string) error { said = append(said, text); return nil })
		if err != nil || strings.Join(said, "|") != "A lever| [1]." || end.Model != "small-2026" || end.Usage == nil || *end.Usage != (answer.Usage{Prompt: 90, Completion: 7}) || end.Cut || s.Name() != "small" {
			t.Errorf("%s: %q, %+v, %v", kind, said, end, err)
		}
	}
}

func event(content, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q},\"finish_reason\":%s}]}\n\n", content, finish)
}

func TestWhatALanguageModelSaysHasToBeWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		cut   bool
		want  *errs.Error // nil: it is
		calls int64
	}{
		"without a last word":   {event("a", "stop"), false, nil, 1},
		"without a reason":      {event("a", "null") + "data: [DONE]\n\n", false, nil, 1},
		"longer than it may be": {event("a", "length"), true, nil, 1},
		"cut within":            {event("a", "null"), false, errBroke, 1}, // what was heard is not asked for again
		"cut before":            {": hm\n\n", false, ErrChatAway, 2},
		"no JSON":               {event("a", "null") + "data: {\n\n", false, errUnread, 1},
		"an error within":       {event("a", "null") + "data: {\"error\":{\"message\":\"out of memory\"}}\n\n", false, errBroke, 1},
		"held back":             {event("a", "null") + event("", "content_filter"), false, errs.New(errs.Upstream, "the service of the language model holds the answer back"), 1},
		"a line without end":    {event("a", "null") + "data: " + strings.Repeat("x", longestLine+1), false, errBroke, 1},
	} {
		x := &talking{handle: func(w http.ResponseWriter, _ *http.Request) bool { streamed(w, c.text); return true }}
		s := openChat(t, x)
		end, err := s.Complete(t.Context(), ask, func(string) error { return nil })
		if ok := c.want == nil; ok != (err == nil) || !ok && !errors.Is(err, c.want) || end.Cut != c.cut || x.calls.Load() != c.calls {
			t.Errorf("%s: %+v, %v after %d calls", name, end, err, x.calls.Load())
		}
	}
	x := &talking{handle: func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, `{"choices":[]}`)
		return true
	}}
	if _, err := openChat(t, x).Complete(t.Context(), ask, nil); errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("no stream: %v", err)
	}
}

func TestARefusalOfALanguageModelIsToldWithoutItsKey(t *testing.T) {
	t.Parallel()
	for status, c := range map[int]struct {
		after string
		kind  errs.Kind
		calls int64
		retry time.Duration
	}{
		401: {"", errs.Upstream, 1, 0}, 400: {"", errs.Upstream, 1, 0}, 429: {"30", errs.Unavailable, 1, 30 * time.Second},
		500: {"", errs.Unavailable, 2, soon}, 503: {"1", errs.Unavailable, 2, soon}, 301: {"", errs.Upstream, 1, 0},
	} {
		x := &talking{handle: func(w http.ResponseWriter, _ *http.Request) bool {
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "the key "+key+" is wrong")
			return true
		}}
		_, err := openChat(t, x).Complete(t.Context(), ask, nil)
		e := errs.As(err)
		if e == nil || e.Kind != c.kind || e.RetryAfter != c.retry || strings.Contains(e.Error(), key) || strings.Contains(e.Public(), "is wrong") || x.calls.Load() != c.calls {
			t.Errorf("%d: %+v after %d calls", status, e, x.calls.Load())
		}
	}
	// One that has passed is not told of.
	x := &talking{}
	x.handle = func(w http.ResponseWriter, _ *http.Request) bool {
		if x.calls.Load() > 1 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if _, err := openChat(t, x).Complete(t.Context(), ask, func(string) error { return nil }); err != nil || x.calls.Load() != 2 {
		t.Errorf("%v after %d calls", err, x.calls.Load())
	}
}

func TestALanguageModelIsLeftAloneWhileItIsAway(t *testing.T) {
	t.Parallel()
	x := &talking{}
	s := openChat(t, x)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	x.handle = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // then the server sees that the caller has gone
		select {
		case <-r.Context().Done():
		case <-over:
		}
		return true
	}
	for range patience {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := s.Complete(ctx, ask, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
	}
	n := x.calls.Load()
	if _, err := s.Complete(t.Context(), ask, nil); !errors.Is(err, ErrChatAway) || x.calls.Load() != n {
		t.Errorf("%v after %d calls, %d before", err, x.calls.Load(), n)
	}
}

func TestAListenerThatLeavesEndsTheCall(t *testing.T) {
	t.Parallel()
	x := &talking{}
	gone := errors.New("gone")
	if _, err := openChat(t, x).Complete(t.Context(), ask, func(string) error { return gone }); !errors.Is(err, gone) || x.calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, x.calls.Load())
	}
}

func TestAConfigurationOfALanguageModelThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []ChatConfig{
		{Kind: OpenAI, Model: "gpt-5-mini", KeyFile: file}, {Kind: Compatible, URL: "http://127.0.0.1:11434/v1", Model: "qwen3:8b"}, {Kind: Compatible, URL: "http://vllm:8000/v1", Model: "a/b"},
	} {
		if _, err := OpenChat(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for name, c := range map[string]ChatConfig{
		"kind": {Kind: "x", Model: "m"}, "no address": {Kind: Compatible, Model: "m"}, "no model": {Kind: OpenAI}, "two keys": {Kind: OpenAI, Model: "m", Key: "k", KeyFile: file},
		"plain": {Kind: OpenAI, URL: "http://a.example", Model: "m", Key: "k"}, "no file": {Kind: OpenAI, Model: "m", KeyFile: file + "x"},
	} {
		if _, err := OpenChat(c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
