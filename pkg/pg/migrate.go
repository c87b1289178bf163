package pg

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// Schema is a service's schema and the migrations that make it. The files are
// named NNNNNN_what.up.sql and .down.sql; each runs as one transaction, as the
// schema's owner, with the schema first in the search path. A file must be
// safe to run twice: a process that dies at the wrong moment makes the next
// one run it again. To change rows of all projects a file says
// SET LOCAL ROLE <name>_across.
type Schema struct {
	Name string
	FS   fs.FS
	Dir  string // inside FS; "" means its root
	// Always is SQL that runs after the migrations, each time and as they do: for
	// what depends on extensions that the server may have got since. Where there is
	// nothing to do it must write nothing.
	Always string
}

// ErrNewer says that a newer binary has migrated the database, so that this
// one does not know its shape.
var ErrNewer = errors.New("the database was migrated by a newer version of this program")

//go:embed platform/*.sql
var platformFiles embed.FS

//go:embed tables/*.sql
var tableFiles embed.FS

// Names of the version tables. Both live in the service's schema; the platform
// schema has only its own.
const (
	ownVersions   = "schema_migrations"
	tableVersions = "platform_migrations"
)

// Migrate brings the database to the state that this binary knows: roles,
// schemas, the tables that every service has, and then each service's own. It
// is safe to run twice, from several processes at once, and after a crash in
// the middle. It goes forward only; a database ahead of the binary is refused
// with [ErrNewer]. It ends by checking that every table of the schemas is
// protected or exempt, and that what is sealed can be sealed anew.
//
// adminDSN must be a direct connection of a superuser, or of a role that may
// create roles and schemas.
func Migrate(ctx context.Context, adminDSN string, secrets RoleSecrets, schemas ...Schema) (err error) {
	for _, s := range schemas {
		if !validName(s.Name) || s.Name == "platform" || s.Name == "extensions" || s.Name == "public" {
			return fmt.Errorf("migrate: schema %q: want a lower-case name of a service", s.Name)
		}
	}
	connector, err := connectorFor(adminDSN, map[string]string{"lock_timeout": "0", "statement_timeout": "0"}, "commandcenter migrate")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxIdleConns(0) // a connection that became an owner must not serve anything else
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("migrate: connect as administrator: %w", classify(err))
	}
	defer func() { err = errors.Join(err, conn.Close()) }() // gives up the lock
	m := &migrator{ctx: ctx, pool: pool, conn: conn, secrets: secrets}
	if err := m.run(schemas); err != nil {
		if ctx.Err() != nil { // the driver may say no more than that its connection is bad
			err = errors.Join(context.Cause(ctx), err)
		}
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

type migrator struct {
	ctx     context.Context // of one Migrate; golang-migrate takes none
	pool    *sql.DB
	conn    *sql.Conn // holds the lock, and does all but the migrations
	secrets RoleSecrets
}

func (m *migrator) run(schemas []Schema) error {
	// Wait by asking again: a statement that waits for the lock would hold a
	// snapshot, with which CREATE INDEX CONCURRENTLY of another deadlocks.
	if err := m.lock(); err != nil {
		return err
	}
	if err := m.groundwork(); err != nil {
		return err
	}
	platform, err := newSource(platformFiles, "platform")
	if err != nil {
		return err
	}
	if err := m.service("platform", step{platform, ownVersions}); err != nil {
		return err
	}
	tables, err := newSource(tableFiles, "tables")
	if err != nil {
		return err
	}
	for _, s := range schemas {
		own, err := newSource(s.FS, s.Dir)
		if err != nil {
			return fmt.Errorf("schema %s: %w", s.Name, err)
		}
		if err := m.service(s.Name, step{tables, tableVersions}, step{own, ownVersions}); err != nil {
			return err
		}
		if err := m.always(s); err != nil {
			return err
		}
		if err := m.checkProtected(s.Name); err != nil {
			return err
		}
	}
	return nil
}

func (m *migrator) lock() error {
	for {
		var got bool
		if err := m.conn.QueryRowContext(m.ctx, `SELECT pg_try_advisory_lock($1)`, lockKey("migrate")).Scan(&got); err != nil {
			return fmt.Errorf("take the lock: %w", err)
		}
		if got {
			return nil
		}
		select {
		case <-m.ctx.Done():
			return fmt.Errorf("wait for another migration: %w", context.Cause(m.ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// step is a set of files and the table that counts them.
type step struct {
	files    *sourceSet
	versions string
}

// service makes roles and schema of one service and runs its steps.
func (m *migrator) service(name string, steps ...step) error {
	if err := m.roles(name); err != nil {
		return fmt.Errorf("schema %s: roles: %w", name, err)
	}
	for _, s := range steps {
		if err := m.up(name, s); err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
	}
	if name == "platform" {
		return nil // nobody works in it
	}
	if err := m.legible(name); err != nil {
		return fmt.Errorf("schema %s: %w", name, err)
	}
	return nil
}

// up runs what is missing of one set of files.
func (m *migrator) up(name string, s step) error {
	version, dirty, present, err := m.version(name, s.versions)
	if err != nil {
		return err
	}
	if present && version > s.files.last {
		return fmt.Errorf("version %d of %s.%s, this program knows %d: %w", version, name, s.versions, s.files.last, ErrNewer)
	}
	if s.files.last == 0 || present && !dirty && version == s.files.last {
		return nil
	}
	conn, err := m.pool.Conn(m.ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	const become = `SELECT set_config('role', $1, false), set_config('search_path', $2, false)`
	if _, err := conn.ExecContext(m.ctx, become, roleOwner(name), name+", extensions"); err != nil {
		return errors.Join(fmt.Errorf("become %s: %w", roleOwner(name), err), conn.Close())
	}
	driver, err := postgres.WithConnection(m.ctx, conn, &postgres.Config{SchemaName: name, MigrationsTable: s.versions})
	if err != nil {
		return errors.Join(fmt.Errorf("read versions: %w", err), conn.Close())
	}
	defer driver.Close()
	files, err := s.files.open()
	if err != nil {
		return err
	}
	mig, err := migrate.NewWithInstance("files", files, "postgres", driver)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	stop := context.AfterFunc(m.ctx, func() { mig.GracefulStop <- true })
	defer stop()
	if dirty {
		// A process died inside version N. Its file ran as one transaction, so
		// it did all or nothing; run it again from N-1.
		if err := mig.Force(s.files.before(version)); err != nil {
			return fmt.Errorf("repair version %d: %w", version, err)
		}
	}
	if err := mig.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("run the migrations: %w", err)
	}
	return m.ctx.Err()
}

// always runs what a schema wants to be run each time, in one transaction.
func (m *migrator) always(s Schema) error {
	if s.Always == "" {
		return nil
	}
	tx, err := m.conn.BeginTx(m.ctx, nil)
	if err != nil {
		return fmt.Errorf("schema %s: %w", s.Name, err)
	}
	const become = `SELECT set_config('role', $1, true), set_config('search_path', $2, true)`
	_, err = tx.ExecContext(m.ctx, become, roleOwner(s.Name), s.Name+", extensions")
	if err == nil {
		_, err = tx.ExecContext(m.ctx, s.Always)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("schema %s: what is always run: %w", s.Name, err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("schema %s: what is always run: %w", s.Name, err)
	}
	return nil
}

// version reads a version table. A missing table is version 0.
func (m *migrator) version(schema, table string) (version int64, dirty, present bool, err error) {
	const q = `SELECT to_regclass($1) IS NOT NULL`
	if err := m.conn.QueryRowContext(m.ctx, q, schema+"."+table).Scan(&present); err != nil || !present {
		return 0, false, false, err
	}
	err = m.conn.QueryRowContext(m.ctx, `SELECT version, dirty FROM `+schema+`.`+table).Scan(&version, &dirty)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, false, nil
	}
	if err != nil {
		return 0, false, false, fmt.Errorf("read %s.%s: %w", schema, table, err)
	}
	return version, dirty, true, nil
}

func (m *migrator) checkProtected(name string) error {
	rows, err := m.conn.QueryContext(m.ctx, `SELECT relation, fault FROM platform.unprotected($1) UNION ALL SELECT relation, fault FROM platform.unsealable($1)`, name)
	if err != nil {
		return fmt.Errorf("schema %s: check protection: %w", name, err)
	}
	defer rows.Close()
	var faults []error
	for rows.Next() {
		var relation, fault string
		if err := rows.Scan(&relation, &fault); err != nil {
			return fmt.Errorf("schema %s: check protection: %w", name, err)
		}
		faults = append(faults, fmt.Errorf("%s.%s: %s", name, relation, fault))
	}
	return errors.Join(append(faults, rows.Err())...)
}

// sourceSet is a folder of migration files and what is in it.
type sourceSet struct {
	fsys     fs.FS
	dir      string
	versions []int64
	last     int64 // 0 when there are no files
}

func newSource(fsys fs.FS, dir string) (*sourceSet, error) {
	s := &sourceSet{fsys: fsys, dir: dir}
	if dir == "" {
		s.dir = "."
	}
	if fsys == nil {
		return s, nil
	}
	d, err := s.open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	for v, err := d.First(); ; v, err = d.Next(v) {
		if errors.Is(err, os.ErrNotExist) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the migrations: %w", err)
		}
		s.last = int64(v)
		s.versions = append(s.versions, s.last)
	}
}

func (s *sourceSet) open() (source.Driver, error) {
	d, err := iofs.New(s.fsys, s.dir)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return d, nil
}

// before is the version that precedes v, -1 for the first.
func (s *sourceSet) before(v int64) int {
	prev := -1
	for _, known := range s.versions {
		if known < v {
			prev = int(known)
		}
	}
	return prev
}
