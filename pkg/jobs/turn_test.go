package jobs_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

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
