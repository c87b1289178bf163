package auth

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg"

	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/reset"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// PasswordReset is a secret with which the owner of an account chooses its
// password anew, once.
type PasswordReset struct {
	UserID    int64
	Email     string
	ExpiresAt time.Time
	Secret    string
	Link      string // "" without a page
}

// IssuePasswordReset makes one for an account, named by its id or its address, as
// a superuser does over HTTP: for whoever has the machine, when no superuser can
// log in. The instance's audit log says that the operator did; it is told together
// with the reset, and has it as soon as the service runs.
func IssuePasswordReset(ctx context.Context, db *pg.DB, c Config, operator, account string, addPassword bool) (PasswordReset, error) {
	if err := c.Validate(); err != nil {
		return PasswordReset{}, fmt.Errorf("password reset: %w", err)
	}
	store := postgres.New(db)
	id, err := accountID(ctx, postgres.Users{Store: store}, account)
	if err != nil {
		return PasswordReset{}, err
	}
	resets := reset.Service{Resets: postgres.Resets{Store: store}, Life: c.PasswordResetLife, Page: c.page(c.PasswordResetURL), Now: clock(nil)}
	is, err := resets.IssueHere(ctx, operator, id, addPassword)
	if err != nil {
		return PasswordReset{}, err
	}
	return PasswordReset{UserID: is.User.ID, Email: user.Shown(is.User.Email), ExpiresAt: is.ExpiresAt, Secret: is.Secret, Link: is.Link}, nil
}

// accountID finds an account by its id or its address.
func accountID(ctx context.Context, users postgres.Users, account string) (int64, error) {
	if id, err := strconv.ParseInt(account, 10, 64); err == nil {
		return id, nil
	}
	email, err := user.Normalise(account)
	if err != nil {
		return 0, user.ErrUnknown.Because(err)
	}
	known, err := users.Credentials(ctx, email, "")
	if err != nil {
		return 0, fmt.Errorf("look for an account: %w", err)
	}
	if known.User.ID == 0 {
		return 0, user.ErrUnknown
	}
	return known.User.ID, nil
}
