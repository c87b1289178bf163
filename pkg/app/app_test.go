package app_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
)

// journal writes down what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

func (j *journal) part(name string) app.Part {
	return app.Func(name,
		func(context.Context) error { j.add("+" + name); return nil },
		func(context.Context) error { j.add("-" + name); return nil })
}

type failing struct {
	app.Part
	failed chan error
}

func (f failing) Failed() <-chan error { return f.failed }

var quiet = slog.New(slog.DiscardHandler)

func TestGroupsStartInOrderAndStopInReverse(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	ready := app.Func("ready", func(context.Context) error { j.add("ready"); cancel(); return nil }, nil)
	err := app.Run(ctx, quiet, time.Second, []app.Part{j.part("a")}, nil, []app.Part{app.InOrder("bc", j.part("b"), j.part("c"))}, []app.Part{ready})
	if err != nil {
		t.Fatalf("err = %v: to be asked to stop is no failure", err)
	}
	if got, want := j.text(), "+a +b +c ready -c -b -a"; got != want {
		t.Fatalf("%s\nwant %s", got, want)
	}
}

func TestPartsOfAGroupStartAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(name string) app.Part {
			return app.Func(name, func(context.Context) error { time.Sleep(time.Second); return nil }, nil)
		}
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var took time.Duration
		ready := app.Func("ready", func(context.Context) error { took = time.Since(began); cancel(); return nil }, nil)
		if err := app.Run(ctx, quiet, time.Second, []app.Part{slow("a"), slow("b")}, []app.Part{ready}); err != nil || took != time.Second {
			t.Fatalf("took %s, err %v", took, err)
		}
	})
}

func TestAPartThatCannotStartEndsTheProcessInOrder(t *testing.T) {
	t.Parallel()
	var j journal
	boom := errors.New("boom")
	bad := app.Func("bad", func(context.Context) error { return boom }, func(context.Context) error { j.add("-bad"); return nil })
	err := app.Run(t.Context(), quiet, time.Second, []app.Part{j.part("a")}, []app.Part{j.part("b"), bad}, []app.Part{j.part("never")})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "start bad") {
		t.Fatalf("err = %v", err)
	}
	if got, want := j.text(), "+a +b -b -a"; got != want {
		t.Fatalf("%s\nwant %s: a part that did not start is not stopped", got, want)
	}
	err = app.Run(t.Context(), quiet, time.Second, []app.Part{app.InOrder("all", j.part("c"), bad)})
	if !errors.Is(err, boom) || !strings.HasSuffix(j.text(), "+c -c") {
		t.Fatalf("err = %v, %s", err, j.text())
	}
}

func TestAPartThatFailsLaterEndsTheProcess(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, nested := range []bool{false, true} {
		var j journal
		f := failing{j.part("f"), make(chan error, 1)}
		var p app.Part = f
		if nested {
			p = app.InOrder("all", f)
		}
		ready := app.Func("ready", func(context.Context) error { f.failed <- boom; return nil }, nil)
		err := app.Run(t.Context(), quiet, time.Second, []app.Part{p}, []app.Part{ready})
		if !errors.Is(err, boom) || !strings.Contains(err.Error(), "f: boom") || j.text() != "+f -f" {
			t.Fatalf("nested %v: err = %v, %s", nested, err, j.text())
		}
	}
}

func TestWhatCannotStopAfterAFailureDoesNotHideIt(t *testing.T) {
	t.Parallel()
	var j journal
	var log bytes.Buffer
	boom := errors.New("boom")
	f := failing{j.part("f"), make(chan error, 1)}
	after := app.Func("after", func(context.Context) error { f.failed <- boom; return nil }, func(context.Context) error { return errors.New("broken pipe") })
	err := app.Run(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), time.Second, []app.Part{f}, []app.Part{after})
	if err == nil || err.Error() != "f: boom" {
		t.Errorf("err = %v, want the failure alone", err)
	}
	if !strings.Contains(log.String(), "broken pipe") {
		t.Errorf("log: %s", &log)
	}
}

