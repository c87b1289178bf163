package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/denial"
)

// denied is what is known about a caller who may be refused.
type denied struct {
	principal, key string
	project        tenant.Project // that it belongs to
	want           tenant.Project // that it named
	told           bool           // the service has recorded the refusal
	about          bus.About      // what the service knows of what it has refused to nobody
}

// origin is what the service records about where a call came from.
func (s *Edge) origin(c echo.Context, op *contract.Operation) bus.Origin {
	o := bus.Origin{Writes: !op.Reads()}
	if !o.Writes {
		return o
	}
	o.Address = callOf(c).addr.String()
	if op.Permission == contract.Public { // who logs in opens a session, which tells its owner by what
		o.Agent = bus.Clean(c.Request().UserAgent())
	}
	for i, value := range c.ParamValues() {
		if i < len(op.PathParams) {
			o.Named = append(o.Named, bus.Named{Name: op.PathParams[i], Value: bus.Clean(value)})
		}
	}
	return o
}

// noteDenial tells of a request that was denied: refused to somebody who may
// not, or not so often, and every refusal of a write that nobody asked for, since
// services record none of those.
func (s *Edge) noteDenial(c echo.Context, k *call, err error) {
	if s.d.Denied == nil || k.denied.told {
		return
	}
	kind := errs.KindOf(err)
	if errors.Is(err, errElsewhere) { // which the caller is told is not there
		kind = errs.Forbidden
	}
	switch kind {
	case errs.Unauthenticated, errs.Forbidden, errs.RateLimited:
	default:
		if k.op == nil || k.op.Own() || k.op.Reads() || k.denied.principal != "" || !kind.Refusal() {
			return
		}
	}
	d := denial.Denial{
		Project: k.denied.project, Principal: k.denied.principal, Key: k.denied.key, Reason: string(kind), Address: bucket(k.addr),
		RequestID: k.id, At: s.now(),
	}
	if sc := trace.SpanContextFromContext(c.Request().Context()); sc.HasTraceID() {
		d.TraceID = sc.TraceID().String()
	}
	if k.op != nil {
		d.Operation = k.op.ID
	}
	for _, n := range k.denied.about.Named {
		d.Target = append(d.Target, denial.Named{Name: bus.Clean(n.Name), Value: bus.Clean(n.Value)})
	}
	d.Principal = cmp.Or(d.Principal, bus.Clean(k.denied.about.Actor))
	if d.Principal != "" {
		d.Address = k.addr.String()
		if k.op != nil {
			for i, value := range c.ParamValues() {
				if i < len(k.op.PathParams) {
					d.Target = append(d.Target, denial.Named{Name: k.op.PathParams[i], Value: bus.Clean(value)})
				}
			}
		}
		if k.denied.want != 0 && k.denied.want != d.Project && (k.op == nil || k.op.Project != contract.PathProject) {
			d.Target = append(d.Target, denial.Named{Name: "project_id", Value: strconv.FormatInt(int64(k.denied.want), 10)})
		}
	}
	s.d.Denied(d)
}

// exportPage is how many entries are asked for at once.
const exportPage = 500

// exportAudit streams the audit log, a page of the service's at a time, so that
// neither side holds more than one. It ends where the log ended when it was
// asked for: what comes meanwhile, the record of nothing else, is the next
// one's.
func (s *Edge) exportAudit(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte) error {
	r := c.Request()
	question := map[string]any{}
	if err := json.Unmarshal(closed(open(params)), &question); err != nil {
		return errs.Newf(errs.Internal, "parameters: %w", err)
	}
	question["limit"] = exportPage
	if question["after"] == nil {
		question["after"] = 0
	}
	rc := http.NewResponseController(c.Response().Writer)
	end, begun := int64(-1), false
	for {
		var err error
		if begun { // a long log takes long, and rights may end meanwhile
			who, err = s.callerNow(r.Context(), r, op, c.ParamValues(), who.Project)
		}
		var page auditPage
		if err == nil {
			page, err = s.auditPage(r.Context(), who, question)
		}
		if err != nil {
			if !begun {
				return err
			}
			// The status is out: only a connection that breaks says that the file is
			// not whole.
			s.log.WarnContext(r.Context(), "audit.export", "err", err)
			panic(http.ErrAbortHandler)
		}
		if end < 0 {
			end = page.Head.Seq
		}
		if !begun {
			h := c.Response().Header()
			h["Content-Type"], h["Cache-Control"] = []string{"application/jsonl"}, valNoStore
			h["Content-Disposition"] = []string{`attachment; filename="audit-` + who.Project.Token() + `.jsonl"`}
			c.Response().WriteHeader(http.StatusOK)
			begun = true
		}
		_ = rc.SetWriteDeadline(s.now().Add(s.c.UploadStall)) // a writer without deadlines has none to extend
		for _, line := range page.Entries {
			var at struct {
				Seq int64 `json:"seq"`
			}
			if err := json.Unmarshal(line, &at); err != nil {
				s.log.WarnContext(r.Context(), "audit.export", "err", err)
				panic(http.ErrAbortHandler)
			}
			if at.Seq > end {
				return nil
			}
			if _, err := c.Response().Write(append(line, '\n')); err != nil {
				return nil //nolint:nilerr // the caller has gone
			}
		}
		if page.Next == nil || *page.Next >= end {
			return nil
		}
		question["after"] = *page.Next
	}
}

type auditPage struct {
	Entries []json.RawMessage `json:"entries"`
	Next    *int64            `json:"next_after"`
	Head    struct {
		Seq int64 `json:"seq"`
	} `json:"head"`
}

func (s *Edge) auditPage(ctx context.Context, who tenant.Identity, question map[string]any) (page auditPage, err error) {
	payload, err := json.Marshal(question)
	if err != nil {
		return page, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.RequestTimeout)
	defer cancel()
	a, err := s.bus.Request(ctx, bus.Target{Service: authService, Operation: "listAudit", Project: who.Project}, who, payload)
	if err != nil {
		return page, err
	}
	if err := json.Unmarshal(a.Body, &page); err != nil {
		return page, errs.Newf(errs.Upstream, "audit log: %w", err)
	}
	return page, nil
}
