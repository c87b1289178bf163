package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/commandcenter/commandcenter/pkg/pg"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
)

// Record tells the instance's audit log what an operator has done on the machine,
// where no service was asked: by the outbox in the database, so that the log has it
// as soon as the service runs.
func Record(ctx context.Context, db *pg.DB, m *platformv1.CallRecorded) error {
	if m.GetProjectId() != 0 || m.GetService() != Name {
		return errors.New("tell the audit log: what an operator does is of the instance and told by auth")
	}
	if err := (postgres.Trail{Store: postgres.New(db)}).Tell(ctx, m); err != nil {
		return fmt.Errorf("tell the audit log: %w", err)
	}
	return nil
}
