package cli

import (
	"context"
	"encoding/json"
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

func (e *env) jobCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "job",
		Short: "The work of the project in use that takes longer than a call",
		Example: `  commandcenter job list --status failed
  commandcenter job watch 33
  commandcenter job retry 33`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.jobList(), e.jobShow(), e.jobWatch(), e.jobTypes(), e.jobAdd(), e.jobDispatch(), e.jobCancel(), e.jobRetry(), e.jobDelete())
}

var jobStatuses = []string{"pending", "running", "completed", "failed", "cancelled"}

func (e *env) jobList() *cobra.Command {
	var status, kind string
	var limit int
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The jobs, the latest first", Args: nargs(0, 0),
		Example: "  commandcenter job list\n  commandcenter job list --status failed --json | jq -r '.jobs[].error'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			p := client.ListJobsParams{Limit: &limit}
			if status != "" {
				p.StatusFilter = (*client.ListJobsParamsStatusFilter)(&status)
			}
			if kind != "" {
				p.JobType = &kind
			}
			page, err := client.Into[client.JobListResponse](s.ListJobs(cmd.Context(), &p))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, page)
				return nil
			}
			t := newTable(e.Out, "ID", "TYPE", "SERVICE", "STATUS", "PROGRESS", "MADE", "TOOK", "WHAT")
			for _, j := range page.Jobs {
				t.row(strconv.FormatInt(j.Id, 10), j.JobType, j.Service, e.jobStatus(j), strconv.Itoa(j.Progress)+"%", j.CreatedAt.Local().Format(time.DateTime), jobTook(j), oneLine(or(j.Error, or(j.CurrentStep, ""))))
			}
			if err := t.flush(); err != nil {
				return err
			}
			if page.Total > len(page.Jobs) {
				e.say("%d of %d: see more with --limit.", len(page.Jobs), page.Total)
			}
			return nil
		},
	}
	c.Flags().StringVar(&status, "status", "", "of this status alone: "+strings.Join(jobStatuses, ", "))
	c.Flags().StringVar(&kind, "type", "", "of this type alone")
	c.Flags().IntVar(&limit, "limit", 50, "most jobs to list")
	values(c, "status", jobStatuses...)
	return ends(c, codesClient...)
}

// jobStatus is the status, and more where there is more to say.
func (e *env) jobStatus(j client.JobResponse) string {
	text := string(j.Status)
	switch {
	case j.CancelRequested && !client.Over(j):
		text += " (is told to end)"
	case j.State == "held" || j.State == "dead":
		text += " (" + j.State + ")"
	}
	return text
}

func jobTook(j client.JobResponse) string {
	if j.DurationSeconds == nil {
		return ""
	}
	return time.Duration(*j.DurationSeconds * float64(time.Second)).Round(10 * time.Millisecond).String()
}

// ofJob runs what is about one job.
func (e *env) ofJob(run func(ctx context.Context, s *client.Session, id int64) error) func(*cobra.Command, []string) error {
	return e.ofNumber("a job", "job list", run)
}

