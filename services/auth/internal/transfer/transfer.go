package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/quota"
)

// Object is where bytes are.
type Object struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Task is one import, as its caller wants it.
type Task struct {
	Operation uuid.UUID `json:"operation"`
	Archive   Object    `json:"archive"`
	Name      string    `json:"name"` // "": as the archive says
	Shares    bool      `json:"shares"`
	UserID    int64     `json:"user_id"`
	Principal string    `json:"principal"`
	Superuser bool      `json:"superuser"`
	Key       string    `json:"key,omitempty"` // id of the API key that it was begun with
}

// Tally is what an import has taken in, and what it has left aside.
type Tally struct {
	Rows, LeftOut, Objects int64
}

// Imported is the project of an import.
type Imported struct {
	Project project.Project
	Tally   Tally
}

// To is where parts go.
type To struct {
	Project tenant.Project
	Task    Task
}

// Lines are rows of a table and where they stand in the archive.
type Lines struct {
	Table string
	Rows  []byte // JSON objects, each with a line's end
	Part  string // the member
	First int    // number of the first line there, from 1
}

type objects interface {
	// Open reads an object, which verifies its sum at its end.
	Open(ctx context.Context, o Object) (io.ReadCloser, error)
	// Put keeps bytes for a service as an object of a project.
	Put(ctx context.Context, service string, p tenant.Project, r io.Reader, most int64) (Object, error)
	// Delete removes an object, also one that is not there.
	Delete(ctx context.Context, o Object) error
}

// Services take in what is theirs.
type Services interface {
	// Begin refuses what the service cannot read.
	Begin(ctx context.Context, service string, to To, schemas archive.Schemas) error
	Rows(ctx context.Context, service string, to To, l Lines) (taken, left int64, err error)
	Object(ctx context.Context, service string, to To, o Object) error
	End(ctx context.Context, service string, to To) error
}

type store interface {
	// Reserve gives a number to a try of a job, and gives up that of the try
	// before. It returns [project.ErrExists] when the user has a project of that
	// name.
	Reserve(ctx context.Context, job uuid.UUID, userID int64, name string, now time.Time) (tenant.Project, error)
	// Settle makes the project of the number, with its limits, unless the account of the
	// task was switched off or its API key revoked meanwhile. A session may have ended.
	Settle(ctx context.Context, p tenant.Project, t Task, d project.Draft, limits []quota.Quota, now time.Time) (project.Project, error)
	// Abandon has everybody purge what came under the number of a job, if it has one.
	Abandon(ctx context.Context, job uuid.UUID, now time.Time) error
}

// Importer brings projects in.
type Importer struct {
	Objects  objects
	Services Services
	Holders  []string // services beside this one that keep rows of projects
	Own      string   // name of this service
	Versions func() (own, common int64, err error)
	Check    func(service, table string, row []byte) error // refuses a row that no export writes
	Projects store
	Bounds   archive.Bounds
	Now      func() time.Time
}

// Prepare checks an archive, fills a new number with it, and returns how to make
// the project of it; that joins the transaction of its ctx. An error that is a
// refusal is for good; what came under the number has then been given up.
func (x Importer) Prepare(ctx context.Context, job uuid.UUID, t Task, progress func(done, total int64)) (settle func(ctx context.Context) (Imported, error), err error) {
	whole, err := x.read(ctx, t, archive.Visitor{Head: x.readable, Row: x.Check})
	if err != nil {
		return nil, err
	}
	draft := project.Draft{Name: t.Name}
	if draft.Name == "" {
		draft.Name = whole.Head.Project
	}
	if draft, err = draft.Check(); err != nil {
		return nil, err
	}
	p, err := x.Projects.Reserve(ctx, job, t.UserID, draft.Name, x.Now())
	if err != nil {
		return nil, err
	}
	f := filling{x: x, ctx: ctx, to: To{Project: p, Task: t}, draft: draft, total: whole.Members, progress: progress}
	if err := f.run(whole); err != nil {
		if errs.KindOf(err).Refusal() {
			if left := x.Projects.Abandon(ctx, job, x.Now()); left != nil {
				return nil, left
			}
		}
		return nil, err
	}
	return func(ctx context.Context) (Imported, error) {
		made, err := x.Projects.Settle(ctx, p, t, f.draft, f.limits, x.Now())
		return Imported{Project: made, Tally: f.tally}, err
	}, nil
}

