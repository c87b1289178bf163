package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) scheduleCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "schedule",
		Short: "Jobs of the project in use that are made on time",
		Example: `  commandcenter schedule add "still there" call --cron "*/15 * * * *" --param url=https://example.org/health
  commandcenter schedule next 1`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.scheduleAdd(), e.scheduleList(), e.scheduleShow(), e.scheduleNext(), e.scheduleSwitch("enable", "Switch a schedule on", "On again"),
		e.scheduleSwitch("disable", "Switch a schedule off", "Off"), e.scheduleRun(), e.scheduleDelete())
}

var frequencies = []string{"once", "hourly", "daily", "weekly", "monthly", "cron", "interval"}

func (e *env) scheduleAdd() *cobra.Command {
	var cron, zone, start, end, catchUp, overlap, frequency string
	var every, jitter time.Duration
	var given []string
	var off bool
	var priority int
	c := &cobra.Command{
		Use: "add NAME TYPE", Short: "Let jobs of a type be made on time", Args: nargs(2, 2),
		Long: "When is said by one of --cron, --every, --frequency, or --start alone for once. What a type takes is shown by `commandcenter job types`.",
		Example: `  commandcenter schedule add nightly call --frequency daily --zone Europe/Berlin --param url=https://example.org
  commandcenter schedule add pulse call --every 5m --overlap skip --param url=https://example.org/health`,
		RunE: func(cmd *cobra.Command, args []string) error {
			params, err := parameters(given)
			if err != nil {
				return err
			}
			fields := map[string]any{
				"name": args[0], "task_type": args[1], "task_parameters": params, "timezone": zone, "catch_up": catchUp, "overlap": overlap,
				"jitter_seconds": int(jitter / time.Second), "priority": priority, "enabled": !off,
			}
			switch {
			case cron != "":
				fields["frequency"], fields["cron_expression"] = "cron", cron
			case every > 0:
				fields["frequency"], fields["interval_seconds"] = "interval", int(every/time.Second)
			case frequency != "":
				fields["frequency"] = frequency
			case start != "":
				fields["frequency"] = "once"
			default:
				return usageError{errors.New("say when: --cron, --every, --frequency, or --start alone for once")}
			}
			for field, text := range map[string]string{"start_time": start, "end_time": end} {
				if text == "" {
					continue
				}
				if _, err := time.Parse(time.RFC3339, text); err != nil {
					return usageError{fmt.Errorf("%q is no time as 2026-01-31T08:00:00Z", text)}
				}
				fields[field] = text
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			b, err := body(fields)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.CreateScheduleWithBody(cmd.Context(), &client.CreateScheduleParams{IdempotencyKey: &key}, asJSON, b)
			x, err := client.Finish[client.ScheduleResponse](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if x.Conflicts != nil && len(*x.Conflicts) > 0 {
				e.say("Others do the same with some of the same parameters: %s.", strings.Trim(fmt.Sprint(*x.Conflicts), "[]"))
			}
			return e.saySchedule("Added", x)
		},
	}
	fs := c.Flags()
	fs.StringVar(&cron, "cron", "", "minute, hour, day, month and weekday")
	fs.DurationVar(&every, "every", 0, "an interval, a minute at least")
	fs.StringVar(&frequency, "frequency", "", strings.Join(frequencies[1:5], ", "))
	fs.StringVar(&zone, "zone", "UTC", "whose clock it goes by, as Europe/Berlin")
	fs.StringVar(&start, "start", "", "not before, as 2026-01-31T08:00:00Z")
	fs.StringVar(&end, "end", "", "not after")
	fs.StringVar(&catchUp, "catch-up", "skip", "what becomes of times that were missed: skip, once, all")
	fs.StringVar(&overlap, "overlap", "allow", "what becomes of a time while the job before goes on: allow, skip, wait, replace")
	fs.DurationVar(&jitter, "jitter", 0, "up to so much later, an hour at most")
	fs.StringArrayVar(&given, "param", nil, "a parameter of its jobs, NAME=VALUE (may be given several times)")
	fs.BoolVar(&off, "off", false, "switched off for now")
	fs.IntVar(&priority, "priority", 0, "of its jobs, -10 to 10")
	values(c, "frequency", frequencies[1:5]...)
	values(c, "catch-up", "skip", "once", "all")
	values(c, "overlap", "allow", "skip", "wait", "replace")
	return ends(c, codesClient...)
}

func (e *env) saySchedule(done string, x client.ScheduleResponse) error {
	if e.json {
		e.print(e.Out, x)
		return nil
	}
	e.line("%s: schedule %d, %s, %s, next %s.", done, x.Id, oneLine(x.Name), how(x), timeOf(x.NextRunAt))
	return nil
}

// how says in short when a schedule is due.
func how(x client.ScheduleResponse) string {
	text := x.Frequency
	switch {
	case x.CronExpression != nil:
		text = *x.CronExpression
	case x.IntervalSeconds != nil:
		text = "every " + (time.Duration(*x.IntervalSeconds) * time.Second).String()
	}
	if x.Timezone != "UTC" {
		text += " (" + x.Timezone + ")"
	}
	return oneLine(text)
}

func timeOf(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

func (e *env) scheduleList() *cobra.Command {
	return ends(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "The schedules, the latest first", Args: nargs(0, 0),
		Example: "  commandcenter schedule list\n  commandcenter schedule list --json | jq -r '.[].name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, size := []client.ScheduleResponse{}, 100
			for page := 1; ; page++ {
				p, err := client.Into[client.ScheduleListResponse](s.ListSchedules(cmd.Context(), &client.ListSchedulesParams{Page: &page, PageSize: &size}))
				if err != nil {
					return err
				}
				if all = append(all, p.Schedules...); page >= p.Pages {
					break
				}
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "ID", "NAME", "TYPE", "WHEN", "STATE", "NEXT", "RUNS", "FAILED", "MISSED")
			for _, x := range all {
				state := "on"
				if !x.Enabled {
					state = "off"
				}
				t.row(strconv.FormatInt(x.Id, 10), oneLine(x.Name), x.TaskType, how(x), state, timeOf(x.NextRunAt), strconv.Itoa(x.RunCount), strconv.Itoa(x.FailureCount), strconv.Itoa(x.MissedCount))
			}
			return t.flush()
		},
	}, codesClient...)
}

// ofSchedule runs what is about one schedule.
func (e *env) ofSchedule(run func(ctx context.Context, s *client.Session, id int64) error) func(*cobra.Command, []string) error {
	return e.ofNumber("a schedule", "schedule list", run)
}

func (e *env) scheduleShow() *cobra.Command {
	return ends(&cobra.Command{
		Use: "show ID", Short: "A schedule, and what became of its latest due times", Args: nargs(1, 1),
		Example: "  commandcenter schedule show 1\n  commandcenter schedule show 1 --json | jq .runs",
		RunE: e.ofSchedule(func(ctx context.Context, s *client.Session, id int64) error {
			x, err := client.Into[client.ScheduleResponse](s.GetSchedule(ctx, id, nil))
			if err != nil {
				return err
			}
			limit := 20
			runs, err := client.Into[client.ScheduleRuns](s.ListScheduleRuns(ctx, id, &client.ListScheduleRunsParams{Limit: &limit}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"schedule": x, "runs": runs.Items})
				return nil
			}
			e.line("%s", e.paint(e.Out, bold, fmt.Sprintf("%d  %s", x.Id, oneLine(x.Name))))
			e.line("  %s, %s, next %s", x.TaskType, how(x), timeOf(x.NextRunAt))
			e.line("  %d jobs, %d completed, %d failed, %d times missed", x.RunCount, x.SuccessCount, x.FailureCount, x.MissedCount)
			e.line("  catch up %s, overlap %s, jitter %s", x.CatchUp, x.Overlap, time.Duration(x.JitterSeconds)*time.Second)
			e.shown("parameters", &x.TaskParameters)
			e.shown("tags", &x.Tags)
			if x.LastError != nil {
				e.line("  %-10s  %s", "last error", oneLine(*x.LastError))
			}
			for _, r := range runs.Items {
				job := ""
				if r.JobId != nil {
					job = fmt.Sprintf("job %d ", *r.JobId)
				}
				e.line("  %s  %-7s  %s%s", r.DueAt.Local().Format(time.DateTime), r.State, job, oneLine(or(r.Error, "")))
			}
			return nil
		}),
	}, codesClient...)
}