func (e *env) jobShow() *cobra.Command {
	return ends(&cobra.Command{
		Use: "show ID", Short: "A job, what it noted, and which of its steps are saved", Args: nargs(1, 1),
		Example: "  commandcenter job show 33\n  commandcenter job show 33 --json | jq .log.lines",
		RunE: e.ofJob(func(ctx context.Context, s *client.Session, id int64) error {
			j, err := client.Into[client.JobResponse](s.GetJob(ctx, id, nil))
			if err != nil {
				return err
			}
			log, err := client.Into[client.JobLog](s.GetJobLog(ctx, id, nil))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"job": j, "log": log})
				return nil
			}
			e.line("%s", e.paint(e.Out, bold, fmt.Sprintf("%d  %s of %s", j.Id, j.JobType, j.Service)))
			e.line("  %s, %d%%, try %d of %d, priority %d, made %s", e.jobStatus(j), j.Progress, j.Attempts, j.MaxAttempts, j.Priority, j.CreatedAt.Local().Format(time.DateTime))
			if j.DurationSeconds != nil {
				e.line("  took %s, of which work %s", jobTook(j), time.Duration(j.BusySeconds*float64(time.Second)).Round(time.Millisecond))
			}
			if j.NextAttemptAt != nil && j.State == "queued" {
				e.line("  not before %s", j.NextAttemptAt.Local().Format(time.DateTime))
			}
			e.shown("parameters", j.Parameters)
			e.shown("tags", j.Tags)
			e.shown("result", j.Result)
			if len(j.Spent) > 0 {
				e.line("  %-10s  %s", "spent", compact(j.Spent))
			}
			if j.Error != nil {
				e.line("  %-10s  %s", "error", oneLine(*j.Error))
			}
			for _, l := range log.Lines {
				e.line("  %s  try %d  %-5s  %s", l.At.Local().Format(time.TimeOnly), l.Attempt, l.Level, oneLine(l.Message))
			}
			for _, x := range log.Steps {
				e.line("  %s  saved step %s", x.SavedAt.Local().Format(time.TimeOnly), oneLine(x.Name))
			}
			return nil
		}),
	}, codesClient...)
}

// shown prints an object, unless there is nothing in it.
func (e *env) shown(name string, v *map[string]any) {
	if v != nil && len(*v) > 0 {
		e.line("  %-10s  %s", name, compact(*v))
	}
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return oneLine(string(b))
}

func (e *env) jobTypes() *cobra.Command {
	return ends(&cobra.Command{
		Use: "types", Short: "What jobs and schedules may do, with the schemas of their parameters", Args: nargs(0, 0),
		Example: "  commandcenter job types\n  commandcenter job types --json | jq '.items[] | {job_type, input}'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[client.JobTypes](s.ListJobTypes(cmd.Context(), nil))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "TYPE", "SERVICE", "PARAMETERS", "WHAT IT DOES")
			for _, x := range all.Items {
				t.row(x.JobType, x.Service, strings.Join(takes(x.Input), " "), x.Title)
			}
			return t.flush()
		},
	}, codesClient...)
}

// takes are the names of parameters; those that need not be there stand in brackets.
func takes(schema map[string]any) []string {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	var out []string
	for name := range properties {
		if !slices.Contains(required, any(name)) {
			name = "[" + name + "]"
		}
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(strings.Trim(a, "["), strings.Trim(b, "[")) })
	return out
}

// parameters reads NAME=VALUE, where a value is JSON if it can be read as that.
func parameters(given []string) (map[string]any, error) {
	out := map[string]any{}
	for _, p := range given {
		name, text, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("%q: want NAME=VALUE", p)}
		}
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			v = text
		}
		out[name] = v
	}
	return out, nil
}

