package pg

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Holding is a table with rows of projects, as the catalog of the database
// describes it.
type Holding struct {
	Table   string
	Key     []string // columns of the primary key, project_id apart
	Columns []string // in their order, project_id and sealed ones apart
	Sealed  []string // columns that hold secrets, see platform.sealed
	Refers  []string // other tables of the schema that it has foreign keys to
	Across  bool     // the role that sees all projects sees this table
}

// Holdings lists every table of a schema that has rows of projects, by name:
// also those that were added yesterday, and those that every service has. What
// has to reach all that a project owns walks over it, and over no list that
// somebody keeps. Without a name the schema is the one in which q works.
func Holdings(ctx context.Context, q sqlx.QueryerContext, schema string) ([]Holding, error) {
	const list = `
		SELECT c.relname::text,
		       ARRAY(SELECT k.attname::text FROM pg_catalog.pg_index i
		             CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS p (num, pos)
		             JOIN pg_catalog.pg_attribute k ON k.attrelid = c.oid AND k.attnum = p.num
		             WHERE i.indrelid = c.oid AND i.indisprimary AND k.attname <> 'project_id' ORDER BY p.pos),
		       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
		             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'project_id'
		             AND   a.atttypid IS DISTINCT FROM s.oid ORDER BY a.attnum),
		       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
		             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = s.oid ORDER BY a.attnum),
		       ARRAY(SELECT DISTINCT f.relname::text FROM pg_catalog.pg_constraint r
		             JOIN pg_catalog.pg_class f ON f.oid = r.confrelid
		             WHERE r.conrelid = c.oid AND r.contype = 'f' AND f.oid <> c.oid AND f.relnamespace = c.relnamespace ORDER BY 1),
		       EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'across')
		FROM   pg_catalog.pg_class c
		JOIN   pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		CROSS  JOIN (SELECT (SELECT d.oid FROM pg_catalog.pg_type d JOIN pg_catalog.pg_namespace m ON m.oid = d.typnamespace
		                     WHERE m.nspname = 'platform' AND d.typname = 'sealed') AS oid) s
		WHERE  n.nspname = coalesce(nullif($1, ''), current_schema()) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND    EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'project_id' AND NOT t.attisdropped)
		ORDER  BY 1`
	rows, err := q.QueryxContext(ctx, list, schema)
	if err != nil {
		return nil, fmt.Errorf("list what %s holds of projects: %w", schema, classify(err))
	}
	defer rows.Close()
	var out []Holding
	for rows.Next() {
		var h Holding
		if err := rows.Scan(&h.Table, pq.Array(&h.Key), pq.Array(&h.Columns), pq.Array(&h.Sealed), pq.Array(&h.Refers), &h.Across); err != nil {
			return nil, fmt.Errorf("list what %s holds of projects: %w", schema, err)
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

// ReferringFirst puts each table before those that it refers to, which is the
// order of deletion. In a circle any order is wrong, and the one given as good as
// another.
func ReferringFirst(all []Holding) []Holding {
	byName := map[string]Holding{}
	for _, h := range all {
		byName[h.Table] = h
	}
	out := make([]Holding, len(all))
	at := len(all)
	seen := map[string]bool{}
	var place func(h Holding)
	place = func(h Holding) {
		if seen[h.Table] {
			return
		}
		seen[h.Table] = true
		for _, name := range h.Refers {
			if to, ok := byName[name]; ok {
				place(to)
			}
		}
		at--
		out[at] = h
	}
	for _, h := range all {
		place(h)
	}
	return out
}
