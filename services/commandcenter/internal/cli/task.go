package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) taskCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "task",
		Short: "What the project in use wants to find out",
		Example: `  commandcenter task add "Is pgvector fast enough?" --technology pgvector --due 2026-12-01
  commandcenter task list --status in_progress
  commandcenter task done 7 --findings "1 ms at a million vectors"`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.taskAdd(), e.taskList(), e.taskShow(), e.taskEdit(), e.taskMove(), e.taskDone(), e.taskDelete(), e.taskStats(), e.taskAttach(), e.taskFiles(), e.taskDownload(), e.taskDetach(), e.taskExport(), e.taskImport())
}

// taskStatuses are the words of the contract.
var taskStatuses = []string{"pending", "in_progress", "blocked", "completed", "cancelled"}

// taskFlags are the flags that say something of a task.
func taskFlags(c *cobra.Command) {
	fs := c.Flags()
	fs.String("description", "", "what is to be found out")
	fs.String("technology", "", "what it is about, by its id or its title")
	fs.String("assigned-to", "", "who does it")
	fs.String("due", "", "a day, as 2026-01-31, or a time")
	fs.String("notes", "", "what you think of it")
	fs.String("findings", "", "what was found")
	fs.Int("estimated-hours", 0, "how long it should take")
	fs.Int("actual-hours", 0, "how long it took")
}

// taskSaid is what the flags that were given say.
func (e *env) taskSaid(cmd *cobra.Command, s *client.Session) (map[string]any, error) {
	out, fs := map[string]any{}, cmd.Flags()
	for flag, field := range map[string]string{
		"description": "description", "assigned-to": "assigned_to", "due": "due_date", "notes": "user_notes", "findings": "findings", "status": "status", "title": "title",
	} {
		if fs.Changed(flag) {
			out[field], _ = fs.GetString(flag) // it is one
		}
	}
	for flag, field := range map[string]string{"estimated-hours": "estimated_hours", "actual-hours": "actual_hours", "progress": "progress_percentage"} {
		if fs.Changed(flag) {
			out[field], _ = fs.GetInt(flag) // it is one
		}
	}
	if !fs.Changed("technology") {
		return out, nil
	}
	name, _ := fs.GetString("technology") // it is one
	if out["technology_id"] = nil; name == "" {
		return out, nil
	}
	t, err := technologyNamed(cmd.Context(), s, name)
	out["technology_id"] = t.Id
	return out, err
}

func (e *env) taskAdd() *cobra.Command {
	c := &cobra.Command{
		Use: "add TITLE", Short: "Want to find something out", Args: nargs(1, 1),
		Example: "  commandcenter task add \"Is pgvector fast enough?\" --technology pgvector --assigned-to Jo --due 2026-12-01\n  commandcenter task add \"Read the paper\" --status in_progress",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			fields, err := e.taskSaid(cmd, s)
			if err != nil {
				return err
			}
			fields["title"] = args[0]
			b, err := body(fields)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.CreateResearchTaskWithBody(cmd.Context(), &client.CreateResearchTaskParams{IdempotencyKey: &key}, asJSON, b)
			t, err := client.Finish[client.ResearchTaskResponse](cmd.Context(), s, resp, err)
			return e.sayTask("Added", t, err)
		},
	}
	taskFlags(c)
	c.Flags().String("status", "", "how far it has come: "+strings.Join(taskStatuses, ", "))
	values(c, "status", taskStatuses...)
	return ends(c, codesClient...)
}

func (e *env) sayTask(done string, t client.ResearchTaskResponse, err error) error {
	switch {
	case err != nil:
		return err
	case e.json:
		e.print(e.Out, t)
	default:
		e.line("%s %d, %s: %s, %d %%.", done, t.Id, oneLine(t.Title), t.Status, t.ProgressPercentage)
	}
	return nil
}