// Discard removes what was uploaded.
func (x Importer) Discard(ctx context.Context, t Task) error { return x.Objects.Delete(ctx, t.Archive) }

func (x Importer) read(ctx context.Context, t Task, v archive.Visitor) (c archive.Content, err error) {
	r, err := x.Objects.Open(ctx, t.Archive)
	if errs.KindOf(err) == errs.NotFound {
		return c, errs.New(errs.Invalid, "the archive is not kept any more: send it again")
	}
	if err != nil {
		return c, err
	}
	defer func() { _ = r.Close() }() // it was read to its end, or is refused
	return archive.Read(r, x.Bounds, v)
}

// readable refuses an archive of services that are not here.
func (x Importer) readable(h archive.Head) error {
	for service := range h.Services {
		if service != x.Own && !slices.Contains(x.Holders, service) {
			return errs.Newf(errs.Invalid, "the archive is refused: it holds something of %.40q, and this instance has no such service", service)
		}
	}
	own, common, err := x.Versions()
	if err != nil {
		return err
	}
	if s := h.Services[x.Own]; s.Own > own || s.Common > common {
		return errs.Newf(errs.Invalid, "the archive is refused: its %s is of version %d.%d, and this instance has %d.%d: upgrade it first", x.Own, s.Own, s.Common, own, common)
	}
	return nil
}

// filling is the second reading.
type filling struct {
	x           Importer
	ctx         context.Context //nolint:containedctx // of the one reading that it lives for
	to          To
	draft       project.Draft
	limits      []quota.Quota
	tally       Tally
	done, total int64
	progress    func(done, total int64)
}

func (f *filling) run(c archive.Content) error {
	holders := slices.DeleteFunc(slices.Sorted(maps.Keys(c.Head.Services)), func(s string) bool { return s == f.x.Own })
	for _, s := range holders {
		if err := f.x.Services.Begin(f.ctx, s, f.to, c.Head.Services[s]); err != nil {
			return err
		}
	}
	if _, err := f.x.read(f.ctx, f.to.Task, archive.Visitor{Rows: f.rows, Object: f.object}); err != nil {
		return err
	}
	for _, s := range holders {
		if err := f.x.Services.End(f.ctx, s, f.to); err != nil {
			return err
		}
	}
	return nil
}

func (f *filling) step() {
	f.done++
	f.progress(f.done, f.total)
}

// Rows are handed out in portions that a service takes within a moment.
const (
	portionRows  = 25
	portionBytes = 256 << 10
)

func (f *filling) rows(service, table string, part int, lines []byte) error {
	defer f.step()
	if service == f.x.Own {
		return f.own(table, lines)
	}
	l := Lines{Table: table, Part: archive.RowsName(service, table, part), First: 1}
	for len(lines) > 0 {
		n := portion(lines)
		l.Rows = lines[:n]
		taken, left, err := f.x.Services.Rows(f.ctx, service, f.to, l)
		if err != nil {
			return err
		}
		f.tally.Rows += taken
		f.tally.LeftOut += left
		l.First += bytes.Count(l.Rows, []byte("\n"))
		lines = lines[n:]
	}
	return nil
}

// portion is how many bytes of whole lines go at once.
func portion(lines []byte) (n int) {
	for rows := 0; rows < portionRows && n < len(lines) && (n == 0 || n < portionBytes); rows++ {
		end := slices.Index(lines[n:], '\n')
		if end < 0 {
			return len(lines)
		}
		n += end + 1
	}
	return n
}

