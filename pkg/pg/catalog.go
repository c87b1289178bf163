package pg

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// ProjectTable is a table with rows of projects.
type ProjectTable struct {
	Name string
	// Key are the columns of its primary key.
	Key []string
	// Refers are the other tables of the schema that it has foreign keys to.
	Refers []string
}

// ProjectTables lists the tables of the schema in which tx works that have rows
// of projects, as the catalog knows them: whoever goes through all that a
// project has goes by this list, so that no table is forgotten. A table comes
// before those that it refers to, which is the order of deletion; the reverse
// is that of insertion.
func ProjectTables(ctx context.Context, tx sqlx.QueryerContext) ([]ProjectTable, error) {
	const q = `
		SELECT c.relname AS name,
		       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i
		             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, at)
		             JOIN  pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num
		             WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.at) AS key,
		       ARRAY(SELECT DISTINCT f.relname::text FROM pg_catalog.pg_constraint r
		             JOIN  pg_catalog.pg_class f ON f.oid = r.confrelid
		             WHERE r.conrelid = c.oid AND r.contype = 'f' AND f.oid <> c.oid AND f.relnamespace = c.relnamespace ORDER BY 1) AS refers
		FROM   pg_catalog.pg_class c
		JOIN   pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE  n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND    EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'project_id' AND NOT a.attisdropped)
		ORDER  BY 1`
	var rows []struct {
		Name   string         `db:"name"`
		Key    pq.StringArray `db:"key"`
		Refers pq.StringArray `db:"refers"`
	}
	if err := sqlx.SelectContext(ctx, tx, &rows, q); err != nil {
		return nil, fmt.Errorf("list the tables of projects: %w", err)
	}
	all := make([]ProjectTable, len(rows))
	for i, r := range rows {
		all[i] = ProjectTable{Name: r.Name, Key: r.Key, Refers: r.Refers}
	}
	return referringFirst(all), nil
}

// referringFirst puts each table before those that it refers to. In a circle
// any order is wrong, and the catalog's as good as another.
func referringFirst(all []ProjectTable) []ProjectTable {
	byName := map[string]ProjectTable{}
	for _, t := range all {
		byName[t.Name] = t
	}
	out := make([]ProjectTable, len(all))
	at := len(all)
	seen := map[string]bool{}
	var place func(t ProjectTable)
	place = func(t ProjectTable) {
		if seen[t.Name] {
			return
		}
		seen[t.Name] = true
		for _, name := range t.Refers {
			if to, ok := byName[name]; ok {
				place(to)
			}
		}
		at--
		out[at] = t
	}
	for _, t := range all {
		place(t)
	}
	return out
}
