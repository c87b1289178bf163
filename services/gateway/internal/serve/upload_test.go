package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// part is one part of a form; filename is what follows that word in the header
// of a file.
type part struct{ name, filename, body string }

func form(t testing.TB, parts ...part) (string, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.filename != "" {
			disposition += `; filename` + p.filename
			h.Set("Content-Type", "text/markdown")
		}
		h.Set("Content-Disposition", disposition)
		w, err := m.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), m.FormDataContentType()
}

func (w *world) upload(parts ...part) answer {
	body, kind := form(w.t, parts...)
	return w.call("POST", "/api/v1/knowledge/documents", body, as(w.auth.token(member)), with("Content-Type", kind))
}

func TestAFileGoesToTheStoreAndItsFieldsToTheService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, parts := range [][]part{
		{{"category", "", "docs"}, {"technology_id", "", ""}, {"collection", "", "c"}, {"file", `="docs/a b.md"`, "# Hello"}},
		{{"file", `="docs/a b.md"`, "# Hello"}, {"collection", "", "c"}, {"category", "", "docs"}},
	} {
		got := w.upload(parts...)
		if got.status != 201 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		var p struct {
			Body   map[string]any
			Upload bus.ObjectRef
		}
		a := w.bus.last(t)
		if err := json.Unmarshal([]byte(a.payload), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Body) != 2 || p.Body["category"] != "docs" || p.Body["collection"] != "c" {
			t.Errorf("body = %v", p.Body)
		}
		if p.Upload.Filename != "docs/a b.md" || p.Upload.ContentType != "text/markdown" || w.bus.objects[p.Upload.Name] != "# Hello" || !strings.HasPrefix(p.Upload.Name, "p1/") {
			t.Errorf("upload = %+v", p.Upload)
		}
	}
}

func TestANameNeverLeadsOutOfItsFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for sent, want := range map[string]string{
		"../../etc/passwd": "etc/passwd", "/etc/passwd": "etc/passwd", `C:\\docs\\a.md`: "docs/a.md", "a/./b//c.md": "a/b/c.md", "a.md": "a.md",
	} {
		if got := w.upload(part{"category", "", "c"}, part{"file", `="` + sent + `"`, "x"}); got.status != 201 {
			t.Errorf("%s: %d", sent, got.status)
			continue
		}
		var p struct{ Upload bus.ObjectRef }
		if err := json.Unmarshal([]byte(w.bus.last(t).payload), &p); err != nil || p.Upload.Filename != want {
			t.Errorf("%s became %q", sent, p.Upload.Filename)
		}
	}
}

func TestAnUploadThatIsRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file, category := part{"file", `="a.md"`, "# Hello"}, part{"category", "", "docs"}
	for name, c := range map[string]struct {
		parts  []part
		status int
	}{
		"no file":            {[]part{category}, 422},
		"no category":        {[]part{file}, 422},
		"bad field":          {[]part{file, category, {"technology_id", "", "x"}}, 422},
		"two files":          {[]part{file, file, category}, 422},
		"no name":            {[]part{{"file", "", "x"}, category}, 422},
		"long name":          {[]part{{"file", "=" + strings.Repeat("a", 1100), "x"}, category}, 422},
		"control characters": {[]part{{"file", `*=UTF-8''a%01.md`, "x"}, category}, 422},
		"large field":        {[]part{file, {"category", "", strings.Repeat("x", 70<<10)}}, 413},
		"large fields":       {append([]part{file, category}, slices.Repeat([]part{{"title", "", strings.Repeat("x", 60<<10)}}, 5)...), 413},
		"many parts":         {append(make([]part, 0), manyParts(file)...), 400},
	} {
		if got := w.upload(c.parts...); got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if n := w.bus.stored(); n != 0 {
			t.Errorf("%s: %d objects are left", name, n)
		}
	}
	if n := w.bus.count(); n > 0 {
		t.Errorf("%d calls got through", n)
	}
}

func TestTheLastOfARepeatedFieldCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.upload(part{"category", "", "drafts"}, part{"category", "", "docs"}, part{"file", `="a.md"`, "# Hello"})
	if got.status != 201 || !strings.Contains(w.bus.last(t).payload, `"category":"docs"`) {
		t.Errorf("%d, %s", got.status, w.bus.last(t).payload)
	}
}

func manyParts(first part) []part {
	parts := []part{first}
	for range 150 {
		parts = append(parts, part{"x", "", "y"})
	}
	return parts
}

func TestTheObjectOfACommandLivesAsLongAsTheCommandMay(t *testing.T) {
	t.Parallel()
	file, category := part{"file", `="a.md"`, "# Hello"}, part{"category", "", "docs"}
	_, unsent := (&bus.Bus{}).Command(t.Context(), bus.Target{}, tenant.Identity{}, nil, bus.CommandOptions{})
	for name, c := range map[string]struct {
		answer *bus.Answer
		err    error
		status int
		left   int
	}{
		"refused":  {nil, errs.New(errs.Conflict, "no"), 409, 0},
		"failed":   {nil, errs.New(errs.Internal, "no"), 500, 1},
		"unsent":   {nil, unsent, 500, 0},
		"unknown":  {nil, errs.New(errs.Unavailable, "no"), 503, 1},
		"later":    {&bus.Answer{Status: 202, Pending: true, OperationID: "knowledge.x"}, nil, 202, 1},
		"replayed": {&bus.Answer{Status: 201, Body: sample("addDocument").Body, Replayed: true}, nil, 201, 0},
	} {
		w := newWorld(t)
		w.bus.command = func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error) {
			return c.answer, c.err
		}
		if got := w.upload(category, file); got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if n := w.bus.stored(); n != c.left {
			t.Errorf("%s: %d objects are left, want %d", name, n, c.left)
		}
	}
}

