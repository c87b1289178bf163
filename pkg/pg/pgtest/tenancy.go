package pgtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// Leak is something of a database by which a project could learn of, or reach,
// another one.
type Leak struct {
	Where string // "knowledge.documents", "knowledge.documents_pkey"
	Fault string
}

// String is both in one line.
func (l Leak) String() string { return l.Where + ": " + l.Fault }

// Leaks looks through the catalog of the whole database, at every schema that
// is not of PostgreSQL itself, and returns what breaks the rules of tables with
// rows of projects: row security enabled and forced, by the policies of
// platform.protect and no others; keys that name the project; references that
// cannot leave it; no view, function or right that goes past it; roles that
// row security binds. A schema that is added later is looked through as well.
func Leaks(t testing.TB, db sqlx.QueryerContext) []Leak {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	var out []Leak
	for _, q := range leaks {
		var found []Leak
		if err := sqlx.SelectContext(ctx, db, &found, ours+q); err != nil {
			t.Fatalf("pgtest: %v in %s", err, strings.TrimSpace(q))
		}
		out = append(out, found...)
	}
	return out
}

// ours are the schemas that are looked through, and their tables with rows of
// projects.
const ours = `
	WITH home AS (
		SELECT oid, nspname::text AS name, nspowner FROM pg_namespace
		WHERE  nspname !~ '^pg_' AND nspname <> 'information_schema'
		AND    NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = pg_namespace.oid AND nspname = 'extensions')),
	owned AS (
		SELECT c.oid, h.name AS home, h.name || '.' || c.relname AS name, c.relrowsecurity, c.relforcerowsecurity, c.relowner,
		       a.attnum AS project, a.attnotnull, a.atttypid
		FROM   pg_class c JOIN home h ON h.oid = c.relnamespace
		JOIN   pg_attribute a ON a.attrelid = c.oid AND a.attname = 'project_id' AND NOT a.attisdropped
		WHERE  c.relkind IN ('r', 'p', 'f')) `

// tenant is the condition that platform.protect gives a table, as PostgreSQL
// writes it.
const tenant = `(project_id = (NULLIF(current_setting(''app.project_id''::text, true), ''''::text))::bigint)`

