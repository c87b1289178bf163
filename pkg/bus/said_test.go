package bus_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/outbox"
)

// holding is a publisher that holds every message until it is opened.
type holding struct {
	asked chan struct{}
	open  chan struct{}
}

func (g holding) Publish(ctx context.Context, _, _ string, _ nats.Header, _ []byte) (string, uint64, error) {
	select {
	case g.asked <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
		return "e", 1, nil
	case <-ctx.Done():
		return "", 0, context.Cause(ctx)
	}
}

func TestTheEndOfARightIsToldToAllBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"request", "command"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			end := func(ctx context.Context) error {
				return w.db.InTenant(ctx, alice.Project, func(ctx context.Context, tx *sqlx.Tx) error {
					return outbox.Add(ctx, tx, &authv1.MembershipChanged{ProjectId: int32(alice.Project), UserId: 9, Version: 2}, outbox.Heard())
				})
			}
			call := func() error { return w.ask(t, "", alice) }
			if kind == "request" {
				w.keep(end)
			} else {
				w.Run(w.serve(bus.ServerConfig{}, func(ctx context.Context, _ echoRequest) error { return end(ctx) }))
				call = func() error {
					_, err := w.give(t, `{"text":"a"}`, bus.CommandOptions{})
					return err
				}
			}
			g := holding{make(chan struct{}, 1), make(chan struct{})}
			w.Run(outbox.NewRelay(w.db, g, nil))
			answered := make(chan error, 1)
			go func() { answered <- call() }()
			select {
			case <-g.asked:
			case <-t.Context().Done():
			}
			select {
			case err := <-answered:
				t.Fatalf("answered before anybody was told: %v", err)
			default:
			}
			close(g.open)
			if err := <-answered; err != nil {
				t.Error(err)
			}
			bustest.Eventually(w.Env, func() bool { return w.unsaid(t) == 0 })
		})
	}
}

// unsaid is how many facts wait to be published.
func (w *world) unsaid(t *testing.T) (n int) {
	t.Helper()
	err := w.db.AcrossProjects(t.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM outbox WHERE published_at IS NULL`)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
