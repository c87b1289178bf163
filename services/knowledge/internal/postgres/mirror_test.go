package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

func TestWithoutPGVectorVectorsAreSearchedInMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pgtest.Admin(t, w.db).MustExec(`ALTER TABLE knowledge.vectors DROP COLUMN IF EXISTS embedding`)
	w.embed(w.receive(1, "a.md", "one"), model)
	if err := w.s.ChooseBackend(t.Context(), 1, index.PGVector); err != nil { // as a project of another server has
		t.Fatal(err)
	}
	can, wanted, now, err := w.s.Backends(t.Context(), 1)
	if err != nil || !slices.Equal(can, []index.Backend{index.Memory}) || wanted != index.Memory || now != index.Memory {
		t.Errorf("%v, %q, %q, %v", can, wanted, now, err)
	}
	w.embed(w.receive(1, "b.md", "two"), model)
	if last, n, err := w.s.Mirror(t.Context(), 1, 0, 10); last != 0 || n != 0 || err != nil {
		t.Errorf("copied %d, %v", n, err)
	}
	if moved, err := w.s.Serve(t.Context(), 1); moved || err != nil {
		t.Errorf("moved %v, %v", moved, err)
	}
	if n, err := w.s.Unmoved(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("queued %d, %v", n, err)
	}
	state, vectors := w.state(1, index.State{})
	if state.Backend.Elsewhere() || vectors != 2 {
		t.Errorf("%+v with %d vectors", state, vectors)
	}
}

// state is the state and how many passages with a vector an index is given.
func (w *world) state(p tenant.Project, since index.State) (now index.State, vectors int) {
	w.Helper()
	now, err := w.s.Changes(w.Context(), p, since, func(x index.Passage) error {
		if x.Vector != nil {
			vectors++
		}
		return nil
	}, func(int64) {})
	if err != nil {
		w.Fatal(err)
	}
	return now, vectors
}

func TestAProjectThatIsGoneTakesNoBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pgtest.Admin(t, w.db).MustExec(`INSERT INTO knowledge.generations (project_id, closed) VALUES (1, true)`)
	if err := w.s.ChooseBackend(t.Context(), 1, index.PGVector); !errors.Is(err, document.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// TestAProjectMovesBetweenBackendsWhileItIsWrittenAndAsked: at every moment all
// that is there is found.
func TestAProjectMovesBetweenBackendsWhileItIsWrittenAndAsked(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		n := 0
		add := func() {
			x.add(n, 3)
			n++
			if got := x.find(x.vector(), search.Query{Mode: index.Vector, Limit: 200}); len(got.Found) != 3*n {
				x.Fatalf("%d found of %d", len(got.Found), 3*n)
			}
		}
		add()
		add()
		for _, to := range []index.Backend{index.Memory, index.PGVector, index.PGVectorHalf, index.PGVector, index.Memory} {
			if err := x.s.ChooseBackend(x.Context(), 1, to); err != nil {
				x.Fatal(err)
			}
			if can, _, _, err := x.s.Backends(x.Context(), 1); err != nil || !slices.Contains(can, to) {
				continue // without pgvector
			}
			add()
			if _, copied, err := x.s.Mirror(x.Context(), 1, 0, 4); err != nil || to.Elsewhere() && copied == 0 && n < 4 {
				x.Fatalf("copied %d, %v", copied, err)
			}
			add()
			x.move()
			add()
			state, _ := x.state(1, index.State{})
			if state.Backend != to {
				x.Errorf("searched by %q, want %q", state.Backend, to)
			}
			want := 0
			if to.Elsewhere() {
				want = 3 * n
			}
			if got := x.count(1, "vectors"); got != want {
				x.Errorf("%s: %d vectors at pgvector, want %d", to, got, want)
			}
		}
	})
}

func TestAMoveThatNobodyEndedIsQueuedAgain(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		if !x.backend.Elsewhere() {
			return
		}
		x.add(0, 3)
		if err := x.s.ChooseBackend(x.Context(), 1, index.Memory); err != nil {
			x.Fatal(err)
		}
		admin := pgtest.Admin(x.T, x.db)
		if n, err := x.s.Unmoved(x.Context(), 10); n != 0 || err != nil {
			x.Errorf("queued %d beside the job that there is, %v", n, err)
		}
		admin.MustExec(`UPDATE knowledge.jobs SET state = 'dead', finished_at = now() WHERE kind = 'backend'`)
		if n, err := x.s.Unmoved(x.Context(), 10); n != 1 || err != nil {
			x.Errorf("queued %d, %v", n, err)
		}
	})
}

// TestAGraphIsWalked: a plan that sorts all vectors finds the same, and is slow
// when nobody looks.
func TestAGraphIsWalked(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		if !x.backend.Elsewhere() {
			return
		}
		for i := range 8 {
			x.add(i, 300)
		}
		for range 8 { // beyond the five plans of its own that a prepared query has
			leg := x.s.Leg(x.Context(), 1, index.State{Model: model, Backend: x.backend}, 2400, x.vector())
			if got, _, err := leg.Nearest(10, nil, nil); err != nil || len(got) != 10 {
				x.Fatalf("%d found, %v", len(got), err)
			}
		}
		admin := pgtest.Admin(x.T, x.db)
		x.await(func() bool { // each connection tells of its reads within a second
			var n int
			if err := admin.Get(&n, `SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'vectors_near%'`); err != nil {
				x.Fatal(err)
			}
			return n >= 8
		})
	})
}

// await asks again and again until ok.
func (x *bench) await(ok func() bool) {
	x.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			x.Fatal("waited in vain")
		}
	}
}

// TestPGVectorThatCameBackBeginsAnew: its column goes with the extension.
func TestPGVectorThatCameBackBeginsAnew(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		if !x.backend.Elsewhere() {
			return
		}
		x.add(0, 3)
		dsn := pgtest.DSN(x.T, x.db)
		pgtest.Admin(x.T, x.db).MustExec(`DROP EXTENSION vector CASCADE`)
		if got := x.find(x.vector(), search.Query{Mode: index.Keyword, Text: "part"}); len(got.Found) != 3 {
			x.Errorf("%d found by words", len(got.Found))
		}
		if state, vectors := x.state(1, index.State{}); state.Backend.Elsewhere() || vectors != 3 {
			x.Errorf("%+v with %d vectors", state, vectors)
		}
		if err := pg.Migrate(x.Context(), dsn, pgtest.Secrets(), knowledge.Migrations); err != nil {
			x.Fatal(err)
		}
		if _, wanted, now, err := x.s.Backends(x.Context(), 1); err != nil || wanted != x.backend || now != index.Memory {
			x.Errorf("wanted %q, now %q, %v", wanted, now, err)
		}
		if got := x.find(x.vector(), search.Query{Mode: index.Vector}); len(got.Found) != 3 {
			x.Errorf("%d found before the move", len(got.Found))
		}
		x.move()
		if got := x.find(x.vector(), search.Query{Mode: index.Vector}); len(got.Found) != 3 {
			x.Errorf("%d found after the move", len(got.Found))
		}
	})
}
