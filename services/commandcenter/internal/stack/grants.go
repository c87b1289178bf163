package stack

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/config"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
)

// wardens is the part that ends the grants of deleted projects, in a process that
// has NATS. Where NATS is somebody else's it is the one with auth.
func wardens(e *Env, n *natsPart, roles []string) []app.Part {
	if !slices.Contains(roles, RoleNATS) && (e.Config.NATSURL == "" || !slices.Contains(roles, auth.Name)) {
		return nil
	}
	return []app.Part{&wardenPart{env: e, nats: n}}
}

// wardenPart runs only where the key is that signs grants: some processes are
// given less.
type wardenPart struct {
	env  *Env
	nats *natsPart
	w    *grants.Warden
}

func (p *wardenPart) Name() string { return "grants" }

func (p *wardenPart) Start(ctx context.Context) error {
	if !config.Exists(filepath.Join(p.env.Dir.Keys(), "operator.nk")) {
		p.env.Log.InfoContext(ctx, "grants.unwatched", "reason", "the operator's key is not here: revoke the grants of deleted projects where it is")
		return nil
	}
	w := &grants.Warden{
		Log: p.env.Log.With("service", "grants"),
		Book: grants.Book{Dir: p.env.Dir.Path(), Taker: Taker(), Now: time.Now, Connect: func(user string) (*nats.Conn, error) {
			return p.nats.connect(context.WithoutCancel(ctx), user)
		}},
		Connect: func(ctx context.Context) (*bus.Bus, error) {
			c, err := p.nats.bus(p.env, natsd.UserAdmin)
			if err != nil {
				return nil, err
			}
			return bus.Connect(ctx, c)
		},
	}
	if err := w.Start(ctx); err != nil {
		return err
	}
	p.w = w
	return nil
}

func (p *wardenPart) Stop(ctx context.Context) error {
	if p.w == nil {
		return nil
	}
	return p.w.Stop(ctx)
}
