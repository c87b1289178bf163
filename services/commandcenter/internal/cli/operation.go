package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) operationCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "operation",
		Short: "Writes and what became of them: list, show, wait",
		Long: `A write that is not done within its call is answered 202, and its Location names
the operation under which it is known for 24 hours, to the members of its project.`,
		Example: `  commandcenter operation list --status pending
  commandcenter operation show p1.knowledge.0198c0de-0000-7000-8000-000000000001
  commandcenter operation wait p1.knowledge.0198c0de-0000-7000-8000-000000000001 --timeout 1m`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.operationList(), e.operationShow(), e.operationWait())
}

// Exit codes of commands about one operation.
var codesOperation = append(slices.Clone(codesClient), exitNotFound)

func (e *env) operationList() *cobra.Command {
	var status, cursor string
	var instance bool
	limit := 20
	c := &cobra.Command{
		Use:     "list",
		Short:   "The writes of the project of the last 24 hours, newest first",
		Example: "  commandcenter operation list --status pending\n  commandcenter operation list --instance\n  commandcenter operation list --limit 200 --json | jq -r '.items[].id'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if instance {
				e.cfg.Client.Project = 0 // of which whoever asks may be no member any more
			}
			s, err := e.session()
			if err != nil {
				return err
			}
			params := &client.ListOperationsParams{Limit: &limit}
			if status != "" {
				st := client.ListOperationsParamsStatus(status)
				params.Status = &st
			}
			if cursor != "" {
				params.Cursor = &cursor
			}
			if instance {
				params.Instance = &instance
			}
			page, err := client.Into[client.OperationPage](s.ListOperations(cmd.Context(), params))
			if err != nil {
				return err
			}
			return e.printOperations(page)
		},
	}
	c.Flags().StringVar(&status, "status", "", "only operations that are pending, succeeded or failed")
	c.Flags().IntVarP(&limit, "limit", "n", limit, "most operations, up to 200")
	c.Flags().StringVar(&cursor, "after", "", "go on after a page: its next")
	c.Flags().BoolVar(&instance, "instance", false, "those of yours that are of no project, such as imports")
	values(c, "status", "pending", "succeeded", "failed")
	return ends(c, codesClient...)
}

func (e *env) printOperations(page client.OperationPage) error {
	if e.json {
		e.print(e.Out, page)
		return nil
	}
	if len(page.Items) == 0 {
		e.say("No operations.")
	} else {
		t := newTable(e.Out, "ACCEPTED", "OPERATION", "STATUS", "TOOK", "BY", "ID")
		for _, o := range page.Items {
			state, took := string(o.Status), ""
			if o.HttpStatus != nil {
				state += " " + strconv.Itoa(*o.HttpStatus)
			}
			state += howFar(o.Progress, " ")
			if o.FinishedAt != nil {
				took = o.FinishedAt.Sub(o.AcceptedAt).Round(time.Millisecond).String()
			}
			t.row(o.AcceptedAt.Local().Format(time.DateTime), o.Operation, state, took, o.CreatedBy, o.Id)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if page.Next != nil {
		e.say("There are older ones: --after %s", *page.Next)
	}
	if !page.Complete {
		e.say("Not complete: a service is silent, so that of its writes only those are listed that were answered 202.")
	}
	return nil
}

func (e *env) operationShow() *cobra.Command {
	return ends(&cobra.Command{
		Use:   "show ID",
		Short: "What became of a write so far",
		Long:  "ID is what Location has given, whole or its last part. A write that has failed is shown like any other.",
		Example: `  commandcenter operation show p1.knowledge.0198c0de-0000-7000-8000-000000000001
  commandcenter operation show "$LOCATION" --json | jq -r .status`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			op, err := client.Into[client.Operation](s.GetOperation(cmd.Context(), path.Base(args[0]), &client.GetOperationParams{}))
			if err != nil {
				return err
			}
			e.printOperation(op)
			return nil
		},
	}, codesOperation...)
}

func (e *env) operationWait() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "wait ID",
		Short: "Wait until a write has ended, and show it",
		Long: `ID is what Location has given, whole or its last part. The exit code is that of the
write: 0 when it was done, else what its own call would have ended with. One that
is still pending after --timeout ends with 5.`,
		Example: `  commandcenter operation wait p1.knowledge.0198c0de-0000-7000-8000-000000000001
  commandcenter operation wait "$LOCATION" --timeout 30s --json | jq .answer`,
		Args: nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			return e.awaitOperation(cmd.Context(), s, path.Base(args[0]), timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait at most; 0 waits for as long as it takes")
	return ends(c, codesOperation...)
}

func (e *env) awaitOperation(ctx context.Context, s *client.Session, id string, timeout time.Duration) error {
	errLate := codedError{fmt.Errorf("operation %s is still pending after %s", id, timeout), exitUnavailable}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errLate)
		defer cancel()
	}
	told, stop := e.awaiting(ctx)
	op, err := s.Ended(ctx, id, told)
	stop()
	if errors.Is(context.Cause(ctx), errLate) && err != nil {
		return errLate
	}
	if err != nil {
		return err
	}
	e.printOperation(op)
	if err := op.Failure(); err != nil {
		return fmt.Errorf("%s: %w", op.Operation, err)
	}
	return nil
}

