package purge_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// shelf is a schema of which the code under test knows nothing.
var shelf = pg.Schema{Name: "knowledge", FS: fstest.MapFS{"000001_x.up.sql": {Data: []byte(`
	CREATE TABLE IF NOT EXISTS books (project_id bigint NOT NULL, id bigint NOT NULL, closed boolean, PRIMARY KEY (project_id, id));
	CREATE TABLE IF NOT EXISTS a_pages (project_id bigint NOT NULL, book_id bigint NOT NULL, n int NOT NULL, PRIMARY KEY (project_id, book_id, n),
		FOREIGN KEY (project_id, book_id) REFERENCES books (project_id, id));
	SELECT platform.protect('books', true); SELECT platform.protect('a_pages', true)`)}}}

func filled(t *testing.T) (*pg.DB, *sqlx.DB) {
	t.Helper()
	db := pgtest.New(t, shelf)
	for _, p := range []tenant.Project{1, 2} {
		in(t, db, p, func(ctx context.Context, tx *sqlx.Tx) error {
			for _, q := range []string{
				`INSERT INTO books VALUES ($1, 7, false), ($1, 8, NULL), ($1, 9, true)`,
				`INSERT INTO a_pages VALUES ($1, 7, 1), ($1, 7, 2)`,
				`INSERT INTO inbox (project_id, consumer, message_id) VALUES ($1, 'c', 'm')`,
				`INSERT INTO operations (id, project_id, principal, operation, fingerprint, status, created_at) VALUES (gen_random_uuid(), $1, 'user:1', 'x', '', 200, now())`,
				`INSERT INTO jobs (id, project_id, kind) VALUES (gen_random_uuid(), $1, 'k')`,
				`INSERT INTO job_steps (project_id, job_id, name) SELECT project_id, id, 's' FROM jobs WHERE project_id = $1`,
				`INSERT INTO held_facts (project_id, consumer, stream_seq, stored_ns, subject, headers, data, tries, waits, next_at) VALUES ($1, 'c', 1, 1, 's', '{}', '', 0, 0, now())`,
			} {
				if _, err := tx.ExecContext(ctx, q, int64(p)); err != nil {
					return err
				}
			}
			return outbox.Add(ctx, tx, &platformv1.ProjectPurged{ProjectId: int32(p), Version: 1, Service: "knowledge"})
		})
	}
	return db, pgtest.Admin(t, db)
}

func in(t *testing.T, db *pg.DB, p tenant.Project, fn func(ctx context.Context, tx *sqlx.Tx) error) {
	t.Helper()
	if err := db.InTenant(t.Context(), p, fn); err != nil {
		t.Fatal(err)
	}
}

func TestEveryTableOfTheSchemaIsPurgedAndCounted(t *testing.T) {
	t.Parallel()
	db, admin := filled(t)
	order := purge.Order{
		Service: "knowledge", Consumer: "knowledge-deleting", Message: "m1", Version: 3,
		Outside: func(context.Context) ([]purge.Part, error) { return []purge.Part{{Name: "files", Removed: 5}}, nil },
	}
	in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return purge.Obey(ctx, tx, 1, order, purge.Rule{Table: "books", Stay: "closed", Why: "a mark"}, purge.Rule{Table: "a_pages", Stay: "n > 7", Why: "never"})
	})
	var said struct {
		Service string
		Parts   []struct {
			Name                string
			Removed, Left, Kept int64
			Why                 string
		}
	}
	var data []byte
	if err := admin.Get(&data, `SELECT data FROM knowledge.outbox WHERE project_id = 1`); err != nil { // what was said before is gone
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &said); err != nil {
		t.Fatal(err)
	}
	got := map[string][3]int64{}
	for _, x := range said.Parts {
		got[x.Name] = [3]int64{x.Removed, x.Left, x.Kept}
		if (x.Why == "a mark") != (x.Name == "books") {
			t.Errorf("%+v", x)
		}
	}
	for name, want := range map[string][3]int64{
		"books": {2, 0, 1}, "a_pages": {2, 0, 0}, "inbox": {1, 0, 0}, "outbox": {1, 0, 0}, "operations": {1, 0, 0}, "jobs": {1, 0, 0}, "job_steps": {1, 0, 0}, "held_facts": {1, 0, 0},
	} {
		if got[name] != want {
			t.Errorf("%s: said %v, want %v", name, got[name], want)
		}
		var mine, others int
		q := `SELECT count(*) FILTER (WHERE project_id = 1), count(*) FILTER (WHERE project_id = 2) FROM knowledge.` + name
		if err := admin.QueryRow(q).Scan(&mine, &others); err != nil {
			t.Fatal(err)
		}
		stays := map[string]int{"books": 1, "inbox": 1, "outbox": 1}[name] // the mark, the order, and what it was answered
		if mine != stays || others == 0 {
			t.Errorf("%s: %d rows of the project, %d of the other", name, mine, others)
		}
	}
	if got["files"] != [3]int64{5, 0, 0} {
		t.Errorf("outside of the database: said %v", got["files"])
	}
	if said.Service != "knowledge" || len(got) != len(said.Parts) {
		t.Errorf("said %+v", said)
	}
	var order1 string
	if err := admin.Get(&order1, `SELECT message_id FROM knowledge.inbox WHERE project_id = 1`); err != nil || order1 != "m1" {
		t.Errorf("remembered %q, %v", order1, err)
	}
}

