package pg_test

import (
	"context"
	"slices"
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
	equal(t, names, []string{"closed_projects", "held_facts", "inbox", "job_logs", "job_steps", "jobs", "operations", "outbox", "outbox_promises", "tokens"})
}

func TestTablesOfProjectsComeBeforeThoseThatTheyReferTo(t *testing.T) {
	t.Parallel()
	chain := pg.Schema{Name: "chain", FS: files("000001_chain.up.sql", `
		CREATE TABLE IF NOT EXISTS b_roots (project_id bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY (project_id, id));
		CREATE TABLE IF NOT EXISTS a_leaves (project_id bigint NOT NULL, id bigint NOT NULL, root_id bigint, parent_id bigint, PRIMARY KEY (project_id, id),
			FOREIGN KEY (project_id, root_id) REFERENCES b_roots (project_id, id), FOREIGN KEY (project_id, parent_id) REFERENCES a_leaves (project_id, id));
		CREATE TABLE IF NOT EXISTS c_twigs (project_id bigint NOT NULL, leaf_id bigint NOT NULL, n int, PRIMARY KEY (n, project_id, leaf_id),
			FOREIGN KEY (project_id, leaf_id) REFERENCES a_leaves (project_id, id));
		CREATE TABLE IF NOT EXISTS nobodys (id bigint PRIMARY KEY);
		SELECT platform.protect('a_leaves'); SELECT platform.protect('b_roots'); SELECT platform.protect('c_twigs'); SELECT platform.exempt('nobodys', 'a test')`)}
	db := pgtest.New(t, chain)
	must(t, db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		all, err := pg.Holdings(ctx, tx, "")
		if err != nil {
			return err
		}
		all = pg.ReferringFirst(all)
		place := map[string]int{}
		for i, x := range all {
			place[x.Table] = i + 1
		}
		if place["c_twigs"] == 0 || place["c_twigs"] > place["a_leaves"] || place["a_leaves"] > place["b_roots"] || place["nobodys"] != 0 {
			t.Errorf("order %v", place)
		}
		if place["outbox"] == 0 || place["job_steps"] > place["jobs"] {
			t.Errorf("the tables that every service has: %v", place)
		}
		if twigs := all[place["c_twigs"]-1]; !slices.Equal(twigs.Key, []string{"n", "leaf_id"}) || !slices.Equal(twigs.Refers, []string{"a_leaves"}) {
			t.Errorf("%+v", twigs)
		}
		return nil
	}))
}
