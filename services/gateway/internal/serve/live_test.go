package serve_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// stream is an open event stream.
type stream struct {
	w      *world
	lines  chan string // closed at its end
	cancel context.CancelFunc
	status int
}

func (w *world) follow(path string, user int64) *stream {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", w.server.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	as(w.auth.token(user))(r)
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &stream{w: w, lines: make(chan string, 100), cancel: cancel, status: res.StatusCode}
	go func() {
		defer close(s.lines)
		for sc := bufio.NewScanner(res.Body); sc.Scan(); {
			if sc.Text() != "" {
				s.lines <- sc.Text()
			}
		}
		_ = res.Body.Close() // the stream is over
	}()
	return s
}

// next is the next line, "" at the end.
func (s *stream) next() string {
	s.w.t.Helper()
	select {
	case l := <-s.lines:
		return l
	case <-time.After(patience):
		s.w.t.Fatal("no line came")
		return ""
	}
}

func (s *stream) want(prefixes ...string) {
	s.w.t.Helper()
	for _, p := range prefixes {
		if got := s.next(); !strings.HasPrefix(got, p) || p == "" && got != "" {
			s.w.t.Fatalf("line %q, want %q", got, p)
		}
	}
}

func await[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

const watchPath = "/api/v1/knowledge/documents/1/progress"

// states lets a test say what getDocument answers next.
func states(w *world, first string) *atomic.Value {
	var now atomic.Value
	now.Store(first)
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		return &bus.Answer{Status: 200, Body: []byte(now.Load().(string))}, nil
	}
	return &now
}

func TestAStreamBeginsWithTheStateAndEndsWithTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := states(w, document("indexing"))
	s := w.follow(watchPath, viewer)
	s.want("event: progress", "id: 1", `data: {"id":1,`)
	if job := await(t, w.bus.followed); job != "j1" {
		t.Errorf("followed %q", job)
	}
	now.Store(strings.Replace(document("indexing"), `"chunks_embedded":1`, `"chunks_embedded":2`, 1))
	w.bus.mu.Lock()
	said := w.bus.live
	w.bus.mu.Unlock()
	said([]byte("{}"))
	s.want("event: progress", "id: 2", "data: ")
	now.Store(document("indexed"))
	said([]byte("{}"))
	s.want("event: progress", "id: 3", "data: ", "")
	await(t, w.bus.stopped)
}

func TestAStreamOfWhatIsDoneIsOneEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	states(w, document("indexed"))
	s := w.follow(watchPath, viewer)
	s.want("event: progress", "id: 1", "data: ", "")
}

func TestAStreamAsksByItselfWhenProgressIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = 20 * time.Millisecond })
	now := states(w, document("indexing"))
	s := w.follow(watchPath, viewer)
	s.want("event: progress", "id: 1", "data: ")
	await(t, w.bus.followed)
	now.Store(document("failed"))
	for {
		if l := s.next(); strings.HasPrefix(l, "event: progress") {
			break
		} else if !strings.HasPrefix(l, ": heartbeat") {
			t.Fatalf("line %q", l)
		}
	}
	s.want("id: 2", "data: ", "")
}

func TestAStreamEndsWhenTheRightToItEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = 20 * time.Millisecond })
	states(w, document("indexing"))
	s := w.follow(watchPath, viewer)
	s.want("event: progress", "id: 1", "data: ")
	w.auth.mu.Lock()
	w.auth.revoked["s-1"] = true
	w.auth.mu.Unlock()
	w.guard.ForgetSession("s-1")
	for s.next() != "" { // heartbeats, then the end
	}
}

// A call that names no project is of the default one; what it began with is not
// what its caller sees once that is another.
func TestAStreamEndsWhenItsProjectIsTheCallersDefaultNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Heartbeat = 20 * time.Millisecond })
	states(w, document("indexing"))
	s := w.follow(watchPath, viewer)
	s.want("event: progress", "id: 1", "data: ")
	w.auth.mu.Lock()
	w.auth.users[viewer].roles = map[tenant.Project]tenant.Role{2: tenant.Owner}
	w.auth.users[viewer].home = 2
	w.auth.mu.Unlock()
	w.guard.ForgetUser(viewer)
	for s.next() != "" { // heartbeats, then the end
	}
}

func TestStreamsAreBoundedPerCallerAndAltogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.MaxStreams = 3 })
	states(w, document("indexing"))
	first := w.follow(watchPath, viewer)
	first.want("event: progress")
	w.follow(watchPath, viewer).want("event: progress")
	if s := w.follow(watchPath, viewer); s.status != 429 {
		t.Errorf("a third stream of one caller: %d", s.status)
	}
	w.follow(watchPath, member).want("event: progress")
	if s := w.follow(watchPath, owner); s.status != 503 {
		t.Errorf("a fourth stream: %d", s.status)
	}
	first.cancel()
	await(t, w.bus.stopped)
}

func TestAStreamOfWhatIsNotThereIsAnOrdinaryRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		return nil, errs.New(errs.NotFound, "document not found")
	}
	if got := w.call("GET", watchPath, "", as(w.auth.token(viewer))); got.status != 404 {
		t.Errorf("%d %s", got.status, got.body)
	}
	states(w, document("indexing"))
	if got := w.call("HEAD", watchPath, "", as(w.auth.token(viewer))); got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", got.status, got.header)
	}
}

func TestDrainingEndsStreamsAndReadiness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	states(w, document("indexing"))
	s := w.follow(watchPath, viewer)
	s.want("event: progress", "id: 1", "data: ")
	if got := w.call("GET", "/health/ready", ""); got.status != 200 {
		t.Errorf("before: %d", got.status)
	}
	w.edge.Drain()
	s.want("retry: 1000", "")
	if got := w.call("GET", "/health/ready", ""); got.status != 503 {
		t.Errorf("ready: %d", got.status)
	}
	if got := w.call("GET", "/health/live", ""); got.status != 200 {
		t.Errorf("live: %d", got.status)
	}
	if s := w.follow(watchPath, viewer); s.status != 503 {
		t.Errorf("a new stream: %d", s.status)
	}
}
