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
	Across  bool     // the role that sees all projects sees this table
}

// Holdings lists every table of a schema that has rows of projects, by name:
// also those that were added yesterday, and those that every service has. What
// has to reach all that a project owns walks over it, and over no list that
// somebody keeps.
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
		       EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'across')
		FROM   pg_catalog.pg_class c
		JOIN   pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		CROSS  JOIN (SELECT (SELECT d.oid FROM pg_catalog.pg_type d JOIN pg_catalog.pg_namespace m ON m.oid = d.typnamespace
		                     WHERE m.nspname = 'platform' AND d.typname = 'sealed') AS oid) s
		WHERE  n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
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
		if err := rows.Scan(&h.Table, pq.Array(&h.Key), pq.Array(&h.Columns), pq.Array(&h.Sealed), &h.Across); err != nil {
			return nil, fmt.Errorf("list what %s holds of projects: %w", schema, err)
		}
		out = append(out, h)
	}
	return out, rows.Err()
}
