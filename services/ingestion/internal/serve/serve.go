package serve

import (
	"context"
	"encoding/json"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/schema"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// Book is what this room asks.
type Book interface {
	Register(ctx context.Context, p tenant.Project, n schema.Name, document json.RawMessage, by string) (s schema.Schema, made bool, err error)
	List(ctx context.Context, p tenant.Project, team string) ([]schema.Schema, error)
	Get(ctx context.Context, p tenant.Project, id int64) (schema.Schema, error)
	Delete(ctx context.Context, p tenant.Project, id int64) error
}

// Handlers answer the operations. All fields are needed.
type Handlers struct {
	Book        Book
	Dead        DeadLetters
	Sources     source.Book
	Runner      *source.Runner
	Discovering Discovering
	Now         func() time.Time
}

// Operations are the operations of the contract that the service answers.
func Operations() []string {
	return []string{
		"deleteEventSchema", "getEventSchema", "listEventSchemas", "registerEventSchema",
		"discardDeadLetter", "getDeadLetter", "listDeadLetters", "purgeDeadLetters", "redriveDeadLetter",
		"listSources", "createSource", "previewSource", "discoverSources", "exportOPML", "importOPML", "getSource", "updateSource", "deleteSource", "triggerManualRun",
		"previewKeptSource", "listSourceRuns",
	}
}

// Register binds every operation to its handler: bus.Request for reads and for
// what carries a secret, bus.Command for every other write.
func (h *Handlers) Register(s *bus.Server) {
	bus.Command(s, "deleteEventSchema", h.remove)
	bus.Request(s, "getEventSchema", h.get)
	bus.Request(s, "listEventSchemas", h.list)
	bus.Command(s, "registerEventSchema", h.register)
	bus.Command(s, "discardDeadLetter", h.discardDead)
	bus.Request(s, "getDeadLetter", h.getDead)
	bus.Request(s, "listDeadLetters", h.listDead)
	bus.Command(s, "purgeDeadLetters", h.purgeDead)
	bus.Command(s, "redriveDeadLetter", h.redriveDead)
	bus.Request(s, "listSources", h.listSources)
	bus.Request(s, "createSource", h.addSource)
	bus.Request(s, "previewSource", h.preview)
	bus.Request(s, "discoverSources", h.discover)
	bus.Request(s, "exportOPML", h.exportOPML)
	bus.Command(s, "importOPML", h.importOPML)
	bus.Request(s, "getSource", h.getSource)
	bus.Request(s, "updateSource", h.updateSource)
	bus.Command(s, "deleteSource", h.deleteSource)
	bus.Request(s, "triggerManualRun", h.runSource)
	bus.Request(s, "previewKeptSource", h.previewKept)
	bus.Request(s, "listSourceRuns", h.listRuns)
}
