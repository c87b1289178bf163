package purge

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jmoiron/sqlx"

	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Rule says what stays of a table.
type Rule struct {
	Table string
	Stay  string // condition of SQL over its rows; "true" leaves the table alone
	Why   string
}

// Part is what became of one place where something of a project was.
type Part struct {
	Name    string `json:"name"`
	Removed int64  `json:"removed"`
	Left    int64  `json:"left"` // found afterwards, without what is kept
	Kept    int64  `json:"kept"`
	Why     string `json:"why,omitempty"` // something is kept
}

// ErrLeft says that something of the project was found after its purge.
var ErrLeft = errors.New("something is left")

// mark is what stays in every schema.
var mark = Rule{Table: "closed_projects", Stay: "true", Why: "the mark that nothing is written for it any more"}

// Rows closes p in the schema, removes its rows from every table, in a transaction
// of p, and counts what is left. It fails with [ErrLeft] when that is anything but
// what the rules keep. What is in hand meanwhile is waited for, or undone.
func Rows(ctx context.Context, tx *sqlx.Tx, p tenant.Project, rules ...Rule) ([]Part, error) {
	if err := outbox.Close(ctx, tx, p); err != nil {
		return nil, err
	}
	rules = append(rules, mark)
	held, err := pg.Holdings(ctx, tx, "")
	if err != nil {
		return nil, err
	}
	tables := pg.ReferringFirst(held)
	parts := make([]Part, 0, len(tables))
	stays := make([]string, 0, len(tables))
	for _, t := range tables {
		stay, why := "false", ""
		for _, r := range rules {
			if r.Table == t.Table {
				stay, why = r.Stay, r.Why
			}
		}
		part := Part{Name: t.Table, Why: why}
		if stay != "true" {
			// The names are of the catalog, the conditions of the code.
			res, err := tx.ExecContext(ctx, `DELETE FROM "`+t.Table+`" WHERE project_id = $1 AND (`+stay+`) IS NOT TRUE`, int64(p))
			if err != nil {
				return nil, fmt.Errorf("purge %s of project %d: %w", t.Table, p, err)
			}
			if part.Removed, err = res.RowsAffected(); err != nil {
				return nil, fmt.Errorf("purge %s of project %d: %w", t.Table, p, err)
			}
		}
		parts, stays = append(parts, part), append(stays, stay)
	}
	return parts, recount(ctx, tx, p, parts, stays)
}

// recount looks at every table again, after the last deletion.
func recount(ctx context.Context, tx *sqlx.Tx, p tenant.Project, parts []Part, stays []string) error {
	var left []error
	for i := range parts {
		part := &parts[i]
		q := `SELECT count(*) FILTER (WHERE (` + stays[i] + `) IS NOT TRUE), count(*) FILTER (WHERE ` + stays[i] + `) FROM "` + part.Name + `" WHERE project_id = $1`
		if err := tx.QueryRowxContext(ctx, q, int64(p)).Scan(&part.Left, &part.Kept); err != nil {
			return fmt.Errorf("count what is left in %s of project %d: %w", part.Name, p, err)
		}
		if part.Kept == 0 {
			part.Why = ""
		}
		if part.Left > 0 {
			left = append(left, fmt.Errorf("%w: %d rows of project %d in %s", ErrLeft, part.Left, p, part.Name))
		}
	}
	return errors.Join(left...)
}

// Order is the word that a project is being deleted.
type Order struct {
	Service  string // that hears it
	Consumer string // its consumer
	Message  string // id of the message
	Version  int32  // of the project
	// Outside removes what is kept of the project outside of the schema, and counts
	// it; nil where there is nothing. It is called within the transaction, whose
	// failure it must survive.
	Outside func(ctx context.Context) ([]Part, error)
}

// Obey removes all that the schema keeps of p, in a transaction of p, and says so
// with what it has counted. Of what was heard the order alone is remembered, so
// that it is not carried out twice.
func Obey(ctx context.Context, tx *sqlx.Tx, p tenant.Project, o Order, rules ...Rule) error {
	parts, err := Rows(ctx, tx, p, rules...)
	if err != nil {
		return err
	}
	if o.Outside != nil {
		outside, err := o.Outside(ctx)
		if err != nil {
			return fmt.Errorf("purge what project %d has outside of the database: %w", p, err)
		}
		if left := Sum(outside).Left; left > 0 {
			return fmt.Errorf("%w: %d pieces of project %d outside of the database", ErrLeft, left, p)
		}
		parts = append(parts, outside...)
	}
	if _, err := outbox.Once(ctx, tx, o.Consumer, o.Message); err != nil {
		return err
	}
	said := &platformv1.ProjectPurged{ProjectId: count(int64(p)), Version: o.Version, Service: o.Service}
	for _, x := range parts {
		said.Parts = append(said.Parts, &platformv1.PurgedPart{Name: x.Name, Removed: count(x.Removed), Left: count(x.Left), Kept: count(x.Kept), Why: x.Why})
	}
	return outbox.Add(ctx, tx, said)
}

// Heard is what a service has said of its purge.
func Heard(e *platformv1.ProjectPurged) []Part {
	parts := make([]Part, 0, len(e.GetParts()))
	for _, x := range e.GetParts() {
		parts = append(parts, Part{Name: x.GetName(), Removed: int64(x.GetRemoved()), Left: int64(x.GetLeft()), Kept: int64(x.GetKept()), Why: x.GetWhy()})
	}
	return parts
}

// Sum is all parts as one.
func Sum(parts []Part) (total Part) {
	for _, x := range parts {
		total.Removed, total.Left, total.Kept = total.Removed+x.Removed, total.Left+x.Left, total.Kept+x.Kept
	}
	return total
}

// count is a number as events carry it.
func count(n int64) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // G115: bounded
