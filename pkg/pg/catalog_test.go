package pg_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

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
		all, err := pg.ProjectTables(ctx, tx)
		if err != nil {
			return err
		}
		place := map[string]int{}
		for i, x := range all {
			place[x.Name] = i + 1
		}
		if place["c_twigs"] == 0 || place["c_twigs"] > place["a_leaves"] || place["a_leaves"] > place["b_roots"] || place["nobodys"] != 0 {
			t.Errorf("order %v", place)
		}
		if place["outbox"] == 0 || place["job_steps"] > place["jobs"] {
			t.Errorf("the tables that every service has: %v", place)
		}
		if twigs := all[place["c_twigs"]-1]; !slices.Equal(twigs.Key, []string{"n", "project_id", "leaf_id"}) || !slices.Equal(twigs.Refers, []string{"a_leaves"}) {
			t.Errorf("%+v", twigs)
		}
		return nil
	}))
}
