package feed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/bus"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/gateway/internal/feed"
)

// said is a fact as the stream has it.
func said(t testing.TB, seq uint64, m proto.Message) bus.Said {
	t.Helper()
	d, err := events.Describe(m)
	if err != nil {
		t.Fatal(err)
	}
	k, err := events.Aggregate(m)
	if err != nil {
		t.Fatal(err)
	}
	h, err := events.Headers(m, fmt.Sprint("id-", seq), "/test", time.Unix(10, 0))
	if err != nil {
		t.Fatal(err)
	}
	data, err := events.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return bus.Said{
		Position: bus.Position{Created: 7, Seq: seq}, Time: time.Unix(11, 0), Subject: d.Subject(fmt.Sprint("p", k.Project)), Header: nats.Header(h), Data: data,
	}
}

func indexed(project int32, document string) *knowledgev1.DocumentIndexed {
	return &knowledgev1.DocumentIndexed{ProjectId: project, DocumentId: document, Version: 3}
}

func TestAFactIsShownInOneFormHoweverItWasWritten(t *testing.T) {
	t.Parallel()
	s := said(t, 4, indexed(1, "7"))
	s.Header["Traceparent"] = []string{"00-x"}
	binary := s
	binary.Header = nats.Header{}
	for k, v := range s.Header {
		binary.Header[k] = v
	}
	binary.Header[events.HeaderContentType] = []string{events.Protobuf}
	var err error
	if binary.Data, err = proto.Marshal(indexed(1, "7")); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]bus.Said{"JSON": s, "protobuf": binary} {
		f, ok := feed.Read(x)
		var e map[string]any
		if !ok || json.Unmarshal(f.JSON, &e) != nil {
			t.Fatalf("%s: %s", name, f.JSON)
		}
		data, _ := e["data"].(map[string]any)
		if !f.Public || f.Project != 1 || f.Aggregate != "7" || e["event"] != "knowledge.document.indexed.v1" || e["position"] != "7-4" || e["aggregate_version"] != 3.0 ||
			e["traceparent"] != "00-x" || e["occurred_at"] != "1970-01-01T00:00:10Z" || data["document_id"] != "7" {
			t.Errorf("%s: %s", name, f.JSON)
		}
	}
}

func TestWhatIsNoFactIsLeftOut(t *testing.T) {
	t.Parallel()
	strange, broken, anonymous := said(t, 2, indexed(1, "7")), said(t, 3, indexed(1, "7")), said(t, 4, indexed(1, "7"))
	strange.Subject = "evt.p1.x"
	broken.Data = []byte("{")
	anonymous.Header = nil
	for _, s := range []bus.Said{strange, broken, anonymous} {
		if f, ok := feed.Read(s); ok {
			t.Errorf("shown: %s", f.JSON)
		}
	}
	unknown := said(t, 5, indexed(1, "7"))
	unknown.Subject = "evt.p1.knowledge.document.praised.v1" // of a newer version
	if f, ok := feed.Read(unknown); !ok || f.Public {
		t.Errorf("a fact that is not known: %t, public %t", ok, f.Public)
	}
}

func seqs(facts []feed.Fact) (out []uint64) {
	for _, f := range facts {
		out = append(out, f.Position.Seq)
	}
	return out
}

func TestAReaderGetsWhatItsFilterWantsFromItsPlaceOn(t *testing.T) {
	t.Parallel()
	r := feed.NewRing(100, 1<<20)
	r.Begin(bus.Position{Created: 7})
	r.Add(said(t, 1, indexed(1, "7")))
	r.Add(said(t, 2, indexed(2, "7")))
	r.Add(said(t, 3, indexed(1, "8")))
	r.Add(said(t, 4, &authv1.MembershipChanged{ProjectId: 1, MembershipId: "1:1", Version: 1}))
	for _, c := range []struct {
		f    feed.Filter
		from uint64
		want string
	}{
		{feed.Filter{Project: 1}, 0, "[1 3] 4"},
		{feed.Filter{Project: 1}, 1, "[3] 4"},
		{feed.Filter{Project: 1, Internal: true}, 1, "[3 4] 4"},
		{feed.Filter{Project: 1, Aggregate: "7"}, 0, "[1] 4"},
		{feed.Filter{Project: 2, Noun: "document", Fact: "indexed", Service: "knowledge"}, 0, "[2] 4"},
		{feed.Filter{Project: 2, Noun: "project"}, 0, "[] 4"},
		{feed.Filter{Project: 1}, 9, "[] 9"}, // ahead of the ring
	} {
		x, err := r.Join(c.f, bus.Position{Created: 7, Seq: c.from})
		if err != nil {
			t.Fatal(err)
		}
		got, at, err := x.Next(make([]feed.Fact, 0, 10))
		if text := fmt.Sprint(seqs(got), at.Seq); err != nil || text != c.want {
			t.Errorf("%+v from %d: %s, want %s (%v)", c.f, c.from, text, c.want, err)
		}
		x.Leave()
	}
}

