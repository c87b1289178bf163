package bus_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
)

func sayVersions(e *bustest.Env, project int32, versions ...int32) {
	for _, v := range versions {
		e.SayAs(fmt.Sprintf("%d-%d", project, v), &knowledgev1.DocumentIndexed{ProjectId: project, DocumentId: "7", Version: v})
	}
}

func TestFactsAreReadFromAPlaceToTheEnd(t *testing.T) {
	t.Parallel()
	e := bustest.New(t, "knowledge")
	b := e.Bus("gateway")
	kept, err := b.KeptFacts(t.Context())
	if err != nil || kept.Start != kept.End || kept.Start.Seq != 0 {
		t.Fatalf("empty: %+v %v", kept, err)
	}
	sayVersions(e, 1, 1, 2)
	sayVersions(e, 2, 1, 2, 3)
	read := func(f bus.FactFilter, from bus.From, most int) (seqs []uint64, at bus.Position) {
		at, err := b.Facts(t.Context(), f, from, func(s bus.Said) bool {
			seqs = append(seqs, s.Position.Seq)
			return len(seqs) < most
		})
		if err != nil {
			t.Fatal(err)
		}
		return seqs, at
	}
	for _, c := range []struct {
		f    bus.FactFilter
		from bus.From
		most int
		want string
	}{
		{bus.FactFilter{Project: 1}, bus.From{After: kept.Start}, 9, "[1 2] 5"},
		{bus.FactFilter{Project: 2, Noun: "document", Fact: "indexed"}, bus.From{After: kept.Start}, 9, "[3 4 5] 5"},
		{bus.FactFilter{Project: 2}, bus.From{After: kept.Start}, 2, "[3 4] 4"},
		{bus.FactFilter{Project: 2, Service: "auth"}, bus.From{After: kept.Start}, 9, "[] 5"},
		{bus.FactFilter{Project: 2}, bus.From{Since: time.Now().Add(-time.Hour)}, 9, "[3 4 5] 5"},
		{bus.FactFilter{Project: 2}, bus.From{Since: time.Now().Add(time.Hour)}, 9, "[] 5"},
	} {
		seqs, at := read(c.f, c.from, c.most)
		if got := fmt.Sprint(seqs, at.Seq); got != c.want {
			t.Errorf("%+v %+v: %s, want %s", c.f, c.from, got, c.want)
		}
	}
	for _, p := range []bus.Position{{Created: kept.End.Created, Seq: 6}, {Created: 1, Seq: 1}} {
		if _, err := b.Facts(t.Context(), bus.FactFilter{Project: 1}, bus.From{After: p}, func(bus.Said) bool { return true }); !errors.Is(err, bus.ErrNotKept) {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, text := range []string{"", "1", "1-", "-1-2", "a-b"} {
		if _, err := bus.ParsePosition(text); err == nil {
			t.Errorf("position %q was read", text)
		}
	}
}

func TestASlowReaderOfFactsMissesNone(t *testing.T) {
	t.Parallel()
	e := bustest.New(t, "knowledge")
	b := e.Bus("gateway")
	kept, err := b.KeptFacts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const said = 1500 // more than flow control lets onto the way
	js, err := jetstream.New(e.Conn(natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 8<<10)
	for range said {
		if _, err := js.PublishAsync("evt.p1.knowledge.document.indexed.v1", body); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("the stream does not acknowledge")
	}
	// Slower than the consumer beats, which is what is tested: it waits for a beat
	// that says that the consumer stands still.
	stalled := make(chan struct{}, 100)
	if _, err := e.Conn(natsd.UserAdmin).Subscribe("_INBOX_gateway.>", func(m *nats.Msg) {
		if m.Header.Get("Nats-Consumer-Stalled") != "" {
			stalled <- struct{}{}
		}
	}); err != nil {
		t.Fatal(err)
	}
	heard := 0
	at, err := b.Facts(t.Context(), bus.FactFilter{Project: 1}, bus.From{After: kept.Start}, func(bus.Said) bool {
		if heard++; heard == 1 {
			bustest.Await(e, stalled)
		}
		return true
	})
	if err != nil || heard != said || at.Seq != said {
		t.Fatalf("heard %d of %d, at %v: %v", heard, said, at, err)
	}
}

func TestAFeedHearsTheLastFactsAndAllThatFollow(t *testing.T) {
	t.Parallel()
	e := bustest.New(t, "knowledge")
	sayVersions(e, 1, 1, 2, 3, 4)
	begun, heard := make(chan bus.Position, 10), make(chan bus.Said, 10)
	e.Run(bus.NewFeed(e.Bus("gateway"), 2, func(p bus.Position) { begun <- p }, func(s bus.Said) { heard <- s }))
	if p := bustest.Await(e, begun); p.Seq != 2 {
		t.Errorf("begins at %s", p)
	}
	sayVersions(e, 2, 1)
	for want := uint64(3); want <= 5; want++ {
		if s := bustest.Await(e, heard); s.Position.Seq != want || s.Position.Created == 0 {
			t.Errorf("heard %s, want %d", s.Position, want)
		}
	}
	if len(begun) != 0 {
		t.Errorf("began again at %s", <-begun)
	}
}
