package stack

import (
	"context"
	"errors"

	"github.com/commandcenter/commandcenter/services/auth"
)

// IssuePasswordReset lets somebody choose a password anew, see
// [auth.IssuePasswordReset]. It asks the database and no service.
func IssuePasswordReset(ctx context.Context, e *Env, operator, account string, addPassword bool) (auth.PasswordReset, error) {
	s, err := find(auth.Name)
	if err != nil {
		return auth.PasswordReset{}, err
	}
	s.conns = 2
	db, err := open(ctx, e, s)
	if err != nil {
		return auth.PasswordReset{}, err
	}
	r, err := auth.IssuePasswordReset(ctx, db, e.Config.Auth, operator, account, addPassword)
	return r, errors.Join(err, db.Close())
}
