package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// catalog is what this room asks.
type catalog interface {
	List(ctx context.Context, status instance.Status) ([]instance.Entry, error)
}

// Register puts every operation on the server.
func Register(s *bus.Server, c catalog) {
	bus.Request(s, "listInstances", listInstances(c))
}
