package pg_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var vault = pg.Schema{Name: "vault", FS: files("000001_vault.up.sql", `
	CREATE TABLE IF NOT EXISTS tokens (
		project_id bigint NOT NULL, host text NOT NULL, port integer NOT NULL, value platform.sealed NOT NULL, note text,
		PRIMARY KEY (project_id, port, host));
	SELECT platform.protect('tokens', true);
	CREATE TABLE IF NOT EXISTS countries (code text PRIMARY KEY);
	SELECT platform.exempt('countries', 'the same for everybody')`)}

func TestTheCatalogTellsWhichTablesHoldRowsOfProjects(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, vault)
	var found []pg.Holding
	must(t, db.InTenant(t.Context(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		found, err = pg.Holdings(ctx, tx, "vault")
		return err
	}))
	var names []string
	for _, h := range found {
		names = append(names, h.Table)
		if h.Table != "tokens" {
			continue
		}
		equal(t, h.Key, []string{"port", "host"})
		equal(t, h.Columns, []string{"host", "port", "note"})
		equal(t, h.Sealed, []string{"value"})
		if !h.Across {
			t.Error("the role across is not seen")
		}
	}
	equal(t, names, []string{"closed_projects", "held_facts", "inbox", "job_steps", "jobs", "operations", "outbox", "outbox_promises", "tokens"})
}
