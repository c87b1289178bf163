package serve

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

type exportTasks struct {
	listTasks
	Format string `json:"format"` // csv or json
	After  int64  `json:"after"`  // an id
}

func (h *Handlers) exportTasks(ctx context.Context, r exportTasks) (file, error) {
	lines, err := h.Tasks.Lines(ctx, tenant.From(ctx).Project, task.Filter(r.listTasks), r.After)
	if err != nil {
		return file{}, err
	}
	if r.Format == "csv" {
		return file{"text/csv; charset=utf-8", "research-tasks.csv", task.WriteCSV(lines, r.After == 0)}, nil
	}
	if lines == nil {
		lines = []task.Line{}
	}
	b, err := json.Marshal(lines)
	return file{"application/json", "research-tasks.json", b}, err
}

type importTasks struct {
	Body struct {
		Format  string `json:"format"` // csv or json
		Content string `json:"content"`
		DryRun  bool   `json:"dry_run"`
	} `json:"body"`
}

// importedTasks is what became of a file.
type importedTasks struct {
	Added int     `json:"added"`
	IDs   []int64 `json:"ids"` // in the order of the file; none of a dry run
}

func (h *Handlers) importTasks(ctx context.Context, r importTasks) (importedTasks, error) {
	who, err := member(ctx)
	if err != nil {
		return importedTasks{}, err
	}
	read := task.ReadJSON
	if r.Body.Format == "csv" {
		read = task.ReadCSV
	}
	entries, err := read(r.Body.Content)
	if err != nil {
		return importedTasks{}, err
	}
	known, err := h.titled(ctx, who.Project, entries)
	if err != nil {
		return importedTasks{}, err
	}
	tasks := make([]task.Task, 0, len(entries))
	for _, e := range entries {
		if e.Technology != "" {
			id, ok := known[strings.ToLower(strings.TrimSpace(e.Technology))]
			if !ok {
				return importedTasks{}, e.Fault(errs.Newf(errs.NotFound, "there is no technology %.60q", e.Technology))
			}
			e.TechnologyID = &id
		}
		t, err := h.Tasks.Make(e.Draft, e.Step, who.Principal)
		if err != nil {
			return importedTasks{}, e.Fault(err)
		}
		tasks = append(tasks, t)
	}
	out := importedTasks{Added: len(tasks), IDs: []int64{}}
	if r.Body.DryRun || len(tasks) == 0 {
		return out, nil
	}
	if err := h.Tasks.Insert(ctx, who.Project, tasks...); err != nil {
		return importedTasks{}, err
	}
	for _, t := range tasks {
		out.IDs = append(out.IDs, t.ID)
	}
	return out, nil
}

// titled are the technologies of the project by their titles, if any is named.
func (h *Handlers) titled(ctx context.Context, p tenant.Project, entries []task.Entry) (map[string]int64, error) {
	named := false
	for _, e := range entries {
		named = named || e.Technology != ""
	}
	if !named {
		return nil, nil
	}
	all, _, err := h.Book.Standing(ctx, p, h.Now())
	known := make(map[string]int64, len(all))
	for _, x := range all {
		known[strings.ToLower(x.Title)] = x.ID
	}
	return known, err
}