func TestAClosedFailureChannelMeansNothing(t *testing.T) {
	t.Parallel()
	var j journal
	f := failing{j.part("f"), make(chan error)}
	close(f.failed)
	ctx, cancel := context.WithCancel(t.Context())
	ready := app.Func("ready", func(context.Context) error { cancel(); return nil }, nil)
	if err := app.Run(ctx, quiet, time.Second, []app.Part{f, app.InOrder("x", f)}, []app.Part{ready}); err != nil {
		t.Fatal(err)
	}
}

func TestAPartThatDoesNotStopIsNamedAndLeftBehind(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	stuck := app.Func("stuck", func(context.Context) error { cancel(); return nil }, func(context.Context) error { <-release; return nil })
	err := app.Run(ctx, quiet, 20*time.Millisecond, []app.Part{j.part("a")}, []app.Part{stuck})
	if err == nil || !strings.Contains(err.Error(), "stop stuck: did not stop in time") {
		t.Fatalf("err = %v", err)
	}
	if j.text() != "+a -a" {
		t.Fatalf("%s: the others are stopped all the same", j.text())
	}
}

func TestToBeAskedToStopWhileStartingIsNoFailure(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancelCause(t.Context())
	slow := app.Func("slow", func(ctx context.Context) error {
		cancel(app.ErrSignal)
		<-ctx.Done()
		return context.Cause(ctx)
	}, nil)
	if err := app.Run(ctx, quiet, time.Second, []app.Part{j.part("a")}, []app.Part{slow}, []app.Part{j.part("never")}); err != nil {
		t.Fatalf("err = %v", err)
	}
	if j.text() != "+a -a" {
		t.Fatal(j.text())
	}
	if err := app.Run(ctx, quiet, time.Second, []app.Part{j.part("late")}); err != nil || strings.Contains(j.text(), "late") {
		t.Fatalf("a context that has ended starts nothing: %v, %s", err, j.text())
	}
	in := app.InOrder("in", j.part("later"))
	if err := in.Start(ctx); !errors.Is(err, app.ErrSignal) {
		t.Fatalf("err = %v", err)
	}
}

func TestTheContextOfAStartLivesUntilTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var kept context.Context
		atStop := errors.New("not stopped")
		p := app.Func("p", func(ctx context.Context) error { kept = ctx; return nil }, func(context.Context) error { atStop = kept.Err(); return nil })
		ended := make(chan error, 1)
		go func() { ended <- app.Run(ctx, quiet, time.Second, []app.Part{app.InOrder("in", p)}) }()
		synctest.Wait() // everything has started
		cancel()
		if err := <-ended; err != nil || atStop != nil {
			t.Errorf("err = %v; at the stop of p its context said %v", err, atStop)
		}
		if kept.Err() == nil {
			t.Error("the context outlives the process")
		}
	})
}