func TestAReaderThatIsTooSlowHasLostItsPlace(t *testing.T) {
	t.Parallel()
	r := feed.NewRing(3, 1<<20)
	r.Begin(bus.Position{Created: 7, Seq: 5})
	if _, err := r.Join(feed.Filter{Project: 1}, bus.Position{Created: 7, Seq: 4}); !errors.Is(err, feed.ErrBehind) {
		t.Errorf("before the ring began: %v", err)
	}
	x, err := r.Join(feed.Filter{Project: 1}, bus.Position{Created: 7, Seq: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Leave()
	for seq := uint64(6); seq <= 8; seq++ {
		r.Add(said(t, seq, indexed(1, "7")))
	}
	buf := make([]feed.Fact, 0, 2)
	if got, at, err := x.Next(buf); err != nil || fmt.Sprint(seqs(got), at.Seq) != "[6 7] 7" {
		t.Errorf("%v %v %v", seqs(got), at, err)
	}
	for seq := uint64(9); seq <= 11; seq++ {
		r.Add(said(t, seq, indexed(1, "7")))
	}
	if _, at, err := x.Next(buf); !errors.Is(err, feed.ErrBehind) || at.Seq != 7 {
		t.Errorf("%v %v", at, err)
	}
	select {
	case <-x.Bell:
	default:
		t.Error("the bell did not ring")
	}
}

func TestANewBeginningIsToldToEverybody(t *testing.T) {
	t.Parallel()
	r := feed.NewRing(3, 1<<20)
	r.Begin(bus.Position{Created: 7})
	x, err := r.Join(feed.Filter{Project: 1}, bus.Position{Created: 7})
	if err != nil {
		t.Fatal(err)
	}
	r.Begin(bus.Position{Created: 8})
	if _, _, err := x.Next(make([]feed.Fact, 0, 1)); !errors.Is(err, feed.ErrReset) {
		t.Errorf("%v", err)
	}
	if _, err := r.Join(feed.Filter{Project: 1}, bus.Position{Created: 7}); !errors.Is(err, feed.ErrReset) {
		t.Errorf("a place of the old one: %v", err)
	}
	if r.Covers(bus.Position{Created: 7}) || !r.Covers(bus.Position{Created: 8}) {
		t.Error("covers the wrong one")
	}
}

func TestTheRingIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	one, ok := feed.Read(said(t, 1, indexed(1, "7")))
	if !ok {
		t.Fatal("no fact")
	}
	r := feed.NewRing(100, 2*len(one.JSON)+10)
	r.Begin(bus.Position{Created: 7})
	for seq := uint64(1); seq <= 9; seq++ {
		r.Add(said(t, seq, indexed(1, "7")))
	}
	if r.Covers(bus.Position{Created: 7, Seq: 6}) || !r.Covers(bus.Position{Created: 7, Seq: 7}) {
		t.Error("it holds another number than two")
	}
}

// Who has read the stream itself may be ahead of a ring that hears of it later.
func TestWhatARingHearsAfterItsReaderLosesNobodysPlace(t *testing.T) {
	t.Parallel()
	r := feed.NewRing(2, 1<<20)
	r.Begin(bus.Position{Created: 7})
	x, err := r.Join(feed.Filter{Project: 1}, bus.Position{Created: 7, Seq: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Leave()
	for seq := uint64(1); seq <= 6; seq++ {
		r.Add(said(t, seq, indexed(1, "d")))
	}
	found, at, err := x.Next(make([]feed.Fact, 0, 10))
	if err != nil || !slices.Equal(seqs(found), []uint64{6}) || at.Seq != 6 {
		t.Errorf("%v at %v, %v", seqs(found), at, err)
	}
	for seq := uint64(7); seq <= 9; seq++ { // one more than it holds
		r.Add(said(t, seq, indexed(1, "d")))
	}
	if found, _, err := x.Next(make([]feed.Fact, 0, 10)); !errors.Is(err, feed.ErrBehind) {
		t.Errorf("one that missed something: %v, %v", seqs(found), err)
	}
}
