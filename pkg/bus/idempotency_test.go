package bus_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// twoEdges are two replicas of the edge.
func (w *world) twoEdges() [2]*bus.Bus {
	return [2]*bus.Bus{w.Connect(w.Config(bustest.Edge)), w.Connect(w.Config(bustest.Edge))}
}

// gate holds every run of a handler until it is opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) pass(ctx context.Context, _ echoRequest) error {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestWhileACallIsInHandItsKeyIsRefusedAtEveryReplica(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edges, g := w.twoEdges(), newGate()
	w.Run(w.serve(bus.ServerConfig{}, g.pass))
	first := make(chan *bus.Answer, 1)
	go func() {
		a, err := edges[0].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: bustest.Patience})
		if err != nil {
			t.Error(err)
		}
		first <- a
	}()
	bustest.Await(w.Env, g.entered)
	for i, edge := range edges {
		for _, body := range []string{`{"text":"a"}`, `{"text":"b"}`} {
			_, err := edge.Command(t.Context(), count, alice, []byte(body), bus.CommandOptions{Key: "k", Wait: bustest.Patience})
			var e *errs.Error
			if !errors.As(err, &e) || e.Kind != errs.Conflict || e.RetryAfter <= 0 || bus.Settled(err) {
				t.Errorf("replica %d, %s: %v, want a conflict with a time to come back", i, body, err)
			}
		}
	}
	close(g.open)
	a := bustest.Await(w.Env, first)
	for i, edge := range edges {
		again, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"})
		if err != nil || string(again.Body) != string(a.Body) || !again.Replayed || !again.Committed {
			t.Errorf("afterwards at replica %d: %+v, %v; first %+v", i, again, err, a)
		}
		if _, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"b"}`), bus.CommandOptions{Key: "k"}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("another body afterwards at replica %d: %v", i, err)
		}
	}
	if n := w.counted(t); n != 1 || w.runs.Load() != 1 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}

func TestManyCallsWithOneKeyAtBothReplicasRunOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edges := w.twoEdges()
	w.Run(w.serve(bus.ServerConfig{}, nil))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var bodies []string
	for i := range 20 {
		wg.Go(func() {
			a, err := edges[i%2].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"})
			switch {
			case errs.KindOf(err) == errs.Conflict:
			case err != nil:
				t.Error(err)
			default:
				mu.Lock()
				defer mu.Unlock()
				bodies = append(bodies, string(a.Body))
			}
		})
	}
	wg.Wait()
	if slices.Sort(bodies); len(bodies) == 0 || len(slices.Compact(bodies)) != 1 {
		t.Errorf("answers %v", bodies)
	}
	if n := w.counted(t); n != 1 || w.runs.Load() != 1 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}

func TestAKeyNeverCrossesCallersProjectsOrOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(bus.ServerConfig{}, nil)
	bus.Command(s, "countTwice", func(context.Context, echoRequest) (created, error) { return created{-1}, nil })
	w.Run(s)
	edges := w.twoEdges()
	seen := map[string]bool{}
	for i, c := range []struct {
		target bus.Target
		who    tenant.Identity
	}{
		{count, alice},
		{count, bustest.Person(8, 42, tenant.Member)},
		{op("countTwice"), alice},
		{bus.Target{Service: "auth", Operation: "count", Project: 43}, bustest.Person(7, 43, tenant.Member)},
	} {
		a, err := edges[i%2].Command(t.Context(), c.target, c.who, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"})
		if err != nil || a.Replayed || seen[a.OperationID] {
			t.Errorf("call %d: %+v, %v", i, a, err)
			continue
		}
		seen[a.OperationID] = true
	}
}

// An edge that dies while it waits leaves a command that nobody has noted.
func TestAKeyWhoseEdgeDiedIsAnsweredWhileTheServiceIsSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edges := w.twoEdges()
	first, err := edges[0].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || !first.Pending {
		t.Fatalf("%+v, %v", first, err)
	}
	notes, err := jetStream(t, w.Conn("admin")).Stream(t.Context(), "KV_"+bus.BucketOperations)
	if err == nil {
		err = notes.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if a, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"b"}`), bus.CommandOptions{Key: "k", Wait: -1}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("another body: %+v, %v", a, err)
	}
	again, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || !again.Pending || !again.Replayed || again.Committed || again.OperationID != first.OperationID || !again.AcceptedAt.Equal(first.AcceptedAt) {
		t.Fatalf("again: %+v, %v; first %+v", again, err, first)
	}
	if st, err := edges[0].Operation(t.Context(), alice, first.OperationID); err != nil || !st.Pending || !st.AcceptedAt.Equal(first.AcceptedAt) {
		t.Errorf("the operation: %+v, %v", st, err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	done, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: bustest.Patience})
	if err != nil || done.Status != http.StatusCreated || !done.Replayed {
		t.Errorf("waited for: %+v, %v", done, err)
	}
	if n := w.counted(t); n != 1 || w.runs.Load() != 1 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}

