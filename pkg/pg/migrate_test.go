package pg_test

import (
	"testing"
	"testing/fstest"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

var notes = pg.Schema{Name: "notes", FS: files(
	"000001_notes.up.sql", `CREATE TABLE IF NOT EXISTS notes (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, project_id bigint NOT NULL, body text NOT NULL,
		CONSTRAINT notes_body UNIQUE (project_id, body));
	SELECT platform.protect('notes', true);
	CREATE TABLE IF NOT EXISTS secrets (id int PRIMARY KEY, project_id bigint NOT NULL);
	SELECT platform.protect('secrets');`,
	"000001_notes.down.sql", `DROP TABLE secrets; DROP TABLE notes`,
)}

func TestX(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}
