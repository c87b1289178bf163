package portable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
)

// Plan says what becomes of the tables of a service.
type Plan struct {
	Schema pg.Schema
	// Restored are the tables whose rows an import takes in.
	Restored []string
	// Evidence are those that are exported to be read, and not taken in, with the
	// reason.
	Evidence map[string]string
	// LeftOut are those that are not exported, with the reason.
	LeftOut map[string]string
	// Queries replace the columns of a table. They have to yield its primary key.
	Queries map[string]string
	// Columns are those that rows of an exported table have, and had in versions
	// before. A row with another one was not exported.
	Columns map[string][]string
	// Values say what is wrong with the values of a row, as far as the row itself
	// tells: what the service would not have kept. A table may be without.
	Values map[string]func(row []byte) error
}

// Begin refuses rows of a schema that this program cannot read.
func (p Plan) Begin(own, common int64) error {
	mine, ours, err := p.Schema.Versions()
	if err != nil {
		return err
	}
	if own > mine || common > ours {
		return errs.Newf(errs.Invalid, "the archive is refused: its %s is of version %d.%d, and this instance has %d.%d: upgrade it first", p.Schema.Name, own, common, mine, ours)
	}
	return nil
}

// CheckRow refuses a row of an archive that no export writes. It asks nobody: what
// it lets through, an import may still refuse for what there is already.
func (p Plan) CheckRow(table string, row []byte) error {
	columns, ok := p.Columns[table]
	if !ok {
		return errs.Newf(errs.Invalid, "%s has no table %.40q that can be imported", p.Schema.Name, table)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(row, &members); err != nil {
		return errs.Wrap(errs.Invalid, err, "it cannot be read")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(columns, name) {
			return errs.Newf(errs.Invalid, "%s has no column %.40q", table, name)
		}
	}
	if check := p.Values[table]; check != nil {
		return check(row)
	}
	return nil
}

// common are the tables that every service has, none of which is a project's to
// take along.
var common = map[string]string{
	"outbox":          "facts on their way to the stream; whoever needs them has heard them",
	"outbox_promises": "of facts on their way to the stream",
	"inbox":           "which messages were heard here",
	"operations":      "answers of calls to this instance, kept for a day",
	"jobs":            "work of this instance; an import begins its own",
	"job_steps":       "belong to jobs",
	"job_logs":        "belong to jobs",
	"held_facts":      "facts that wait for a part of this instance",
	"closed_projects": "the mark of a project that was purged here",
}

// tables are those of the schema that are exported, from the catalog: each behind those
// that it refers to, since an import takes rows in as they come.
func (p Plan) tables(ctx context.Context, tx *sqlx.Tx) ([]pg.Holding, error) {
	all, err := pg.Holdings(ctx, tx, p.Schema.Name)
	if err != nil {
		return nil, err
	}
	left := p.leftOut()
	all = pg.ReferringFirst(all)
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(h pg.Holding) bool { _, out := left[h.Table]; return out }), nil
}

func (p Plan) leftOut() map[string]string {
	out := maps.Clone(common)
	maps.Copy(out, p.LeftOut)
	return out
}

// Check compares the plan with what the catalog says: every table has one place
// in it, and every reason is one.
func (p Plan) Check(found []pg.Holding) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf(p.Schema.Name+"."+format, args...))
	}
	places := map[string]int{}
	for table, reason := range p.leftOut() {
		places[table]++
		if reason == "" {
			fault("%s is left out without a reason", table)
		}
	}
	for table, reason := range p.Evidence {
		places[table]++
		if reason == "" {
			fault("%s is not taken in, without a reason", table)
		}
	}
	for _, table := range p.Restored {
		places[table]++
	}
	for _, h := range found {
		_, out := p.leftOut()[h.Table]
		switch _, other := p.Queries[h.Table]; {
		case out:
		case len(p.Columns[h.Table]) == 0:
			fault("%s is exported: say which columns its rows have (Columns)", h.Table)
		case !other:
			for _, c := range h.Columns {
				if !slices.Contains(p.Columns[h.Table], c) {
					fault("%s has the column %s, which an import would refuse: name it in Columns", h.Table, c)
				}
			}
		}
		switch places[h.Table] {
		case 0:
			fault("%s holds rows of projects: say whether an import takes them in (Restored), why it does not (Evidence), or why they are not exported (LeftOut)", h.Table)
		case 1:
		default:
			fault("%s has several places in the plan", h.Table)
		}
		delete(places, h.Table)
	}
	for _, table := range slices.Sorted(maps.Keys(places)) {
		fault("%s is in the plan, and no table with rows of projects", table)
	}
	return errors.Join(faults...)
}
