package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// mcpServer stands for the gateway: it answers messages as its tool says.
func mcpServer(t *testing.T, hangs chan<- struct{}, seen func(*http.Request)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/mcp" {
			http.NotFound(w, r)
			return
		}
		seen(r)
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		body, err := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if bytes.HasPrefix(body, []byte("[")) {
			_, _ = io.WriteString(w, `[{"batch":true}]`)
			return
		}
		if err := errors.Join(err, json.Unmarshal(body, &m)); err != nil {
			t.Error(err)
		}
		switch m.Method {
		case "initialize":
			_, _ = io.WriteString(w, "{\n \"jsonrpc\":\"2.0\",\"id\":"+string(m.ID)+",\"result\":{\"protocolVersion\":\"2025-11-25\"}}")
		case "notifications/initialized":
			w.WriteHeader(http.StatusAccepted)
		case "hang":
			hangs <- struct{}{}
			<-r.Context().Done()
		case "wrong":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":{"code":-32600}}`)
		case "refuse":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"title":"Too many requests","detail":"slowly","status":429}`)
		default:
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"said":"`+m.Method+`"}}`)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestMessagesOfALanguageModelGoToTheServerAndBack(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{}, 1)
	var mu sync.Mutex
	versions := map[string]bool{}
	server := mcpServer(t, hangs, func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		versions[r.Header.Get("Mcp-Protocol-Version")] = true
		if r.Header.Get("Authorization") != "Bearer cc_token" || r.Header.Get("X-Project-ID") != "3" {
			t.Errorf("headers %v", r.Header)
		}
	})
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("client:\n  server: "+server+"\n  token: cc_token\n  project: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, typed := io.Pipe()
	said, out := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Run(context.WithoutCancel(t.Context()), []string{"mcp", "--config", config}, Streams{In: in, Out: out, Err: os.Stderr})
		_, _ = out.Close(), in.Close()
	}()
	lines := bufio.NewScanner(said)
	ask := func(line string) {
		t.Helper()
		if _, err := io.WriteString(typed, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("heard %q, want %q", lines.Text(), want)
		}
	}
	ask(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
	hear(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}`)
	ask(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	ask(``)
	ask(`{"jsonrpc":"2.0","id":"a","method":"tools/list"}`)
	hear(`"said":"tools/list"`)
	ask(`not JSON`)
	hear(`-32700`)
	ask(`{"jsonrpc":"2.0","id":5,"method":"wrong"}`)
	hear(`{"jsonrpc":"2.0","id":5,"error":{"code":-32600}}`)
	ask(`[{"jsonrpc":"2.0","id":6,"method":"ping"}]`)
	hear(`[{"batch":true}]`)
	ask(`{"jsonrpc":"2.0","id":2,"method":"refuse"}`)
	hear(`"message":"slowly (HTTP 429)`)
	ask(`{"jsonrpc":"2.0","id":3,"method":"hang"}`)
	<-hangs
	ask(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`)
	ask(`{"jsonrpc":"2.0","id":4,"method":"ping"}`)
	hear(`"said":"ping"`)
	if err := typed.Close(); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("also heard %q", lines.Text())
	}
	if c := <-code; c != 0 {
		t.Errorf("ended with %d", c)
	}
	if !versions["2025-11-25"] {
		t.Errorf("versions %v", versions)
	}
}
