package secret_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func schema(sql string) pg.Schema {
	return pg.Schema{Name: "vault", FS: fstest.MapFS{"000001_vault.up.sql": {Data: []byte(sql)}}}
}

const tables = `
	CREATE TABLE IF NOT EXISTS providers (
		project_id bigint NOT NULL, id bigint NOT NULL, key platform.sealed, PRIMARY KEY (project_id, id));
	SELECT platform.protect('providers', true);
	CREATE TABLE IF NOT EXISTS hooks (
		host text NOT NULL, path text NOT NULL, token platform.sealed NOT NULL, PRIMARY KEY (host, path));
	SELECT platform.exempt('hooks', 'of the instance')`

func fill(t *testing.T, db *pg.DB, ring *secret.Ring, n int) {
	t.Helper()
	for project := range int64(2) {
		err := db.InTenant(t.Context(), tenant.Project(project+1), func(ctx context.Context, tx *sqlx.Tx) error {
			for i := range n {
				p := secret.Place{Schema: "vault", Table: "providers", Column: "key", Project: project + 1, Row: fmt.Sprint(i)}
				if _, err := tx.ExecContext(ctx, `INSERT INTO providers VALUES ($1, $2, $3::bytea)`, p.Project, i, seal(t, ring, p, hush)); err != nil {
					return err
				}
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO providers VALUES ($1, $2, NULL)`, project+1, n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := db.InTenant(t.Context(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		p := secret.Place{Schema: "vault", Table: "hooks", Column: "token", Row: secret.Row("example.org", "/in")}
		_, err := tx.ExecContext(ctx, `INSERT INTO hooks VALUES ('example.org', '/in', $1::bytea)`, seal(t, ring, p, hush))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoKeysOfSeveralColumnsAreNeverOnePlace(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, columns := range [][]string{{"a", "/b"}, {"a/", "b"}, {"a", `\/b`}, {`a\`, "/b"}, {`a\/`, "b"}, {"a", "b"}, {`a\`, "b"}, {"a", "", "b"}, {"", "a", "b"}, {"a/b", ""}, {"a", "b/"}, {"a", "b", ""}} {
		row := secret.Row(columns...)
		if other, taken := seen[row]; taken {
			t.Errorf("%q and %q are both %s", columns, other, row)
		}
		seen[row] = columns
	}
	if secret.Row("a/b") != "a/b" || secret.Row("1", "x") != "1/x" { // what was sealed before opens still
		t.Error("rows are spelled anew")
	}
}

func TestEverySealedColumnIsFoundAndSealedAnew(t *testing.T) {
	t.Parallel()
	db, src := pgtest.New(t, schema(tables)), secrettest.New(t)
	ring := secrettest.Open(t, src)
	const each = 600 // more than one batch
	fill(t, db, ring, each)
	first, _ := ring.Primary()
	text, _ := src.Keys()
	text, err := secret.Rotated(text, nil, func(uint32) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	src.Set(text, nil)
	check := func(counts []secret.Count, err error, key uint32) {
		t.Helper()
		want := []secret.Count{{Table: "hooks", Column: "token", Key: key, Values: 1}, {Table: "providers", Column: "key", Key: key, Values: 2 * each}}
		if err != nil || fmt.Sprint(counts) != fmt.Sprint(want) {
			t.Errorf("%v, %v; want %v", counts, err, want)
		}
	}
	counts, err := secret.Survey(t.Context(), db, ring)
	check(counts, err, first)
	counts, err = secret.Rewrap(t.Context(), db, ring)
	check(counts, err, first)
	second, _ := ring.Primary()
	counts, err = secret.Survey(t.Context(), db, ring)
	check(counts, err, second)
}

func TestAValueThatWasMovedIsCountedAndLeftAlone(t *testing.T) {
	t.Parallel()
	db, src := pgtest.New(t, schema(tables)), secrettest.New(t)
	ring := secrettest.Open(t, src)
	fill(t, db, ring, 3)
	admin := pgtest.Admin(t, db)
	if _, err := admin.Exec(`UPDATE vault.providers SET key = (SELECT key FROM vault.providers WHERE project_id = 2 AND id = 0) WHERE project_id = 1 AND id = 1`); err != nil {
		t.Fatal(err)
	}
	text, _ := src.Keys()
	text, err := secret.Rotated(text, nil, func(uint32) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	src.Set(text, nil)
	for _, run := range []func(context.Context, *pg.DB, *secret.Ring) ([]secret.Count, error){secret.Rewrap, secret.Survey} {
		counts, err := run(t.Context(), db, ring)
		bad, all := 0, 0
		for _, c := range counts {
			bad, all = bad+c.Unreadable, all+c.Values
		}
		if err != nil || bad != 1 || all != 7 {
			t.Errorf("%d of %d unreadable, %v", bad, all, err)
		}
	}
}

func TestAColumnOfSecretsRefusesWhatIsInTheClear(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema(tables))
	for _, plain := range []string{"", hush, strings.Repeat(hush, 10)} {
		err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO providers VALUES (1, 1, $1::bytea)`, []byte(plain))
			return err
		})
		if err == nil {
			t.Errorf("%q was kept", plain)
		}
	}
}

func TestASealedColumnThatCannotBeRotatedIsRefusedByTheMigration(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"without across": `CREATE TABLE IF NOT EXISTS a (project_id bigint NOT NULL, id bigint NOT NULL, key platform.sealed, PRIMARY KEY (project_id, id));
			SELECT platform.protect('a')`,
		"without a key beside the project": `CREATE TABLE IF NOT EXISTS a (project_id bigint NOT NULL PRIMARY KEY, key platform.sealed); SELECT platform.protect('a', true)`,
		"without a key":                    `CREATE TABLE IF NOT EXISTS a (key platform.sealed); SELECT platform.exempt('a', 'none')`,
	} {
		err := pg.Migrate(t.Context(), pgtest.AdminDSN(t), pgtest.Secrets(), schema(sql))
		if err == nil || !strings.Contains(err.Error(), "vault.a: column key is sealed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
