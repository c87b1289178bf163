package pg_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func migrate(t *testing.T, dsn string, schemas ...pg.Schema) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return pg.Migrate(ctx, dsn, pgtest.Secrets(), schemas...)
}

const (
	up1 = `CREATE TABLE IF NOT EXISTS a (project_id bigint NOT NULL); SELECT platform.protect('a', true);`
	up2 = `CREATE TABLE IF NOT EXISTS b (project_id bigint NOT NULL); SELECT platform.protect('b');`
	up3 = `CREATE TABLE IF NOT EXISTS c (project_id bigint NOT NULL); SELECT platform.protect('c');`
)

func shop(ups ...string) pg.Schema {
	f := fstest.MapFS{}
	for i, up := range ups {
		name := "m/00000" + string(rune('1'+i)) + "_step"
		f[name+".up.sql"] = &fstest.MapFile{Data: []byte(up)}
		f[name+".down.sql"] = &fstest.MapFile{Data: []byte("SELECT 1")}
	}
	return pg.Schema{Name: "shop", FS: f, Dir: "m"}
}

func TestMigratingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1, up2), notes))
	admin := pgtest.Connect(t, dsn)
	state := func() string {
		var s string
		must(t, admin.Get(&s, `
			SELECT string_agg(c.oid::text || c.xmin::text || c.relname, ' ' ORDER BY c.oid)
			FROM   pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('shop', 'notes', 'platform')`))
		var roles string
		must(t, admin.Get(&roles, `SELECT string_agg(rolname || xmin::text, ' ' ORDER BY oid) FROM pg_authid WHERE rolname LIKE 'shop%'`))
		return s + roles
	}
	before := state()
	must(t, migrate(t, dsn, shop(up1, up2), notes))
	if state() != before {
		t.Fatal("the second run wrote to the catalog")
	}
	must(t, migrate(t, dsn, shop(up1, up2, up3), notes))
	if state() == before {
		t.Fatal("a new file was not run")
	}
}

func TestMigratingFromManyProcessesAtOnceWorks(t *testing.T) {
	t.Parallel()
	// Two databases of one server: the lock is the database's, roles are the
	// server's.
	fresh := pg.Schema{Name: "race", FS: files("000001_a.up.sql", up1)}
	dsns := []string{pgtest.AdminDSN(t), pgtest.AdminDSN(t)}
	done := make(chan error)
	const each = 4
	for _, dsn := range dsns {
		for range each {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				done <- pg.Migrate(ctx, dsn, pgtest.Secrets(), fresh)
			}()
		}
	}
	for range each * len(dsns) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, dsn := range dsns {
		must(t, pgtest.Open(t, dsn, "race", 1).Ping(t.Context()))
	}
}

func TestADatabaseOfANewerBinaryIsRefused(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1, up2)))
	err := migrate(t, dsn, shop(up1))
	if !errors.Is(err, pg.ErrNewer) || !strings.Contains(err.Error(), "version 2") {
		t.Fatal(err)
	}
	admin := pgtest.Connect(t, dsn)
	admin.MustExec(`UPDATE shop.platform_migrations SET version = 99`)
	if err := migrate(t, dsn, shop(up1, up2)); !errors.Is(err, pg.ErrNewer) {
		t.Fatal(err)
	}
}

func TestAServiceKnowsWhetherItsMigrationsHaveRun(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1)))
	db := pgtest.Open(t, dsn, "shop", 1)
	must(t, db.Migrated(t.Context(), shop(up1)))
	if err := db.Migrated(t.Context(), shop(up1, up2)); !errors.Is(err, pg.ErrNotMigrated) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("one is missing: %v", err)
	}
	must(t, migrate(t, dsn, shop(up1, up2)))
	must(t, db.Migrated(t.Context(), shop(up1, up2)))
	must(t, db.Migrated(t.Context(), shop(up1))) // a newer one has been here
	admin := pgtest.Connect(t, dsn)
	for _, fault := range []string{ // the later ones on top of the earlier
		`UPDATE shop.schema_migrations SET dirty = true`,
		`DELETE FROM shop.schema_migrations`,
		`REVOKE SELECT ON shop.platform_migrations FROM shop_app`,
		`DROP TABLE shop.platform_migrations`,
	} {
		admin.MustExec(fault)
		if err := db.Migrated(t.Context(), shop(up1, up2)); !errors.Is(err, pg.ErrNotMigrated) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	if err := db.Migrated(t.Context(), pg.Schema{Name: "shop", FS: fstest.MapFS{}, Dir: "none"}); err == nil || errors.Is(err, pg.ErrNotMigrated) {
		t.Errorf("no files: %v", err)
	}
}

