package secret

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// Column holds sealed values.
type Column struct {
	Table  string
	Name   string
	Keys   []string // of the primary key, without project_id
	Tenant bool     // the table has project_id
}

// Columns lists the columns of a schema that hold sealed values: those of type
// platform.sealed.
func Columns(ctx context.Context, tx *sqlx.Tx, schema string) ([]Column, error) {
	const q = `
		SELECT c.relname, a.attname,
		       ARRAY(SELECT k.attname::text FROM pg_catalog.pg_index i
		             CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS p (num, pos)
		             JOIN pg_catalog.pg_attribute k ON k.attrelid = c.oid AND k.attnum = p.num
		             WHERE i.indrelid = c.oid AND i.indisprimary AND k.attname <> 'project_id' ORDER BY p.pos),
		       EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'project_id' AND NOT t.attisdropped)
		FROM   pg_catalog.pg_attribute a
		JOIN   pg_catalog.pg_class c ON c.oid = a.attrelid
		JOIN   pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE  n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT a.attisdropped AND a.attnum > 0
		AND    a.atttypid = (SELECT d.oid FROM pg_catalog.pg_type d JOIN pg_catalog.pg_namespace m ON m.oid = d.typnamespace
		                     WHERE m.nspname = 'platform' AND d.typname = 'sealed')
		ORDER  BY 1, 2`
	rows, err := tx.QueryContext(ctx, q, schema)
	if err != nil {
		return nil, fmt.Errorf("list the sealed columns of %s: %w", schema, err)
	}
	defer rows.Close()
	var out []Column
	for rows.Next() {
		var c Column
		if err := rows.Scan(&c.Table, &c.Name, pq.Array(&c.Keys), &c.Tenant); err != nil {
			return nil, fmt.Errorf("list the sealed columns of %s: %w", schema, err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// Count is how many values of a column are sealed under a key.
type Count struct {
	Table, Column string
	Key           uint32
	Values        int
	Unreadable    int // which do not open at their place
}

// batch is how many rows are read at a time.
const batch = 500

// Survey opens every sealed value of a service and counts them by key.
func Survey(ctx context.Context, db *pg.DB, ring *Ring) ([]Count, error) {
	return walk(ctx, db, func(Column) visit {
		return func(_ context.Context, _ *sqlx.Tx, p Place, sealed []byte) error {
			_, err := ring.Open(p, sealed)
			return err
		}
	})
}

// Rewrap seals every value of a service that is not yet under the primary key of
// the ring, and counts as Survey does what it found. Others may write meanwhile:
// a value that has changed is left to them. One that does not open stays as it
// is, and is counted.
func Rewrap(ctx context.Context, db *pg.DB, ring *Ring) ([]Count, error) {
	return walk(ctx, db, func(c Column) visit {
		name := pq.QuoteIdentifier(c.Name)
		q := `UPDATE ` + pq.QuoteIdentifier(c.Table) + ` SET ` + name + ` = $1::bytea WHERE ` + name + ` = $2::bytea AND ` + c.row() + ` = $3 AND ` + c.project() + ` = $4`
		return func(ctx context.Context, tx *sqlx.Tx, p Place, sealed []byte) error {
			fresh, err := ring.rewrap(p, sealed)
			if err != nil || fresh == nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, q, fresh, sealed, p.Row, p.Project); err != nil {
				return fmt.Errorf("seal anew: %w", err)
			}
			return nil
		}
	})
}

// row is what [Row] makes of the primary key.
func (c Column) row() string {
	keys := make([]string, len(c.Keys))
	for i, k := range c.Keys {
		keys[i] = pq.QuoteIdentifier(k) + `::text`
		if len(c.Keys) > 1 {
			keys[i] = `replace(replace(` + keys[i] + `, '\', '\\'), '/', '\/')`
		}
	}
	return `(` + strings.Join(keys, ` || '/' || `) + `)`
}

func (c Column) project() string {
	if c.Tenant {
		return `project_id`
	}
	return `0::bigint`
}

// visit is told of each value. An error of ErrKey or ErrSealed says that it does
// not open; any other one ends the walk.
type visit func(ctx context.Context, tx *sqlx.Tx, p Place, sealed []byte) error

func walk(ctx context.Context, db *pg.DB, each func(c Column) visit) ([]Count, error) {
	var columns []Column
	err := db.AcrossProjects(ctx, "sealed columns are listed", func(ctx context.Context, tx *sqlx.Tx) (err error) {
		columns, err = Columns(ctx, tx, db.Service())
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Count
	for _, c := range columns {
		counts := map[uint32]*Count{}
		for last := (Place{Schema: db.Service(), Table: c.Table, Column: c.Name, Project: -1}); ; {
			rows, err := walkBatch(ctx, db, c, last, each(c))
			if err != nil {
				return out, fmt.Errorf("%s.%s.%s: %w", db.Service(), c.Table, c.Name, err)
			}
			for _, r := range rows {
				n := counts[r.key]
				if n == nil {
					n = &Count{Table: c.Table, Column: c.Name, Key: r.key}
					counts[r.key] = n
				}
				n.Values++
				if r.unreadable {
					n.Unreadable++
				}
			}
			if len(rows) < batch {
				break
			}
			last = rows[len(rows)-1].place
		}
		for _, key := range slices.Sorted(maps.Keys(counts)) {
			out = append(out, *counts[key])
		}
	}
	return out, nil
}

type visited struct {
	place      Place
	sealed     []byte
	key        uint32
	unreadable bool
}

// walkBatch visits the values that follow a place, in one transaction.
func walkBatch(ctx context.Context, db *pg.DB, c Column, after Place, each visit) (rows []visited, err error) {
	name := pq.QuoteIdentifier(c.Name)
	q := `
		SELECT ` + c.project() + `, ` + c.row() + `, ` + name + ` FROM ` + pq.QuoteIdentifier(c.Table) + `
		WHERE  ` + name + ` IS NOT NULL AND (` + c.project() + `, ` + c.row() + `) > ($1, $2)
		ORDER  BY 1, 2 LIMIT $3`
	err = db.AcrossProjects(ctx, "sealed values of all projects are read", func(ctx context.Context, tx *sqlx.Tx) error {
		if rows, err = readBatch(ctx, tx, q, after); err != nil {
			return err
		}
		for i := range rows {
			r := &rows[i]
			id, err := KeyOf(r.sealed)
			if err == nil {
				err = each(ctx, tx, r.place, r.sealed)
			}
			if r.unreadable = errors.Is(err, ErrKey) || errors.Is(err, ErrSealed); err != nil && !r.unreadable {
				return err
			}
			r.key = id
		}
		return nil
	})
	return rows, err
}

func readBatch(ctx context.Context, tx *sqlx.Tx, q string, after Place) ([]visited, error) {
	found, err := tx.QueryContext(ctx, q, after.Project, after.Row, batch)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []visited
	for found.Next() {
		r := visited{place: after}
		if err := found.Scan(&r.place.Project, &r.place.Row, &r.sealed); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, found.Err()
}