func (e *env) taskList() *cobra.Command {
	var status, technology, assigned string
	var overdue bool
	var upcoming, most int
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The tasks, what changed last first", Args: nargs(0, 0),
		Long:    "The tasks, what changed last first; those that are due in the order in which they are. Filters hold together, but not with --overdue and --upcoming.",
		Example: "  commandcenter task list --status blocked --assigned-to Jo\n  commandcenter task list --overdue\n  commandcenter task list --technology pgvector --json | jq -r '.[].title'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if overdue && upcoming > 0 || (overdue || upcoming > 0) && (status != "" || technology != "" || assigned != "") {
				return usageError{errors.New("--overdue and --upcoming stand alone")}
			}
			if most < 1 {
				return usageError{errors.New("--limit is at least 1")}
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			var all []client.ResearchTaskResponse
			few := min(most, 500) // as many as are answered at a time
			switch {
			case overdue:
				all, err = client.Into[[]client.ResearchTaskResponse](s.GetOverdueTasks(cmd.Context(), &client.GetOverdueTasksParams{Limit: &few}))
			case upcoming > 0:
				all, err = client.Into[[]client.ResearchTaskResponse](s.GetUpcomingTasks(cmd.Context(), &client.GetUpcomingTasksParams{Limit: &few, Days: &upcoming}))
			default:
				p := client.ListResearchTasksParams{Status: (*client.TaskStatus)(orNone(status)), AssignedTo: orNone(assigned)}
				if technology != "" {
					t, err := technologyNamed(cmd.Context(), s, technology)
					if err != nil {
						return err
					}
					p.TechnologyId = &t.Id
				}
				all, err = tasks(cmd.Context(), s, p, most)
			}
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "ID", "STATUS", "DONE", "DUE", "ASSIGNED TO", "CHANGED", "TITLE")
			for _, x := range all {
				due, who := "", ""
				if x.DueDate != nil {
					due = x.DueDate.Local().Format(time.DateOnly)
				}
				if x.AssignedTo != nil {
					who = *x.AssignedTo
				}
				t.row(strconv.FormatInt(x.Id, 10), string(x.Status), strconv.Itoa(x.ProgressPercentage)+" %", due, who, x.UpdatedAt.Local().Format(time.DateOnly), x.Title)
			}
			return t.flush()
		},
	}
	fs := c.Flags()
	fs.StringVar(&status, "status", "", "of this status alone")
	fs.StringVar(&technology, "technology", "", "of this technology alone, by its id or its title")
	fs.StringVar(&assigned, "assigned-to", "", "assigned to exactly this name alone")
	fs.BoolVar(&overdue, "overdue", false, "what is open and was due")
	fs.IntVar(&upcoming, "upcoming", 0, "what is due within so many days")
	fs.IntVar(&most, "limit", 100, "at most so many")
	values(c, "status", taskStatuses...)
	return ends(c, codesClient...)
}

// tasks reads pages until there are most.
func tasks(ctx context.Context, s *client.Session, p client.ListResearchTasksParams, most int) ([]client.ResearchTaskResponse, error) {
	all := []client.ResearchTaskResponse{}
	for {
		skip, limit := len(all), min(most-len(all), 500)
		p.Skip, p.Limit = &skip, &limit
		page, err := client.Into[[]client.ResearchTaskResponse](s.ListResearchTasks(ctx, &p))
		if err != nil {
			return nil, err
		}
		if all = append(all, page...); len(page) < limit || len(all) >= most {
			return all, nil
		}
	}
}

func taskID(word string) (int64, error) {
	return numberOf(word, "a task", "task list")
}

// ofTask runs what is about one task.
func (e *env) ofTask(run func(cmd *cobra.Command, s *client.Session, id int64) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		id, err := taskID(args[0])
		if err != nil {
			return err
		}
		s, err := e.session()
		if err != nil {
			return err
		}
		return run(cmd, s, id)
	}
}

func (e *env) taskShow() *cobra.Command {
	return ends(&cobra.Command{
		Use: "show ID", Short: "What is said of a task", Args: nargs(1, 1),
		Example: "  commandcenter task show 7\n  commandcenter task show 7 --json",
		RunE: e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
			t, err := client.Into[client.ResearchTaskResponse](s.GetResearchTask(cmd.Context(), id, nil))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, t)
				return nil
			}
			e.line("%s", e.paint(e.Out, bold, oneLine(t.Title)))
			e.line("  %d · %s · %d %% · by %s", t.Id, t.Status, t.ProgressPercentage, oneLine(t.CreatedBy))
			for _, x := range []struct {
				name string
				text *string
			}{{"assigned to", t.AssignedTo}, {"description", t.Description}, {"notes", t.UserNotes}, {"findings", t.Findings}} {
				if x.text != nil {
					e.line("  %-13s  %s", x.name, oneLine(*x.text))
				}
			}
			for _, x := range []struct {
				name string
				n    *int64
			}{{"technology", t.TechnologyId}, {"repository", t.RepositoryId}, {"hours meant", wide(t.EstimatedHours)}, {"hours taken", wide(t.ActualHours)}} {
				if x.n != nil {
					e.line("  %-13s  %d", x.name, *x.n)
				}
			}
			for _, x := range []struct {
				name string
				at   *time.Time
			}{{"due", t.DueDate}, {"created", &t.CreatedAt}, {"started", t.StartedAt}, {"completed", t.CompletedAt}, {"changed", &t.UpdatedAt}} {
				if x.at != nil {
					e.line("  %-13s  %s", x.name, x.at.Local().Format(time.DateTime))
				}
			}
			return nil
		}),
	}, codesClient...)
}

