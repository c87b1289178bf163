package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// overheard is what went by while somebody listened: every message of the bus in
// each account, kept or not, and the stream of a project's events over HTTP.
type overheard struct {
	mu       sync.Mutex
	messages []*nats.Msg
	stream   bytes.Buffer
}

// overhear listens from now on until stop, as who may hear everything: over HTTP to
// the project, 0 for the default one of who.
func (p *product) overhear(t *testing.T, who *caller, project int64) (o *overheard, stop func()) {
	t.Helper()
	o = &overheard{}
	var all []*nats.Conn
	for _, user := range []string{"admin", "hub-admin"} {
		nc, err := nats.Connect(p.nats, nats.UserCredentials(filepath.Join(p.dir, "keys", user+".creds")))
		if err != nil {
			t.Fatal(err)
		}
		sub, err := nc.Subscribe(">", o.hear)
		if err == nil {
			err = errors.Join(sub.SetPendingLimits(-1, -1), nc.Flush())
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, nc)
	}
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+who.token)
	if project != 0 {
		req.Header.Set("X-Project-ID", fmt.Sprint(project))
	}
	resp, err := new(http.Client).Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the stream of events: %v %v", resp, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(streamed{o}, resp.Body) // it ends when it is left
	}()
	stop = sync.OnceFunc(func() {
		for _, nc := range all {
			_ = nc.Flush() // what was said before has been heard
			nc.Close()
		}
		cancel()
		<-read
		_ = resp.Body.Close()
	})
	t.Cleanup(stop)
	return o, stop
}

func (o *overheard) hear(m *nats.Msg) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, m)
}

type streamed struct{ *overheard }

func (s streamed) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Write(b)
}

// until waits for text in the stream of events.
func (o *overheard) until(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		o.mu.Lock()
		there := strings.Contains(o.stream.String(), text)
		o.mu.Unlock()
		if there {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the stream of events has no %q", text)
		}
	}
}

// without fails the test for each secret that went anywhere but where it belongs: in
// the bodies of requests of the operations, and in their answers, a cookie too. It
// returns how often each was seen there.
func (o *overheard) without(t *testing.T, secrets, operations []string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	o.mu.Lock()
	defer o.mu.Unlock()
	var replies []string
	kinds := map[string]int{}
	for _, m := range o.messages {
		token := strings.Split(m.Subject, ".")
		kinds[token[0]]++
		belongs := token[0] == "req" && slices.Contains(operations, token[len(token)-1])
		if belongs && m.Reply != "" {
			replies = append(replies, m.Reply)
		}
		answer := slices.ContainsFunc(replies, func(r string) bool { return strings.HasPrefix(m.Subject, r) })
		belongs = belongs || answer
		header, err := json.Marshal(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			for i, form := range forms(secret) {
				switch {
				case bytes.Contains([]byte(m.Subject), form), bytes.Contains(header, form) && !answer, bytes.Contains(m.Data, form) && !belongs:
					t.Errorf("%.12s… is said on %s", secret, m.Subject)
				case i == 0 && bytes.Contains(m.Data, form):
					seen[secret]++
				}
			}
		}
	}
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if bytes.Contains(o.stream.Bytes(), form) {
				t.Errorf("%.12s… is in the stream of events", secret)
			}
		}
	}
	if kinds["evt"] == 0 || kinds["req"] == 0 || kinds["rsp"] == 0 {
		t.Errorf("heard was only %v", kinds)
	}
	return seen
}
