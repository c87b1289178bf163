package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
)

// replica is one limiter of several, on a real bus, and what it has heard.
type replica struct {
	*Shared
	heard chan message
}

// frozen is a time that does not pass: what is let through comes from the
// bucket alone.
func frozen() time.Time { return start }

func join(t *testing.T, env *bustest.Env) *replica {
	t.Helper()
	r := &replica{NewShared(1000, env.Connect(env.Config(bustest.Edge)).Peers("limits"), slog.New(slog.DiscardHandler), frozen), make(chan message, 10_000)}
	r.tap = func(m message) { r.heard <- m }
	env.Run(r)
	return r
}

// hears returns when the replica has heard something that is asked for.
func (r *replica) hears(t *testing.T, what string, is func(message) bool) {
	t.Helper()
	for {
		select {
		case m := <-r.heard:
			if is(m) {
				return
			}
		case <-time.After(bustest.Patience):
			t.Fatalf("has not heard %s", what)
		}
	}
}

func (r *replica) meets(t *testing.T, others int) {
	t.Helper()
	if len(*r.others.Load()) != others {
		r.hears(t, "the others", func(message) bool { return len(*r.others.Load()) == others })
	}
}

func several(t *testing.T, n int) []*replica {
	t.Helper()
	env := bustest.Start(t, nil, bustest.WithContract(bustest.Edge, bus.Contract{Serves: []string{"health"}, Peers: true}))
	var all []*replica
	for range n {
		all = append(all, join(t, env))
	}
	for _, r := range all {
		r.meets(t, n-1)
	}
	return all
}

