package stack

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/obs"
)

// StopWithin is what everything together gets to stop.
const StopWithin = 25 * time.Second

// Up runs everything in this process until ctx ends or a part fails. after is
// started last, when the product can be used.
func Up(ctx context.Context, e *Env, after ...app.Part) error {
	nats, postgres := &natsPart{env: e}, &postgresPart{env: e}
	var inner, edge []app.Part
	var checks []app.Check
	for _, s := range services() {
		p := newServicePart(e, s, nats)
		checks = append(checks, p.check())
		if s.edge {
			edge = append(edge, p)
		} else {
			inner = append(inner, p)
		}
	}
	groups := append(infrastructure(e, nats, postgres), setUp(e), append(inner, wardens(e, nats, []string{RoleNATS})...), edge)
	if e.Config.Ops != "" {
		groups = append(groups, []app.Part{obs.NewOps(e.Config.Ops, e.Registry, e.Log, checks...)})
	}
	for _, p := range after {
		groups = append(groups, []app.Part{p})
	}
	return app.Run(ctx, e.Log, StopWithin, groups...)
}

// setUp is what must be true of the database before a service starts.
func setUp(e *Env) []app.Part {
	return []app.Part{app.InOrder("set-up",
		app.Func("migrations", func(ctx context.Context) error { return Migrate(ctx, e) }, nil),
		app.Func("owner", func(ctx context.Context) error {
			_, err := Owner(ctx, e)
			return err
		}, nil),
	)}
}

// infrastructure is NATS and PostgreSQL, each given or ours. What was given is
// looked at first: if it does not answer, nothing of ours is set up for nothing.
func infrastructure(e *Env, nats, postgres app.Part) [][]app.Part {
	var given, ours []app.Part
	if e.Config.NATSURL != "" {
		given = append(given, nats)
	} else {
		ours = append(ours, nats)
	}
	if e.Config.DatabaseURL != "" {
		given = append(given, app.Func("database", func(ctx context.Context) error { return AwaitDatabase(ctx, e) }, nil))
	} else {
		ours = append(ours, postgres)
	}
	return [][]app.Part{given, ours}
}
