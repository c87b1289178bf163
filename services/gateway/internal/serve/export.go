package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/archive"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// Holdings reads what services hold of projects.
type Holdings interface {
	// Page is a page of what a service holds, behind the cursor of the page before.
	Page(ctx context.Context, service string, p tenant.Project, cursor []byte) (*platformv1.ExportPage, error)
	// Object opens what a row refers to; the reader checks its sum.
	Object(ctx context.Context, ref bus.ObjectRef) (io.ReadCloser, error)
}

// Holders are the services that an export asks: all of the contract, so that one
// that is added later is asked as well.
func Holders(c *contract.Contract) []string {
	var out []string
	for _, op := range c.Operations {
		if !op.Own() && !slices.Contains(out, op.Service) {
			out = append(out, op.Service)
		}
	}
	slices.Sort(out)
	return out
}

// exportProject writes the archive of a project while it is read, a page of a
// service at a time: whoever takes it slowly is asked for slowly, and nothing is
// kept here but the sums of the objects that are in it.
func (s *Edge) exportProject(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte) error {
	if s.draining() {
		return errBusy
	}
	if err := s.streams.enter(who.Principal); err != nil {
		return err
	}
	defer s.streams.leave(who.Principal)
	r := c.Request()
	x := &exporting{s: s, c: c, op: op, who: who, objects: map[string]bool{}, first: map[string]*platformv1.ExportPage{}}
	if err := x.ask(r.Context(), params); err != nil {
		return err
	}
	callOf(c).long = true
	h := c.Response().Header()
	h["Content-Type"], h["Cache-Control"] = []string{"application/gzip"}, valNoStore
	h["Content-Disposition"] = []string{`attachment; filename="` + who.Project.Token() + `.tar.gz"`}
	c.Response().WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	rc := http.NewResponseController(c.Response().Writer)
	_ = rc.SetReadDeadline(time.Time{}) // see steady.Read
	err := x.write(r.Context(), &patient{w: c.Response(), rc: rc, wait: s.c.UploadStall, now: s.now})
	if err != nil {
		// The status is out: only a connection that breaks says that the file is
		// not whole.
		s.log.WarnContext(r.Context(), "project.export", "project", who.Project.Token(), "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// patient gives every write the same time to be taken.
type patient struct {
	w    io.Writer
	rc   *http.ResponseController
	wait time.Duration
	now  func() time.Time
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(p.now().Add(p.wait)) // see steady.Read
	return p.w.Write(b)
}

// exporting is one export under way.
type exporting struct {
	s       *Edge
	c       echo.Context
	op      *contract.Operation
	who     tenant.Identity
	project struct {
		Name string `json:"name"`
	}
	first   map[string]*platformv1.ExportPage // of each service
	objects map[string]bool                   // by service and sum: written
}

// ask has auth record the export, and every service tell its first page: while
// one is away there is no archive, and not half of one.
func (x *exporting) ask(ctx context.Context, params []byte) error {
	o := x.s.origin(x.c, x.op)
	o.Writes, o.Address = true, callOf(x.c).addr.String()
	o.Named = []bus.Named{{Name: "project_id", Value: strconv.FormatInt(int64(x.who.Project), 10)}}
	asked, cancel := context.WithTimeout(bus.WithOrigin(ctx, o), x.s.c.RequestTimeout)
	defer cancel()
	a, err := x.s.bus.Request(asked, bus.Target{Service: authService, Operation: x.op.ID, Project: x.who.Project}, x.who, closed(open(params)))
	callOf(x.c).denied.told = err != nil
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.Body, &x.project); err != nil {
		return errs.Newf(errs.Upstream, "project: %w", err)
	}
	for _, service := range Holders(x.s.d.Contract) {
		if x.first[service], err = x.page(ctx, service, nil); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporting) page(ctx context.Context, service string, cursor []byte) (*platformv1.ExportPage, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*x.s.c.RequestTimeout)
	defer cancel()
	return x.s.d.Holdings.Page(ctx, service, x.who.Project, cursor)
}

func (x *exporting) write(ctx context.Context, out io.Writer) error {
	head := archive.Head{
		Product: x.s.c.Version, Instance: x.c.Request().Host, ProjectID: int64(x.who.Project), Project: x.project.Name,
		CreatedBy: x.who.Principal, CreatedAt: x.s.now(), Services: map[string]archive.Schemas{},
	}
	for service, p := range x.first {
		head.Services[service] = archive.Schemas{Own: int64(p.GetSchemaVersion()), Common: int64(p.GetCommonVersion())}
	}
	w, err := archive.NewWriter(out, head)
	if err != nil {
		return err
	}
	for _, service := range Holders(x.s.d.Contract) {
		if err := x.service(ctx, w, service); err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
	}
	return w.Close()
}

// gone is how often a page is read again whose objects were removed meanwhile.
const gone = 3

func (x *exporting) service(ctx context.Context, w *archive.Writer, service string) error {
	page := x.first[service]
	w.LeaveOut(service, page.GetLeftOut())
	for _, table := range page.GetTables() {
		w.Table(service, table)
	}
	var at []byte
	for tries := 0; ; {
		err := x.add(ctx, w, service, page)
		if errs.KindOf(err) == errs.NotFound && tries < gone { // its row is gone as well, or about to
			tries++
			if page, err = x.page(ctx, service, at); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if at, tries = page.GetCursor(), 0; len(at) == 0 {
			return w.Flush()
		}
		// It takes long, and rights may end meanwhile.
		if x.who, err = x.s.callerNow(ctx, x.c.Request(), x.op, x.c.ParamValues(), x.who.Project); err != nil {
			return err
		}
		if x.s.draining() {
			return errBusy
		}
		if page, err = x.page(ctx, service, at); err != nil {
			return err
		}
	}
}

// add writes a page: what rows refer to, and then the rows.
func (x *exporting) add(ctx context.Context, w *archive.Writer, service string, page *platformv1.ExportPage) error {
	for _, o := range page.GetObjects() {
		key := service + "/" + o.GetSha256()
		if x.objects[key] {
			continue
		}
		if err := x.object(ctx, w, service, o); err != nil {
			return err
		}
		x.objects[key] = true
	}
	if len(page.GetRows()) == 0 {
		return nil
	}
	return w.Rows(service, page.GetTable(), page.GetRows())
}

func (x *exporting) object(ctx context.Context, w *archive.Writer, service string, o *platformv1.PortableObject) (err error) {
	if o.GetName() == "" {
		return w.Object(service, o.GetSha256(), int64(len(o.GetBody())), bytes.NewReader(o.GetBody()))
	}
	size, err := strconv.ParseInt(o.GetSize(), 10, 64)
	if err != nil {
		return errs.Newf(errs.Upstream, "size of an object: %w", err)
	}
	r, err := x.s.d.Holdings.Object(ctx, bus.ObjectRef{Bucket: o.GetBucket(), Name: o.GetName(), SHA256: o.GetSha256(), Size: size})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // read to its end, or given up
	return w.Object(service, o.GetSha256(), size, r)
}
