package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func TestAJobRunsAsItsProjectAndKeepsItsResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	c := quick()
	c.Registerer = registry
	m, stop := w.run(c, map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		var in struct{ N int }
		if err := r.Decode(&in); err != nil {
			return err
		}
		who := tenant.From(ctx)
		if who.Project != 1 || who.Principal != "user:7" {
			t.Errorf("runs as %+v", who)
		}
		r.Progress(ctx, 1, 2, "half")
		return r.SetResult(map[string]int{"twice": 2 * in.N})
	}})
	var id uuid.UUID
	asked := tenant.With(t.Context(), tenant.Identity{Project: 1, Principal: "user:7"})
	must(t, w.db.InTenant(asked, 1, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		id, err = jobs.Enqueue(ctx, tx, jobs.Job{Project: 1, Kind: "k", Payload: json.RawMessage(`{"n":21}`)})
		return err
	}))
	j := final(t, m, id)
	if j.State != jobs.Done || string(j.Result) != `{"twice": 42}` || j.Progress != 2 || j.Total != 2 || j.Message != "half" ||
		j.Attempts != 1 || j.StartedAt.IsZero() || j.FinishedAt.IsZero() || j.Principal != "user:7" {
		t.Fatalf("%+v", j)
	}
	all, err := m.List(t.Context(), 1, "k", 10)
	must(t, err)
	none, err := m.List(t.Context(), 2, "", 10)
	must(t, err)
	if len(all) != 1 || all[0].ID != id || len(none) != 0 {
		t.Fatal(all, none)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 4 {
		t.Fatalf("%d metrics, %v", n, err)
	}
	stop()
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
		t.Fatalf("%d metrics after the stop, %v", n, err)
	}
}

func TestProgressAndEndAreLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		r.Progress(ctx, 3, 4, "nearly")
		return nil
	}})
	id := uuid.New()
	updates := make(chan jobs.Update, 100)
	unfollow, err := w.bus.FollowLive(t.Context(), 1, id.String(), func(data []byte) {
		var u jobs.Update
		if err := json.Unmarshal(data, &u); err != nil {
			t.Error(err)
		}
		updates <- u
	})
	must(t, err)
	defer unfollow()
	w.enqueue(jobs.Job{ID: id})
	w.enqueue(jobs.Job{ID: id}) // the same again is the same
	var states []string
	for {
		u := receive(t, updates)
		states = append(states, u.State)
		if u.State == jobs.Running && u.Progress == 3 && (u.Total != 4 || u.Message != "nearly") {
			t.Errorf("%+v", u)
		}
		if u.State == jobs.Done {
			break
		}
	}
	if !slices.Equal(states, []string{jobs.Running, jobs.Running, jobs.Done}) {
		t.Fatal(states)
	}
	if j := final(t, m, id); j.Attempts != 1 {
		t.Fatalf("%+v", j)
	}
}

func TestAFaultIsTriedAgainAndARefusalIsNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err      error
		times    int // it fails
		state    string
		attempts int
		text     string
	}{
		"passes at last": {errs.New(errs.Upstream, "not yet"), 2, jobs.Done, 3, ""},
		"dead":           {errs.New(errs.Unavailable, "never"), 100, jobs.Dead, 4, "never"},
		"a plain error":  {errors.New("secret detail"), 100, jobs.Dead, 4, "internal error"},
		"refused":        {errs.New(errs.NotFound, "document not found"), 100, jobs.Failed, 1, "document not found"},
		"comes back":     {errs.New(errs.RateLimited, "too fast").After(5 * time.Millisecond), 1, jobs.Done, 2, ""},
		"panics":         {nil, 100, jobs.Dead, 4, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var n atomic.Int32
			m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error {
				if int(n.Add(1)) > c.times {
					return nil
				}
				if c.err == nil {
					panic("on the way")
				}
				return c.err
			}})
			j := final(t, m, w.enqueue(jobs.Job{MaxAttempts: 4}))
			if j.State != c.state || j.Attempts != c.attempts || j.Error != c.text || int(n.Load()) != c.attempts {
				t.Fatalf("%+v after %d runs", j, n.Load())
			}
		})
	}
}

func TestASavedStepIsNeverDoneAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var runs atomic.Int32
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		first := runs.Add(1) == 1
		n, err := jobs.Step(ctx, r, "one", func(ctx context.Context) (int, error) {
			if !first {
				t.Error("step one again")
			}
			return 21, effect(ctx, w.db, 1, "one")
		})
		if err != nil {
			return err
		}
		return r.Step(ctx, "two", func(ctx context.Context) error {
			if err := effect(ctx, w.db, 1, "two"); err != nil {
				return err
			}
			if first {
				return errs.New(errs.Upstream, "in the middle") // and its effect goes
			}
			return r.SetResult(2 * n)
		})
	}})
	j := final(t, m, w.enqueue(jobs.Job{}))
	if j.State != jobs.Done || string(j.Result) != "42" || j.Attempts != 1 {
		t.Fatalf("%+v", j)
	}
	if w.effects("one") != 1 || w.effects("two") != 1 {
		t.Fatalf("effects %d and %d", w.effects("one"), w.effects("two"))
	}
}

func TestAJobGoesOnAtItsFirstUnsavedStepAfterItsWorkerWasKilled(t *testing.T) {
	t.Parallel()
	w := newPublicWorld(t)
	id := w.enqueue(jobs.Job{})
	victim := w.startWorker()
	must(t, victim.Process.Kill())
	_ = victim.Wait()
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		if err := r.Step(ctx, "one", func(context.Context) error { t.Error("step one again"); return nil }); err != nil {
			return err
		}
		return r.Step(ctx, "two", func(ctx context.Context) error { return effect(ctx, w.db, 1, "two") })
	}})
	j := final(t, m, id)
	if j.State != jobs.Done || j.Attempts != 1 || w.effects("one") != 1 || w.effects("two") != 1 {
		t.Fatalf("%+v, effects %d and %d", j, w.effects("one"), w.effects("two"))
	}
}

func TestASavedStepBeginsTheCountOfTriesAnew(t *testing.T) {
	t.Parallel()
	const steps = 4
	for name, lost := range map[string]bool{"fault": false, "lost worker": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			admin := pgtest.Admin(t, w.db)
			m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
				for i := range steps {
					saved := false
					if err := r.Step(ctx, strconv.Itoa(i), func(context.Context) error { saved = true; return nil }); err != nil {
						return err
					}
					switch {
					case !saved || i == steps-1:
						continue
					case lost:
						_, err := admin.Exec(`UPDATE work.jobs SET run = gen_random_uuid(), lease_until = now() - interval '1 second'`)
						return errors.Join(err, jobs.ErrLost)
					}
					return errs.New(errs.Upstream, "after the step")
				}
				return nil
			}})
			if j := final(t, m, w.enqueue(jobs.Job{MaxAttempts: 2})); j.State != jobs.Done || j.Attempts != 1 {
				t.Fatalf("%+v", j)
			}
		})
	}
}

func TestAJobWhoseWorkerAlwaysDiesIsDead(t *testing.T) {
	t.Parallel()
	w := newPublicWorld(t)
	id := w.enqueue(jobs.Job{MaxAttempts: 1})
	victim := w.startWorker()
	must(t, victim.Process.Kill())
	_ = victim.Wait()
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { t.Error("ran"); return nil }})
	if j := final(t, m, id); j.State != jobs.Dead || j.Error == "" {
		t.Fatalf("%+v", j)
	}
}

func TestAWorkerThatLostItsLeaseSavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	began, went := make(chan struct{}, 2), make(chan struct{})
	result := make(chan error, 1)
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		if r.Job.Attempts > 1 {
			return r.Step(ctx, "one", func(ctx context.Context) error { return effect(ctx, w.db, 1, "second") })
		}
		began <- struct{}{}
		<-went
		err := r.Step(context.WithoutCancel(ctx), "late", func(ctx context.Context) error { return effect(ctx, w.db, 1, "first") })
		result <- err
		return err
	}})
	id := w.enqueue(jobs.Job{})
	receive(t, began)
	// The cluster gives the job up while its worker still works.
	pgtest.Admin(t, w.db).MustExec(`UPDATE work.jobs SET run = gen_random_uuid(), lease_until = now() - interval '1 second'`)
	await(t, m, 1, id, func(j jobs.Job) bool { return j.Attempts == 2 || j.Final() })
	close(went)
	if err := receive(t, result); !errors.Is(err, jobs.ErrLost) {
		t.Fatal(err)
	}
	if j := final(t, m, id); j.State != jobs.Done || w.effects("first") != 0 || w.effects("second") != 1 {
		t.Fatalf("%+v, effects %d and %d", j, w.effects("first"), w.effects("second"))
	}
}

func TestCancelEndsAJobThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { t.Error("ran"); return nil }})
	id := w.enqueue(jobs.Job{RunAt: time.Now().Add(time.Hour)})
	if _, err := m.Cancel(t.Context(), 2, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Fatalf("by another project: %v", err)
	}
	j, err := m.Cancel(t.Context(), 1, id)
	must(t, err)
	if j.State != jobs.Cancelled || j.FinishedAt.IsZero() {
		t.Fatalf("%+v", j)
	}
	again, err := m.Cancel(t.Context(), 1, id)
	must(t, err)
	if !again.FinishedAt.Equal(j.FinishedAt) {
		t.Fatal("a final job changed")
	}
	if _, err := m.Get(t.Context(), 2, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Fatalf("seen by another project: %v", err)
	}
	if _, err := m.Get(t.Context(), 1, uuid.New()); !errors.Is(err, jobs.ErrNotFound) {
		t.Fatal(err)
	}
}

func TestCancelEndsAJobThatRunsHereOrElsewhere(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			began := make(chan struct{}, 1)
			m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, _ *jobs.Run) error {
				began <- struct{}{}
				<-ctx.Done()
				if cause := context.Cause(ctx); !errors.Is(cause, jobs.ErrCancelled) {
					t.Errorf("cause %v", cause)
				}
				return ctx.Err()
			}})
			id := w.enqueue(jobs.Job{})
			receive(t, began)
			asked := m
			if where == "elsewhere" {
				asked = jobs.New(w.db, w.bus, quick())
			}
			j, err := asked.Cancel(t.Context(), 1, id)
			must(t, err)
			if j.State != jobs.Running || !j.CancelRequested {
				t.Fatalf("%+v", j)
			}
			if j := final(t, m, id); j.State != jobs.Cancelled {
				t.Fatalf("%+v", j)
			}
		})
	}
}

func TestAStopInterruptsAJobWithoutCountingTheTry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	began := make(chan struct{}, 1)
	m, stop := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, _ *jobs.Run) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}})
	id := w.enqueue(jobs.Job{MaxAttempts: 1})
	receive(t, began)
	stop()
	j, err := m.Get(t.Context(), 1, id)
	must(t, err)
	if j.State != jobs.Queued || j.Attempts != 0 {
		t.Fatalf("%+v", j)
	}
	m, _ = w.run(quick(), map[string]jobs.Handler{"k": func(context.Context, *jobs.Run) error { return nil }})
	if j := final(t, m, id); j.State != jobs.Done {
		t.Fatalf("%+v", j)
	}
}

func TestEnqueueIsPartOfItsTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := uuid.New()
	err := w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := jobs.Enqueue(ctx, tx, jobs.Job{ID: id, Project: 1, Kind: "k"})
		return errors.Join(err, errors.New("no"))
	})
	if err == nil {
		t.Fatal("committed")
	}
	m := jobs.New(w.db, w.bus, quick())
	if _, err := m.Get(t.Context(), 1, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Fatal(err)
	}
	for _, j := range []jobs.Job{{Project: 1}, {Project: 1, Kind: "No"}, {Project: 1, Kind: "a.b"}} {
		err := w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := jobs.Enqueue(ctx, tx, j)
			return err
		})
		if err == nil {
			t.Errorf("kind %q was accepted", j.Kind)
		}
	}
	err = w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := jobs.Enqueue(ctx, tx, jobs.Job{Project: 2, Kind: "k"})
		return err
	})
	if !pg.PolicyViolation(err) {
		t.Fatalf("a job of another project: %v", err)
	}
}

func TestAJobWhoseRowIsGoneEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	began := make(chan struct{}, 1)
	lost := make(chan error, 1)
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, _ *jobs.Run) error {
		began <- struct{}{}
		<-ctx.Done()
		lost <- context.Cause(ctx)
		return ctx.Err()
	}})
	id := w.enqueue(jobs.Job{})
	receive(t, began)
	must(t, w.db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE project_id = 1`)
		return err
	}))
	if err := receive(t, lost); !errors.Is(err, jobs.ErrLost) {
		t.Fatal(err)
	}
	if _, err := m.Get(t.Context(), 1, id); !errors.Is(err, jobs.ErrNotFound) {
		t.Fatal(err)
	}
}

func TestTheDerivedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	env := bustest.Start(t, []string{"work"}, bustest.WithContract("work", bus.Contract{Jobs: true, Live: true}))
	w := &world{t: t, db: db, bus: env.Bus("work")}
	m, _ := w.run(quick(), map[string]jobs.Handler{"k": func(ctx context.Context, r *jobs.Run) error {
		r.Progress(ctx, 1, 1, "done")
		return nil
	}})
	if j := final(t, m, w.enqueue(jobs.Job{})); j.State != jobs.Done {
		t.Fatalf("%+v", j)
	}
}
