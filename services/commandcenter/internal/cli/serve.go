package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func (e *env) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve SERVICE...",
		Short: "Run some parts in this process",
		Long: `Runs the named parts: ` + strings.Join(stack.Roles(), ", ") + `.

Parts find each other at --nats-url and --database-url, else through the data
directory, where nats and postgres write down where they are. Credentials come
from the data directory (or a copy of its keys). Start order does not matter: a
part waits for what it needs, the migrations included, as long as --wait says,
and tells what it is. Run ` + "`commandcenter migrate`" + ` once, and after each upgrade.`,
		Example: `  commandcenter serve nats
  commandcenter serve auth knowledge --database-url postgres://cc:secret@db/cc --nats-url nats://nats:4222
  commandcenter serve gateway --http :8000 --ops 127.0.0.1:9090`,
		Args:      nargs(1, -1),
		ValidArgs: stack.Roles(),
		RunE:      func(cmd *cobra.Command, args []string) error { return e.serve(cmd.Context(), args) },
	}
	waitFlag(c, stack.ServeWait)
	e.bind(c, false, serverKeys...)
	return ends(c, codesServer...)
}

func (e *env) serve(ctx context.Context, roles []string) error {
	for _, r := range roles {
		if !slices.Contains(stack.Roles(), r) {
			return usageError{fmt.Errorf("no service %q: there are %s", r, strings.Join(stack.Roles(), ", "))}
		}
	}
	roles = slices.Compact(slices.Sorted(slices.Values(roles)))
	if slices.Contains(roles, stack.RolePostgres) && e.cfg.DatabaseURL != "" {
		return usageError{errors.New("serve postgres starts a private server: leave --database-url out")}
	}
	if slices.Contains(roles, stack.RoleNATS) && e.cfg.NATSURL != "" {
		return usageError{errors.New("serve nats starts an embedded server: leave --nats-url out")}
	}
	if os.Getenv(stack.Supervised) != "" {
		ctx = e.supervised(ctx)
	}
	p, err := e.open(ctx, strings.Join(roles, "+"), stack.Locks(roles, e.cfg)...)
	if err != nil {
		return err
	}
	return p.finish(ctx, e.serveIn(ctx, p, roles))
}

func (e *env) serveIn(ctx context.Context, p *process, roles []string) error {
	if slices.Contains(roles, "gateway") {
		if err := free(ctx, e.cfg.HTTP, "--http", "CC_HTTP"); err != nil {
			return err
		}
	}
	ready := app.Func("ready", func(ctx context.Context) error {
		r := stack.Ready{Event: stack.EventReady, Roles: roles}
		if url := p.HTTP.Load(); url != nil {
			r.HTTP = *url
			e.publish(ctx, p)
		}
		if hub := p.Hub.Load(); hub != nil {
			r.Hub = *hub
		}
		if url := p.NATS.Load(); url != nil {
			r.NATS = *url
		}
		p.Log.Info("process.ready", "roles", roles)
		if e.json {
			e.print(e.Out, r)
			return nil
		}
		e.line("Ready: %s", strings.Join(roles, ", "))
		for _, h := range r.Hub {
			e.line("Hub: %s", h)
		}
		return nil
	}, nil)
	return stack.Serve(ctx, p.Env, roles, ready)
}

// publish tells clients of this machine where the gateway is, unless an `up`
// has done so of its own. Where the keys are a copy that cannot be written,
// clients have to be told.
func (e *env) publish(ctx context.Context, p *process) {
	if p.Dir.Holder() != 0 {
		return
	}
	if err := stack.PublishHTTP(p.Env); err != nil {
		p.Log.WarnContext(ctx, "process.publish", "err", err)
	}
}

// supervised ends the context when standard input does: it is a pipe from our
// parent, and ends with it.
func (e *env) supervised(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, err := io.Copy(io.Discard, e.In)
		cancel(errors.Join(fmt.Errorf("%w: the parent process is gone", app.ErrSignal), err))
	}()
	return ctx
}