func TestADirtyVersionIsRunAgain(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]int{"first": 1, "last": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.AdminDSN(t)
			must(t, migrate(t, dsn, shop(up1, up2, up3)))
			admin := pgtest.Connect(t, dsn)
			table := string(rune('a' + version - 1))
			admin.MustExec(`DROP TABLE shop.` + table) // the process died before its transaction committed
			admin.MustExec(`UPDATE shop.schema_migrations SET version = $1, dirty = true`, version)
			must(t, migrate(t, dsn, shop(up1, up2, up3)))
			var ok bool
			must(t, admin.Get(&ok, `SELECT to_regclass('shop.' || $1) IS NOT NULL AND version = 3 AND NOT dirty FROM shop.schema_migrations`, table))
			if !ok {
				t.Fatal("not repaired")
			}
		})
	}
}

func TestAFaultyFileChangesNothingAndIsRunAgainWhenItIsMended(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	err := migrate(t, dsn, shop(up1, `CREATE TABLE half (project_id bigint NOT NULL); SELECT nonsense;`))
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Fatal(err)
	}
	admin := pgtest.Connect(t, dsn)
	var half bool
	must(t, admin.Get(&half, `SELECT to_regclass('shop.half') IS NOT NULL`))
	if half {
		t.Fatal("half of a file was kept")
	}
	must(t, migrate(t, dsn, shop(up1, up2)))
}

