package pg_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func TestAProjectSeesItsOwnRowsAndNoOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, add(t.Context(), db, 1, "one"))
	must(t, add(t.Context(), db, 2, "two"))
	must(t, add(t.Context(), db, tenant.Instance, "none"))
	equal(t, bodies(t, db, 1), []string{"one"})
	equal(t, bodies(t, db, 2), []string{"two"})
	equal(t, bodies(t, db, tenant.Instance), []string{"none"})
}

func TestAPoolOfOneConnectionNeverCarriesAProjectOver(t *testing.T) {
	t.Parallel()
	db, _ := one(t)
	for i := range 20 {
		p := tenant.Project(i%3 + 1)
		must(t, add(t.Context(), db, p, fmt.Sprintf("%d-%02d", p, i)))
		for _, body := range bodies(t, db, p) {
			if body[:1] != fmt.Sprint(p) {
				t.Fatalf("project %d sees %q", p, body)
			}
		}
	}
}

func TestAnUnsetProjectShowsAndAcceptsNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, add(t.Context(), db, 1, "one"))
	dsn, err := pg.ServiceDSN(pgtest.DSN(t, db), "notes", pgtest.Secrets())
	must(t, err)
	raw := pgtest.Connect(t, dsn+" search_path=notes")
	raw.SetMaxOpenConns(1)
	for _, connection := range []string{"fresh", "used"} {
		var n int
		must(t, raw.Get(&n, `SELECT count(*) FROM notes`))
		if n != 0 {
			t.Errorf("%s connection: %d rows without a project", connection, n)
		}
		if _, err := raw.Exec(`INSERT INTO notes (project_id, body) VALUES (1, 'x')`); !pg.PolicyViolation(err) {
			t.Errorf("%s connection: insert without a project: %v", connection, err)
		}
		// What a transaction sets is '' afterwards, not unset: the second round
		// is on a connection in that state.
		tx := raw.MustBegin()
		tx.MustExec(`SELECT set_config('app.project_id', '1', true)`)
		must(t, tx.Get(&n, `SELECT count(*) FROM notes`))
		if n != 1 {
			t.Errorf("%s connection: %d rows with the project", connection, n)
		}
		must(t, tx.Commit())
	}
}

func TestARowCannotBeWrittenForOrMovedToAnotherProject(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, add(t.Context(), db, 1, "one"))
	must(t, add(t.Context(), db, 2, "two"))
	try := func(q string) (int64, error) {
		var n int64
		err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			res, err := tx.ExecContext(ctx, q)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		return n, err
	}
	for _, q := range []string{
		`INSERT INTO notes (project_id, body) VALUES (2, 'planted')`,
		`UPDATE notes SET project_id = 2`,
		`INSERT INTO notes (project_id, body) VALUES (1, 'one') ON CONFLICT (project_id, body) DO UPDATE SET project_id = 2`,
	} {
		if _, err := try(q); !pg.PolicyViolation(err) {
			t.Errorf("%s: %v", q, err)
		}
	}
	for _, q := range []string{
		`UPDATE notes SET body = 'mine' WHERE body = 'two'`,
		`DELETE FROM notes WHERE body = 'two'`,
	} {
		if n, err := try(q); err != nil || n != 0 {
			t.Errorf("%s: %d rows, %v", q, n, err)
		}
	}
	if _, err := try(`TRUNCATE notes`); !pg.PolicyViolation(err) {
		t.Errorf("truncate: %v", err)
	}
	equal(t, bodies(t, db, 1), []string{"one"})
	equal(t, bodies(t, db, 2), []string{"two"})
}

func TestAUniqueKeyTellsNothingOfOtherProjects(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, add(t.Context(), db, 1, "same"))
	must(t, add(t.Context(), db, 2, "same"))
	err := add(t.Context(), db, 1, "same")
	if !pg.UniqueViolation(err, "notes_body") || !pg.UniqueViolation(err, "") || pg.UniqueViolation(err, "other") {
		t.Fatalf("second row with the same body: %v", err)
	}
	if pg.UniqueViolation(errOops, "") || pg.CheckViolation(err, "") || pg.ForeignKeyViolation(err, "") {
		t.Fatal("one violation was taken for another")
	}
	if err := add(t.Context(), db, 1, ""); !pg.CheckViolation(err, "notes_not_empty") {
		t.Fatalf("empty body: %v", err)
	}
	err = db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO remarks (project_id, note_id) VALUES (1, 999)`)
		return err
	})
	if !pg.ForeignKeyViolation(err, "remarks_note") {
		t.Fatalf("remark on nothing: %v", err)
	}
}

func TestAViewIsBoundByTheProjectOfWhoReads(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	must(t, add(t.Context(), db, 1, "one"))
	must(t, add(t.Context(), db, 2, "two"))
	must(t, db.InTenant(t.Context(), 2, func(ctx context.Context, tx *sqlx.Tx) error {
		var all []string
		if err := tx.SelectContext(ctx, &all, `SELECT body FROM loud`); err != nil {
			return err
		}
		equal(t, all, []string{"TWO"})
		return nil
	}))
}

func TestAcrossProjectsSeesAllWhereTheTableAllowsIt(t *testing.T) {
	t.Parallel()
	db, _ := one(t)
	must(t, add(t.Context(), db, 1, "one"))
	must(t, add(t.Context(), db, 2, "two"))
	must(t, db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		all, err := seen(ctx, tx)
		equal(t, all, []string{"one", "two"})
		return err
	}))
	err := db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `SELECT * FROM remarks`)
		return err
	})
	if !pg.PolicyViolation(err) {
		t.Fatalf("read across projects of a table that does not allow it: %v", err)
	}
	equal(t, bodies(t, db, 1), []string{"one"}) // the connection is an ordinary one again
	if err := db.AcrossProjects(t.Context(), "", nil); err == nil {
		t.Fatal("a transaction across projects without a reason")
	}
	if err := db.InTenant(t.Context(), -1, nil); err == nil {
		t.Fatal("a transaction of a negative project")
	}
}

func TestOpenRefusesRolesThatRowSecurityDoesNotBind(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	admin := pgtest.Admin(t, db)
	dsn := pgtest.DSN(t, db)
	open := func(dsn string) error {
		db, err := pg.Open(t.Context(), pg.Config{DSN: dsn, Service: "notes"})
		if err == nil {
			err = errors.Join(errors.New("opened"), db.Close())
		}
		return err
	}
	if err := open(dsn); !errors.Is(err, pg.ErrPrivileged) {
		t.Errorf("superuser: %v", err)
	}
	for role, attributes := range map[string]string{
		"pitfall_bypass":   `BYPASSRLS`,
		"pitfall_owner":    `NOINHERIT IN ROLE notes_owner`,
		"pitfall_inherits": `INHERIT IN ROLE notes_across`,
	} {
		admin.MustExec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'x' ` + attributes)
		if err := open(dsn + " user=" + role + " password=x"); !errors.Is(err, pg.ErrPrivileged) {
			t.Errorf("%s: %v", role, err)
		}
		admin.MustExec(`DROP ROLE ` + role)
	}
}

