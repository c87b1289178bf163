package project

import (
	"context"
	"fmt"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Counts is how much a project holds. An area whose service this deployment
// does not run holds nothing.
type Counts struct {
	Repositories   int
	Technologies   int
	ResearchTasks  int
	KnowledgeItems int
}

// Census counts what other services hold of a project.
type Census struct {
	Projects Service
	// Knowledge asks the knowledge service; nil when the deployment has none.
	Knowledge func(ctx context.Context, id tenant.Project) (int, error)
	// Research asks the research service how many technologies and research tasks there
	// are; nil when the deployment has none.
	Research func(ctx context.Context, id tenant.Project) (technologies, tasks int, err error)
}

// Stats returns the project with its counts. When a service that should know
// does not answer, that is an error: an invented zero would be read as "empty".
func (c Census) Stats(ctx context.Context, caller tenant.Identity, id tenant.Project) (Mine, Counts, error) {
	p, err := c.Projects.Get(ctx, caller, id)
	if err != nil {
		return p, Counts{}, err
	}
	var n Counts
	if c.Knowledge != nil {
		if n.KnowledgeItems, err = c.Knowledge(ctx, id); err != nil {
			return Mine{}, Counts{}, fmt.Errorf("count knowledge entries: %w", err)
		}
	}
	if c.Research != nil {
		if n.Technologies, n.ResearchTasks, err = c.Research(ctx, id); err != nil {
			return Mine{}, Counts{}, fmt.Errorf("count technologies and research tasks: %w", err)
		}
	}
	return p, n, nil
}
