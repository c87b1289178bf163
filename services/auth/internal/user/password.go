package user

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ErrOldPassword is no [ErrIncorrect]: the caller is known, and a client that
// took it for an ended session would log in again.
var ErrOldPassword = errs.New(errs.Forbidden, "the old password is incorrect")

// Changer changes passwords.
type Changer struct {
	Authenticator Authenticator
	Passwords     policy
	Accounts      keeper
	Now           func() time.Time
}

type keeper interface {
	// ChangePassword replaces the hash and ends every session but the caller's. It
	// returns [ErrChanged] when the account has another version by now, and
	// [session.ErrEnded] when the caller's session has ended meanwhile.
	ChangePassword(ctx context.Context, by tenant.Identity, u User, hash string, now time.Time) error
}

// Change gives the caller's account, which has that address, a new password, and
// ends its sessions but the caller's. A wrong old password counts as a failed login
// from that session, so that a stolen one cannot guess without end.
func (c Changer) Change(ctx context.Context, caller tenant.Identity, email, old, fresh string) error {
	local, _, _ := strings.Cut(email, "@")
	if word, sentence := c.Passwords.Fault(fresh, email, local); word != "" {
		return errs.InvalidField(word, sentence, "body", "new_password")
	}
	u, err := c.Authenticator.Authenticate(ctx, email, old, "session:"+caller.Session)
	if errors.Is(err, ErrIncorrect) {
		return ErrOldPassword
	}
	if err != nil {
		return err
	}
	if fresh == old {
		return errs.InvalidField("value_error", "the new password is the old one", "body", "new_password")
	}
	return c.Passwords.InTurn(ctx, func(ctx context.Context) error {
		hash, err := c.Passwords.Hash(fresh)
		if err != nil {
			return fmt.Errorf("hash password: %w", err)
		}
		return c.Accounts.ChangePassword(ctx, caller, u, hash, c.Now())
	})
}
