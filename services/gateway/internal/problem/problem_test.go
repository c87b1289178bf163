package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

func TestEveryKindHasItsStatus(t *testing.T) {
	t.Parallel()
	for kind, want := range map[errs.Kind]int{
		errs.Malformed: 400, errs.Unauthenticated: 401, errs.Forbidden: 403, errs.NotFound: 404, errs.Conflict: 409,
		errs.Precondition: 412, errs.TooLarge: 413, errs.Unsupported: 415, errs.Invalid: 422, errs.RateLimited: 429,
		errs.Internal: 500, errs.Upstream: 502, errs.Unavailable: 503, errs.Timeout: 504, "of tomorrow": 500,
	} {
		p := From(fmt.Errorf("while at work: %w", errs.New(kind, "the reason")), "/x", "r-1")
		if p.Status != want {
			t.Errorf("%s: status = %d, want %d", kind, p.Status, want)
		}
		d := read(t, p)
		if d["title"] != http.StatusText(want) || d["instance"] != "/x" || d["request_id"] != "r-1" || d["status"] != float64(want) {
			t.Errorf("%s: document = %v", kind, d)
		}
	}
}

func TestInternalTextIsNeverShown(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("pq: secret table"), errs.Wrap(errs.Internal, errors.New("secret"), "secret")} {
		p := From(err, "/x", "r-1")
		if strings.Contains(string(p.Body), "secret") || p.Status != 500 {
			t.Errorf("%d %s", p.Status, p.Body)
		}
	}
}

func TestWhatAFaultWrapsIsNotSaid(t *testing.T) {
	t.Parallel()
	for _, kind := range []errs.Kind{errs.Upstream, errs.Unavailable, errs.Timeout} {
		p := From(errs.Newf(kind, "object store: %w", errors.New("dial tcp 10.0.0.7: refused")), "/x", "r-1")
		if d := read(t, p); d["detail"] != "object store" {
			t.Errorf("%s: detail = %v", kind, d["detail"])
		}
	}
}

func TestInvalidListsItsFields(t *testing.T) {
	t.Parallel()
	err := &errs.Error{Kind: errs.Invalid, Fields: []errs.Field{{Type: "missing", Loc: []any{"body", "name"}, Msg: "Field required"}}}
	list := read(t, From(err, "/x", "r"))["detail"].([]any)
	line := list[0].(map[string]any)
	for _, key := range []string{"type", "loc", "msg", "input", "ctx", "url"} {
		if _, ok := line[key]; !ok {
			t.Errorf("no %q in %v", key, line)
		}
	}
	list = read(t, From(errs.New(errs.Invalid, "another body under the same key"), "/x", "r"))["detail"].([]any)
	if got := list[0].(map[string]any)["msg"]; got != "another body under the same key" {
		t.Errorf("msg = %v", got)
	}
}

func TestAnInputThatJSONCannotHoldIsLeftOut(t *testing.T) {
	t.Parallel()
	err := &errs.Error{Kind: errs.Invalid, Fields: []errs.Field{{Type: "x", Input: func() {}}}}
	if d := read(t, From(err, "/x", "r")); d["detail"] != "Unprocessable Entity" {
		t.Errorf("detail = %v", d["detail"])
	}
}

func TestWaitingTimesAreRoundedUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{errs.New(errs.RateLimited, "Rate limit exceeded: 5 per 1 hour").After(1500 * time.Millisecond), "2"},
		{errs.New(errs.RateLimited, "slow down"), "1"},
		{errs.New(errs.Unavailable, "full"), "1"},
		{errs.New(errs.Conflict, "no"), ""},
	} {
		w := httptest.NewRecorder()
		if err := From(c.err, "/x", "r").Write(w); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Retry-After"); got != c.want {
			t.Errorf("%v: Retry-After = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestUnauthenticatedNamesTheScheme(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := From(errs.New(errs.Unauthenticated, "no token"), "/x", "r").Write(w); err != nil {
		t.Fatal(err)
	}
	if w.Header().Get("WWW-Authenticate") != "Bearer" || w.Header().Get("Content-Type") != ContentType {
		t.Errorf("header = %v", w.Header())
	}
}

func TestAFailureOfHTTPKeepsItsStatus(t *testing.T) {
	t.Parallel()
	p := From(&Of{Status: 405, Detail: "Method not allowed"}, "/x", "r")
	if d := read(t, p); p.Status != 405 || d["detail"] != "Method not allowed" {
		t.Errorf("%d %v", p.Status, d)
	}
	if (&Of{Detail: "x"}).Error() != "x" {
		t.Error("an error tells its detail")
	}
}

func read(t *testing.T, p Problem) map[string]any {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(p.Body, &d); err != nil {
		t.Fatal(err)
	}
	return d
}
