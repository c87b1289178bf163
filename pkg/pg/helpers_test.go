package pg_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// files makes migrations of names and texts in turn.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

const notesUp = `
	CREATE TABLE IF NOT EXISTS notes (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, project_id bigint NOT NULL, body text NOT NULL,
		CONSTRAINT notes_body UNIQUE (project_id, body),
		CONSTRAINT notes_not_empty CHECK (body <> ''));
	SELECT platform.protect('notes', true);
	CREATE TABLE IF NOT EXISTS remarks (
		id bigserial PRIMARY KEY, project_id bigint NOT NULL, note_id bigint,
		CONSTRAINT remarks_note FOREIGN KEY (note_id) REFERENCES notes (id));
	SELECT platform.protect('remarks');
	CREATE TABLE IF NOT EXISTS countries (code text PRIMARY KEY);
	SELECT platform.exempt('countries', 'the same for everybody');
	CREATE OR REPLACE VIEW loud WITH (security_invoker = true) AS SELECT project_id, upper(body) AS body FROM notes;
	GRANT SELECT ON loud TO notes_app`

var notes = pg.Schema{Name: "notes", FS: files("000001_notes.up.sql", notesUp)}

func add(ctx context.Context, db *pg.DB, p tenant.Project, body string) error {
	return db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return insert(ctx, tx, p, body)
	})
}

func insert(ctx context.Context, tx *sqlx.Tx, p tenant.Project, body string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO notes (project_id, body) VALUES ($1, $2)`, int64(p), body)
	return err
}

// seen are the bodies that a transaction sees.
func seen(ctx context.Context, tx *sqlx.Tx) ([]string, error) {
	var all []string
	err := tx.SelectContext(ctx, &all, `SELECT body FROM notes ORDER BY body`)
	return all, err
}

func bodies(t *testing.T, db *pg.DB, p tenant.Project) []string {
	t.Helper()
	var all []string
	err := db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		all, err = seen(ctx, tx)
		return err
	})
	must(t, err)
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

var errOops = errors.New("oops")

// one is a DB of notes with a pool of one connection, in a database with an
// ordinary DB beside it.
func one(t *testing.T) (single, other *pg.DB) {
	t.Helper()
	other = pgtest.New(t, notes)
	return pgtest.Open(t, pgtest.DSN(t, other), "notes", 1), other
}
