package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

// Bounds of a form beside its file.
const (
	maxParts    = 100
	maxField    = 64 << 10  // bytes
	maxFields   = 256 << 10 // bytes of all fields together, also of those that a later one replaces
	formSlack   = 1 << 20   // bytes of fields, headers and boundaries together
	maxFilename = 1024      // bytes
)

// readAll reads a body of at most most bytes.
func readAll(c echo.Context, most int64) ([]byte, error) {
	r := c.Request()
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(c.Response().Writer, r.Body, most))
	return b.Bytes(), readError(err, most)
}

// readError gives the failure to read a body its kind.
func readError(err error, most int64) error {
	var over *http.MaxBytesError
	var e *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &over):
		return tooLarge(most)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem.Of{Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time"}
	case errors.As(err, &e):
		return e
	}
	return errs.Wrap(errs.Malformed, err, "the body could not be read to its end")
}

// steady extends the deadline of a connection as long as bytes arrive.
type steady struct {
	r     io.Reader
	rc    *http.ResponseController
	stall time.Duration
	now   func() time.Time
	last  time.Time
}

// Read reads on, within the stall time.
func (t *steady) Read(p []byte) (int, error) {
	if now := t.now(); now.Sub(t.last) > time.Second {
		t.last = now
		// A writer without deadlines (a test's) has none to extend.
		_ = t.rc.SetReadDeadline(now.Add(t.stall))
	}
	return t.r.Read(p)
}

// upload streams the file of a form, or a raw body, into the object store and
// sends a reference in its place. When nobody will refer to the object it goes:
// the command was not sent, or refused, or answered by an earlier one.
func (s *Edge) upload(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte, form contract.Form, options map[string]string) error {
	r := c.Request()
	most := s.c.MaxUpload
	switch {
	case op.MaxBody > 0:
		most = op.MaxBody
	case op.Archive:
		most = s.c.MaxArchive
	}
	if r.ContentLength > most+formSlack {
		return tooLarge(most)
	}
	if err := s.bus.Backlog(op.Service); err != nil { // before the file is taken in
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.c.UploadTimeout)
	defer cancel()
	rc := http.NewResponseController(c.Response().Writer)
	_ = rc.SetWriteDeadline(s.now().Add(s.c.UploadTimeout + time.Minute)) // see steady.Read
	u := &uploading{
		s: s, op: op, project: who.Project, most: most,
		body: &steady{r: http.MaxBytesReader(c.Response().Writer, r.Body, most+formSlack), rc: rc, stall: s.c.UploadStall, now: s.now},
	}
	payload := append(member(open(params), params), `"body":`...)
	payload, err := u.read(ctx, payload, form, options, r.Header)
	if err == nil {
		payload, err = u.refer(payload)
	}
	var a *bus.Answer
	sent := err == nil
	if sent {
		a, err = s.call(c, op, who, closed(payload))
		sent = !bus.Unsent(err)
	}
	if u.ref != nil && (!sent || err != nil && errs.KindOf(err).Refusal() || err == nil && a.Replayed) {
		s.discard(ctx, *u.ref)
	}
	if err != nil {
		return err
	}
	return s.write(c, op, a)
}

// discard removes an object that nobody refers to. What cannot be removed now
// is found by the sweeper of the store.
func (s *Edge) discard(ctx context.Context, ref bus.ObjectRef) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.bus.DeleteObject(ctx, ref); err != nil {
		s.log.WarnContext(ctx, "upload.discard", "object", ref.Name, "err", err)
	}
}

// uploading is one upload under way.
type uploading struct {
	s       *Edge
	op      *contract.Operation
	project tenant.Project
	most    int64
	body    io.Reader

	ref    *bus.ObjectRef
	fields map[string][]string
	taken  int // bytes of fields
	files  map[string]bool
	faults []errs.Field
}

