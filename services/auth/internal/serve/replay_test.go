package serve_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// directory is what a service keeps that wants to know projects and members
// without asking. A part that is older than what is there changes nothing.
var directory = pg.Schema{Name: "reader", FS: fstest.MapFS{"000001_directory.up.sql": {Data: []byte(`
	CREATE TABLE IF NOT EXISTS projects (
		project_id bigint PRIMARY KEY, name text NOT NULL DEFAULT '', named integer NOT NULL DEFAULT 0, ended integer NOT NULL DEFAULT 0);
	SELECT platform.protect('projects', true);
	CREATE TABLE IF NOT EXISTS members (
		project_id bigint NOT NULL, user_id bigint NOT NULL, role text NOT NULL, version integer NOT NULL, PRIMARY KEY (project_id, user_id));
	SELECT platform.protect('members', true);`)}}}

// reader hears what the directory is made of.
func reader(w *world, db *pg.DB) *bus.Inbox {
	in := bus.NewInbox(w.env.Bus("reader"), bus.InboxConfig{DB: db, Backoff: []time.Duration{time.Millisecond}})
	exec := func(ctx context.Context, m bus.Meta, q string, args ...any) error {
		return db.InTenant(ctx, m.Project, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, q, append([]any{int64(m.Project)}, args...)...)
			return err
		})
	}
	named := func(ctx context.Context, m bus.Meta, name string, version int32) error {
		return exec(ctx, m, `
			INSERT INTO projects (project_id, name, named) VALUES ($1, $2, $3)
			ON CONFLICT (project_id) DO UPDATE SET name = $2, named = $3 WHERE projects.named < $3`, name, version)
	}
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *authv1.ProjectCreated) error {
		return named(ctx, m, e.GetName(), e.GetVersion())
	})
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *authv1.ProjectUpdated) error {
		return named(ctx, m, e.GetName(), e.GetVersion())
	})
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *authv1.ProjectDeleting) error {
		return exec(ctx, m, `
			INSERT INTO projects (project_id, ended) VALUES ($1, $2)
			ON CONFLICT (project_id) DO UPDATE SET ended = $2 WHERE projects.ended < $2`, e.GetVersion())
	})
	bus.Handle(in, func(ctx context.Context, m bus.Meta, e *authv1.MembershipChanged) error {
		return exec(ctx, m, `
			INSERT INTO members VALUES ($1, $2, $3, $4)
			ON CONFLICT (project_id, user_id) DO UPDATE SET role = $3, version = $4 WHERE members.version < $4`,
			e.GetUserId(), e.GetRole(), e.GetVersion())
	})
	return in
}

// listing is the whole directory; names differ between the tables of who owns
// the facts and of who reads them.
func listing(t testing.TB, db *pg.DB, projects, members string) (lines []string) {
	t.Helper()
	err := db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &lines, projects+` UNION ALL `+members+` ORDER BY 1`)
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func owned(w *world) []string {
	return listing(w, w.db,
		`SELECT format('project %s %s v%s ended %s', project_id, name, CASE WHEN deleted_at IS NULL THEN version ELSE version - 1 END, CASE WHEN deleted_at IS NULL THEN 0 ELSE version END) FROM projects`,
		`SELECT format('member %s %s %s v%s', m.project_id, m.user_id, m.role, m.version) FROM memberships m JOIN projects p USING (project_id) WHERE p.deleted_at IS NULL`)
}

func read(t testing.TB, db *pg.DB) []string {
	return listing(t, db,
		`SELECT format('project %s %s v%s ended %s', project_id, name, named, ended) FROM projects`,
		`SELECT format('member %s %s %s v%s', m.project_id, m.user_id, m.role, m.version) FROM members m JOIN projects p USING (project_id) WHERE p.ended = 0 AND m.role <> ''`)
}

func same(t *testing.T, what string, want []string, db *pg.DB) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(bustest.Patience)
	for {
		got := read(t, db)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// durables makes the reader's consumers, as its contract would, or makes them
// anew: from the first fact that EVENTS holds.
func durables(w *world, anew bool) {
	w.Helper()
	var heard []events.Description
	for _, d := range events.SaidBy("auth") {
		switch d.Fact {
		case "created", "updated", "deleting", "changed":
			d.Consumers = []string{"reader"}
			heard = append(heard, d)
		}
	}
	admin := w.env.Conn(natsd.UserAdmin)
	js, err := jetstream.New(admin)
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range heard {
		if anew {
			if err := js.DeleteConsumer(w.Context(), bus.StreamEvents, bus.EventDurable("reader", d)); err != nil {
				w.Fatal(err)
			}
		}
	}
	if err := bus.Provision(w.Context(), admin, bus.Specs{Services: []string{"auth"}, Events: heard, Memory: true}); err != nil {
		w.Fatal(err)
	}
}

func TestAReplayedProjectionEndsEqual(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	durables(w, false)
	live := pgtest.New(t, directory)
	first := reader(w, live)
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	project := func(id tenant.Identity, name string) tenant.Identity {
		return w.as(id.UserID, tenant.Project(w.createProject(id, name).ok(201).num("id")))
	}
	alpha, beta := project(jo, "Alpha"), project(jo, "Beta")
	project(al, "Gamma")
	for _, name := range []string{"Alpha 2", "Alpha 3"} {
		w.command("updateProject", "", alpha, in(alpha, obj{"name": name})).ok(200)
	}
	w.command("updateProject", "", alpha, in(alpha, obj{"description": "of a kind"})).ok(200)
	w.command("updateProject", "", beta, in(beta, obj{"name": "Beta 2"})).ok(200)
	w.command("deleteProject", "", beta, in(beta)).ok(204)
	want := owned(w)
	same(t, "heard as it happened", want, live)

	// From EVENTS, into an empty schema.
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	durables(w, true)
	again := pgtest.New(t, directory)
	w.env.Run(reader(w, again))
	same(t, "rebuilt from EVENTS", want, again)

	// From what auth tells, when EVENTS has forgotten.
	told := pgtest.New(t, directory)
	in := reader(w, told)
	for range 2 { // once more changes nothing
		if n, err := in.Rebuild(t.Context(), "auth", bus.ReplayQuery{}); err != nil || n == 0 {
			t.Fatalf("heard %d, %v", n, err)
		}
		same(t, "rebuilt from what auth tells", want, told)
	}
	// Over what is there already, and of one project.
	if _, err := reader(w, live).Rebuild(t.Context(), "auth", bus.ReplayQuery{}); err != nil {
		t.Fatal(err)
	}
	same(t, "rebuilt over what was heard", want, live)
	one := pgtest.New(t, directory)
	if _, err := reader(w, one).Rebuild(t.Context(), "auth", bus.ReplayQuery{Project: alpha.Project}); err != nil {
		t.Fatal(err)
	}
	for _, line := range read(t, one) {
		if !strings.Contains(line, " "+alpha.Project.Token()[1:]+" ") {
			t.Errorf("of one project: %s", line)
		}
	}
	late := pgtest.New(t, directory)
	if _, err := reader(w, late).Rebuild(t.Context(), "auth", bus.ReplayQuery{Since: time.Now().Add(1000 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, late); len(got) != 0 { // a member of no project that was told
		t.Errorf("nothing has changed since, and told was %v", got)
	}
	if _, err := w.edge.Stream(t.Context(), bus.Target{Service: "auth", Operation: "replay"}, jo, []byte(`{}`)); err == nil {
		t.Error("a person is told of every project")
	}
}
