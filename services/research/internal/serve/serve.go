package serve

import (
	"context"
	"io"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// Handlers answer the operations. All fields are needed.
type Handlers struct {
	Book  technology.Book
	Tasks task.Book
	// Count is how much a project has.
	Count func(ctx context.Context, p tenant.Project) (technologies, tasks int, err error)
	Now   func() time.Time
	// Open reads an object of the store.
	Open func(ctx context.Context, ref bus.ObjectRef) (io.ReadCloser, error)
}

// Operations are the operations of the contract that the service answers.
func Operations() []string {
	return []string{
		"listTechnologies", "createTechnology", "getTechnology", "updateTechnology", "deleteTechnology", "listTechnologyMoves",
		"getRadar", "getRadarSVG", "getRadarPNG", "getRadarCSV", "importRadar",
		"listResearchTasks", "createResearchTask", "getResearchTask", "updateResearchTask", "deleteResearchTask", "updateTaskStatus", "updateTaskProgress",
		"getTaskStatistics", "getUpcomingTasks", "getOverdueTasks", "exportResearchTasks", "importResearchTasks",
		"attachTaskDocument", "listTaskDocuments", "downloadTaskDocument", "deleteTaskDocument",
	}
}

// Register binds every operation to its handler: bus.Request for reads and for
// what carries a secret, bus.Command for every other write.
func (h *Handlers) Register(s *bus.Server) {
	bus.Request(s, "listTechnologies", h.list)
	bus.Command(s, "createTechnology", h.create)
	bus.Request(s, "getTechnology", h.get)
	bus.Command(s, "updateTechnology", h.update)
	bus.Command(s, "deleteTechnology", h.remove)
	bus.Request(s, "listTechnologyMoves", h.moves)
	bus.Request(s, "getRadar", h.radar)
	bus.Request(s, "getRadarSVG", h.svg)
	bus.Request(s, "getRadarPNG", h.png)
	bus.Request(s, "getRadarCSV", h.csv)
	bus.Command(s, "importRadar", h.importCSV)
	bus.Request(s, "listResearchTasks", h.listTasks)
	bus.Command(s, "createResearchTask", h.createTask)
	bus.Request(s, "getResearchTask", h.getTask)
	bus.Command(s, "updateResearchTask", h.updateTask)
	bus.Command(s, "deleteResearchTask", h.removeTask)
	bus.Command(s, "updateTaskStatus", h.setStatus)
	bus.Command(s, "updateTaskProgress", h.setProgress)
	bus.Request(s, "getTaskStatistics", h.taskStatistics)
	bus.Request(s, "getUpcomingTasks", h.upcomingTasks)
	bus.Request(s, "getOverdueTasks", h.overdueTasks)
	bus.Request(s, "exportResearchTasks", h.exportTasks)
	bus.Command(s, "importResearchTasks", h.importTasks)
	bus.Command(s, "attachTaskDocument", h.attach)
	bus.Request(s, "listTaskDocuments", h.taskDocuments)
	bus.Request(s, "downloadTaskDocument", h.download)
	bus.Command(s, "deleteTaskDocument", h.removeDocument)
	bus.Internal(s, "countResearch", h.count)
}

func (h *Handlers) count(ctx context.Context, r *researchv1.CountResearchRequest) (*researchv1.CountResearchResponse, error) {
	technologies, tasks, err := h.Count(ctx, tenant.Project(r.GetProjectId()))
	if err != nil {
		return nil, err
	}
	return &researchv1.CountResearchResponse{Technologies: int32(technologies), Tasks: int32(tasks)}, nil //nolint:gosec // G115: MaxPerProject of both
}
