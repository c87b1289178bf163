package user

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
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
	// ChangePassword replaces the hash and ends every session but keep. It returns
	// [ErrChanged] when the account has another version by now.
	ChangePassword(ctx context.Context, u User, hash string, keep uuid.UUID, now time.Time) error
}

// Change gives the account of that address a new password, and ends its
// sessions but keep. A wrong old password counts as a failed login from that
// session, so that a stolen one cannot guess without end.
func (c Changer) Change(ctx context.Context, email, session, old, fresh string) error {
	local, _, _ := strings.Cut(email, "@")
	if word, sentence := c.Passwords.Fault(fresh, email, local); word != "" {
		return errs.InvalidField(word, sentence, "body", "new_password")
	}
	u, err := c.Authenticator.Authenticate(ctx, email, old, "session:"+session)
	if errors.Is(err, ErrIncorrect) {
		return ErrOldPassword
	}
	if err != nil {
		return err
	}
	if fresh == old {
		return errs.InvalidField("value_error", "the new password is the old one", "body", "new_password")
	}
	keep, err := uuid.Parse(session)
	if err != nil {
		keep = uuid.Nil // never the id of a session
	}
	return c.Passwords.InTurn(ctx, func(ctx context.Context) error {
		hash, err := c.Passwords.Hash(fresh)
		if err != nil {
			return fmt.Errorf("hash password: %w", err)
		}
		return c.Accounts.ChangePassword(ctx, u, hash, keep, c.Now())
	})
}
