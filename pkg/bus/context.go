package bus

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Call is what a handler may know about the call that it answers, beyond who
// is calling.
type Call struct {
	Service, Operation string
	CommandID          uuid.UUID // of a command; uuid.Nil otherwise
	AcceptedAt         time.Time // when the command became durable, or the request arrived
	RequestID          string    // of the HTTP call at the edge
	Attempt            int       // of a command, from 1
	Caller             string    // service that asked
}

// OperationID is the id under which the command's state can be asked, "" for
// a request.
func (c Call) OperationID() string {
	if c.CommandID == uuid.Nil {
		return ""
	}
	return c.Service + "." + c.CommandID.String()
}

type callKey struct{}

type callState struct {
	call   Call
	header nats.Header            // that came with the call
	token  string                 // that came with the call
	edge   string                 // token of an edge, when the call came for a person
	said   *claims                // of edge
	id     tenant.Identity        // of the call
	actor  atomic.Pointer[string] // see ActedAs
	also   atomic.Int64           // see ActedIn

	mu    sync.Mutex
	notes []Named // see Noted
	turns []Named // see Changed
}

// CallFrom returns the call that ctx answers, the zero Call outside of one.
func CallFrom(ctx context.Context) Call {
	if s, ok := ctx.Value(callKey{}).(*callState); ok {
		return s.call
	}
	return Call{}
}

// behalf returns the edge's token that ctx was called with, when id is the one
// that it is about. A quarter of an hour after it was signed it is of no use to
// anybody, which a command that has waited may meet: it decides by itself, or
// asks as its service.
func behalf(ctx context.Context, id tenant.Identity, now time.Time) (string, error) {
	if id.Principal == "" || strings.HasPrefix(id.Principal, servicePrefix) {
		return "", nil
	}
	s, ok := ctx.Value(callKey{}).(*callState)
	if !ok || s.id != id || s.edge == "" {
		return "", nil
	}
	if err := s.said.passed(now); err != nil {
		return "", errOldIdentity.Because(err)
	}
	return s.edge, nil
}

// AsService is the identity of a service that speaks for itself.
func AsService(service string, p tenant.Project) tenant.Identity {
	return tenant.Identity{Principal: servicePrefix + service, Project: p}
}

// headerCarrier lets the W3C trace context travel in a message's header.
type headerCarrier nats.Header

// Get returns the value, "" when there is none.
func (h headerCarrier) Get(k string) string { return get(nats.Header(h), k) }

// Set replaces the value.
func (h headerCarrier) Set(k, v string) { h[k] = []string{v} }

// Keys lists the header's names.
func (h headerCarrier) Keys() []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	return keys
}
