package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func TestAProjectWithManyJobsDelaysNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 30 {
		w.enqueue(jobs.Job{Project: 1})
	}
	for p := tenant.Project(2); p <= 4; p++ {
		w.enqueue(jobs.Job{Project: p})
	}
	var mu sync.Mutex
	var order []tenant.Project
	done := make(chan struct{}, 100)
	c := quick()
	c.Workers, c.Window = 1, 1
	w.run(c, map[string]jobs.Handler{"k": func(_ context.Context, r *jobs.Run) error {
		mu.Lock()
		order = append(order, r.Job.Project)
		mu.Unlock()
		done <- struct{}{}
		return nil
	}})
	for range 33 {
		receive(t, done)
	}
	for p := tenant.Project(2); p <= 4; p++ {
		if at := slices.Index(order, p); at > 5 {
			t.Errorf("project %d came at place %d", p, at)
		}
	}
}

func TestAProjectsWindowBoundsWhatRunsAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := quick()
	c.Workers, c.Window = 4, 2
	var running, most atomic.Int32
	done := make(chan struct{}, 100)
	w.run(c, map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(5 * time.Millisecond)
		running.Add(-1)
		done <- struct{}{}
		return nil
	}})
	for range 20 {
		w.enqueue(jobs.Job{})
	}
	for range 20 {
		receive(t, done)
	}
	if most.Load() > 2 {
		t.Fatalf("%d at a time", most.Load())
	}
}