// slow starts in an hour, or not at all when its context ends.
var slow = app.Func("slow", func(ctx context.Context) error {
	select {
	case <-time.After(time.Hour):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}, nil)

func TestAFailureDuringTheStartWaitsForNobody(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	// It starts well and fails while others start.
	dies := func(j *journal) app.Part {
		f := failing{j.part("f"), make(chan error, 1)}
		time.AfterFunc(time.Second, func() { f.failed <- boom })
		return f
	}
	taken := app.Func("taken", func(context.Context) error { time.Sleep(time.Second); return boom }, nil)
	for name, c := range map[string]struct {
		groups func(j *journal) [][]app.Part
		want   string
	}{
		"a part of an earlier group": {func(j *journal) [][]app.Part { return [][]app.Part{{dies(j)}, {slow}} }, "f: boom"},
		"a part of the same group":   {func(j *journal) [][]app.Part { return [][]app.Part{{dies(j), slow}} }, "f: boom"},
		"a part of the same order":   {func(j *journal) [][]app.Part { return [][]app.Part{{app.InOrder("in", dies(j), slow)}} }, "start in: f: boom"},
		"a part within another":      {func(j *journal) [][]app.Part { return [][]app.Part{{app.InOrder("in", dies(j))}, {slow}} }, "in: f: boom"},
		"a Start beside it": {func(j *journal) [][]app.Part {
			return [][]app.Part{{j.part("f")}, {slow, taken, app.InOrder("in", slow)}}
		}, "start taken: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var j journal
				began := time.Now()
				err := app.Run(t.Context(), quiet, time.Minute, c.groups(&j)...)
				if err == nil || err.Error() != c.want || j.text() != "+f -f" {
					t.Errorf("err = %v, want %s; %s", err, c.want, j.text())
				}
				if took := time.Since(began); took != time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestTheEarlierGroupsWorkUntilTheyAreStopped(t *testing.T) {
	t.Parallel()
	var kept context.Context
	atStop := errors.New("not stopped")
	p := app.Func("p", func(ctx context.Context) error { kept = ctx; return nil }, func(context.Context) error { atStop = kept.Err(); return nil })
	boom := errors.New("boom")
	bad := app.Func("bad", func(context.Context) error { return boom }, nil)
	if err := app.Run(t.Context(), quiet, time.Second, []app.Part{p}, []app.Part{bad}); !errors.Is(err, boom) || atStop != nil {
		t.Errorf("err = %v; at the stop of p its context said %v", err, atStop)
	}
}

func TestTheUndoOfAnOrderIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		release := make(chan struct{})
		defer close(release)
		stuck := app.Func("stuck", nil, func(context.Context) error { <-release; return nil })
		bad := app.Func("bad", func(context.Context) error { return boom }, nil)
		began := time.Now()
		err := app.InOrder("in", stuck, bad).Start(t.Context())
		if !errors.Is(err, boom) || !strings.Contains(err.Error(), "stuck: did not stop in time") || time.Since(began) > 11*time.Second {
			t.Errorf("err = %v after %s", err, time.Since(began))
		}
	})
}

func TestChecksRunAtTheSameTimeAndAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		check := func(name string, err error) app.Check {
			return app.Check{Name: name, Check: func(context.Context) error { time.Sleep(time.Second); return err }}
		}
		stuck := make(chan struct{})
		defer close(stuck)
		got := app.RunChecks(t.Context(), 2*time.Second,
			check("fine", nil), check("less", app.Degraded("no model")), check("bad", errors.New("x")),
			app.Check{Name: "stuck", Check: func(context.Context) error { <-stuck; return nil }})
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %s", took)
		}
		var seen []string
		for _, r := range got {
			seen = append(seen, r.Name+"="+string(r.Status))
		}
		if want := []string{"fine=healthy", "less=degraded", "bad=unhealthy", "stuck=unhealthy"}; !slices.Equal(seen, want) {
			t.Errorf("%v, want %v", seen, want)
		}
		if got[1].Err.Error() != "no model" || !app.IsDegraded(got[1].Err) || got[0].Took != time.Second {
			t.Errorf("%+v", got)
		}
	})
}

func TestAModuleIsAPartWithItsPartsInOrder(t *testing.T) {
	t.Parallel()
	var j journal
	m := &app.Module{Name: "m", Parts: []app.Part{j.part("a"), j.part("b")}}
	p := m.Part()
	if err := p.Start(t.Context()); err != nil || p.Name() != "m" {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil || j.text() != "+a +b -b -a" {
		t.Fatal(err, j.text())
	}
}

// Signals go to the whole process, so this test is alone with them.
func TestTheFirstSignalEndsTheContextAndASecondForces(t *testing.T) { //nolint:paralleltest // signals are the process's
	var out bytes.Buffer
	forced := make(chan struct{}, 4)
	ctx, release := app.Signals(t.Context(), func() { forced <- struct{}{} })
	defer release()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		t.Helper()
		if err := self.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	send()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the context goes on after the first signal")
	}
	if !errors.Is(context.Cause(ctx), app.ErrSignal) {
		t.Fatalf("cause = %v", context.Cause(ctx))
	}
	send() // at once: the same request, told twice
	select {
	case <-forced:
		t.Fatal("a signal told twice forces")
	case <-time.After(600 * time.Millisecond):
	}
	send()
	select {
	case <-forced:
	case <-time.After(10 * time.Second):
		t.Fatalf("the second signal does not force %s", out.String())
	}
}