func (f *filling) object(service, sum string, size int64, r io.Reader) error {
	defer f.step()
	if service == f.x.Own {
		return errs.Newf(errs.Invalid, "the archive is refused: %s has no objects", service)
	}
	o, err := f.x.Objects.Put(f.ctx, service, f.to.Project, r, size)
	if err != nil {
		return err
	}
	if o.SHA256 != sum {
		return errs.New(errs.Invalid, "the archive is refused: an object is damaged")
	}
	f.tally.Objects++
	return f.x.Services.Object(f.ctx, service, f.to, o)
}

// own takes what this service itself holds: of the project its description, and
// its limits. Who belonged to it is told and not taken in, and so is its audit
// log, which is another project's.
func (f *filling) own(table string, lines []byte) error {
	for line := range slices.Values(splitLines(lines)) {
		var err error
		switch table {
		case "projects":
			err = f.description(line)
		case "project_quotas":
			err = f.limit(line)
		case "memberships", "service_accounts", "audit_entries", "audit_heads":
			f.tally.LeftOut++
		default:
			err = errs.Newf(errs.Invalid, "the archive is refused: %s has no table %.40q that can be imported", f.x.Own, table)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func splitLines(lines []byte) (out [][]byte) {
	for len(lines) > 0 {
		end := slices.Index(lines, '\n') + 1
		out, lines = append(out, lines[:end]), lines[end:]
	}
	return out
}

// description is what is taken in of the project's row: its name is told by the
// head, or by who imports it.
type description struct {
	Name        string  `json:"name"`
	Description *string `json:"description"`
}

// CheckProject refuses a project that could not have been one.
func CheckProject(row []byte) error {
	var r description
	if err := json.Unmarshal(row, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "it cannot be read")
	}
	_, err := project.Draft{Name: r.Name, Description: r.Description}.Check()
	return said(err)
}

// said is a refusal in the words of its first field, since a row has no form.
func said(err error) error {
	if e := errs.As(err); e != nil && len(e.Fields) > 0 {
		return errs.Wrap(e.Kind, err, fmt.Sprint(e.Fields[0].Loc[len(e.Fields[0].Loc)-1], ": ", e.Fields[0].Msg))
	}
	return err
}

func (f *filling) description(line []byte) error {
	var r description
	if err := json.Unmarshal(line, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "the archive is refused: its project cannot be read")
	}
	f.draft.Description = r.Description
	var err error
	f.draft, err = f.draft.Check()
	f.tally.Rows++
	return err
}

// limited is a limit as it is exported.
type limited struct {
	Class   string    `json:"class"`
	Calls   int       `json:"calls"`
	Seconds int       `json:"seconds"`
	Raised  bool      `json:"raised"`
	SetAt   time.Time `json:"set_at"`
}

func (r limited) restored(p tenant.Project, raised bool) (quota.Quota, error) {
	return quota.Restored(p, r.Class, r.Calls, time.Duration(r.Seconds)*time.Second, r.Raised && raised)
}

// CheckLimit refuses a limit that nobody could have set.
func CheckLimit(row []byte) error {
	var r limited
	if err := json.Unmarshal(row, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "it cannot be read")
	}
	_, err := r.restored(tenant.Instance, true)
	return said(err)
}

func (f *filling) limit(line []byte) error {
	var r limited
	if err := json.Unmarshal(line, &r); err != nil {
		return errs.Wrap(errs.Invalid, err, "the archive is refused: a limit cannot be read")
	}
	// What is above the instance's own limit is a superuser's to give.
	q, err := r.restored(f.to.Project, f.to.Task.Superuser)
	if err != nil {
		return fmt.Errorf("limit of an archive: %w", err)
	}
	q.By, q.Set = f.to.Task.UserID, f.x.Now()
	f.limits = append(slices.DeleteFunc(f.limits, func(o quota.Quota) bool { return o.Class == q.Class }), q)
	f.tally.Rows++
	return nil
}
