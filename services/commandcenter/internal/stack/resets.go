package stack

import (
	"context"
	"errors"

	"github.com/commandcenter/commandcenter/pkg/pg"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	"github.com/commandcenter/commandcenter/services/auth"
)

// IssuePasswordReset lets somebody choose a password anew, see
// [auth.IssuePasswordReset]. It asks the database and no service.
func IssuePasswordReset(ctx context.Context, e *Env, operator, account string, addPassword bool) (auth.PasswordReset, error) {
	db, err := openAuth(ctx, e)
	if err != nil {
		return auth.PasswordReset{}, err
	}
	r, err := auth.IssuePasswordReset(ctx, db, e.Config.Auth, operator, account, addPassword)
	return r, errors.Join(err, db.Close())
}

// Record tells the instance's audit log what an operator has done, see
// [auth.Record].
func Record(ctx context.Context, e *Env, m *platformv1.CallRecorded) error {
	db, err := openAuth(ctx, e)
	if err != nil {
		return err
	}
	m.Service = auth.Name
	return errors.Join(auth.Record(ctx, db, m), db.Close())
}

func openAuth(ctx context.Context, e *Env) (*pg.DB, error) {
	s, err := find(auth.Name)
	if err != nil {
		return nil, err
	}
	s.conns = 2
	return open(ctx, e, s)
}