func wide(n *int) *int64 {
	if n == nil {
		return nil
	}
	w := int64(*n)
	return &w
}

// changeTask says something else of one.
func (e *env) changeTask(ctx context.Context, s *client.Session, id int64, fields map[string]any, done string) error {
	b, err := body(fields)
	if err != nil {
		return err
	}
	key := uuid.NewString()
	resp, err := s.UpdateResearchTaskWithBody(ctx, id, &client.UpdateResearchTaskParams{IdempotencyKey: &key}, asJSON, b)
	t, err := client.Finish[client.ResearchTaskResponse](ctx, s, resp, err)
	return e.sayTask(done, t, err)
}

func (e *env) taskEdit() *cobra.Command {
	c := &cobra.Command{
		Use: "edit ID", Short: "Say something else of a task, or how far it has come", Args: nargs(1, 1),
		Long: `Changes what the flags name, and leaves the rest. An empty text takes away what was said.
A progress of 100 completes the task; less reopens one that was completed.`,
		Example: "  commandcenter task edit 7 --progress 40 --notes \"half of the papers read\"\n  commandcenter task edit 7 --due \"\" --assigned-to Jo",
		RunE: e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
			fields, err := e.taskSaid(cmd, s)
			if err != nil {
				return err
			}
			if len(fields) == 0 {
				return usageError{errors.New("nothing to change: give a flag")}
			}
			return e.changeTask(cmd.Context(), s, id, fields, "Changed")
		}),
	}
	taskFlags(c)
	c.Flags().String("title", "", "another title")
	c.Flags().Int("progress", 0, "per cent")
	return ends(c, codesClient...)
}

func (e *env) taskMove() *cobra.Command {
	return ends(&cobra.Command{
		Use: "move ID STATUS", Short: "Give a task another status", Args: nargs(2, 2),
		Long: "A status is one of " + strings.Join(taskStatuses, ", ") + `. From completed one
goes back to in_progress, and from cancelled to pending.`,
		Example: "  commandcenter task move 7 blocked\n  commandcenter task move 7 cancelled",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(taskStatuses, args[1]) {
				return usageError{fmt.Errorf("%q is no status: %s", args[1], strings.Join(taskStatuses, ", "))}
			}
			return e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
				key := uuid.NewString()
				resp, err := s.UpdateTaskStatus(cmd.Context(), id, &client.UpdateTaskStatusParams{IdempotencyKey: &key, NewStatus: client.TaskStatus(args[1])})
				t, err := client.Finish[client.ResearchTaskResponse](cmd.Context(), s, resp, err)
				return e.sayTask("Moved", t, err)
			})(cmd, args)
		},
	}, codesClient...)
}

func (e *env) taskDone() *cobra.Command {
	c := &cobra.Command{
		Use: "done ID", Short: "Complete a task", Args: nargs(1, 1),
		Example: "  commandcenter task done 7\n  commandcenter task done 7 --findings \"1 ms at a million vectors\" --actual-hours 6",
		RunE: e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
			fields, err := e.taskSaid(cmd, s)
			if err != nil {
				return err
			}
			fields["status"] = "completed"
			return e.changeTask(cmd.Context(), s, id, fields, "Done:")
		}),
	}
	c.Flags().String("findings", "", "what was found")
	c.Flags().Int("actual-hours", 0, "how long it took")
	return ends(c, codesClient...)
}

func (e *env) taskDelete() *cobra.Command {
	return ends(&cobra.Command{
		Use: "delete ID", Aliases: []string{"rm"}, Short: "Want to know it no more", Args: nargs(1, 1),
		Long:    "Deletes a task. One that neither is your own nor is assigned to you takes an admin of the project.",
		Example: "  commandcenter task delete 7",
		RunE: e.ofTask(func(cmd *cobra.Command, s *client.Session, id int64) error {
			key := uuid.NewString()
			resp, err := s.DeleteResearchTask(cmd.Context(), id, &client.DeleteResearchTaskParams{IdempotencyKey: &key})
			if _, err := client.Finish[struct{}](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": id})
				return nil
			}
			e.line("Deleted %d.", id)
			return nil
		}),
	}, codesClient...)
}
