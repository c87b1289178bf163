package portable

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

// Destination is where an import takes things, and for whom. Whoever a row names
// is nobody here.
type Destination struct {
	Project   tenant.Project
	UserID    int64
	Principal string
	Shares    bool // shares with other instances are wanted
}

// Importer takes a project's things in.
type Importer struct {
	DB   *pg.DB
	Plan Plan
	// Rows take one row each, in the transaction of ctx; taken is false for one
	// that has no place here and does not matter. A refusal ends the import.
	Rows map[string]func(ctx context.Context, to Destination, row []byte) (taken bool, err error)
	// Object takes an object that later rows refer to. nil: there are none.
	Object func(ctx context.Context, to Destination, o Object) error
	// End is told that there is no more. May be nil.
	End func(ctx context.Context, to Destination) error
}

// Lines are rows of a table, JSON objects with a line's end each, and where in an
// archive they stand.
type Lines struct {
	Table string
	Rows  []byte
	Part  string // the member
	First int    // number of the first line there, from 1; 0 is not known
}

func (l Lines) at(i int) string {
	if l.Part == "" {
		return l.Table
	}
	return fmt.Sprintf("%s, line %d", l.Part, l.First+i)
}

// Take takes rows in, all or none. A refusal names the line that it is about.
func (x Importer) Take(ctx context.Context, to Destination, l Lines) (taken, left int, err error) {
	at := 0
	check := func(row []byte) error { return x.Plan.CheckRow(l.Table, row) }
	if _, ok := x.Plan.Evidence[l.Table]; ok {
		for line := range bytes.Lines(l.Rows) {
			if err := check(line); err != nil {
				return 0, 0, refused(err, l.at(at))
			}
			at++
		}
		return 0, at, nil
	}
	take, ok := x.Rows[l.Table]
	if !ok {
		return 0, 0, refused(errs.Newf(errs.Invalid, "%s has no table %.40q that can be imported", x.Plan.Schema.Name, l.Table), l.at(0))
	}
	err = x.DB.InTenant(ctx, to.Project, func(ctx context.Context, _ *sqlx.Tx) error {
		at, taken, left = 0, 0, 0
		for line := range bytes.Lines(l.Rows) {
			if err := check(line); err != nil {
				return err
			}
			ok, err := take(ctx, to, line)
			if err != nil {
				return err
			}
			if ok {
				taken++
			} else {
				left++
			}
			at++
		}
		return nil
	})
	return taken, left, refused(err, l.at(at))
}

// refused says of which part a refusal is, since its caller sees the whole.
func refused(err error, part string) error {
	if kind := errs.KindOf(err); err != nil && kind.Refusal() {
		e := errs.As(err)
		return errs.Wrap(errs.Invalid, err, "the archive is refused: "+part+": "+e.Public())
	}
	return err
}

// Serve answers the questions of export and import. It fails when importer and
// plan do not fit.
func Serve(s *bus.Server, x Exporter, m Importer) error {
	if got, want := slices.Sorted(maps.Keys(m.Rows)), slices.Sorted(slices.Values(x.Plan.Restored)); !slices.Equal(got, want) {
		return fmt.Errorf("portable %s: there are functions for %v, and the plan restores %v", x.Plan.Schema.Name, got, want)
	}
	m.DB, m.Plan = x.DB, x.Plan
	ServeExport(s, x)
	bus.Internal(s, "restorePart", m.part)
	return nil
}

// ServeExport answers the questions of export alone: of the service that imports,
// and asks the others.
func ServeExport(s *bus.Server, x Exporter) {
	bus.Internal(s, "exportPage", func(ctx context.Context, q *platformv1.ExportPageRequest) (*platformv1.ExportPage, error) {
		return x.Page(ctx, tenant.Project(q.GetProjectId()), q.GetCursor())
	})
}

func (x Importer) part(ctx context.Context, q *platformv1.RestorePartRequest) (*platformv1.RestorePart, error) {
	to := Destination{Project: tenant.Project(q.GetProjectId()), UserID: int64(q.GetUserId()), Principal: q.GetPrincipal(), Shares: q.GetShares()}
	if to.Project <= 0 || to.UserID <= 0 {
		return nil, errs.New(errs.Malformed, "a project and a user are needed")
	}
	out := &platformv1.RestorePart{}
	switch q.GetStep() {
	case "begin":
		return out, x.Plan.Begin(int64(q.GetSchemaVersion()), int64(q.GetCommonVersion()))
	case "rows":
		taken, left, err := x.Take(ctx, to, Lines{Table: q.GetTable(), Rows: q.GetRows(), Part: q.GetPart(), First: int(q.GetLine())})
		out.Restored, out.LeftOut = int32(taken), int32(left) //nolint:gosec // G115: bounded by a member
		return out, err
	case "object":
		o := q.GetObject()
		size, err := strconv.ParseInt(o.GetSize(), 10, 64)
		if err != nil {
			return nil, errs.Newf(errs.Malformed, "size of an object: %w", err)
		}
		if x.Object == nil {
			return nil, errs.Newf(errs.Invalid, "the archive is refused: %s has no objects", x.Plan.Schema.Name)
		}
		return out, refused(x.Object(ctx, to, Object{SHA256: o.GetSha256(), Size: size, Bucket: o.GetBucket(), Name: o.GetName()}), x.Plan.Schema.Name+"/objects")
	case "end":
		if x.End == nil {
			return out, nil
		}
		return out, refused(x.End(ctx, to), x.Plan.Schema.Name)
	}
	return nil, errs.Newf(errs.Malformed, "%q is no step of an import", q.GetStep())
}