// offer makes calls at all replicas at once and returns how many were let
// through.
func offer(t *testing.T, all []*replica, key Key, n, callsEach int) int {
	t.Helper()
	var passed atomic.Int64
	var wg sync.WaitGroup
	for _, r := range all {
		for range 4 {
			wg.Go(func() {
				for range callsEach / 4 {
					if r.Take(t.Context(), key, n, time.Hour).OK {
						passed.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	return int(passed.Load())
}

func TestASmallLimitIsExactOverAllReplicas(t *testing.T) {
	t.Parallel()
	all := several(t, 3)
	for i, n := range []int{1, 5, 10, 60, 99} {
		for caller := range 3 {
			if got := offer(t, all, Key{"login", fmt.Sprint(i, caller)}, n, 80); got != n {
				t.Errorf("limit %d: %d were let through", n, got)
			}
		}
	}
}

func TestACallIsGivenBackToAllReplicas(t *testing.T) {
	t.Parallel()
	all := several(t, 3)
	for caller := range 5 {
		key := Key{"register", fmt.Sprint(caller)}
		for i := range 30 { // never more than one at a time
			r := all[i%3]
			if d := r.Take(t.Context(), key, 5, time.Hour); !d.OK || d.Remaining != 4 {
				t.Fatalf("call %d: %+v", i, d)
			}
			if d := all[(i+1)%3].Give(t.Context(), key, 5, time.Hour); d.Remaining != 5 {
				t.Fatalf("call %d, given back: %+v", i, d)
			}
		}
		if got := offer(t, all, key, 5, 40); got != 5 {
			t.Errorf("%d were let through", got)
		}
	}
}

func TestWhatOneReplicaLetsThroughTheOthersCount(t *testing.T) {
	t.Parallel()
	all := several(t, 3)
	const n = 1000
	key := Key{"reads", "user:1"}
	passed := 0
	// Each is offered so much at a time that what it has told is heard before the
	// others go on.
	for round := range 60 {
		for _, r := range all {
			for range 20 {
				if r.Take(t.Context(), key, n, time.Hour).OK {
					passed++
				}
			}
			r.flush()
			r.settled(t, all, round)
		}
	}
	if passed != n {
		t.Errorf("%d of %d were let through", passed, n)
	}
}

// settled returns when every other replica has heard what this one has said.
func (r *replica) settled(t *testing.T, all []*replica, round int) {
	t.Helper()
	mark := Key{"mark", fmt.Sprint(r.id, round)}
	r.say(message{Spent: []counted{{mark.Rule, mark.Who, time.Hour}}})
	for _, other := range all {
		if other != r {
			other.hears(t, "the mark", func(m message) bool { return len(m.Spent) == 1 && m.Spent[0].Who == mark.Who })
		}
	}
}

func TestTooManyAreOwedAndNeverAddUp(t *testing.T) {
	t.Parallel()
	l, key := New(10), Key{"r", "w"}
	for range 10 {
		l.Take(start, key, 10, time.Minute)
	}
	l.charge(start, key, 30*time.Second) // five that another has let through meanwhile
	d := l.Take(start.Add(30*time.Second), key, 10, time.Minute)
	if d.OK || d.Wait != 6*time.Second || d.Reset > time.Minute {
		t.Errorf("%+v", d)
	}
}

func TestOneThatComesAnewIsToldWhatTheOthersKnow(t *testing.T) {
	t.Parallel()
	env := bustest.New(t)
	first := join(t, env)
	key := Key{"reads", "user:1"}
	for range 700 { // alone, and so untold
		first.Take(t.Context(), key, 1000, time.Hour)
	}
	second := join(t, env)
	second.hears(t, "what is owed", func(m message) bool { return len(m.Owed) == 1 })
	if d := second.Take(t.Context(), key, 1000, time.Hour); d.Remaining != 299 {
		t.Errorf("%+v", d)
	}
}

func TestWithoutTheOthersAReplicaCountsForItself(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := NewShared(100, cut{&asked}, slog.New(slog.DiscardHandler), frozen)
	s.meet("other", start)
	passed := 0
	for i := range 40 {
		for range 20 {
			if s.Take(t.Context(), Key{"login", fmt.Sprint(i)}, 10, time.Minute).OK {
				passed++
			}
		}
	}
	if passed != 400 {
		t.Errorf("%d were let through, want 400", passed)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("a replica that is away was asked %d times, want once", n)
	}
	s.meet("other", start)
	s.prune(start.Add(goneAfter))
	if len(*s.others.Load()) != 1 {
		t.Error("one that was heard in time is gone")
	}
	s.prune(start.Add(goneAfter + 1))
	if len(*s.others.Load()) != 0 {
		t.Error("one that was silent is still there")
	}
}

// cut is a bus that is away.
type cut struct{ asked *atomic.Int64 }

var errCut = errors.New("cut")

func (cut) Tell([]byte) error { return errCut }
func (c cut) Ask(context.Context, string, []byte) ([]byte, error) {
	c.asked.Add(1)
	return nil, errCut
}
func (cut) Listen(string, func([]byte), func([]byte) []byte) (func(), error) { return nil, errCut }

func TestReplicasSayGoodByeAndIgnoreNonsense(t *testing.T) {
	t.Parallel()
	all := several(t, 2)
	for _, nonsense := range []string{"", "{", `{"spent":[{"r":"r","w":"w","c":5}]}`} {
		all[0].told([]byte(nonsense))
		if all[0].asked([]byte(nonsense)) != nil {
			t.Errorf("%q was answered", nonsense)
		}
	}
	if all[0].asked([]byte(`{"r":"r","w":"w","n":0,"per":0}`)) != nil {
		t.Error("a limit of nothing was answered")
	}
	if err := all[1].Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	all[0].meets(t, 0)
	all[1].stop = nil // the test stops it once more
	if err := NewShared(1, cut{}, slog.New(slog.DiscardHandler), frozen).Start(t.Context()); !errors.Is(err, errCut) {
		t.Errorf("without a bus: %v", err)
	}
}

func BenchmarkSharedTake(b *testing.B) {
	s := NewShared(1000, cut{new(atomic.Int64)}, slog.New(slog.DiscardHandler), time.Now)
	s.meet("other", time.Now())
	for b.Loop() {
		s.Take(b.Context(), Key{"r", "user:7"}, 1_000_000_000, time.Minute)
	}
}
