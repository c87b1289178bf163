package stack

import (
	"context"
	"fmt"
	"slices"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

// Locks are the locks of the data directory that a process with these roles
// has to hold: of what it alone may touch.
func Locks(roles []string, c settings.Config) []string {
	var out []string
	switch member := c.Cluster.Name; {
	case !slices.Contains(roles, RoleNATS):
	case member != "":
		out = append(out, datadir.LockMember(member))
	default:
		out = append(out, datadir.LockNATS)
	}
	if slices.Contains(roles, RolePostgres) {
		out = append(out, datadir.LockPostgres)
	}
	return out
}

// Serve runs some of the product in this process, until ctx ends or a part
// fails. What it does not run itself it finds at the addresses of the
// configuration, else where another process of this data directory has said
// that it is; it waits for that for a while.
func Serve(ctx context.Context, e *Env, roles []string, after ...app.Part) error {
	nats := &natsPart{env: e}
	var infra, inner, edge []app.Part
	var checks []app.Check
	if slices.Contains(roles, RoleNATS) {
		infra = append(infra, nats)
		checks = append(checks, nats.check())
	} else {
		infra = append(infra, app.Func("trust", func(ctx context.Context) error { return attach(ctx, e, nats) }, nil))
	}
	if slices.Contains(roles, RolePostgres) {
		infra = append(infra, &postgresPart{env: e})
	}
	for _, name := range roles {
		if name == RoleNATS || name == RolePostgres {
			continue
		}
		s, err := find(name)
		if err != nil {
			return err
		}
		p := newServicePart(e, s, nats)
		p.wait = e.Wait
		checks = append(checks, p.check())
		if s.edge {
			edge = append(edge, p)
		} else {
			inner = append(inner, p)
		}
	}
	if len(inner)+len(edge) == 0 && !slices.Contains(roles, RoleNATS) {
		infra = infra[1:] // PostgreSQL alone needs no trust
	}
	groups := [][]app.Part{infra, append(inner, wardens(e, nats, roles)...), edge}
	if e.Config.Ops != "" {
		groups = append(groups, []app.Part{obs.NewOps(e.Config.Ops, e.Registry, e.Log, checks...)})
	}
	for _, p := range after {
		groups = append(groups, []app.Part{p})
	}
	return app.Run(ctx, e.Log, StopWithin, groups...)
}

// attach reads the trust that the process with NATS has written.
func attach(ctx context.Context, e *Env, n *natsPart) error {
	return e.await(ctx, "the keys in "+e.Dir.Keys(), e.Wait, func(context.Context) error {
		var err error
		if n.trust, err = natsd.LoadTrust(e.Dir.Path()); err != nil {
			return fmt.Errorf("%w (they are written by `commandcenter serve nats`, `migrate` or `up`)", err)
		}
		return nil
	})
}
