package jobs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/jobs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

const patience = 20 * time.Second

var schema = pg.Schema{Name: "work", FS: fstest.MapFS{"000001_effects.up.sql": {Data: []byte(`
	CREATE TABLE IF NOT EXISTS effects (id bigint GENERATED ALWAYS AS IDENTITY, project_id bigint NOT NULL, name text NOT NULL);
	SELECT platform.protect('effects', true);`)}}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a database and a bus of one test.
type world struct {
	t      testing.TB
	db     *pg.DB
	bus    *bus.Bus
	worker workerConfig // of another process; only in a public world
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{t: t, db: pgtest.New(t, schema), bus: bustest.New(t, "work").Bus("work")}
}

// newPublicWorld is one whose bus other processes can reach.
func newPublicWorld(t testing.TB) *world {
	t.Helper()
	users := []natsd.UserSpec{{Name: "work", Pub: []string{">"}, Sub: []string{">"}}}
	s, err := natsd.Start(t.Context(), natsd.Config{
		Dir: t.TempDir(), Addr: "127.0.0.1:0", Users: users, NoSync: true, MaxMemory: 1 << 30, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	admin, err := nats.Connect(s.ClientURL(), nats.UserCredentials(s.Trust.CredsFile(natsd.UserAdmin)), nats.CustomInboxPrefix("_INBOX_"+natsd.UserAdmin))
	must(t, err)
	defer admin.Close()
	must(t, bus.Provision(t.Context(), admin, bus.Specs{Services: []string{"work"}, Memory: true}))
	w := &world{t: t, db: pgtest.New(t, schema)}
	seed, err := s.Trust.SigningSeed("work")
	must(t, err)
	dsn, err := pg.ServiceDSN(pgtest.DSN(t, w.db), "work", pgtest.Secrets())
	must(t, err)
	w.worker = workerConfig{DSN: dsn, URL: s.ClientURL(), Creds: s.Trust.CredsFile("work"), Issuers: s.Trust.Issuers(), Seed: seed}
	w.bus, err = w.worker.connect(t.Context())
	must(t, err)
	t.Cleanup(w.bus.Close)
	return w
}

// quick is a configuration whose waits are short.
func quick() jobs.Config {
	return jobs.Config{
		Lease: 600 * time.Millisecond, Poll: 20 * time.Millisecond, Retake: 500 * time.Millisecond, Grace: 20 * time.Millisecond,
		Backoff: func(int) time.Duration { return 10 * time.Millisecond },
	}
}

// run starts a manager with the handlers; the returned function stops it, at
// the latest the end of the test does.
func (w *world) run(c jobs.Config, handlers map[string]jobs.Handler) (*jobs.Manager, func()) {
	w.t.Helper()
	m := jobs.New(w.db, w.bus, c)
	for kind, h := range handlers {
		m.Handle(kind, h)
	}
	must(w.t, m.Start(w.t.Context()))
	var once sync.Once
	stop := func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), patience)
			defer cancel()
			if err := m.Stop(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	w.t.Cleanup(stop)
	return m, stop
}

func (w *world) enqueue(j jobs.Job) uuid.UUID {
	w.t.Helper()
	if j.Kind == "" {
		j.Kind = "k"
	}
	if j.Project == 0 {
		j.Project = 1
	}
	var id uuid.UUID
	must(w.t, w.db.InTenant(w.t.Context(), j.Project, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		id, err = jobs.Enqueue(ctx, tx, j)
		return err
	}))
	return id
}

// await returns the job as soon as ok says so.
func await(t testing.TB, m *jobs.Manager, p tenant.Project, id uuid.UUID, ok func(jobs.Job) bool) jobs.Job {
	t.Helper()
	deadline := time.After(patience)
	for {
		j, err := m.Get(t.Context(), p, id)
		must(t, err)
		if ok(j) {
			return j
		}
		select {
		case <-deadline:
			t.Fatalf("job is %+v", j)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func final(t testing.TB, m *jobs.Manager, id uuid.UUID) jobs.Job {
	t.Helper()
	return await(t, m, 1, id, jobs.Job.Final)
}

func (w *world) effects(name string) int {
	w.t.Helper()
	var n int
	must(w.t, pgtest.Admin(w.t, w.db).Get(&n, `SELECT count(*) FROM work.effects WHERE name = $1`, name))
	return n
}

// effect is a change of the database that must happen once.
func effect(ctx context.Context, db *pg.DB, p tenant.Project, name string) error {
	return db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO effects (project_id, name) VALUES ($1, $2)`, int64(p), name)
		return err
	})
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// TestMain lets the test binary be a worker that the tests kill.
func TestMain(m *testing.M) {
	if c := os.Getenv("JOBS_TEST_WORKER"); c != "" {
		if err := worker(c); err != nil {
			fmt.Fprintln(os.Stdout, "error", err)
		}
		return
	}
	m.Run()
}

// workerConfig is what a worker in another process needs.
type workerConfig struct {
	DSN, URL, Creds string
	Issuers         map[string]string
	Seed            []byte
}

func (c workerConfig) connect(ctx context.Context) (*bus.Bus, error) {
	return bus.Connect(ctx, bus.Config{URL: c.URL, CredsFile: c.Creds, Service: "work", Issuers: c.Issuers, SigningSeed: c.Seed, Log: slog.New(slog.DiscardHandler)})
}

// worker does the first step of a job and never ends the second.
func worker(config string) error {
	var c workerConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := pg.Open(ctx, pg.Config{DSN: c.DSN, Service: "work"})
	if err != nil {
		return err
	}
	b, err := c.connect(ctx)
	if err != nil {
		return err
	}
	m := jobs.New(db, b, quick())
	m.Handle("k", func(ctx context.Context, r *jobs.Run) error {
		if err := r.Step(ctx, "one", func(ctx context.Context) error { return effect(ctx, db, r.Job.Project, "one") }); err != nil {
			return err
		}
		return r.Step(ctx, "two", func(ctx context.Context) error {
			if err := effect(ctx, db, r.Job.Project, "two"); err != nil { // never committed
				return err
			}
			fmt.Fprintln(os.Stdout, "in step two")
			select {}
		})
	})
	if err := m.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (w *world) startWorker() *exec.Cmd {
	w.t.Helper()
	c, err := json.Marshal(w.worker)
	must(w.t, err)
	binary, err := os.Executable()
	must(w.t, err)
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), "JOBS_TEST_WORKER="+string(c))
	out, err := cmd.StdoutPipe()
	must(w.t, err)
	cmd.Stderr = os.Stderr
	must(w.t, cmd.Start())
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "in step two\n" {
		w.t.Fatalf("the worker says %q, %v", line, err)
	}
	return cmd
}
