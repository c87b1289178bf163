package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func (e *env) busReplay() *cobra.Command {
	var project int64
	var since time.Duration
	c := &cobra.Command{
		Use:   "replay SERVICE",
		Short: "What a service keeps, as facts, for who has heard none",
		Long: `Asks a service to tell its state as facts, with the versions of now: auth tells
projects and memberships, knowledge documents. A reader that is new, or begins
anew, builds from them what EVENTS does not hold any more. They are told to who
asks, and not said on the bus again; the id of each follows from what it says. Of
what is deleted nothing is told.`,
		Example: "  commandcenter bus replay auth\n  commandcenter bus replay knowledge --of 1 --since 24h --json | jq -c .data",
		Args:    nargs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if project < 0 {
				return usageError{fmt.Errorf("--of %d: want the id of a project, or 0 for all", project)}
			}
			q := bus.ReplayQuery{Project: tenant.Project(project)}
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			return e.replay(cmd.Context(), args[0], q)
		},
		ValidArgsFunction: cobra.FixedCompletions(stack.Names(), cobra.ShellCompDirectiveNoFileComp),
	}
	c.Flags().Int64Var(&project, "of", 0, "only this project, by id; 0 is all")
	lasting(c.Flags(), &since, "since", 0, "only what has changed in this time: 24h; memberships are told always")
	return ends(c, codesBus...)
}

func (e *env) replay(ctx context.Context, service string, q bus.ReplayQuery) error {
	b, err := e.adminBus(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	n := 0
	d := &deed{operation: "replayFacts", project: q.Project}
	d.on("service", service)
	err = e.recorded(ctx, b, d, func() error {
		err := b.Replay(ctx, service, q, func(s bus.Said) error {
			n++
			e.printMessage(readMessage(s.Subject, s.Time, s.Header, s.Data), false)
			return nil
		})
		d.on("facts", strconv.Itoa(n))
		return err
	})
	if errs.KindOf(err) == errs.Unavailable {
		err = fmt.Errorf("%w, or keeps nothing that it could tell", err)
	}
	if err != nil {
		return codedError{err, exitUnavailable}
	}
	e.say("%d facts.", n)
	return nil
}
