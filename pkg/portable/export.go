package portable

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// Bounds of a page. A single row may be larger.
const (
	pageRows  = 50
	pageBytes = 512 << 10 // of rows, and of objects that lie in the database
)

// Object is bytes that a row refers to: in the object store, or in Body.
type Object struct {
	SHA256 string // lower-case hex
	Size   int64
	Bucket string
	Name   string
	Body   []byte
}

// Referring returns the object that a row of a table refers to, nil for none. It
// runs in the transaction that has read the row.
type Referring func(ctx context.Context, tx *sqlx.Tx, p tenant.Project, table string, row []byte) (*Object, error)

// cursor is the place behind which the next page begins.
type cursor struct {
	Table string   `json:"t"`
	Key   []string `json:"k,omitempty"` // of the last row; none: the table has still to begin
	Own   int64    `json:"o"`           // versions of the schema that the export began with
	Base  int64    `json:"b"`
}

// errChanged ends an export over which the service was updated: half of it would be
// of tables that the other half does not know.
var errChanged = errs.New(errs.Unavailable, "the service was updated while it was exported: export again")

// Exporter hands over what a service holds, a page at a time. Every page is what
// was committed when it was read: rows and what they refer to fit together, and
// two pages are two moments.
type Exporter struct {
	DB     *pg.DB
	Plan   Plan
	Refers Referring // nil: no table has objects
}

// Page is the page behind a cursor, which is that of the page before.
func (x Exporter) Page(ctx context.Context, p tenant.Project, after []byte) (*platformv1.ExportPage, error) {
	var at cursor
	if len(after) > 0 {
		if err := json.Unmarshal(after, &at); err != nil {
			return nil, errs.Newf(errs.Malformed, "cursor: %w", err)
		}
	}
	own, common, err := x.Plan.Schema.Versions()
	if err != nil {
		return nil, err
	}
	if at.Table != "" && (at.Own != own || at.Base != common) {
		return nil, errChanged
	}
	page := &platformv1.ExportPage{SchemaVersion: int32(own), CommonVersion: int32(common), LeftOut: x.Plan.leftOut()} //nolint:gosec // G115: numbers of files
	err = x.DB.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		tables, err := x.Plan.tables(ctx, tx)
		if err != nil {
			return err
		}
		for _, h := range tables {
			page.Tables = append(page.Tables, h.Table)
		}
		i := 0
		if at.Table != "" {
			i = slices.IndexFunc(tables, func(h pg.Holding) bool { return h.Table == at.Table })
		}
		if i < 0 {
			return errChanged
		}
		if len(tables) == 0 {
			return nil
		}
		last, err := x.fill(ctx, tx, p, page, tables[i], at.Key)
		if err != nil {
			return err
		}
		next := cursor{Table: tables[i].Table, Key: last, Own: own, Base: common}
		if last == nil {
			if i+1 == len(tables) {
				return nil
			}
			next = cursor{Table: tables[i+1].Table, Own: own, Base: common}
		}
		page.Cursor, err = json.Marshal(next)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", x.Plan.Schema.Name, err)
	}
	return page, nil
}

// fill adds rows of a table, and returns the key of the last one; nil when there
// are no more.
func (x Exporter) fill(ctx context.Context, tx *sqlx.Tx, p tenant.Project, page *platformv1.ExportPage, h pg.Holding, after []string) ([]string, error) {
	page.Table = h.Table
	rows, err := x.read(ctx, tx, h, after)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", h.Table, err)
	}
	if len(h.Key) == 0 && len(rows) > 1 {
		return nil, fmt.Errorf("table %s has no key by which its pages could be told apart", h.Table)
	}
	size := 0
	for i, r := range rows {
		page.Rows = append(append(page.Rows, r.text...), '\n')
		size += len(r.text)
		if x.Refers != nil {
			o, err := x.Refers(ctx, tx, p, h.Table, r.text)
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", h.Table, err)
			}
			if o != nil {
				page.Objects = append(page.Objects, &platformv1.PortableObject{
					Sha256: o.SHA256, Size: strconv.FormatInt(o.Size, 10), Bucket: o.Bucket, Name: o.Name, Body: o.Body,
				})
				size += len(o.Body)
			}
		}
		if size >= pageBytes && i+1 < len(rows) {
			return r.key, nil
		}
	}
	if len(rows) < pageRows || len(h.Key) == 0 {
		return nil, nil
	}
	return rows[len(rows)-1].key, nil
}

type row struct {
	text []byte
	key  []string
}

func (x Exporter) read(ctx context.Context, tx *sqlx.Tx, h pg.Holding, after []string) ([]row, error) {
	from, ok := x.Plan.Queries[h.Table]
	if !ok {
		from = `SELECT ` + quoted(h.Columns, "", "") + ` FROM ` + pq.QuoteIdentifier(h.Table)
	}
	q := `SELECT to_jsonb(t)::text, ARRAY[` + quoted(h.Key, "t.", "::text") + `]::text[] FROM (` + from + `) t`
	var args []any
	if len(after) > 0 {
		if len(after) != len(h.Key) {
			return nil, errs.New(errs.Malformed, "cursor of another table")
		}
		marks := make([]string, len(after))
		for i, k := range after {
			marks[i] = "$" + strconv.Itoa(i+1)
			args = append(args, k)
		}
		q += ` WHERE (` + quoted(h.Key, "t.", "") + `) > (` + strings.Join(marks, ", ") + `)`
	}
	if len(h.Key) > 0 {
		q += ` ORDER BY ` + quoted(h.Key, "t.", "")
	}
	found, err := tx.QueryContext(ctx, q+` LIMIT `+strconv.Itoa(pageRows), args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var out []row
	for found.Next() {
		var r row
		if err := found.Scan(&r.text, pq.Array(&r.key)); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, found.Err()
}

func quoted(columns []string, before, after string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = before + pq.QuoteIdentifier(c) + after
	}
	return strings.Join(out, ", ")
}