func TestHigherPriorityGoesFirstAndRunAtIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := make(chan string, 10)
	c := quick()
	c.Workers, c.Window = 1, 1
	w.run(c, map[string]jobs.Handler{"k": func(_ context.Context, r *jobs.Run) error {
		var name string
		if err := r.Decode(&name); err != nil {
			return err
		}
		order <- name
		return nil
	}})
	soon := time.Now().Add(500 * time.Millisecond)
	must(t, w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error { // all at once
		for _, j := range []jobs.Job{
			{Payload: json.RawMessage(`"later"`), Priority: 100, RunAt: soon},
			{Payload: json.RawMessage(`"low"`)},
			{Payload: json.RawMessage(`"high"`), Priority: 5},
		} {
			j.Project, j.Kind = 1, "k"
			if _, err := jobs.Enqueue(ctx, tx, j); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, want := range []string{"high", "low", "later"} {
		if got := receive(t, order); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	if time.Now().Before(soon) {
		t.Fatal("ran before its time")
	}
}

func TestAShortJobWaitsForATurnOfALongOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := quick()
	c.Workers, c.Window, c.Turn = 1, 1, time.Millisecond
	var end atomic.Bool
	var runs, steps atomic.Int32
	begun := make(chan struct{}, 1)
	m, _ := w.run(c, map[string]jobs.Handler{
		"long": func(ctx context.Context, r *jobs.Run) error {
			runs.Add(1)
			for i := 0; !end.Load(); i++ {
				if err := r.Step(ctx, strconv.Itoa(i), func(context.Context) error { steps.Add(1); return nil }); err != nil {
					return err
				}
				select {
				case begun <- struct{}{}:
				default:
				}
				if err := r.Yield(ctx); err != nil {
					if !jobs.Waits(err) {
						t.Error(err)
					}
					return fmt.Errorf("after step %d: %w", i, err)
				}
			}
			return nil
		},
		"short": func(context.Context, *jobs.Run) error { return nil },
	})
	long := w.enqueue(jobs.Job{Kind: "long", MaxAttempts: 1})
	receive(t, begun)
	for range 3 { // more of them than one turn could let in
		for p := tenant.Project(1); p <= 3; p++ {
			await(t, m, p, w.enqueue(jobs.Job{Project: p, Kind: "short"}), jobs.Job.Final)
		}
	}
	if j, err := m.Get(t.Context(), 1, long); err != nil || j.Final() || runs.Load() < 2 {
		t.Errorf("the long one after %d turns: %+v, %v", runs.Load(), j, err)
	}
	end.Store(true)
	if j := final(t, m, long); j.State != jobs.Done || j.Attempts != 1 {
		t.Errorf("%+v", j)
	}
	var saved int32
	must(t, pgtest.Admin(t, w.db).Get(&saved, `SELECT count(*) FROM work.job_steps`))
	if saved != steps.Load() {
		t.Errorf("%d steps were done %d times", saved, steps.Load())
	}
}

func TestLongJobsLeaveAWorkerToTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := quick()
	c.Workers, c.Window, c.Turn = 2, 8, time.Millisecond
	end, begun := make(chan struct{}), make(chan struct{}, 10)
	var running, most atomic.Int32
	m, _ := w.run(c, map[string]jobs.Handler{
		"long": func(ctx context.Context, _ *jobs.Run) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			begun <- struct{}{}
			select {
			case <-end:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
		"short": func(context.Context, *jobs.Run) error { return nil },
		"grows": func(ctx context.Context, r *jobs.Run) error { // not known to be long at first
			for {
				if err := r.Yield(ctx); err != nil {
					begun <- struct{}{}
					return err
				}
				select {
				case <-end:
					return nil
				default:
				}
			}
		},
	})
	var long []uuid.UUID
	for range 8 { // more than may be released ahead
		long = append(long, w.enqueue(jobs.Job{Kind: "long", Long: true}))
	}
	receive(t, begun)
	// Longer than a ticket may wait before its job is released again.
	await(t, m, 1, long[0], func(j jobs.Job) bool { return time.Since(j.CreatedAt) > 3*c.Retake })
	for range 4 {
		for p := tenant.Project(1); p <= 2; p++ {
			await(t, m, p, w.enqueue(jobs.Job{Project: p, Kind: "short"}), jobs.Job.Final)
		}
	}
	long = append(long, w.enqueue(jobs.Job{Kind: "grows"}))
	for yielded := false; !yielded; { // it needs one that waits while it runs, and then waits with the long ones
		short := w.enqueue(jobs.Job{Kind: "short"})
		select {
		case <-begun:
			yielded = true
		case <-t.Context().Done():
			t.Fatal("it never yielded")
		default:
			await(t, m, 1, short, func(j jobs.Job) bool { return j.Final() || len(begun) > 0 })
		}
	}
	final(t, m, w.enqueue(jobs.Job{Kind: "short"}))
	if running.Load() != 1 || most.Load() != 1 {
		t.Errorf("%d long ones are running, %d at a time", running.Load(), most.Load())
	}
	close(end)
	for _, id := range long {
		if j := final(t, m, id); j.State != jobs.Done || !j.Long {
			t.Errorf("%+v", j)
		}
	}
}

func TestALongJobKeepsItsWorkerWhileNobodyWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := quick()
	c.Workers, c.Turn = 1, time.Nanosecond
	var runs atomic.Int32
	m, _ := w.run(c, map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		runs.Add(1)
		for range 20 {
			if err := r.Yield(ctx); err != nil {
				return err
			}
		}
		return nil
	}})
	w.enqueue(jobs.Job{Kind: "other"})                    // nobody here can run it
	w.enqueue(jobs.Job{RunAt: time.Now().Add(time.Hour)}) // not yet
	if j := final(t, m, w.enqueue(jobs.Job{})); j.State != jobs.Done || runs.Load() != 1 {
		t.Errorf("%d runs, %+v", runs.Load(), j)
	}
}

func TestAJobThatWaitsForSomethingDoesNotUseUpItsTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var runs atomic.Int32
	began := time.Now()
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error {
		if runs.Add(1) < 4 {
			return jobs.Wait(20 * time.Millisecond)
		}
		return nil
	}})
	if j := final(t, m, w.enqueue(jobs.Job{MaxAttempts: 1})); j.State != jobs.Done || j.Attempts != 1 || j.Error != "" {
		t.Errorf("%+v", j)
	}
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("three waits took %v", took)
	}
}

func TestATicketThatTheStreamLostIsReleasedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// It was released, and the message is gone.
	id := w.enqueue(jobs.Job{})
	pgtest.Admin(t, w.db).MustExec(`UPDATE work.jobs SET state = 'released', releases = 1, released_at = now()`)
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { return nil }})
	if j := final(t, m, id); j.State != jobs.Done || j.Attempts != 1 {
		t.Fatalf("%+v", j)
	}
}

func TestATicketOfAnotherTimeDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var runs atomic.Int32
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { runs.Add(1); return nil }})
	id := w.enqueue(jobs.Job{})
	final(t, m, id)
	b := w.bus
	for _, data := range []string{`{"id":"` + id.String() + `","project":1,"release":1}`, `{"id":"` + uuid.NewString() + `","project":1,"release":1}`, `no ticket`} {
		if _, _, err := b.Publish(t.Context(), bus.JobSubject(1, "work", "k"), "", nil, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	final(t, m, w.enqueue(jobs.Job{})) // behind the others
	if runs.Load() != 2 {
		t.Fatalf("%d runs", runs.Load())
	}
}

func TestAKindThatNobodyHandlesWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m, stop := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { return nil }})
	odd := w.enqueue(jobs.Job{Kind: "other"})
	final(t, m, w.enqueue(jobs.Job{}))
	if j, err := m.Get(t.Context(), 1, odd); err != nil || j.State != jobs.Queued {
		t.Fatalf("%+v, %v", j, err)
	}
	stop()
	m, _ = w.run(quick(), map[string]jobs.Handler{"other": func(context.Context, *jobs.Run) error { return nil }})
	final(t, m, odd)
	if err := func() error {
		x := jobs.New(w.db, w.bus, quick())
		x.Handle("Bad Kind", nil)
		return x.Start(t.Context())
	}(); err == nil {
		t.Fatal("a kind with a space")
	}
}

func TestOldJobsAreSweptWithTheirSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(jobs.Job{})
	admin := pgtest.Admin(t, w.db)
	admin.MustExec(`UPDATE work.jobs SET state = 'done', finished_at = now() - interval '8 days'`)
	admin.MustExec(`INSERT INTO work.job_steps (project_id, job_id, name) VALUES (1, $1, 'one')`, id)
	w.run(quick(), map[string]jobs.Handler{})
	deadline := time.After(patience)
	for n := 1; n != 0; {
		must(t, admin.Get(&n, `SELECT (SELECT count(*) FROM work.jobs) + (SELECT count(*) FROM work.job_steps)`))
		select {
		case <-deadline:
			t.Fatalf("%d rows left", n)
		default:
		}
	}
}

func TestJobsThatWaitForAReplicaAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 7 {
		w.enqueue(jobs.Job{Project: 1})
	}
	registry := prometheus.NewRegistry()
	c := quick()
	c.Workers, c.Window, c.Registerer = 1, 1, registry
	began, end := make(chan struct{}, 10), make(chan struct{})
	w.run(c, map[string]jobs.Handler{"k": func(ctx context.Context, _ *jobs.Run) error {
		began <- struct{}{}
		select {
		case <-end:
		case <-ctx.Done():
		}
		return nil
	}})
	receive(t, began) // one runs, and the window of its project is full
	waiting := func(n int) error {
		return testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP jobs_waiting Jobs whose time has come and that are not released yet. Every replica says the same.
# TYPE jobs_waiting gauge
jobs_waiting{service=%q} %d
`, w.db.Service(), n)), "jobs_waiting")
	}
	if err := waiting(6); err != nil {
		t.Error(err)
	}
	close(end)
	for range 6 {
		receive(t, began)
	}
	if err := waiting(0); err != nil {
		t.Error(err)
	}
}
