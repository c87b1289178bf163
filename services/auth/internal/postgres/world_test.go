package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	auth "github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

const hash = "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// world is one migrated database and its store.
type world struct {
	*testing.T
	db       *pg.DB
	store    *postgres.Store
	users    postgres.Users
	sessions postgres.Sessions
	projects postgres.Projects
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := pgtest.New(t, auth.Migrations)
	s := postgres.New(db)
	return &world{
		T: t, db: db, store: s,
		users: postgres.Users{Store: s}, sessions: postgres.Sessions{Store: s}, projects: postgres.Projects{Store: s},
	}
}

func (w *world) ctx() context.Context { return w.Context() }

// by is a caller who comes with neither session nor key.
func by(userID int64) tenant.Identity { return tenant.Identity{UserID: userID} }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// person registers an account and returns it with its first project.
func (w *world) person(email string) (user.User, tenant.Project) {
	w.Helper()
	u, err := w.users.Create(w.ctx(), user.Draft{Email: email, Hash: hash}, monday)
	w.must(err)
	a, err := w.store.Access(w.ctx(), u.ID, 0, nil, monday)
	w.must(err)
	return u, a.Project
}

func (w *world) project(owner int64, name string, at time.Time) project.Project {
	w.Helper()
	p, err := w.projects.Create(w.ctx(), by(owner), project.Draft{Name: name}, at)
	w.must(err)
	return p
}

func (w *world) session(owner int64) (session.Session, []byte) {
	w.Helper()
	s := session.Session{ID: uuid.New(), UserID: owner, CreatedAt: monday, ExpiresAt: monday.Add(time.Hour)}
	token := append(make([]byte, 0, 32), s.ID[:]...)
	token = append(token, s.ID[:]...)
	w.must(w.sessions.Open(w.ctx(), s, w.version(owner), session.Next{Hash: token, ExpiresAt: s.ExpiresAt}))
	return s, token
}

// version is that of the account now.
func (w *world) version(id int64) int64 {
	w.Helper()
	u, err := w.users.Get(w.ctx(), id)
	w.must(err)
	return u.Version
}

// exec changes rows of all projects.
func (w *world) exec(q string, args ...any) {
	w.Helper()
	w.must(w.db.AcrossProjects(w.ctx(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	}))
}

// facts returns the subjects of the events so far, oldest first.
func (w *world) facts() []string {
	w.Helper()
	var out []string
	w.must(w.db.AcrossProjects(w.ctx(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &out, `SELECT subject FROM outbox ORDER BY id`)
	}))
	return out
}

func (w *world) count(q string, args ...any) (n int) {
	w.Helper()
	w.must(w.db.AcrossProjects(w.ctx(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, q, args...)
	}))
	return n
}

// confirmed are the deletions that no service is awaited for.
func (w *world) confirmed() []project.Confirmed {
	w.Helper()
	all, err := w.projects.Confirmed(w.ctx())
	w.must(err)
	return all
}
