package gatewaytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// every answer carries these.
var always = []string{
	"X-Request-Id", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Permissions-Policy", "Content-Security-Policy",
}

// Transport checks every answer that comes through it.
type Transport struct {
	t    testing.TB
	base http.RoundTripper
	doc  *contract.Contract
}

// New returns a transport over base, or over [http.DefaultTransport] when base
// is nil, that reports to t what departs from the contract of this version.
func New(t testing.TB, base http.RoundTripper) *Transport {
	t.Helper()
	doc, err := contract.Load(gateway.OpenAPI())
	if err != nil {
		t.Fatalf("gatewaytest: %v", err)
	}
	return For(t, base, doc)
}

// For is [New] with a contract of the test's own.
func For(t testing.TB, base http.RoundTripper, doc *contract.Contract) *Transport {
	if base == nil {
		base = http.DefaultTransport
	}
	return &Transport{t: t, base: base, doc: doc}
}

// RoundTrip sends the request and checks the answer.
func (x *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := x.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	var body []byte
	stream := strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	if !stream {
		body, err = io.ReadAll(res.Body)
		if cerr := res.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := Check(x.doc, r, res, body); err != nil {
		x.t.Errorf("%s %s: %d: %v\n%s", r.Method, r.URL.Path, res.StatusCode, err, body)
	}
	return res, nil
}

// Check says how an answer departs from the contract, nil when it does not.
func Check(doc *contract.Contract, r *http.Request, res *http.Response, body []byte) error {
	for _, name := range always {
		if res.Header.Get(name) == "" {
			return fmt.Errorf("no header %s", name)
		}
	}
	if r.Method == http.MethodOptions || res.StatusCode == http.StatusNotModified {
		return nil
	}
	var problem *openapi3.SchemaRef
	if doc.Document.Components != nil {
		problem = doc.Document.Components.Schemas["Problem"]
	}
	answer := operation(doc, r).find(res.StatusCode)
	if answer == nil {
		if problem == nil || res.StatusCode < 400 {
			return fmt.Errorf("the contract declares no such status")
		}
		return form(res, body, openapi3.Content{"application/problem+json": {Schema: problem}}, r.Method)
	}
	if err := form(res, body, answer.Content, r.Method); err != nil {
		return err
	}
	if res.StatusCode == http.StatusAccepted && res.Header.Get("Location") == "" {
		return fmt.Errorf("202 without Location")
	}
	return nil
}

type answers struct{ op *openapi3.Operation }

func (a answers) find(status int) *openapi3.Response {
	if a.op == nil {
		return nil
	}
	ref := a.op.Responses.Value(strconv.Itoa(status))
	if ref == nil && status >= 400 {
		ref = a.op.Responses.Default()
	}
	if ref == nil {
		return nil
	}
	return ref.Value
}

// operation finds the operation of a call: fixed segments win over parameters.
func operation(doc *contract.Contract, r *http.Request) answers {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	best, score := answers{}, -1
	for path, item := range doc.Document.Paths.Map() {
		fixed := match(path, r.URL.EscapedPath())
		if fixed <= score {
			continue
		}
		op := item.GetOperation(method)
		if op == nil {
			for _, o := range doc.Operations {
				for _, alias := range o.Aliases {
					if alias == method && o.Path == strings.TrimSuffix(path, "/") {
						op = item.GetOperation(o.Method)
					}
				}
			}
		}
		if op != nil {
			best, score = answers{op}, fixed
		}
	}
	return best
}

// match counts the fixed segments of a path that fits, -1 when it does not.
func match(pattern, path string) int {
	want := strings.Split(strings.Trim(pattern, "/"), "/")
	got := strings.Split(strings.Trim(path, "/"), "/")
	if len(want) != len(got) {
		return -1
	}
	fixed := 0
	for i, w := range want {
		switch {
		case strings.HasPrefix(w, "{"):
		case w == got[i]:
			fixed++
		default:
			return -1
		}
	}
	return fixed
}

// form checks media type and content.
func form(res *http.Response, body []byte, content openapi3.Content, method string) error {
	if len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("a body where none is declared")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", res.Header.Get("Content-Type"), err)
	}
	media := content.Get(kind)
	if media == nil {
		return fmt.Errorf("content type %s is not declared", kind)
	}
	if method == http.MethodHead || !strings.Contains(kind, "json") || media.Schema == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if err := media.Schema.Value.VisitJSON(v, openapi3.VisitAsResponse(), openapi3.EnableFormatValidation(), openapi3.MultiErrors()); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}