func TestTheAppRoleHasNoPowers(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, notes)
	var flags struct {
		Super, Bypass, Inherit, Roles, Dbs, Owns bool
	}
	must(t, pgtest.Admin(t, db).Get(&flags, `
		SELECT rolsuper AS super, rolbypassrls AS bypass, rolinherit AS inherit, rolcreaterole AS roles, rolcreatedb AS dbs,
		       EXISTS (SELECT 1 FROM pg_class WHERE relowner = r.oid) AS owns
		FROM pg_roles r WHERE rolname = 'notes_app'`))
	if flags.Super || flags.Bypass || flags.Inherit || flags.Roles || flags.Dbs || flags.Owns {
		t.Fatalf("notes_app: %+v", flags)
	}
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `ALTER TABLE notes NO FORCE ROW LEVEL SECURITY`)
		return err
	})
	if !pg.PolicyViolation(err) {
		t.Fatalf("the app switched row security off: %v", err)
	}
}

func TestEveryTableOfAServiceIsForcedOrExempt(t *testing.T) {
	t.Parallel()
	admin := pgtest.Admin(t, pgtest.New(t, notes))
	var open []string
	must(t, admin.Select(&open, `
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE  n.nspname = 'notes' AND c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
		ORDER  BY 1`))
	equal(t, open, []string{"countries", "platform_migrations", "schema_migrations"})
	var policies int
	must(t, admin.Get(&policies, `
		SELECT count(*) FROM pg_policies
		WHERE  schemaname = 'notes' AND permissive = 'PERMISSIVE' AND roles = '{public}' AND policyname <> 'tenant'`))
	if policies != 0 {
		t.Fatalf("%d policies besides the tenant's apply to everybody", policies)
	}
}

func TestServicesCannotReachEachOther(t *testing.T) {
	t.Parallel()
	other := pg.Schema{Name: "other", FS: files("000001_x.up.sql", `CREATE TABLE IF NOT EXISTS things (project_id bigint NOT NULL); SELECT platform.protect('things', true)`)}
	dbs := pgtest.NewAll(t, notes, other)
	for _, q := range []string{`SELECT * FROM other.things`, `SET ROLE other_app`, `SET ROLE other_across`, `SET ROLE notes_owner`, `CREATE TABLE public.x (i int)`} {
		err := dbs["notes"].InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, q)
			return err
		})
		if !pg.PolicyViolation(err) {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// TestAChildCannotPointIntoAnotherProject: the checks of foreign keys look past
// row security, so that the key itself has to name the project. What is refused
// reads the same for a row of another project and for none.
func TestAChildCannotPointIntoAnotherProject(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "family", FS: files("000001_family.up.sql", `
		CREATE TABLE IF NOT EXISTS parents (project_id bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY (project_id, id));
		CREATE TABLE IF NOT EXISTS children (project_id bigint NOT NULL, parent_id bigint NOT NULL, PRIMARY KEY (project_id, parent_id),
			CONSTRAINT children_of_parent FOREIGN KEY (project_id, parent_id) REFERENCES parents (project_id, id));
		SELECT platform.protect('parents'); SELECT platform.protect('children')`)})
	in := func(p tenant.Project, q string, id int64) error {
		return db.InTenant(t.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, q, int64(p), id)
			return err
		})
	}
	const parent, child = `INSERT INTO parents VALUES ($1, $2)`, `INSERT INTO children VALUES ($1, $2)`
	must(t, in(1, parent, 7))
	must(t, in(2, parent, 8))
	must(t, in(1, child, 7))
	foreign, absent := in(1, child, 8), in(1, child, 9)
	for _, err := range []error{foreign, absent} {
		if !pg.ForeignKeyViolation(err, "children_of_parent") {
			t.Fatalf("a child of nobody: %v", err)
		}
	}
	if f, a := strings.ReplaceAll(foreign.Error(), "8", "N"), strings.ReplaceAll(absent.Error(), "9", "N"); f != a {
		t.Errorf("a row of another project: %s\nno row:                   %s", f, a)
	}
}
