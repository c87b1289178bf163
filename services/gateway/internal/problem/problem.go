package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// ContentType is the media type of every failure.
const ContentType = "application/problem+json"

// status is the whole mapping of kinds.
var status = map[errs.Kind]int{
	errs.Malformed:       http.StatusBadRequest,
	errs.Unauthenticated: http.StatusUnauthorized,
	errs.Forbidden:       http.StatusForbidden,
	errs.NotFound:        http.StatusNotFound,
	errs.Conflict:        http.StatusConflict,
	errs.Precondition:    http.StatusPreconditionFailed,
	errs.TooLarge:        http.StatusRequestEntityTooLarge,
	errs.Unsupported:     http.StatusUnsupportedMediaType,
	errs.Invalid:         http.StatusUnprocessableEntity,
	errs.RateLimited:     http.StatusTooManyRequests,
	errs.Internal:        http.StatusInternalServerError,
	errs.Upstream:        http.StatusBadGateway,
	errs.Unavailable:     http.StatusServiceUnavailable,
	errs.Timeout:         http.StatusGatewayTimeout,
}

// Status returns the HTTP status of a kind; an unknown one is 500.
func Status(k errs.Kind) int {
	if s, ok := status[k]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// StatusOf returns the status of a failure.
func StatusOf(err error) int {
	if of := (*Of)(nil); errors.As(err, &of) {
		return of.Status
	}
	return Status(errs.KindOf(err))
}

// Of is a failure of HTTP itself, which no service can have: no such method,
// no acceptable form.
type Of struct {
	Status int
	Detail string
}

func (e *Of) Error() string { return e.Detail }

// Problem is an answer, ready to be written.
type Problem struct {
	Status     int
	RetryAfter int // seconds; 0 when the caller need not wait
	Body       []byte
}

// document is the wire form. Detail is a sentence, or the list of fields.
type document struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    any    `json:"detail"`
	Error     string `json:"error,omitempty"` // of 429 and 500, for the first clients of this interface; optional in the contract
	Instance  string `json:"instance"`
	RequestID string `json:"request_id"`
}

// field is one line of a 422. Every member is there, empty or not.
type field struct {
	Type  string         `json:"type"`
	Loc   []any          `json:"loc"`
	Msg   string         `json:"msg"`
	Input any            `json:"input"`
	Ctx   map[string]any `json:"ctx"`
	URL   string         `json:"url"`
}

// From turns err into an answer. instance is the path of the call.
func From(err error, instance, requestID string) Problem {
	var of *Of
	if errors.As(err, &of) {
		return build(document{Status: of.Status, Detail: of.Detail, Instance: instance, RequestID: requestID}, 0)
	}
	e := errs.As(err)
	d := document{Status: Status(e.Kind), Detail: e.Public(), Instance: instance, RequestID: requestID}
	wait := time.Duration(0)
	switch d.Status {
	case http.StatusUnprocessableEntity:
		d.Detail = fields(e)
	case http.StatusTooManyRequests:
		d.Error, wait = e.Msg, max(e.RetryAfter, time.Second)
	case http.StatusConflict: // most stay; one that passes says when
		wait = e.RetryAfter
	case http.StatusServiceUnavailable:
		wait = max(e.RetryAfter, time.Second)
	case http.StatusInternalServerError:
		d.Error = "Internal server error"
		d.Detail = "Something went wrong on our side. Mention the request id when you report it"
	}
	return build(d, wait)
}

func fields(e *errs.Error) []field {
	out := make([]field, 0, max(len(e.Fields), 1))
	for _, f := range e.Fields {
		out = append(out, field{Type: f.Type, Loc: f.Loc, Msg: f.Msg, Input: f.Input, Ctx: f.Ctx})
	}
	if len(out) == 0 {
		out = append(out, field{Type: "value_error", Loc: []any{"body"}, Msg: e.Msg})
	}
	for i := range out {
		if out[i].Ctx == nil {
			out[i].Ctx = map[string]any{}
		}
		if out[i].Loc == nil {
			out[i].Loc = []any{}
		}
	}
	return out
}

func build(d document, wait time.Duration) Problem {
	d.Type = "about:blank"
	d.Title = http.StatusText(d.Status)
	p := Problem{Status: d.Status, RetryAfter: seconds(wait)}
	body, err := json.Marshal(d)
	if err != nil { // an input that JSON cannot hold: answer without the inputs
		d.Detail = d.Title
		body, _ = json.Marshal(d)
	}
	p.Body = body
	return p
}

// seconds rounds up: a caller that comes back at that second is served.
func seconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}

// Write writes the answer; headers set before stay.
func (p Problem) Write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(p.Body)))
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	_, err := w.Write(p.Body)
	return err
}