func TestAPurgeThatLeavesSomethingIsNone(t *testing.T) {
	t.Parallel()
	db, admin := filled(t)
	admin.MustExec(`
		CREATE FUNCTION knowledge.stubborn() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN OLD.n = 2 THEN NULL ELSE OLD END; END';
		CREATE TRIGGER stubborn BEFORE DELETE ON knowledge.a_pages FOR EACH ROW EXECUTE FUNCTION knowledge.stubborn();
		ALTER TABLE knowledge.a_pages DROP CONSTRAINT a_pages_project_id_book_id_fkey`)
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		return purge.Obey(ctx, tx, 1, purge.Order{Service: "knowledge", Consumer: "c", Message: "m"})
	})
	if !errors.Is(err, purge.ErrLeft) {
		t.Fatalf("purged with %v", err)
	}
	for _, outside := range []func(context.Context) ([]purge.Part, error){
		func(context.Context) ([]purge.Part, error) { return []purge.Part{{Name: "files", Left: 1}}, nil },
		func(context.Context) ([]purge.Part, error) { return nil, purge.ErrLeft },
	} {
		err := db.InTenant(t.Context(), 2, func(ctx context.Context, tx *sqlx.Tx) error {
			stay := purge.Rule{Table: "a_pages", Stay: "true", Why: "of no interest here"}
			return purge.Obey(ctx, tx, 2, purge.Order{Service: "knowledge", Consumer: "c", Message: "m", Outside: outside}, stay)
		})
		if !errors.Is(err, purge.ErrLeft) {
			t.Errorf("purged with %v, though something is left outside", err)
		}
	}
	var n int
	if err := admin.Get(&n, `SELECT count(*) FROM knowledge.books WHERE project_id = 1`); err != nil || n != 3 {
		t.Errorf("%d books after a purge that failed, %v", n, err)
	}
	in(t, db, 1, func(ctx context.Context, tx *sqlx.Tx) error {
		parts, err := purge.Rows(ctx, tx, 1, purge.Rule{Table: "a_pages", Stay: "true", Why: "left alone"})
		if sum := purge.Sum(parts); sum.Kept != 3 || sum.Left != 0 || sum.Removed != 9 {
			t.Errorf("%+v", parts)
		}
		return err
	})
}

func TestWhatWasSaidOfAPurgeIsHeard(t *testing.T) {
	t.Parallel()
	parts := purge.Heard(&platformv1.ProjectPurged{Parts: []*platformv1.PurgedPart{{Name: "a", Removed: math.MaxInt32}, {Name: "b", Kept: 2, Why: "because"}}})
	if len(parts) != 2 || parts[0].Removed != math.MaxInt32 || parts[1] != (purge.Part{Name: "b", Kept: 2, Why: "because"}) {
		t.Errorf("%+v", parts)
	}
}
