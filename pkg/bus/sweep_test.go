package bus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// newStore is a world whose service may list the objects, and no more than that
// and its commands.
func newStore(t *testing.T) *world {
	t.Helper()
	return newWorld(t, bustest.WithContract("auth", bus.Contract{Serves: []string{"count"}, TakesCommands: true, Objects: true}))
}

func (w *world) put(t *testing.T, p tenant.Project) bus.ObjectRef {
	t.Helper()
	ref, err := w.Bus(bustest.Edge).PutObject(t.Context(), p, "f", "", strings.NewReader("content"), 100)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// sweep removes what was put before the time and is not among the kept.
func (w *world) sweep(t *testing.T, before time.Time, kept ...bus.ObjectRef) int {
	t.Helper()
	n, err := w.Bus("auth").SweepObjects(t.Context(), before, func(owner string) bool { return owner != "another" }, func(_ context.Context, p tenant.Project, names []string) (out []string, _ error) {
		for _, name := range names {
			if !strings.HasPrefix(name, p.Token()+"/") {
				t.Errorf("%s is asked for in project %d", name, p)
			}
			if slices.ContainsFunc(kept, func(r bus.ObjectRef) bool { return r.Name == name }) {
				out = append(out, name)
			}
		}
		return out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) there(t *testing.T, ref bus.ObjectRef) bool {
	t.Helper()
	r, err := w.Bus("auth").GetObject(t.Context(), ref)
	if errs.KindOf(err) == errs.NotFound {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return true
}

func TestASweepRemovesWhatIsOldAndNobodysAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	js, _ := bucket(t, w.Env)
	store, err := js.ObjectStore(t.Context(), bus.BucketBlobs)
	if err != nil {
		t.Fatal(err)
	}
	chunk := func(id string) {
		if _, err := js.Publish(t.Context(), "$O.blobs.C."+id, []byte("of a put that broke off")); err != nil {
			t.Fatal(err)
		}
	}
	kept, lost, other, marked := w.put(t, 42), w.put(t, 42), w.put(t, 43), w.put(t, 42)
	if err := store.Delete(t.Context(), marked.Name); err != nil { // as an earlier version did
		t.Fatal(err)
	}
	if _, err := store.PutString(t.Context(), "somebody else's", "stays"); err != nil {
		t.Fatal(err)
	}
	chunk("old")
	before := time.Now()
	young := w.put(t, 42)
	chunk("young")
	if n := w.sweep(t, before, kept); n != 4 { // lost, other, the mark, the chunk
		t.Errorf("%d removed", n)
	}
	if !w.there(t, kept) || !w.there(t, young) || w.there(t, lost) || w.there(t, other) {
		t.Error("not what was to be removed")
	}
	if _, info := bucket(t, w.Env); info.State.Msgs != 7 { // kept, young and the other one, two each, and a chunk
		t.Errorf("%d messages left", info.State.Msgs)
	}
	if n := w.sweep(t, time.Now().Add(time.Hour), kept); n != 2 || !w.there(t, kept) || w.there(t, young) {
		t.Errorf("an hour later: %d removed", n)
	}
	if n := w.sweep(t, time.Now().Add(time.Hour), kept); n != 0 {
		t.Errorf("again: %d removed", n)
	}
}

func TestASweepOfManyObjectsLooksThemUpInBatches(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	var kept []bus.ObjectRef
	for i := range 300 {
		if ref := w.put(t, tenant.Project(1+i%3)); i%10 == 0 {
			kept = append(kept, ref)
		}
	}
	if n := w.sweep(t, time.Now().Add(time.Hour), kept...); n != 270 {
		t.Errorf("%d removed", n)
	}
	for _, ref := range kept {
		if !w.there(t, ref) {
			t.Fatalf("%s is gone", ref.Name)
		}
	}
}

func TestAnObjectStaysWhileACommandMayReferToIt(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	mine, others := w.put(t, 42), w.put(t, 43)
	later := time.Now().Add(time.Hour)
	if a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Wait: -1}); err != nil || !a.Pending {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := w.sweep(t, later); n != 0 {
		t.Errorf("while a command waits: %d removed", n)
	}
	w.Run(w.serve(bus.ServerConfig{Attempts: 1}, func(context.Context, echoRequest) error { return errors.New("disk on fire") }))
	dead := w.deadLetters(t, 1)[0]
	w.eventually(t, func() bool { return w.sweep(t, later) == 1 }) // as soon as the stream knows that it is over
	if !w.there(t, mine) || w.there(t, others) {
		t.Error("with a dead letter of its project: it is gone, or that of another project stays")
	}
	admin := w.Connect(w.Config(bustest.Edge))
	if err := admin.Discard(t.Context(), dead.Seq); err != nil {
		t.Fatal(err)
	}
	if n := w.sweep(t, later); n != 1 || w.there(t, mine) {
		t.Errorf("afterwards: %d removed", n)
	}
}

func TestWhoseObjectAnotherServiceLooksAfterStays(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	ref, err := w.Bus(bustest.Edge).PutObjectFor(t.Context(), "another", 42, "f", "", strings.NewReader("content"), 100)
	if err != nil {
		t.Fatal(err)
	}
	if n := w.sweep(t, time.Now().Add(time.Hour)); n != 0 || !w.there(t, ref) {
		t.Errorf("%d removed", n)
	}
}

func TestASweepThatCannotAskRemovesNothing(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	ref := w.put(t, 42)
	away := errors.New("the database is away")
	_, err := w.Bus("auth").SweepObjects(t.Context(), time.Now().Add(time.Hour), func(string) bool { return true }, func(context.Context, tenant.Project, []string) ([]string, error) { return nil, away })
	if !errors.Is(err, away) || !w.there(t, ref) {
		t.Errorf("%v", err)
	}
}

func TestACommandThatWasNotStoredSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Bus(bustest.Edge).Command(t.Context(), bus.Target{Service: "a b"}, alice, nil, bus.CommandOptions{}); !bus.Unsent(err) || errs.KindOf(err) != errs.Internal {
		t.Errorf("no target: %v", err)
	}
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	s, err := js.Stream(t.Context(), bus.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxBytes = 1
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); !bus.Unsent(err) || errs.KindOf(err) != errs.Unavailable {
		t.Errorf("full: %v", err)
	}
	if err := js.DeleteStream(t.Context(), bus.StreamCommands); err != nil {
		t.Fatal(err)
	}
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); !bus.Unsent(err) || errs.KindOf(err) != errs.Unavailable {
		t.Errorf("no stream: %v", err)
	}
	b := w.Connect(w.Config(bustest.Edge))
	b.Close()
	if _, err := b.Command(t.Context(), count, alice, []byte(`{}`), bus.CommandOptions{}); !bus.Unsent(err) || errs.KindOf(err) != errs.Unavailable {
		t.Errorf("closed: %v", err)
	}
	if bus.Unsent(nil) || bus.Unsent(errs.New(errs.Unavailable, "not known")) {
		t.Error("everything is unsent")
	}
}
