package postgres_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	auth "github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
)

func TestOnlyTheListedTablesHaveNoTenant(t *testing.T) {
	t.Parallel()
	admin := pgtest.Admin(t, newWorld(t).db)
	var exempt []string
	const q = `
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE  n.nspname = 'auth' AND c.relkind = 'r' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
		AND    c.relname NOT IN ('schema_migrations', 'platform_migrations')
		ORDER  BY 1`
	if err := admin.Select(&exempt, q); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(exempt, postgres.InstanceTables()) {
		t.Errorf("tables without row security = %v, listed are %v", exempt, postgres.InstanceTables())
	}
}

func TestMigrationsGoDownAndUpAgain(t *testing.T) {
	t.Parallel()
	dsn := pgtest.AdminDSN(t)
	if err := pg.Migrate(t.Context(), dsn, pgtest.Secrets(), auth.Migrations); err != nil {
		t.Fatal(err)
	}
	admin := pgtest.Connect(t, dsn)
	down, err := fs.Glob(auth.Migrations.FS, "migrations/*.down.sql")
	if err != nil || len(down) == 0 {
		t.Fatal(down, err)
	}
	slices.Sort(down)
	for _, name := range slices.Backward(down) {
		q, err := fs.ReadFile(auth.Migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec("SET search_path = auth; " + string(q)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := admin.Exec("DELETE FROM auth.schema_migrations"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pg.Migrate(t.Context(), dsn, pgtest.Secrets(), auth.Migrations); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneProjectNeverSeesAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ub, b := w.person("b@example.org") // the first account, which the keys of the world are made by
	_, a := w.person("a@example.org")
	w.must(w.projects.Begin(w.ctx(), w.project(ub.ID, "Second", monday).ID, by(ub.ID), []string{"knowledge"}, monday))
	w.apiKey(b, w.account(b), monday, nil)
	for _, table := range []string{"projects", "memberships", "project_purges", "service_accounts", "api_keys"} {
		w.must(w.db.InTenant(w.ctx(), a, func(ctx context.Context, tx *sqlx.Tx) error {
			var foreign int
			if err := tx.GetContext(ctx, &foreign, `SELECT count(*) FROM `+table+` WHERE project_id <> $1`, int64(a)); err != nil {
				return err
			}
			if foreign != 0 {
				t.Errorf("%s: %d rows of other projects seen", table, foreign)
			}
			for _, q := range []string{`UPDATE ` + table + ` SET project_id = project_id WHERE project_id = $1`, `DELETE FROM ` + table + ` WHERE project_id = $1`} {
				res, err := tx.ExecContext(ctx, q, int64(b))
				if err != nil {
					return err
				}
				if n, _ := res.RowsAffected(); n != 0 {
					t.Errorf("%s: changed %d rows of another project", table, n)
				}
			}
			return nil
		}))
	}
	err := w.db.InTenant(w.ctx(), a, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO memberships (project_id, user_id, role, created_at) VALUES ($1, $2, 'owner', now())`, int64(b), ub.ID)
		return err
	})
	if !pg.PolicyViolation(err) {
		t.Errorf("membership written into another project: %v", err)
	}
	w.must(w.db.InTenant(w.ctx(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		var n int
		if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM projects`); err != nil {
			return err
		}
		if n != 0 {
			t.Errorf("the instance sees %d projects", n)
		}
		return nil
	}))
}

func TestSchemaRefusesWhatNoNounWouldWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, p := w.person("a@example.org")
	w.person("b@example.org")
	w.account(p)
	for name, q := range map[string]string{
		"upper-case address":   `INSERT INTO users (email, password_hash, created_at, updated_at) VALUES ('A@example.org', '` + hash + `', now(), now())`,
		"same address":         `INSERT INTO users (email, password_hash, created_at, updated_at) VALUES ('a@example.org', '` + hash + `', now(), now())`,
		"plain password":       `INSERT INTO users (email, password_hash, created_at, updated_at) VALUES ('c@example.org', 'secret', now(), now())`,
		"blank project name":   `UPDATE projects SET name = '  '`,
		"long project name":    `UPDATE projects SET name = repeat('x', 256)`,
		"unknown role":         `UPDATE memberships SET role = 'god'`,
		"deleted, not waiting": `UPDATE projects SET deleted_at = now()`,
		"member twice":         `INSERT INTO memberships (project_id, user_id, created_at) SELECT project_id, user_id, now() FROM memberships`,
		"project without user": `INSERT INTO projects (name, owner_id, created_at, updated_at) VALUES ('x', 999, now(), now())`,
		"short token hash":     `INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at) VALUES ('\x00', gen_random_uuid(), now(), now() + interval '1 h')`,
		"revoked, no reason":   `INSERT INTO sessions (id, user_id, created_at, used_at, expires_at, revoked_at) VALUES (gen_random_uuid(), 1, now(), now(), now() + interval '1 h', now())`,
		"key of nobody":        apiKeyOf("NULL", "NULL", "1"),
		"key of two":           apiKeyOf("1", "1", "1"),
		"key of another's":     apiKeyOf("NULL", "(SELECT account_id FROM service_accounts LIMIT 1)", "2"),
		"key without scope":    strings.Replace(apiKeyOf("1", "NULL", "1"), "{*:read}", "{}", 1),
		"account of two names": `INSERT INTO service_accounts (project_id, name, role, created_by, created_at, updated_at) VALUES (1, 'CI', 'viewer', 1, now(), now())`,
		"account as owner":     `UPDATE service_accounts SET role = 'owner'`,
		"key of wrong size":    `INSERT INTO signing_keys VALUES ('k', '\x00', '\x00', now(), now() + interval '1 h', now() + interval '2 h')`,
	} {
		err := w.db.AcrossProjects(w.ctx(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, q)
			return err
		})
		if !pg.CheckViolation(err, "") && !pg.UniqueViolation(err, "") && !pg.ForeignKeyViolation(err, "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	second := w.project(u.ID, "Second", monday)
	err := w.db.AcrossProjects(w.ctx(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE memberships SET is_default = true WHERE project_id IN ($1, $2)`, int64(p), int64(second.ID))
		return err
	})
	if !pg.UniqueViolation(err, "memberships_default") {
		t.Errorf("two defaults: %v", err)
	}
}
