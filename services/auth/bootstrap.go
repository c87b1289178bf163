package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// First is the account that a fresh instance begins with.
type First struct {
	Email    string
	Password string // random when empty
	FullName string
}

// Owner is the owner of the instance, as [Bootstrap] made or found it.
type Owner struct {
	UserID   int64
	Email    string
	Project  tenant.Project // the owner's default one; 0 when there is none
	Password string         // only when Created; otherwise nobody knows it here
	Created  bool
}

// NewPassword returns a random password of 130 bits that is easy to copy by
// hand: groups of lower-case letters and digits.
func NewPassword() string {
	s := []byte(rand.Text()) // base32, 26 characters
	out := make([]byte, 0, len(s)+4)
	for i, b := range s {
		if i > 0 && i%6 == 0 {
			out = append(out, '-')
		}
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		out = append(out, b)
	}
	return string(out)
}

// Bootstrap makes the owner of the instance, a superuser with a default project,
// unless there is a superuser; then it changes nothing and returns that one.
// Any number of processes may call it at the same time: one makes the account.
//
// Whoever wants to keep the password should write it down first and give it
// here: a process that dies between the two has then lost nothing.
func Bootstrap(ctx context.Context, db *pg.DB, first First, c Config) (Owner, error) {
	if err := c.Validate(); err != nil {
		return Owner{}, fmt.Errorf("bootstrap: %w", err)
	}
	store := postgres.New(db)
	users := postgres.Users{Store: store}
	now := clock(nil)
	resolve := func(u user.User) (Owner, error) {
		a, err := access.Resolver{Standing: store, Now: now}.Resolve(ctx, u.ID, tenant.Instance, "")
		return Owner{UserID: u.ID, Email: u.Email, Project: a.Project}, err
	}
	if u, found, err := users.Owner(ctx); err != nil {
		return Owner{}, fmt.Errorf("bootstrap: look for the owner: %w", err)
	} else if found {
		return resolve(u)
	}
	hasher, err := newHasher(c.Password)
	if err != nil {
		return Owner{}, fmt.Errorf("bootstrap: %w", err)
	}
	in := user.Registration{Email: first.Email, Password: first.Password}
	if in.Password == "" {
		in.Password = NewPassword()
	}
	if first.FullName != "" {
		in.FullName = &first.FullName
	}
	u, err := user.Registrar{Passwords: hasher, Accounts: users, Now: now}.Superuser(ctx, in)
	if errors.Is(err, user.ErrRegistered) {
		// Another process was faster, or a person took the address before there
		// was an owner. The first is fine; the second is for an administrator.
		if u, found, err := users.Owner(ctx); err == nil && found {
			return resolve(u)
		}
	}
	if err != nil {
		return Owner{}, fmt.Errorf("bootstrap: make the owner %s: %w", first.Email, err)
	}
	o, err := resolve(u)
	o.Password, o.Created = in.Password, true
	return o, err
}
