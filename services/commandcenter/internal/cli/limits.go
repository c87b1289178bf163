package cli

import (
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

func (e *env) limitsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "limits",
		Short: "How many calls each user may make in the project in use: show, set, reset",
		Example: `  commandcenter limits show
  commandcenter limits set writes 100/minute`,
	}
	e.bind(c, true, "client.server", "client.ca_file", "client.project")
	return group(c, e.limitsShow(), e.limitsSet(), e.limitsReset())
}

func (e *env) limitsShow() *cobra.Command {
	return ends(&cobra.Command{
		Use:     "show",
		Short:   "What holds, and why",
		Example: "  commandcenter limits show\n  commandcenter limits show --json | jq -r '.[] | [.class, .limit] | @tsv'",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			all, err := client.Into[[]client.EffectiveLimit](s.ListLimits(cmd.Context(), &client.ListLimitsParams{}))
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, all)
				return nil
			}
			t := newTable(e.Out, "CALLS", "LIMIT", "OF THE INSTANCE", "OF THE PROJECT")
			for _, l := range all {
				own := or(l.Project, "")
				if l.Raised {
					own += " (by a superuser)"
				}
				t.row(l.Class, or(l.Limit, "none"), or(l.Instance, "none"), own)
			}
			return t.flush()
		},
	}, codesClient...)
}

// limited are the classes of calls that a project can limit.
var limited = []string{"reads", "writes"}

func (e *env) limitsSet() *cobra.Command {
	return ends(&cobra.Command{
		Use:       "set reads|writes N/PERIOD",
		Short:     "Give the project a limit of its own",
		Long:      "PERIOD is second, minute, hour or day. An admin lowers the limit of the instance (a\nhigher one is refused with it); a superuser may raise it.",
		Example:   "  commandcenter limits set writes 100/minute\n  commandcenter limits set reads 20/second",
		Args:      nargs(2, 2),
		ValidArgs: limited,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.SetLimit(cmd.Context(), client.LimitClass(args[0]), &client.SetLimitParams{IdempotencyKey: &key}, client.LimitUpdate{Limit: args[1]})
			l, err := client.Finish[client.ProjectLimit](cmd.Context(), s, resp, err)
			if err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, l)
				return nil
			}
			e.line("The limit of %s is %s.", l.Class, l.Limit)
			return nil
		},
	}, codesClient...)
}

func (e *env) limitsReset() *cobra.Command {
	return ends(&cobra.Command{
		Use:       "reset reads|writes",
		Short:     "Let the limit of the instance hold again",
		Example:   "  commandcenter limits reset writes",
		Args:      nargs(1, 1),
		ValidArgs: limited,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.session()
			if err != nil {
				return err
			}
			key := uuid.NewString()
			resp, err := s.ResetLimit(cmd.Context(), client.LimitClass(args[0]), &client.ResetLimitParams{IdempotencyKey: &key})
			if _, err := client.Finish[any](cmd.Context(), s, resp, err); err != nil {
				return err
			}
			if e.json {
				e.print(e.Out, map[string]any{"class": args[0], "done": "reset"})
				return nil
			}
			e.line("The limit of the instance holds for %s.", args[0])
			return nil
		},
	}, codesOne...)
}
