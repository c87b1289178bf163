package pgtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// patience bounds the making of one database, the server's start included.
const patience = 2 * time.Minute

// New returns the first schema's DB in a database of the test's own, in which
// all schemas are migrated. It is closed and dropped when the test ends.
func New(t testing.TB, schemas ...pg.Schema) *pg.DB {
	t.Helper()
	if len(schemas) == 0 {
		t.Fatal("pgtest.New: want a schema; for an empty database use AdminDSN")
	}
	return NewAll(t, schemas...)[schemas[0].Name]
}

// NewAll is [New] for every schema, by name: the services of one test share a
// database as those of one instance do.
func NewAll(t testing.TB, schemas ...pg.Schema) map[string]*pg.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	s := running(ctx, t)
	template, err := s.template(ctx, schemas)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := s.create(ctx, t, template)
	dbs := map[string]*pg.DB{}
	for _, schema := range schemas {
		dbs[schema.Name] = open(ctx, t, s.dsnOf(name), schema.Name)
	}
	return dbs
}

// Open returns one more DB of a service in the database of adminDSN, as a
// second replica of it would have, with a pool of maxConns.
func Open(t testing.TB, adminDSN, service string, maxConns int) *pg.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	return openWith(ctx, t, adminDSN, service, maxConns)
}

// AdminDSN is the superuser's connection string of an empty database of the
// test's own.
func AdminDSN(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	s := running(ctx, t)
	return s.dsnOf(s.create(ctx, t, "template1"))
}

// DSN is the superuser's connection string of the database that db works in;
// db must come from this package.
func DSN(t testing.TB, db *pg.DB) string {
	t.Helper()
	return made(t, db).dsn
}

// Admin is the database of db for the superuser, past all policies, for as long as db
// is open. db must come from this package. It is one pool however often it is asked
// for: whoever waits for a row asks often.
func Admin(t testing.TB, db *pg.DB) *sqlx.DB {
	t.Helper()
	return made(t, db).admin()
}

// Connect opens dsn until the test ends.
func Connect(t testing.TB, dsn string) *sqlx.DB {
	t.Helper()
	c, err := sqlx.Open("postgres", dsn)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	c.SetMaxOpenConns(4)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("pgtest: close: %v", err)
		}
	})
	return c
}

// Secrets are the role passwords of the test server. All databases of one
// server must use the same, since roles belong to the server.
func Secrets() pg.RoleSecrets {
	return func(role string) string { return "test-" + role }
}

var known sync.Map // *pg.DB to its *database

// database is what is known of a DB of this package.
type database struct {
	dsn   string // of the superuser
	admin func() *sqlx.DB
}

func made(t testing.TB, db *pg.DB) *database {
	t.Helper()
	v, _ := known.Load(db)
	d, ok := v.(*database)
	if !ok {
		t.Fatal("pgtest: not a DB of this package, or one that is closed")
	}
	return d
}

func open(ctx context.Context, t testing.TB, adminDSN, service string) *pg.DB {
	t.Helper()
	return openWith(ctx, t, adminDSN, service, 4)
}

func openWith(ctx context.Context, t testing.TB, adminDSN, service string, maxConns int) *pg.DB {
	t.Helper()
	dsn, err := pg.ServiceDSN(adminDSN, service, Secrets())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	db, err := pg.Open(ctx, pg.Config{DSN: dsn, Service: service, MaxConns: maxConns})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	known.Store(db, &database{dsn: adminDSN, admin: sync.OnceValue(func() *sqlx.DB { return Connect(t, adminDSN) })})
	t.Cleanup(func() {
		known.Delete(db)
		if err := db.Close(); err != nil {
			t.Errorf("pgtest: close: %v", err)
		}
	})
	return db
}

// server is the one server of the process.
type server struct {
	admin *sql.DB  // to its maintenance database
	leash *os.File // what the reaper waits for the end of
	dsn   string
	next  atomic.Int64

	mu        sync.Mutex
	templates map[string]*template
}

type template struct {
	once sync.Once
	name string
	err  error
}

func (s *server) dsnOf(db string) string { return s.dsn + " dbname=" + db }

// template returns a database with the schemas migrated, making it the first
// time that they are asked for.
func (s *server) template(ctx context.Context, schemas []pg.Schema) (string, error) {
	key, err := digest(schemas)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	tpl := s.templates[key]
	if tpl == nil {
		tpl = &template{name: "tpl_" + key}
		s.templates[key] = tpl
	}
	s.mu.Unlock()
	tpl.once.Do(func() {
		if _, tpl.err = s.admin.ExecContext(ctx, `CREATE DATABASE `+tpl.name); tpl.err == nil {
			tpl.err = pg.Migrate(ctx, s.dsnOf(tpl.name), Secrets(), schemas...)
		}
	})
	return tpl.name, tpl.err
}

// create makes a database for t and drops it at its end.
//
//nolint:contextcheck // the clean-up comes after the context of the making
func (s *server) create(ctx context.Context, t testing.TB, template string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.next.Add(1))
	if _, err := s.admin.ExecContext(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if _, err := s.admin.ExecContext(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("pgtest: drop the database: %v", err)
		}
	})
	return name
}

// digest names a set of schemas by its content.
func digest(schemas []pg.Schema) (string, error) {
	h := sha256.New()
	for _, s := range schemas {
		fmt.Fprintf(h, "schema %q %q\n", s.Name, s.Always)
		if s.FS == nil {
			continue
		}
		dir := s.Dir
		if dir == "" {
			dir = "."
		}
		err := fs.WalkDir(s.FS, dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".sql") {
				return err
			}
			b, err := fs.ReadFile(s.FS, path)
			fmt.Fprintf(h, "file %q %d\n%s", path, len(b), b)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("read the migrations of %s: %w", s.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// maintenance connects to the server itself.
func maintenance(dsn string) (*sql.DB, error) {
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, err
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(4)
	return db, nil
}

// AwaitLock returns when a statement in the database waits for a lock, and fails the
// test when none does in time.
func AwaitLock(t testing.TB, db *pg.DB) {
	t.Helper()
	admin := Admin(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond) // nobody tells of it
	defer tick.Stop()
	for {
		var waits bool
		const q = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`
		if err := admin.GetContext(ctx, &waits, q); err != nil {
			t.Fatalf("wait for a lock: %v", err)
		}
		if waits {
			return
		}
		<-tick.C
	}
}