// What the stream has handed over, the service alone can tell.
func TestAKeyWhoseServiceTookItAndFellSilentIsToldToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve(bus.ServerConfig{}, nil)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	edges := w.twoEdges()
	if _, err := edges[0].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: -1})
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.Unavailable || e.RetryAfter <= 0 || bus.Unsent(err) {
		t.Errorf("%v, want that it is not known, and a time to come back", err)
	}
}

// A body that waits in the stream is not overtaken by another one under its
// key, also when the stream has forgotten the key.
func TestAnotherBodyNeverRunsInPlaceOfOneThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edges := w.twoEdges()
	first, err := edges[0].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || !first.Pending || first.Committed {
		t.Fatalf("%+v, %v", first, err)
	}
	w.purgeDedupe(t)
	if _, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"b"}`), bus.CommandOptions{Key: "k", Wait: -1}); errs.KindOf(err) != errs.Invalid || !bus.Unsent(err) {
		t.Errorf("another body: %v", err)
	}
	again, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: -1})
	if err != nil || !again.Pending || !again.Replayed || again.Committed || again.OperationID != first.OperationID || !again.AcceptedAt.Equal(first.AcceptedAt) {
		t.Errorf("again: %+v, %v; first %+v", again, err, first)
	}
	commands, err := jetStream(t, w.Conn("admin")).Stream(t.Context(), bus.StreamCommands)
	if err != nil || commands.CachedInfo().State.Msgs != 1 {
		t.Errorf("%d commands wait, want 1 (%v)", commands.CachedInfo().State.Msgs, err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	done, err := edges[1].Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "k", Wait: bustest.Patience})
	if err != nil || done.Status != http.StatusCreated || !done.Replayed || !done.Committed {
		t.Errorf("waited for: %+v, %v", done, err)
	}
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
}

func TestAKeyOutlivesARestartOfEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.OverTCP())
	s := w.serve(bus.ServerConfig{}, nil)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	edge := w.Connect(w.Config(bustest.Edge))
	ran, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "ran"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	waits, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: "waits", Wait: -1})
	if err != nil || !waits.Pending {
		t.Fatalf("%+v, %v", waits, err)
	}
	edge.Close()
	w.Restart()

	edge = w.Connect(w.Config(bustest.Edge)) // and another process of the service
	if again, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"b"}`), bus.CommandOptions{Key: "waits", Wait: -1}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("another body for what waits: %+v, %v", again, err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	for key, first := range map[string]*bus.Answer{"ran": ran, "waits": waits} {
		again, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Key: key, Wait: bustest.Patience})
		if err != nil || again.Status != http.StatusCreated || again.OperationID != first.OperationID || !again.Replayed {
			t.Errorf("%s: %+v, %v; first %+v", key, again, err, first)
		}
		if _, err := edge.Command(t.Context(), count, alice, []byte(`{"text":"b"}`), bus.CommandOptions{Key: key}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s with another body: %v", key, err)
		}
	}
	if n := w.counted(t); n != 2 {
		t.Errorf("%d changes, want one per key", n)
	}
}

func TestWhatGoesOnAsAJobIsCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := bus.NewServer(w.Bus("auth"), bus.ServerConfig{DB: w.db})
	bus.Command(s, "count", func(context.Context, echoRequest) (goesOn, error) { return goesOn{1}, nil })
	w.Run(s)
	a, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{})
	if err != nil || !a.Pending || !a.Committed {
		t.Fatalf("%+v, %v", a, err)
	}
	st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, a.OperationID)
	if err != nil || !st.Pending || st.StartedAt.IsZero() || !st.FinishedAt.IsZero() {
		t.Errorf("state %+v, %v", st, err)
	}
}

func TestACommandOfTheInstanceIsItsCallersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	target := bus.Target{Service: "auth", Operation: "count"}
	me, other := alice, bustest.Person(8, 0, "")
	me.Project = tenant.Instance
	a, err := w.Bus(bustest.Edge).Command(t.Context(), target, me, []byte(`{"text":"a"}`), bus.CommandOptions{Wait: -1})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(when string) {
		t.Helper()
		if st, err := w.Bus(bustest.Edge).Operation(t.Context(), me, a.OperationID); err != nil || st.Operation != "count" {
			t.Errorf("%s: %+v, %v", when, st, err)
		}
		if _, err := w.Bus(bustest.Edge).Operation(t.Context(), other, a.OperationID); errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s, somebody else: %v", when, err)
		}
	}
	ask("while it waits")
	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, func() bool {
		st, err := w.Bus(bustest.Edge).Operation(t.Context(), me, a.OperationID)
		return err == nil && !st.Pending
	})
	ask("afterwards")
}
