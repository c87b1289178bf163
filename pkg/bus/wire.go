package bus

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Headers of this product on messages. Names are written as they are here; the
// map is addressed directly, because the canonical form costs an allocation.
const (
	headerIdentity  = "Cc-Identity"   // identity token
	headerOrigin    = "Cc-Origin"     // where a call at the edge came from
	headerRequestID = "Cc-Request-Id" // of the HTTP call
	headerTimeout   = "Cc-Timeout"    // milliseconds that the caller waits
	headerReply     = "Cc-Reply"      // of a command: where its caller waits
	headerCommand   = "Cc-Command"    // id of a command; it outlives a redrive
	headerBody      = "Cc-Body"       // fingerprint of a command's body
	headerAccepted  = "Cc-Accepted"   // when a command was given, also of its answer 202
	headerWait      = "Cc-Wait"       // milliseconds from then for which its caller waits
	headerObject    = "Cc-Object"     // name of the object that came with a command
	headerRedrive   = "Cc-Redrive"    // token of whoever brought a dead letter back
	headerStatus    = "Cc-Status"     // of an answer
	headerError     = "Cc-Error"      // kind of a failure; the body says more
	headerAbout     = "Cc-About"      // of a failure that the edge records: what is known of it
	headerSpill     = "Cc-Spill"      // object with the body
	headerReplayed  = "Cc-Replayed"   // "1": the answer of an earlier call
	headerAnswer    = "Cc-H-"         // prefix of the answer's own headers
	headerKind      = "Content-Type"
)

// MaxJSON is the largest body or answer, in bytes, that travels in a message.
// What is larger travels in the object store.
const MaxJSON = 768 << 10

func get(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Answer is what a service answered.
type Answer struct {
	Status int // of HTTP
	Header map[string]string
	Body   []byte
	// Pending says that a command is durable and not finished: its service
	// could not run it yet, or has answered 202 itself; then Body, if any, is
	// provisional. Status is 202, and [Bus.Operation] tells how it went.
	Pending     bool
	OperationID string    // "<service>.<uuid>" of a command
	AcceptedAt  time.Time // of a command that is pending
	// Committed says that the service has the command in its database: its
	// answer, or a job that goes on. Otherwise only the stream has it.
	Committed bool
	// Replayed says that the answer was given before, to an earlier call with
	// the same idempotency key. An object that was put for this call is not
	// referred to by anybody.
	Replayed bool
}

// failure is an error on the wire.
type failure struct {
	Kind       errs.Kind    `json:"kind"`
	Msg        string       `json:"msg"`
	Fields     []errs.Field `json:"fields,omitempty"`
	RetryAfter float64      `json:"retry_after,omitempty"` // seconds
}

// encodeError writes what may leave the service. The text of an internal
// failure may quote anything, so it stays in the log of who failed.
func encodeError(err error) (errs.Kind, []byte) {
	e := errs.As(err)
	f := failure{Kind: e.Kind, Msg: e.Public(), Fields: e.Fields, RetryAfter: e.RetryAfter.Seconds()}
	if f.Kind == errs.Internal {
		f.Msg = "internal error"
	}
	b, merr := json.Marshal(f)
	if merr != nil { // an input that JSON cannot say
		f.Fields = nil
		b, _ = json.Marshal(f) // strings and a number always marshal
	}
	return e.Kind, b
}

func decodeError(kind string, body []byte) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil || f.Kind == "" {
		return errs.Newf(errs.Internal, "unreadable failure of kind %q", kind)
	}
	e := errs.New(f.Kind, f.Msg)
	e.Fields = f.Fields
	e.RetryAfter = time.Duration(f.RetryAfter * float64(time.Second))
	return e
}

// outcome is an answer before it is written: exactly one of err and status is
// set.
type outcome struct {
	status   int
	header   map[string]string
	body     []byte
	err      error
	about    *About    // of a refusal that the edge records
	accepted time.Time // of a command that was answered 202
	project  tenant.Project
}

// stored is the form in which an outcome is kept with a command.
type stored struct {
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
	Error  json.RawMessage   `json:"error,omitempty"`
	Kind   errs.Kind         `json:"kind,omitempty"`
}

func (o outcome) answer() *Answer {
	return &Answer{Status: o.status, Header: o.header, Body: o.body, AcceptedAt: o.accepted}
}

// statusClass is the bounded form of an outcome for metrics.
func statusClass(o outcome) string {
	if o.err != nil {
		return string(errs.KindOf(o.err))
	}
	return strconv.Itoa(o.status/100) + "xx"
}

// acceptedAt is when the command of a message was given, as its caller's clock
// has it; other when the message does not say.
func acceptedAt(h nats.Header, other time.Time) time.Time {
	if s := get(h, headerAccepted); s != "" {
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return at
		}
	}
	return other
}

func decodeReply(m *nats.Msg) outcome {
	if kind := get(m.Header, headerError); kind != "" {
		return outcome{err: withAbout(decodeError(kind, m.Data), get(m.Header, headerAbout))}
	}
	o := outcome{body: m.Data, status: http.StatusOK}
	if s := get(m.Header, headerStatus); s != "" {
		if n, err := strconv.Atoi(s); err == nil {
			o.status = n
		}
	}
	o.accepted = acceptedAt(m.Header, time.Time{})
	for k, v := range m.Header {
		if name, ok := strings.CutPrefix(k, headerAnswer); ok && len(v) > 0 {
			if o.header == nil {
				o.header = map[string]string{}
			}
			o.header[name] = v[0]
		}
	}
	return o
}
