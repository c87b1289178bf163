package serve_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// longPast is a bus whose stream of facts has no end in sight.
type longPast struct {
	*fakeBus
	entered chan tenant.Project // by each reading; nil tells nobody
	leave   chan struct{}       // lets one reading go on; nil lets all
}

var ages = bus.Kept{Start: bus.Position{Created: 1}, End: bus.Position{Created: 1, Seq: 1 << 40}}

func (b *longPast) KeptFacts(context.Context) (bus.Kept, error) { return ages, nil }

func (b *longPast) Facts(ctx context.Context, f bus.FactFilter, from bus.From, fn func(bus.Said) bool) (bus.Position, error) {
	if b.entered != nil {
		b.entered <- f.Project
		select {
		case <-b.leave:
		case <-ctx.Done():
		}
	}
	title := strings.Repeat("t", 12<<10)
	for p := from.After; ; {
		p = bus.Position{Created: 1, Seq: p.Seq + 1}
		id := fmt.Sprint(p.Seq)
		h := map[string][]string{
			"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {"/test"}, "ce-type": {"x"}, "ce-subject": {"7"}, "content-type": {"application/json"},
		}
		said := bus.Said{Position: p, Time: time.Now(), Subject: "evt." + f.Project.Token() + ".knowledge.document.indexed.v1", Header: h,
			Data: []byte(`{"project_id":1,"document_id":"7","version":` + id + `,"title":"` + title + `"}`)}
		if !fn(said) {
			return p, nil
		}
	}
}

func newLongPast(t *testing.T, b *longPast) *world {
	t.Helper()
	w := newWorld(t, func(c *serve.Config, d *serve.Deps) {
		r := feed.NewRing(4, 1<<20)
		r.Begin(ages.End)
		b.fakeBus = newFakeBus()
		d.Bus, d.Ring = b, r
		c.MaxStreams, c.MaxPerUser, c.RequestTimeout = 100, 100, 5*time.Second
	})
	w.client = w.server.Client()
	return w
}

func TestStreamsThatAreNotReadKeepNobodyFromHistory(t *testing.T) {
	t.Parallel()
	w := newLongPast(t, &longPast{})
	for range 20 { // each stands still as soon as the connection is full
		c := w.source(streamPath, viewer)
		c.last = "1-5"
		if got := c.started().version(); got != 6 {
			t.Fatalf("version %d, want 6", got)
		}
	}
	for _, user := range []int64{viewer, stranger} {
		if got := w.call("GET", "/api/v1/events?limit=1", "", as(w.auth.token(user))); got.status != 200 {
			t.Errorf("user %d: %d %s", user, got.status, got.body)
		}
	}
}

func TestOneCallerHasTwoTurnsToReadTheStream(t *testing.T) {
	t.Parallel()
	b := &longPast{entered: make(chan tenant.Project, 100), leave: make(chan struct{}, 100)}
	w := newLongPast(t, b)
	answers := make(chan int, 100)
	ask := func(user int64) {
		go func() {
			answers <- w.call("GET", "/api/v1/events?limit=1", "", as(w.auth.token(user))).status
		}()
	}
	for range 6 {
		ask(viewer)
	}
	for range 2 {
		<-b.entered
	}
	ask(stranger)
	if p := <-b.entered; p != 9 {
		t.Errorf("a third reading of project %d, before that of another caller", p)
	}
	for range 7 { // whoever waited comes next
		b.leave <- struct{}{}
		if status := <-answers; status != 200 {
			t.Errorf("status %d", status)
		}
	}
}

func TestTheRightToFollowEndsInTheMiddleOfALongPast(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world){
		"the token expires": func(w *world) { w.late.Store(int64(2 * time.Hour)) },
		"the session is revoked, and nobody says so": func(w *world) {
			w.auth.mu.Lock()
			defer w.auth.mu.Unlock()
			w.auth.revoked["s-1"] = true
			w.late.Store(int64(2 * time.Minute)) // what was known of it is old
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newLongPast(t, &longPast{})
			c := w.source(streamPath, viewer)
			c.last = "1-5"
			c.started().version()
			end(w)
			for range 100_000 { // connections hold a few hundred
				e, ok := c.next()
				if !ok {
					t.Fatal("the stream ended without a word")
				}
				if e.name == "closed" {
					return
				}
			}
			t.Error("it goes on for ever")
		})
	}
}
