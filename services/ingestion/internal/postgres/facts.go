package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"
)

// Say says that a fact was accepted, in the transaction of ctx.
func (s *Store) Say(ctx context.Context, p tenant.Project, e *ingestionv1.FactAccepted) error {
	err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, e, outbox.At(e.GetOccurredAt().AsTime()))
	})
	if err != nil {
		return fmt.Errorf("say that %s was accepted: %w", e.GetFactId(), err)
	}
	return nil
}