// read stores the file and appends the fields, checked, as the body.
func (u *uploading) read(ctx context.Context, payload []byte, form contract.Form, options map[string]string, h http.Header) ([]byte, error) {
	if form == contract.RawBody {
		if err := u.store(ctx, "", h.Get("Content-Type"), u.body); err != nil {
			return payload, err
		}
		return append(payload, "{}"...), nil
	}
	boundary := options["boundary"]
	if boundary == "" {
		return payload, errs.New(errs.Malformed, "the form has no boundary")
	}
	u.fields, u.files = map[string][]string{}, map[string]bool{}
	parts := multipart.NewReader(u.body, boundary)
	for n := 0; ; n++ {
		p, err := parts.NextPart()
		if err == io.EOF { // a wrapped one is a form that broke off
			break
		}
		if err != nil {
			return payload, u.malformed(err)
		}
		if n >= maxParts {
			return payload, errs.New(errs.Malformed, "the form has too many parts")
		}
		if err := u.part(ctx, p); err != nil {
			return payload, err
		}
	}
	payload, faults := u.op.Body.Fields(payload, u.fields, u.files)
	if faults = append(u.faults, faults...); len(faults) > 0 {
		return payload, invalid(faults)
	}
	return payload, nil
}

func (u *uploading) malformed(err error) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) || errors.Is(err, os.ErrDeadlineExceeded) {
		return readError(err, u.most)
	}
	return errs.Wrap(errs.Malformed, err, "the form could not be read to its end")
}

func (u *uploading) part(ctx context.Context, p *multipart.Part) error {
	name := p.FormName()
	switch {
	case u.op.Body.IsFile(name):
		filename := fileName(p)
		switch {
		case u.ref != nil:
			u.fault("too_long", "Only one file is taken", name)
			return nil
		case filename == "":
			u.fault("value_error", "Expected a file with a name", name)
			return nil
		case len(filename) > maxFilename || !utf8.ValidString(filename) || strings.ContainsFunc(filename, func(r rune) bool { return r < ' ' || r == 0x7f }):
			u.fault("value_error", "The file name is too long or holds control characters", name)
			return nil
		}
		u.files[name] = true
		return u.store(ctx, filename, p.Header.Get("Content-Type"), p)
	case u.op.Body.IsField(name):
		value, err := io.ReadAll(io.LimitReader(p, maxField+1))
		if err != nil {
			return u.malformed(err)
		}
		if len(value) > maxField {
			return errs.Newf(errs.TooLarge, "the field %s is larger than %d bytes", name, maxField)
		}
		if u.taken += len(value); u.taken > maxFields {
			return errs.Newf(errs.TooLarge, "the fields of the form are larger than %d bytes together", maxFields)
		}
		if u.op.Body.IsList(name) {
			u.fields[name] = append(u.fields[name], string(value))
		} else { // the last one counts
			u.fields[name] = []string{string(value)}
		}
	default: // skipped by NextPart, and refused when all is read
		u.fields[name] = nil
	}
	return nil
}

// fileName is the name that the sender gave, with its folders: README.md of one
// folder is not README.md of another. It is a name and never a path of this
// machine; what would lead out of its folder is taken away all the same.
func fileName(p *multipart.Part) string {
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return ""
	}
	name := strings.ReplaceAll(params["filename"], `\`, "/")
	if i := strings.Index(name, ":/"); i == 1 { // a drive letter
		name = name[2:]
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

func (u *uploading) fault(typ, msg, name string) {
	u.faults = append(u.faults, errs.Field{Type: typ, Loc: []any{"body", name}, Msg: msg})
	u.files[name] = true
}

func (u *uploading) store(ctx context.Context, filename, contentType string, r io.Reader) error {
	ref, err := u.s.bus.PutObjectFor(ctx, u.op.Service, u.project, filename, contentType[:min(len(contentType), 200)], r, u.most)
	if err != nil {
		return readError(err, u.most)
	}
	u.ref = &ref
	return nil
}

// refer adds the reference to the stored file.
func (u *uploading) refer(payload []byte) ([]byte, error) {
	if u.ref == nil {
		return payload, nil
	}
	ref, err := json.Marshal(u.ref)
	if err != nil {
		return nil, err
	}
	return append(append(payload, `,"upload":`...), ref...), nil
}