var leaks = []string{
	`SELECT name AS "where", 'its project_id is not bigint NOT NULL' AS fault FROM owned WHERE NOT attnotnull OR atttypid <> 'bigint'::regtype`,
	`SELECT name AS "where", 'row security is not enabled and forced' AS fault FROM owned WHERE NOT (relrowsecurity AND relforcerowsecurity)`,
	// A table that has no project_id is exempt, by its comment.
	`SELECT h.name || '.' || c.relname AS "where", 'neither rows of projects nor exempt with a reason' AS fault
	 FROM   pg_class c JOIN home h ON h.oid = c.relnamespace
	 WHERE  c.relkind IN ('r', 'p', 'f') AND c.relname NOT IN ('schema_migrations', 'platform_migrations') AND c.oid NOT IN (SELECT oid FROM owned)
	 AND    coalesce(obj_description(c.oid, 'pg_class'), '') !~ '^no tenant: .'`,
	// One policy for all commands, which says the same of what is read and what
	// is written; and one for the role that crosses projects. Policies add up.
	`SELECT o.name AS "where", 'no policy for every command, USING and WITH CHECK' AS fault
	 FROM   owned o
	 WHERE  NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = o.oid AND p.polcmd = '*' AND p.polroles = '{0}'
	                    AND pg_get_expr(p.polqual, p.polrelid) = '` + tenant + `' AND pg_get_expr(p.polwithcheck, p.polrelid) = '` + tenant + `')`,
	`SELECT o.name AS "where", 'policy ' || p.polname || ' opens it to ' || coalesce((SELECT string_agg(r.rolname, ', ') FROM pg_roles r WHERE r.oid = ANY (p.polroles)), 'everybody') AS fault
	 FROM   owned o JOIN pg_policy p ON p.polrelid = o.oid
	 WHERE  p.polname <> 'tenant' AND NOT (p.polname = 'across' AND p.polroles = ARRAY[(SELECT r.oid FROM pg_roles r WHERE r.rolname = o.home || '_across')])`,
	`SELECT o.name AS "where", 'has no primary key' AS fault FROM owned o WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = o.oid AND i.indisprimary)`,
	`SELECT o.home || '.' || k.relname AS "where", 'unique without the project: ' || pg_get_indexdef(k.oid) AS fault
	 FROM   owned o JOIN pg_index i ON i.indrelid = o.oid JOIN pg_class k ON k.oid = i.indexrelid
	 WHERE  (i.indisunique OR i.indisexclusion) AND NOT o.project = ANY (i.indkey)`,
	// Both ends, at the same place.
	`SELECT o.home || '.' || r.conname AS "where", 'refers to ' || f.name || ' without the project' AS fault
	 FROM   owned o JOIN pg_constraint r ON r.conrelid = o.oid AND r.contype = 'f' JOIN owned f ON f.oid = r.confrelid
	 WHERE  NOT EXISTS (SELECT FROM unnest(r.conkey, r.confkey) AS pair (mine, theirs) WHERE pair.mine = o.project AND pair.theirs = f.project)`,
	`SELECT h.name || '.' || c.relname AS "where",
	        CASE c.relkind WHEN 'm' THEN 'materialized view, which row security does not cover' ELSE 'view without security_invoker' END AS fault
	 FROM   pg_class c JOIN home h ON h.oid = c.relnamespace
	 WHERE  c.relkind = 'm' OR c.relkind = 'v' AND NOT coalesce(c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on'], false)`,
	`SELECT h.name || '.' || p.proname AS "where", 'function with the rights of its owner' AS fault
	 FROM   pg_proc p JOIN home h ON h.oid = p.pronamespace WHERE p.prosecdef`,
	// What row security does not look at.
	`SELECT c.name AS "where", r.rolname || ' may ' || lower(a.privilege_type) AS fault
	 FROM  (SELECT o.name, o.home, o.relowner, c.relacl FROM owned o JOIN pg_class c USING (oid)) c
	 CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
	 WHERE  a.grantee <> c.relowner
	 AND   (a.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') OR coalesce(r.rolname, '') NOT IN (c.home || '_app', c.home || '_across'))`,
	`SELECT h.name AS "where", r.rolname || CASE WHEN r.rolsuper THEN ' is a superuser' WHEN r.rolbypassrls THEN ' bypasses row security'
	            WHEN r.rolinherit THEN ' inherits from the roles it belongs to' WHEN r.oid = h.nspowner THEN ' owns the schema' ELSE ' owns ' || own.relname END AS fault
	 FROM   home h JOIN pg_roles r ON r.rolname IN (h.name || '_app', h.name || '_across')
	 LEFT   JOIN LATERAL (SELECT relname FROM pg_class WHERE relowner = r.oid LIMIT 1) own ON true
	 WHERE  r.rolsuper OR r.rolbypassrls OR r.rolinherit AND right(r.rolname, 4) = '_app' OR r.oid = h.nspowner OR own.relname IS NOT NULL`,
	`SELECT h.name AS "where", 'no role ' || h.name || '_app works in it' AS fault
	 FROM   home h WHERE EXISTS (SELECT FROM owned o WHERE o.home = h.name) AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = h.name || '_app')`,
}

// Unnamed returns those leaks that are not in the table of exceptions, which
// has a reason for each place, and the exceptions that nothing is any more.
func Unnamed(found []Leak, named map[string]string) (leaks []Leak, stale []string) {
	seen := map[string]bool{}
	for _, l := range found {
		if strings.TrimSpace(named[l.Where]) == "" {
			leaks = append(leaks, l)
		}
		seen[l.Where] = true
	}
	for where := range named {
		if !seen[where] {
			stale = append(stale, fmt.Sprintf("%s (%s)", where, named[where]))
		}
	}
	return leaks, stale
}