func TestAFileWhoseFormDoesNotArriveInTimeIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, kind := form(t, part{"file", `="a.md"`, "# Hello"}, part{"category", "", "docs"})
	r := httptest.NewRequest("POST", "/api/v1/knowledge/documents", io.MultiReader(strings.NewReader(body[:len(body)-60]), iotest.ErrReader(os.ErrDeadlineExceeded)))
	as(w.auth.token(member))(r)
	with("Content-Type", kind)(r)
	out := httptest.NewRecorder()
	w.edge.ServeHTTP(out, r)
	if out.Code != http.StatusRequestTimeout || w.bus.stored() != 0 || w.bus.count() != 0 {
		t.Errorf("%d %s, %d objects left", out.Code, out.Body, w.bus.stored())
	}
}

func TestAFileAboveItsLimitIsRefused(t *testing.T) {
	t.Parallel()
	doc := contractOf(t)
	doc.Operation("addDocument").MaxBody = 1000
	w := newWorld(t, func(_ *serve.Config, d *serve.Deps) { d.Contract = doc })
	category := part{"category", "", "docs"}
	for _, size := range []int{1001, 3 << 20} {
		got := w.upload(category, part{"file", `="a.md"`, strings.Repeat("x", size)})
		if got.status != 413 {
			t.Errorf("%d bytes: %d", size, got.status)
		}
	}
	if got := w.upload(category, part{"file", `="a.md"`, strings.Repeat("x", 1000)}); got.status != 201 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestAFormThatBreaksOffIsMalformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, kind := form(t, part{"category", "", "docs"}, part{"file", `="a.md"`, strings.Repeat("x", 5000)})
	for name, c := range map[string]struct{ body, kind string }{
		"in the file":  {body[:len(body)-2000], kind},
		"in the parts": {body[:60], kind},
		"no boundary":  {body, "multipart/form-data"},
		"other bounds": {body, "multipart/form-data; boundary=other"},
	} {
		got := w.call("POST", "/api/v1/knowledge/documents", c.body, as(w.auth.token(member)), with("Content-Type", c.kind))
		if got.status != 400 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := w.call("POST", "/api/v1/knowledge/documents", "{}", as(w.auth.token(member))); got.status != 415 {
		t.Errorf("JSON: %d", got.status)
	}
	if got := w.call("POST", "/api/v1/knowledge/documents", "", as(w.auth.token(member))); got.status != 415 {
		t.Errorf("nothing: %d", got.status)
	}
}

func TestWhenTheStoreIsAwayAnUploadIsToldToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.putErr = errs.New(errs.Unavailable, "object store")
	if got := w.upload(part{"category", "", "docs"}, part{"file", `="a.md"`, "x"}); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d", got.status)
	}
}

func TestARawBodyIsAFileToo(t *testing.T) {
	t.Parallel()
	doc, err := contract.Load([]byte(`
openapi: 3.0.3
info: {title: Fixture, version: '1'}
paths:
  /raw:
    post:
      operationId: addRaw
      x-service: things
      x-delivery: upload
      x-permission: member
      x-project: current
      requestBody: {required: true, content: {text/markdown: {schema: {type: string, format: binary}}}}
      responses: {'201': {description: made}}
` + edgeStubs))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(_ *serve.Config, d *serve.Deps) { d.Contract = doc })
	w.bus.command = func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error) {
		return &bus.Answer{Status: 201}, nil
	}
	got := w.call("POST", "/raw", "# Hello", as(w.auth.token(member)), with("Content-Type", "text/markdown"))
	if got.status != http.StatusCreated || !strings.Contains(w.bus.last(t).payload, `"upload":{`) || w.bus.stored() != 1 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// FuzzForm sends any bytes as a form: there is always an answer, and never a
// file without a command that refers to it.
func FuzzForm(f *testing.F) {
	good, _ := form(f, part{"category", "", "docs"}, part{"file", `="a.md"`, "# Hello"})
	bound := good[2:strings.Index(good, "\r\n")]
	f.Add(strings.ReplaceAll(good, bound, "B"))
	f.Add("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--B--")
	f.Add("--B\r\n\r\n\r\n--B\r\nContent-Disposition: form-data; name=file; filename=../\x00\r\n\r\n")
	house := newWorld(f)
	token := house.auth.token(member)
	f.Fuzz(func(t *testing.T, body string) {
		w := house.in(t)
		got := w.call("POST", "/api/v1/knowledge/documents", body, as(token), with("Content-Type", "multipart/form-data; boundary=B"))
		switch got.status {
		case 201, 400, 413, 415, 422:
		default:
			t.Fatalf("%d %s", got.status, got.body)
		}
		if left := w.bus.stored(); left > 0 && got.status != 201 {
			t.Fatalf("%d objects left after %d", left, got.status)
		}
		w.bus.mu.Lock()
		clear(w.bus.objects)
		w.bus.mu.Unlock()
	})
}

func TestAFileForAServiceThatTakesNoMoreIsNotTakenIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.backlog = errs.New(errs.Unavailable, "too many commands wait for the service").After(5 * time.Second)
	a := w.upload(part{"file", "=a.md", "text"})
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" || len(w.bus.objects) != 0 {
		t.Errorf("answer %d %v, %d objects", a.status, a.header, len(w.bus.objects))
	}
}
