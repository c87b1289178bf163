package bus_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestAFaultIsTriedAgainAndLeavesOneChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, func(ctx context.Context, _ echoRequest) error {
		if bus.CallFrom(ctx).Attempt < 3 {
			return errs.New(errs.Upstream, "the other end hung up")
		}
		return nil
	}))
	a, err := w.give(t, `{}`, bus.CommandOptions{})
	if err != nil || string(a.Body) != `{"id":3}` {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := w.counted(t); n != 1 || w.runs.Load() != 3 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}

func TestACommandThatKeepsFailingBecomesADeadLetterAndCanBeRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var healed atomic.Bool
	w.Run(w.serve(bus.ServerConfig{Attempts: 2}, func(context.Context, echoRequest) error {
		if healed.Load() {
			return nil
		}
		return errors.New("disk on fire")
	}))
	edge := w.Bus(bustest.Edge)
	_, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k"})
	if errs.KindOf(err) != errs.Internal {
		t.Fatalf("the last failure: %v", err)
	}
	dead := w.deadLetters(t, 1)[0]
	if dead.Service != "auth" || dead.Stream != bus.StreamCommands || dead.Subject != "cmd.p42.auth.count" || dead.Project != 42 || dead.Attempts != 2 ||
		!strings.Contains(dead.Error, "disk on fire") || string(dead.Data) != `{"text":"a"}` || dead.Header.Get("Cc-Command") == "" || dead.StoredAt.IsZero() || dead.DiedAt.IsZero() {
		t.Errorf("dead letter %+v", dead)
	}
	if _, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{Key: "k"}); errs.KindOf(err) != errs.Internal {
		t.Errorf("the same key, given up: %v", err)
	}
	opID := "auth." + dead.Header.Get("Cc-Command")
	if st, err := edge.Operation(t.Context(), alice, opID); err != nil || errs.KindOf(st.Err) != errs.Internal || st.Pending {
		t.Errorf("state %+v, %v", st, err)
	}
	healed.Store(true)
	if err := edge.Redrive(t.Context(), dead.Seq); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, func() bool {
		st, err := edge.Operation(t.Context(), alice, opID)
		return err == nil && st.Answer != nil
	})
	w.deadLetters(t, 0)
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
	if err := edge.Redrive(t.Context(), dead.Seq); errs.KindOf(err) != errs.NotFound {
		t.Errorf("redriven again: %v", err)
	}
}

func TestACommandWaitsForADatabaseThatIsAwayWithoutUsingUpItsTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	away := errs.New(errs.Unavailable, "the database is not available")
	w.Run(w.serve(bus.ServerConfig{Attempts: 2}, func(ctx context.Context, _ echoRequest) error {
		if call := bus.CallFrom(ctx); call.Attempt != 1 {
			t.Errorf("attempt %d", call.Attempt)
		}
		if w.runs.Load() < 20 {
			return away
		}
		return nil
	}))
	a, err := w.give(t, `{}`, bus.CommandOptions{Wait: bustest.Patience})
	if err != nil || string(a.Body) != `{"id":20}` {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
}

func TestACommandWhoseNeedsStayAwayIsGivenUpAfterItsPatience(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{Attempts: 1, Patience: 20 * time.Millisecond}, func(context.Context, echoRequest) error {
		return errs.New(errs.Unavailable, "away")
	}))
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
	if d := w.deadLetters(t, 1)[0]; d.Error != "away" {
		t.Errorf("dead letter %+v", d)
	}
}

func TestAWaitingCommandIsGivenBackWhenItsReplicaStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	waiting := make(chan struct{}, 1000)
	s := w.serve(bus.ServerConfig{Workers: 1, Backoff: []time.Duration{time.Hour}}, func(context.Context, echoRequest) error {
		waiting <- struct{}{}
		return errs.New(errs.Unavailable, "away")
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := w.give(t, `{}`, bus.CommandOptions{Wait: bustest.Patience})
		answer <- err
	}()
	bustest.Await(w.Env, waiting)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	if err := bustest.Await(w.Env, answer); err != nil {
		t.Error(err)
	}
}

func TestAStopGivesARunningCommandItsTimeAndAnotherReplicaTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	running, release := make(chan struct{}, 8), make(chan struct{})
	s := w.serve(bus.ServerConfig{Workers: 1}, func(context.Context, echoRequest) error {
		running <- struct{}{}
		<-release
		return nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	type result struct {
		a   *bus.Answer
		err error
	}
	results := make(chan result, 3)
	for range 3 {
		go func() {
			a, err := w.Bus(bustest.Edge).Command(t.Context(), count, alice, []byte(`{}`), bus.CommandOptions{Wait: bustest.Patience})
			results <- result{a, err}
		}()
	}
	bustest.Await(w.Env, running)
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	second := w.serve(bus.ServerConfig{Workers: 2}, nil)
	w.Run(second)
	for range 2 { // not held back by the one that is stopping
		if r := bustest.Await(w.Env, results); r.err != nil || r.a.Pending {
			t.Errorf("%+v, %v", r.a, r.err)
		}
	}
	close(release)
	if r := bustest.Await(w.Env, results); r.err != nil || r.a.Pending {
		t.Errorf("the running one: %+v, %v", r.a, r.err)
	}
	if err := bustest.Await(w.Env, stopped); err != nil {
		t.Error(err)
	}
	if n := w.counted(t); n != 3 {
		t.Errorf("%d changes", n)
	}
}

func TestAFullStreamRefusesACommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	s, err := js.Stream(t.Context(), bus.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxMsgs = 1
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.give(t, `{}`, bus.CommandOptions{Wait: -1}); err != nil {
		t.Fatal(err)
	}
	_, err = w.give(t, `{}`, bus.CommandOptions{Wait: -1})
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.Unavailable || e.RetryAfter == 0 {
		t.Errorf("error %v", err)
	}
}
