package pgtest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

// TestEveryWayBetweenProjectsIsFound makes each mistake once, past the
// migrations, which refuse some of them.
func TestEveryWayBetweenProjectsIsFound(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, pg.Schema{Name: "leaky", FS: fstest.MapFS{"000001_x.up.sql": {Data: []byte(`
		CREATE TABLE IF NOT EXISTS sound (project_id bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY (project_id, id));
		SELECT platform.protect('sound', true)`)}}})
	admin := pgtest.Admin(t, db)
	before := map[string]bool{}
	for _, l := range pgtest.Leaks(t, admin) {
		if strings.Contains(l.Where, "sound") {
			t.Errorf("a sound table leaks: %s", l)
		}
		before[l.String()] = true
	}
	for name, c := range map[string]struct{ make, where, fault string }{
		"unforced":  {`CREATE TABLE leaky.t (project_id bigint NOT NULL PRIMARY KEY)`, "leaky.t", "enabled and forced"},
		"no policy": {`CREATE TABLE leaky.t (project_id bigint NOT NULL PRIMARY KEY); ALTER TABLE leaky.t ENABLE ROW LEVEL SECURITY; ALTER TABLE leaky.t FORCE ROW LEVEL SECURITY`, "leaky.t", "no policy"},
		"nullable":  {`CREATE TABLE leaky.t (project_id bigint, id bigint PRIMARY KEY)`, "leaky.t", "bigint NOT NULL"},
		"narrow":    {`CREATE TABLE leaky.t (project_id integer NOT NULL PRIMARY KEY)`, "leaky.t", "bigint NOT NULL"},
		"no word":   {`CREATE TABLE leaky.t (id bigint PRIMARY KEY)`, "leaky.t", "exempt"},
		"reads only": {`CREATE TABLE leaky.t (project_id bigint NOT NULL PRIMARY KEY); SELECT platform.protect('leaky.t'); DROP POLICY tenant ON leaky.t;
			CREATE POLICY tenant ON leaky.t USING (project_id = nullif(current_setting('app.project_id', true), '')::bigint)`, "leaky.t", "WITH CHECK"},
		"one command": {`CREATE TABLE leaky.t (project_id bigint NOT NULL PRIMARY KEY); SELECT platform.protect('leaky.t'); DROP POLICY tenant ON leaky.t;
			CREATE POLICY tenant ON leaky.t FOR SELECT USING (project_id = nullif(current_setting('app.project_id', true), '')::bigint)`, "leaky.t", "every command"},
		"a second policy": {`CREATE POLICY more ON leaky.sound USING (true)`, "leaky.sound", "policy more opens it to everybody"},
		"across for all":  {`DROP POLICY across ON leaky.sound; CREATE POLICY across ON leaky.sound TO leaky_app USING (true)`, "leaky.sound", "opens it to leaky_app"},
		"no key":          {`CREATE TABLE leaky.t (project_id bigint NOT NULL); SELECT platform.protect('leaky.t')`, "leaky.t", "no primary key"},
		"key":             {`CREATE TABLE leaky.t (project_id bigint NOT NULL, id bigint PRIMARY KEY); SELECT platform.protect('leaky.t')`, "leaky.t_pkey", "unique without the project"},
		"index":           {`CREATE UNIQUE INDEX t_name ON leaky.sound (id) WHERE id > 7`, "leaky.t_name", "unique without the project"},
		"reference": {`CREATE TABLE leaky.t (project_id bigint NOT NULL PRIMARY KEY, to_project bigint, id bigint,
			CONSTRAINT t_to FOREIGN KEY (to_project, id) REFERENCES leaky.sound (project_id, id)); SELECT platform.protect('leaky.t')`, "leaky.t_to", "refers to leaky.sound"},
		"view":         {`CREATE VIEW leaky.t AS SELECT * FROM leaky.sound`, "leaky.t", "security_invoker"},
		"materialized": {`CREATE MATERIALIZED VIEW leaky.t AS SELECT * FROM leaky.sound`, "leaky.t", "materialized"},
		"definer":      {`CREATE FUNCTION leaky.t() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM leaky.sound'`, "leaky.t", "rights of its owner"},
		"truncate":     {`GRANT TRUNCATE ON leaky.sound TO leaky_app`, "leaky.sound", "may truncate"},
		"everybody":    {`GRANT SELECT ON leaky.sound TO pg_monitor`, "leaky.sound", "pg_monitor may select"},
		"owner":        {`ALTER TABLE leaky.sound OWNER TO leaky_app`, "leaky", "leaky_app owns sound"},
		"new schema":   {`CREATE SCHEMA later; CREATE TABLE later.t (project_id bigint NOT NULL PRIMARY KEY)`, "later.t", "enabled and forced"},
	} {
		tx := admin.MustBegin()
		tx.MustExec(c.make)
		if found := pgtest.Leaks(t, tx); !holds(found, c.where, c.fault) {
			t.Errorf("%s: found %v", name, found)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	leaks, stale := pgtest.Unnamed([]pgtest.Leak{{Where: "a", Fault: "x"}, {Where: "b", Fault: "y"}}, map[string]string{"a": "why", "b": " ", "c": "was once"})
	if len(leaks) != 1 || leaks[0].Where != "b" || len(stale) != 1 {
		t.Errorf("%v, %v", leaks, stale)
	}
}

func holds(all []pgtest.Leak, where, fault string) bool {
	for _, l := range all {
		if l.Where == where && strings.Contains(l.Fault, fault) {
			return true
		}
	}
	return false
}
