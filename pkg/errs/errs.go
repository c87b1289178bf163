package errs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the coarse class of a failure. Its string form is the wire form.
type Kind string

// The kinds, each with the HTTP status that the edge answers.
const (
	Malformed       Kind = "malformed"       // 400: the request cannot be read
	Unauthenticated Kind = "unauthenticated" // 401: nobody, or not any more
	Forbidden       Kind = "forbidden"       // 403: somebody, but not this one
	NotFound        Kind = "not_found"       // 404: missing, or of another project
	Conflict        Kind = "conflict"        // 409: at odds with what is there
	Precondition    Kind = "precondition"    // 412: the version moved on
	TooLarge        Kind = "too_large"       // 413: above a stated limit
	Unsupported     Kind = "unsupported"     // 415: a media type that nobody reads
	Invalid         Kind = "invalid"         // 422: readable, and wrong; has Fields
	RateLimited     Kind = "rate_limited"    // 429: too often; has RetryAfter
	Internal        Kind = "internal"        // 500: our fault; the text is hidden
	Upstream        Kind = "upstream"        // 502: a party that we depend on answered wrongly
	Unavailable     Kind = "unavailable"     // 503: not now; has RetryAfter
	Timeout         Kind = "timeout"         // 504: no answer in time
)

// Refusal reports whether the kind is an answer to the caller rather than a
// fault of the system: a command that ends so is acknowledged and never
// retried.
func (k Kind) Refusal() bool {
	switch k {
	case Internal, Upstream, Unavailable, Timeout:
		return false
	}
	return true
}

// Field names one input at fault. Loc is the path to it, first "body",
// "query", "path" or "header"; Type is a stable snake_case word.
type Field struct {
	Type  string `json:"type"`
	Loc   []any  `json:"loc"`
	Msg   string `json:"msg"`
	Input any    `json:"input"`
	// Ctx holds the values that Msg was made of ({"le": 100}); may be nil.
	Ctx map[string]any `json:"ctx,omitempty"`
}

// Error is a failure with a kind. Compare with [errors.Is]: two errors of this
// package are the same when kind and message are.
type Error struct {
	Kind       Kind
	Msg        string        // for the caller, complete sentence without a final stop
	Fields     []Field       // for Invalid
	RetryAfter time.Duration // for RateLimited and Unavailable; zero when unknown
	cause      error
}

// New returns a failure of kind k. msg is shown to the caller unless k is
// [Internal].
func New(k Kind, msg string) *Error { return &Error{Kind: k, Msg: msg} }

// Newf is [New] with a format. A %w keeps the cause for logs.
func Newf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Msg: err.Error(), cause: errors.Unwrap(err)}
}

// Wrap gives err a kind and a message for the caller; err itself stays in the
// chain and is never sent.
func Wrap(k Kind, err error, msg string) *Error { return &Error{Kind: k, Msg: msg, cause: err} }

// InvalidField is the usual validation failure: one field, one message. loc
// starts with "body", "query", "path" or "header".
func InvalidField(typ, msg string, loc ...any) *Error {
	return &Error{Kind: Invalid, Msg: msg, Fields: []Field{{Type: typ, Loc: loc, Msg: msg}}}
}

// After returns a copy of e that tells the caller when to come back.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Because returns a copy of e with the cause err, for logs.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

func (e *Error) Error() string {
	// A message of Newf ends with its cause already.
	if e.cause == nil || strings.HasSuffix(e.Msg, e.cause.Error()) {
		return e.Msg
	}
	return e.Msg + ": " + e.cause.Error()
}

// Public is the message as a caller may read it. What a fault wraps is ours to
// know: of errs.Newf(Unavailable, "object store: %w", err) only "object store"
// is said. A refusal is said in full, since it explains what to do better.
func (e *Error) Public() string {
	if e.cause == nil || e.Kind.Refusal() {
		return e.Msg
	}
	if e.Msg == e.cause.Error() {
		return faults[e.Kind]
	}
	return strings.TrimSuffix(e.Msg, ": "+e.cause.Error())
}

// faults are what is said of a fault that has no words of its own.
var faults = map[Kind]string{
	Internal:    "internal error",
	Upstream:    "a part that this depends on answered wrongly",
	Unavailable: "not available at the moment",
	Timeout:     "no answer in time",
}

func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an [Error] of the same kind and message.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Msg == e.Msg
}

// As returns the first [Error] in err's chain. A plain error comes back as
// [Internal], a deadline as [Timeout]; a cancelled context as [Unavailable],
// so that a command cut off by a shutdown is delivered again. nil gives nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(Timeout, err, "no answer in time")
	case errors.Is(err, context.Canceled):
		return Wrap(Unavailable, err, "stopped before it was done")
	}
	return Wrap(Internal, err, "internal error")
}

// KindOf is the kind of [As](err), "" for nil.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return ""
}