func (e *env) jobAdd() *cobra.Command {
	var given []string
	var held, watch bool
	var priority int
	var unique string
	c := &cobra.Command{
		Use: "add TYPE", Short: "Make a job of a type", Args: nargs(1, 1),
		Example: "  commandcenter job add call --param url=https://example.org/health --watch\n  commandcenter job add call --param url=https://example.org --held",
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := parameters(given)
			if err != nil {
				return err
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			fields := map[string]any{"job_type": args[0], "parameters": params, "priority": priority, "dispatch": !held}
			if unique != "" {
				fields["unique_key"] = unique
			}
			b, err := body(fields)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.CreateJobWithBody(cmd.Context(), &client.CreateJobParams{IdempotencyKey: &key}, asJSON, b)
			j, err := client.Finish[client.JobResponse](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if watch && !held {
				return e.watch(cmd.Context(), s, j.Id)
			}
			return e.sayJob("Made", j)
		},
	}
	c.Flags().StringArrayVar(&given, "param", nil, "a parameter, NAME=VALUE (may be given several times)")
	c.Flags().BoolVar(&held, "held", false, "let it wait until `job dispatch`")
	c.Flags().BoolVar(&watch, "watch", false, "follow it until it is over")
	c.Flags().IntVar(&priority, "priority", 0, "-10 to 10, the highest first")
	c.Flags().StringVar(&unique, "unique", "", "while a job of this key is not over, answer that one")
	return ends(c, codesClient...)
}

func (e *env) sayJob(done string, j client.JobResponse) error {
	if e.json {
		e.print(e.Out, j)
		return nil
	}
	e.line("%s job %d, %s of %s: %s.", done, j.Id, j.JobType, j.Service, e.jobStatus(j))
	return nil
}

func (e *env) jobDispatch() *cobra.Command {
	var delay time.Duration
	c := &cobra.Command{
		Use: "dispatch ID", Short: "Let a job go that is held", Args: nargs(1, 1), Example: "  commandcenter job dispatch 34 --delay 5m",
		RunE: e.ofJob(func(ctx context.Context, s *client.Session, id int64) error {
			key, seconds := uuid.NewString(), int(delay/time.Second)
			resp, err := s.DispatchJob(ctx, id, &client.DispatchJobParams{IdempotencyKey: &key, DelaySeconds: &seconds})
			j, err := client.Finish[client.JobResponse](ctx, s, resp, err)
			if err != nil {
				return err
			}
			return e.sayJob("Let go", j)
		}),
	}
	c.Flags().DurationVar(&delay, "delay", 0, "not before then, an hour at most")
	return ends(c, codesClient...)
}

func (e *env) jobCancel() *cobra.Command {
	return ends(&cobra.Command{
		Use: "cancel ID", Short: "End a job before it is done", Args: nargs(1, 1), Example: "  commandcenter job cancel 33",
		RunE: e.ofJob(func(ctx context.Context, s *client.Session, id int64) error {
			key := uuid.NewString()
			resp, err := s.CancelJob(ctx, id, &client.CancelJobParams{IdempotencyKey: &key})
			j, err := client.Finish[client.JobResponse](ctx, s, resp, err)
			if err != nil {
				return err
			}
			return e.sayJob("Told", j)
		}),
	}, codesClient...)
}

func (e *env) jobRetry() *cobra.Command {
	var from string
	var given []string
	c := &cobra.Command{
		Use: "retry ID", Short: "Let a job go on that failed or was cancelled", Args: nargs(1, 1),
		Long:    "It goes on at the first step that was not saved, or at the step that --from names. With parameters, which take the place of all that it\nhad, it begins anew.",
		Example: "  commandcenter job retry 33\n  commandcenter job retry 33 --from fetch --param url=https://example.org",
		RunE: e.ofJob(func(ctx context.Context, s *client.Session, id int64) error {
			fields := map[string]any{}
			if from != "" {
				fields["from_step"] = from
			}
			if len(given) > 0 {
				params, err := parameters(given)
				if err != nil {
					return err
				}
				fields["parameters"] = params
			}
			b, err := body(fields)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.RetryJobWithBody(ctx, id, &client.RetryJobParams{IdempotencyKey: &key}, asJSON, b)
			j, err := client.Finish[client.JobResponse](ctx, s, resp, err)
			if err != nil {
				return err
			}
			return e.sayJob("Tries again", j)
		}),
	}
	c.Flags().StringVar(&from, "from", "", "the step to begin at, with those after it")
	c.Flags().StringArrayVar(&given, "param", nil, "a parameter in the place of those that it had, NAME=VALUE (may be given several times)")
	return ends(c, codesClient...)
}

func (e *env) jobDelete() *cobra.Command {
	return ends(&cobra.Command{
		Use: "delete ID", Aliases: []string{"rm"}, Short: "Forget a job that is over", Args: nargs(1, 1), Example: "  commandcenter job delete 33",
		RunE: e.ofJob(func(ctx context.Context, s *client.Session, id int64) error {
			key := uuid.NewString()
			resp, err := s.DeleteJob(ctx, id, &client.DeleteJobParams{IdempotencyKey: &key})
			if _, err := client.Finish[struct{}](ctx, s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": id})
				return nil
			}
			e.line("Forgot job %d.", id)
			return nil
		}),
	}, codesClient...)
}

var errJobFailed = errors.New("the job did not complete")