func (e *env) scheduleNext() *cobra.Command {
	var n int
	c := &cobra.Command{
		Use: "next ID", Short: "When a schedule is due next, by its own clock", Args: nargs(1, 1), Example: "  commandcenter schedule next 1 -n 5",
		RunE: e.ofSchedule(func(ctx context.Context, s *client.Session, id int64) error {
			next, err := client.Into[client.UpcomingRuns](s.ListUpcomingRuns(ctx, id, &client.ListUpcomingRunsParams{Limit: &n}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, next)
				return nil
			}
			if len(next.Items) == 0 {
				e.say("Never again.")
			}
			for _, x := range next.Items {
				e.line("%s  %s", x.Local.Format("Mon 2006-01-02 15:04:05 -07:00"), next.Timezone)
			}
			return nil
		}),
	}
	c.Flags().IntVarP(&n, "number", "n", 10, "how many, 50 at most")
	return ends(c, codesClient...)
}

func (e *env) scheduleSwitch(word, short, done string) *cobra.Command {
	return ends(&cobra.Command{
		Use: word + " ID", Short: short, Args: nargs(1, 1), Example: "  commandcenter schedule " + word + " 1",
		RunE: e.ofSchedule(func(ctx context.Context, s *client.Session, id int64) error {
			key := uuid.NewString()
			ask := func() (client.ScheduleResponse, error) {
				if word == "enable" {
					resp, err := s.EnableSchedule(ctx, id, &client.EnableScheduleParams{IdempotencyKey: &key})
					return client.Finish[client.ScheduleResponse](ctx, s, resp, err)
				}
				resp, err := s.DisableSchedule(ctx, id, &client.DisableScheduleParams{IdempotencyKey: &key})
				return client.Finish[client.ScheduleResponse](ctx, s, resp, err)
			}
			x, err := ask()
			if err != nil {
				return err
			}
			return e.saySchedule(done, x)
		}),
	}, codesClient...)
}

func (e *env) scheduleRun() *cobra.Command {
	var force, watch bool
	c := &cobra.Command{
		Use: "run ID", Short: "Make the job of a schedule now", Args: nargs(1, 1), Example: "  commandcenter schedule run 1 --watch",
		RunE: e.ofSchedule(func(ctx context.Context, s *client.Session, id int64) error {
			b, err := body(map[string]any{"force": force})
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.ExecuteScheduleWithBody(ctx, id, &client.ExecuteScheduleParams{IdempotencyKey: &key}, asJSON, b)
			x, err := client.Finish[client.ScheduleExecutionResponse](ctx, s, resp, err)
			if err != nil {
				return err
			}
			if watch {
				return e.watch(ctx, s, x.JobId)
			}
			if e.json {
				e.print(e.Out, x)
				return nil
			}
			e.line("Made job %d of %s.", x.JobId, oneLine(x.ScheduleName))
			return nil
		}),
	}
	c.Flags().BoolVar(&force, "force", false, "also while it is off")
	c.Flags().BoolVar(&watch, "watch", false, "follow the job until it is over")
	return ends(c, codesClient...)
}

func (e *env) scheduleDelete() *cobra.Command {
	return ends(&cobra.Command{
		Use: "delete ID", Aliases: []string{"rm"}, Short: "Let a schedule be; its jobs stay", Args: nargs(1, 1), Example: "  commandcenter schedule delete 1",
		RunE: e.ofSchedule(func(ctx context.Context, s *client.Session, id int64) error {
			key := uuid.NewString()
			resp, err := s.DeleteSchedule(ctx, id, &client.DeleteScheduleParams{IdempotencyKey: &key})
			if _, err := client.Finish[struct{}](ctx, s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"id": id})
				return nil
			}
			e.line("Deleted schedule %d.", id)
			return nil
		}),
	}, codesClient...)
}
