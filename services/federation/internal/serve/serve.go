package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Catalog knows the instances.
type Catalog interface {
	List(ctx context.Context, status instance.Status) ([]instance.Entry, error)
	Get(ctx context.Context, slug string) (instance.Entry, error)
	Holder(ctx context.Context, key string) (instance.Instance, error)
}

// Registrar changes who is in the catalog.
type Registrar interface {
	Register(ctx context.Context, r instance.Registration) (e instance.Entry, key string, err error)
	Update(ctx context.Context, r instance.Registration) (e instance.Entry, created bool, err error)
	Admit(ctx context.Context, slug, key string) (instance.Entry, error)
	Remove(ctx context.Context, slug string) error
}

// Handlers answer the operations. All fields are needed.
type Handlers struct {
	Catalog   Catalog
	Registrar Registrar
	Sharer    Sharer
	Searcher  Searcher
}

// Register puts every operation on the server.
func (h *Handlers) Register(s *bus.Server) {
	bus.Request(s, "listInstances", h.listInstances)
	bus.Request(s, "getInstance", h.getInstance)
	bus.Request(s, "registerInstance", h.registerInstance)
	bus.Command(s, "admitInstance", h.admitInstance)
	bus.Command(s, "removeInstance", h.removeInstance)
	bus.Request(s, "listShares", h.listShares)
	bus.Command(s, "shareProject", h.shareProject)
	bus.Command(s, "unshareProject", h.unshareProject)
	bus.Request(s, "searchFederation", h.searchFederation)
	bus.Request(s, "listFederatedProjects", h.listFederatedProjects)
	bus.Request(s, "getFederatedProject", h.getFederatedProject)
	bus.Request(s, "updateFederatedProject", h.updateFederatedProject)
}

var errSuperuser = errs.New(errs.Forbidden, "this takes a superuser")

// superuser looks again: a command may have waited since the edge did.
func superuser(ctx context.Context) error {
	if !tenant.From(ctx).Superuser {
		return errSuperuser
	}
	return nil
}
