package gateway

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

const name = "gateway"

// Permissions is what the gateway may do on the bus. It follows from the HTTP
// contract and from what the event catalogue lets it follow.
func Permissions() (bus.Contract, error) {
	doc, err := contract.Load(openapi)
	if err != nil {
		return bus.Contract{}, err
	}
	c := bus.Contract{
		Serves: []string{"health"},
		Calls:  []string{"auth.signingKeys", "auth.resolveAccess", "auth.resolveKey", "auth.resolveBrowser"},
		Hears:  events.FollowedBy(name),
		// Of the requests that it denies; what else any service may say it does not.
		Publishes: slices.DeleteFunc(events.SaidBy(name), func(d events.Description) bool { return d.Noun != "call" }),
		Objects:   true, FollowsLive: true, Notes: true, AllFacts: true, Peers: true,
	}
	for _, op := range doc.Operations {
		if op.Delivery == contract.Edge || op.Delivery == contract.Live {
			continue
		}
		call := op.Service + "." + op.ID
		if op.Delivery == contract.Request || op.Delivery == contract.Stream {
			c.Calls = append(c.Calls, call)
		} else {
			c.Commands = append(c.Commands, call)
		}
		if health := op.Service + ".health"; !slices.Contains(c.Calls, health) {
			c.Calls = append(c.Calls, health)
		}
	}
	// What a project owns is asked of every service, to be exported.
	c.Calls = append(c.Calls, "auth.exportProject")
	for _, service := range serve.Holders(doc) {
		c.Calls = append(c.Calls, service+".exportPage")
	}
	return c, nil
}

// holdings asks the services what they hold.
type holdings struct{ b *bus.Bus }

// Page is a page of what a service holds.
func (h holdings) Page(ctx context.Context, service string, p tenant.Project, cursor []byte) (*platformv1.ExportPage, error) {
	return bus.CallInternal[*platformv1.ExportPage](ctx, h.b, service, "exportPage",
		&platformv1.ExportPageRequest{ProjectId: int32(p), Cursor: cursor}) //nolint:gosec // G115: ids of projects have 31 bits
}

// Object opens what a row refers to.
func (h holdings) Object(ctx context.Context, ref bus.ObjectRef) (io.ReadCloser, error) {
	return h.b.GetObject(ctx, ref)
}

// frames opens streams of services.
type frames struct{ b *bus.Bus }

// Open asks the target for a stream of replies.
func (x frames) Open(ctx context.Context, t bus.Target, who tenant.Identity, payload []byte) (serve.Frames, error) {
	f, err := x.b.Stream(ctx, t, who, payload)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// health asks the services over the bus.
func health(b *bus.Bus) serve.HealthOf {
	return func(ctx context.Context, service string) ([]serve.Component, error) {
		checks, err := b.Health(ctx, service)
		if err != nil {
			return nil, err
		}
		out := make([]serve.Component, len(checks))
		for i, c := range checks {
			out[i] = serve.Component{
				Name: c.Name, Status: c.Status, Message: c.Message, Took: time.Duration(c.Millis * float64(time.Millisecond)),
			}
		}
		return out, nil
	}
}
