package stack

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/outbox"
)

// Reconciled is what the stream of events has of one service.
type Reconciled struct {
	Service string
	outbox.Reconciliation
}

// Reconcile compares what each service has said with the stream of events, and
// has it said again what the stream lacks, unless look is set. The services may
// run; what is missing is published by them.
func Reconcile(ctx context.Context, e *Env, js jetstream.JetStream, look bool) ([]Reconciled, error) {
	var out []Reconciled
	for _, s := range services() {
		if s.schema == nil {
			continue
		}
		s.conns = 2
		db, err := open(ctx, e, s)
		if err != nil {
			return out, fmt.Errorf("%s: %w", s.name, err)
		}
		r, err := outbox.Reconcile(ctx, db, js, bus.StreamEvents, look)
		if err := errors.Join(err, db.Close()); err != nil {
			return out, err
		}
		out = append(out, Reconciled{s.name, r})
	}
	return out, nil
}