func TestAnOpenTableIsRefused(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]string{
		"table neither protected nor exempt": `CREATE TABLE IF NOT EXISTS bad (project_id bigint NOT NULL)`,
		"view without security_invoker":      `CREATE OR REPLACE VIEW bad AS SELECT 1 AS x`,
		"materialized view":                  `CREATE MATERIALIZED VIEW IF NOT EXISTS bad AS SELECT 1 AS x`,
		"no column project_id":               `CREATE TABLE IF NOT EXISTS bad (id int); SELECT platform.protect('bad')`,
		"say why":                            `CREATE TABLE IF NOT EXISTS bad (id int); SELECT platform.exempt('bad', ' ')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := migrate(t, pgtest.AdminDSN(t), shop(q))
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "bad") {
				t.Fatal(err)
			}
		})
	}
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1)))
	pgtest.Connect(t, dsn).MustExec(`ALTER TABLE shop.a NO FORCE ROW LEVEL SECURITY`)
	if err := migrate(t, dsn, shop(up1)); err == nil {
		t.Fatal("a table that is no longer forced was not noticed")
	}
}

func TestAMigrationMayChangeRowsOfAllProjects(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1)))
	admin := pgtest.Connect(t, dsn)
	admin.MustExec(`INSERT INTO shop.a VALUES (1), (2)`)
	must(t, migrate(t, dsn, shop(up1, `SET LOCAL ROLE shop_across; DELETE FROM a;`)))
	var n int
	must(t, admin.Get(&n, `SELECT count(*) FROM shop.a`))
	if n != 0 {
		t.Fatalf("%d rows left", n)
	}
}

func TestProtectingAgainWithoutAcrossTakesTheRightBack(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1, `SELECT platform.protect('a')`)))
	var n int
	must(t, pgtest.Connect(t, dsn).Get(&n, `
		SELECT count(*) FROM information_schema.role_table_grants WHERE table_schema = 'shop' AND table_name = 'a' AND grantee = 'shop_across'`))
	if n != 0 {
		t.Fatalf("%d grants left", n)
	}
}

func TestNamesThatCouldBeSQLAreRefused(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	for _, name := range []string{"", "Shop", "a b", "x;drop", "platform", "public", "extensions", strings.Repeat("x", 41)} {
		if err := migrate(t, dsn, pg.Schema{Name: name}); err == nil {
			t.Errorf("schema %q was accepted", name)
		}
	}
	if _, err := pg.Open(t.Context(), pg.Config{DSN: dsn, Service: "x;"}); err == nil {
		t.Error("service x; was accepted")
	}
	if err := migrate(t, "postgres://%zz", shop(up1)); err == nil {
		t.Error("a DSN that cannot be read was accepted")
	}
}

func TestASchemaWithoutFilesHasThePlatformTables(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, pg.Schema{Name: "bare"}))
	db := pgtest.Open(t, dsn, "bare", 1)
	if db.Service() != "bare" || db.Stats().MaxOpenConnections != 1 {
		t.Fatal(db.Service(), db.Stats())
	}
	_, err := pg.Open(t.Context(), pg.Config{DSN: mustDSN(t, dsn, "bare"), Service: "missing"})
	if !errors.Is(err, pg.ErrNotMigrated) {
		t.Fatal(err)
	}
}

func mustDSN(t *testing.T, admin, service string) string {
	t.Helper()
	dsn, err := pg.ServiceDSN(admin, service, pgtest.Secrets())
	must(t, err)
	return dsn
}

func TestAMigrationStopsWaitingForAnotherWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	must(t, migrate(t, dsn, shop(up1)))
	db := pgtest.Open(t, dsn, "shop", 1)
	slow := shop(up1, up2+`SELECT pg_sleep(30)`)
	long, giveUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- pg.Migrate(long, dsn, pgtest.Secrets(), slow) }()
	admin := pgtest.Connect(t, dsn)
	for asleep := false; !asleep; {
		must(t, admin.Get(&asleep, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND pid <> pg_backend_pid() AND datname = current_database())`))
	}
	short, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if err := pg.Migrate(short, dsn, pgtest.Secrets(), shop(up1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second: %v", err)
	}
	giveUp()
	admin.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND pid <> pg_backend_pid() AND datname = current_database()`)
	if err := <-first; err == nil {
		t.Error("the interrupted migration succeeded")
	}
	must(t, db.Ping(t.Context()))
	must(t, migrate(t, dsn, shop(up1, up2))) // what it left dirty is repaired
}

func TestAnAdministratorNeedNotBeASuperuser(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	super := pgtest.Connect(t, dsn)
	super.MustExec(`CREATE ROLE managed_admin LOGIN CREATEROLE PASSWORD 'x'`)
	var name string
	must(t, super.Get(&name, `SELECT current_database()`))
	super.MustExec(`ALTER DATABASE ` + name + ` OWNER TO managed_admin`)
	// The server's other tests made this role before; on a server of its own the
	// administrator would have.
	super.MustExec(`DO $$ BEGIN CREATE ROLE platform_owner NOINHERIT; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
	super.MustExec(`GRANT platform_owner TO managed_admin WITH ADMIN OPTION`)
	managed := dsn + " user=managed_admin password=x"
	schema := pg.Schema{Name: "managed", FS: files("000001_a.up.sql", up1)}
	for range 2 {
		must(t, migrate(t, managed, schema))
	}
	must(t, pgtest.Open(t, dsn, "managed", 1).Ping(t.Context()))
}

func TestWhatIsAlwaysRunIsRunEachTimeAsTheOwner(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	s := pg.Schema{
		Name: "shop", FS: files("000001_a.up.sql", `CREATE TABLE IF NOT EXISTS runs (who text); SELECT platform.exempt('runs', 'a test')`),
		Always: `INSERT INTO runs VALUES (current_user)`,
	}
	must(t, migrate(t, dsn, s))
	must(t, migrate(t, dsn, s))
	var who []string
	must(t, pgtest.Connect(t, dsn).Select(&who, `SELECT who FROM shop.runs`))
	if !slices.Equal(who, []string{"shop_owner", "shop_owner"}) {
		t.Errorf("run by %v", who)
	}
	s.Always = `INSERT INTO runs VALUES ('x'); SELECT 1/0`
	if err := migrate(t, dsn, s); err == nil || !strings.Contains(err.Error(), "always") {
		t.Errorf("error %v", err)
	}
	var n int
	must(t, pgtest.Connect(t, dsn).Get(&n, `SELECT count(*) FROM shop.runs`))
	if n != 2 {
		t.Errorf("%d rows: what failed was not undone", n)
	}
}
