package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func (e *env) migrateCommand() *cobra.Command {
	var skipNATS, skipOwner bool
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring database and streams to this version",
		Long: `Makes roles, schemas and tables, and the users, streams and consumers of NATS, or
brings them to this version. It is safe to run twice, by several at once, and
after a crash in the middle. A database of a newer version is refused. ` + "`up`" + ` does
this by itself; an installation of separate processes runs it before them.

--database-url must be a direct connection as a role that may create roles and
schemas.`,
		Example: "  commandcenter migrate --database-url postgres://admin:secret@db/cc --nats-url nats://nats:4222",
		Args:    nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := e.open(cmd.Context(), "migrate")
			if err != nil {
				return err
			}
			return p.finish(cmd.Context(), e.migrate(cmd.Context(), p, skipNATS, skipOwner))
		},
	}
	waitFlag(c, stack.MigrateWait)
	c.Flags().BoolVar(&skipNATS, "no-nats", false, "leave NATS alone")
	c.Flags().BoolVar(&skipOwner, "no-owner", false, "make no owner's account")
	e.bind(c, false, "database_url", "nats_url")
	return ends(c, codesServer...)
}

func (e *env) migrate(ctx context.Context, p *process, skipNATS, skipOwner bool) error {
	report := map[string]any{"schemas": schemaNames(), "streams": false, "owner_created": false}
	if err := stack.AwaitDatabase(ctx, p.Env); err != nil {
		return err
	}
	if err := stack.Migrate(ctx, p.Env); err != nil {
		return err
	}
	if !skipNATS && p.Config.NATSURL != "" {
		if err := stack.ProvisionNATS(ctx, p.Env); err != nil {
			return err
		}
		report["streams"] = true
	}
	if !skipOwner {
		made, err := stack.Owner(ctx, p.Env)
		if err != nil {
			return err
		}
		report["owner_created"] = made
		if made {
			e.say("Made the owner's account; its password is in %s", p.Dir.OwnerPasswordFile())
		}
	}
	if e.json {
		e.print(e.Out, report)
		return nil
	}
	e.line("Database and streams are up to date.")
	return nil
}

func schemaNames() []string {
	var out []string
	for _, s := range stack.Schemas() {
		out = append(out, s.Name)
	}
	return out
}