// awaiting shows that an operation is waited for: a spinner on a terminal, a
// line for each change otherwise, nothing with --json.
func (e *env) awaiting(ctx context.Context) (told func(client.Operation), stop func()) {
	state := func(op client.Operation) string {
		if op.StartedAt != nil {
			return fmt.Sprintf("%s goes on since %s%s", op.Operation, clock(*op.StartedAt), howFar(op.Progress, ": "))
		}
		return fmt.Sprintf("%s waits since %s", op.Operation, clock(op.AcceptedAt))
	}
	if e.json || !terminal(e.Err) {
		last := ""
		return func(op client.Operation) {
			kind := op // a line for what it does, and not for how much of it is done
			if kind.Progress != nil {
				kind.Progress = &client.OperationProgress{Doing: kind.Progress.Doing}
			}
			if now := state(kind); now != last {
				last = now
				e.say("%s.", state(op))
			}
		}, func() {}
	}
	var current atomic.Pointer[client.Operation]
	p := mpb.NewWithContext(ctx, mpb.WithOutput(e.Err), mpb.WithWidth(8))
	bar := p.AddSpinner(0, mpb.AppendDecorators(
		decor.Any(func(decor.Statistics) string {
			if op := current.Load(); op != nil {
				return state(*op) + " "
			}
			return "asking "
		}),
		decor.Elapsed(decor.ET_STYLE_GO)))
	return func(op client.Operation) { current.Store(&op) }, func() {
		bar.Abort(true)
		p.Wait()
	}
}

// howFar is the progress of an operation behind before; nothing where there is none.
func howFar(at *client.OperationProgress, before string) string {
	switch {
	case at == nil:
		return ""
	case at.Total == 0:
		return before + oneLine(at.Doing)
	}
	return fmt.Sprintf("%s%s %d of %d", before, oneLine(at.Doing), at.Done, at.Total)
}

func (e *env) printOperation(op client.Operation) {
	if e.json {
		e.print(e.Out, op)
		return
	}
	status := string(op.Status)
	if op.HttpStatus != nil {
		status += " (" + strconv.Itoa(*op.HttpStatus) + ")"
	}
	colour := map[client.OperationStatus]string{client.OperationStatusSucceeded: green, client.OperationStatusFailed: red}[op.Status]
	if colour == "" {
		colour = yellow
	}
	e.line("%s  %s", e.paint(e.Out, bold, op.Operation), e.paint(e.Out, colour, status))
	e.line("  id        %s", op.Id)
	e.line("  by        %s", op.CreatedBy)
	e.line("  accepted  %s", op.AcceptedAt.Local().Format(time.DateTime))
	after := func(what string, at *time.Time) {
		if at != nil {
			e.line("  %-8s  %s later", what, at.Sub(op.AcceptedAt).Round(time.Millisecond))
		}
	}
	after("started", op.StartedAt)
	after("finished", op.FinishedAt)
	if text := howFar(op.Progress, ""); text != "" {
		e.line("  progress  %s", text)
	}
	if op.Answer == nil {
		return
	}
	answer, err := json.MarshalIndent(op.Answer, "", "  ")
	if err != nil {
		return
	}
	label := "answer"
	for line := range strings.Lines(string(answer)) {
		e.line("  %-8s  %s", label, oneLine(strings.TrimSuffix(line, "\n")))
		label = ""
	}
}

func clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }
