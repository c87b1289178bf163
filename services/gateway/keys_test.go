package gateway_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// issue makes a key of a user in project 1 and returns the headers that send it.
func (w *world) issue(id string, user int32, scopes ...string) (headers map[string]string, hash string) {
	w.t.Helper()
	k, err := apikey.New("cc")
	if err != nil {
		w.t.Fatal(err)
	}
	sum := k.Hash()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apiKeys[string(sum[:])] = &authv1.ResolveKeyResponse{KeyId: id, ProjectId: 1, UserId: user, Scopes: scopes}
	return map[string]string{"Authorization": "Bearer " + k.Reveal()}, string(sum[:])
}

// endKey is what auth does when a key is revoked: it knows it no more, and says so.
func (w *world) endKey(id, hash string) {
	w.mu.Lock()
	delete(w.apiKeys, hash)
	w.mu.Unlock()
	w.Say(&authv1.ApiKeyRevoked{ProjectId: 1, KeyId: id, Version: 2, UserId: 1, Reason: "revoked"})
}

// open begins an event stream and returns what reads the name of its last event.
func (w *world) open(path string, header map[string]string) (last func() string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.address+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatal(res, err)
	}
	w.t.Cleanup(func() { _ = res.Body.Close() }) // read to its end
	return func() (name string) {
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if got, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = got
			}
		}
		return name
	}
}

func TestARevokedKeyStopsAtEveryGateway(t *testing.T) {
	t.Parallel()
	w, both := two(t)
	key, hash := w.issue("k-1", 1, "projects:read")
	other, _ := w.issue("k-2", 1, "projects:read")
	for i, g := range both {
		for _, h := range []map[string]string{key, other} {
			if got := g.call("GET", "/api/v1/projects/1", "", h); got.status != 200 {
				t.Fatalf("at gateway %d: %d %s", i, got.status, got.body)
			}
		}
		if got := g.call("DELETE", "/api/v1/projects/1", "", key); got.status != 403 {
			t.Errorf("beyond its scopes, at gateway %d: %d", i, got.status)
		}
	}
	w.endKey("k-1", hash)
	for i, g := range both {
		g.eventually(func() bool { return g.call("GET", "/api/v1/projects/1", "", key).status == 401 })
		if got := g.call("GET", "/api/v1/projects/1", "", other); got.status != 200 {
			t.Errorf("another key, at gateway %d: %d", i, got.status)
		}
	}
}

func TestSomebodyWhoIsSwitchedOffStopsAtEveryGateway(t *testing.T) {
	t.Parallel()
	w, both := two(t)
	key, _ := w.issue("k-1", 1, "*:read")
	session := map[string]string{"Authorization": "Bearer " + w.token("1", "s1")}
	ends := make(chan string, len(both))
	for _, g := range both {
		for _, h := range []map[string]string{key, session} {
			if got := g.call("GET", "/api/v1/projects/1", "", h); got.status != 200 {
				t.Fatal(got.status, got.body)
			}
		}
		stream := g.open("/api/v1/events/stream", key)
		go func() { ends <- stream() }()
	}
	turn := func(off bool) {
		w.mu.Lock()
		w.inactive[1] = off
		w.mu.Unlock()
	}
	turn(true)
	w.Say(&authv1.UserDeactivated{UserId: 1, Version: 2})
	for _, g := range both {
		g.eventually(func() bool { return g.call("GET", "/api/v1/projects/1", "", key).status == 401 })
		g.eventually(func() bool { return g.call("GET", "/api/v1/projects/1", "", session).status == 403 })
	}
	for range both {
		if last := <-ends; last != "closed" {
			t.Errorf("a stream ended with %q", last)
		}
	}
	turn(false)
	w.Say(&authv1.UserReactivated{UserId: 1, Version: 3})
	for _, g := range both {
		g.eventually(func() bool { return g.call("GET", "/api/v1/projects/1", "", key).status == 200 })
	}
}

// BenchmarkARevocationAtTwoGateways is the time from the fact that a key is
// revoked until both gateways refuse it: at most 2 s are promised.
func BenchmarkARevocationAtTwoGateways(b *testing.B) {
	w, both := two(b)
	for b.Loop() {
		b.StopTimer()
		key, hash := w.issue("k-1", 1, "*:read")
		for _, g := range both {
			if got := g.call("GET", "/api/v1/projects/1", "", key); got.status != 200 {
				b.Fatal(got.status, got.body)
			}
		}
		b.StartTimer()
		w.endKey("k-1", hash)
		for _, g := range both {
			for g.call("GET", "/api/v1/projects/1", "", key).status != 401 {
			}
		}
	}
}
