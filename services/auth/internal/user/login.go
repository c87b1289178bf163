package user

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Credentials is what is known of an address before a password is compared.
// Without an account User and Hash are zero.
type Credentials struct {
	User     User
	Hash     string
	Attempts Attempts // from the client's address
	Account  Attempts // from all addresses
}

// Authenticator tells whose password it is.
type Authenticator struct {
	Passwords verifier
	Accounts  ledger
	Throttle  Throttle // of an account, per client address
	Ceiling   Throttle // of an account
	Now       func() time.Time
	// Refused, when set, is told of each login that is refused for an address that has
	// an account, and why: [WhyPassword], [WhyLocked] or [WhyInactive].
	Refused func(ctx context.Context, userID int64, why string)
}

// Why a login is refused, for the audit log. Who logs in is told less.
const (
	WhyPassword = "wrong_password"
	WhyLocked   = "locked"
	WhyInactive = "deactivated"
)

type verifier interface {
	InTurn(ctx context.Context, work func(ctx context.Context) error) error
	Verify(plain, stored string) (match, stale bool, err error)
	Hash(plain string) (string, error)
}

type ledger interface {
	// Credentials reads the account of an e-mail address and its records, of the
	// client and of all, in one statement.
	Credentials(ctx context.Context, email, client string) (Credentials, error)
	// Failed applies next to both records, under their locks.
	Failed(ctx context.Context, email, client string, now time.Time, next func(here, all Attempts) (Attempts, Attempts)) error
	// LoggedIn clears both records and notes the time; rehash, when not empty,
	// replaces the stored hash, unless the account has another version by now.
	LoggedIn(ctx context.Context, u User, client string, now time.Time, rehash string) error
}

// Authenticate returns the account that email and password belong to, and
// forgets the failures before. client is the network address of the caller, ""
// when nobody knows it. It returns [ErrIncorrect] alike for an unknown e-mail
// address and a wrong password, [ErrLocked] with a time to wait after too many
// failures (even for the right password: a lock that opens is none), and
// [ErrInactive] only for the right password.
//
// Few failures lock the account for the address that they came from, so that
// nobody locks it for its owner; many, from wherever, lock it for all.
//
// Looking, comparing and counting happen in one turn, so that guesses made at
// the same time cannot pass the lock together: there are at most as many of
// them as there are turns.
func (a Authenticator) Authenticate(ctx context.Context, email, password, client string) (User, error) {
	// What cannot be an address has no account; it costs the same.
	key, err := Normalise(email)
	known := err == nil
	var found Credentials
	err = a.Passwords.InTurn(ctx, func(ctx context.Context) error {
		if known {
			if found, err = a.Accounts.Credentials(ctx, key, client); err != nil {
				return fmt.Errorf("look up credentials: %w", err)
			}
			if wait := max(found.Attempts.Wait(a.Now()), found.Account.Wait(a.Now())); wait > 0 {
				return ErrLocked.After(wait)
			}
		}
		match, stale, err := a.Passwords.Verify(password, found.Hash)
		if err != nil {
			return fmt.Errorf("compare password: %w", err)
		}
		if !match {
			return a.refuse(ctx, key, client, known)
		}
		if !found.User.Active {
			return ErrInactive
		}
		rehash := ""
		if stale {
			if rehash, err = a.Passwords.Hash(password); err != nil {
				return fmt.Errorf("hash password anew: %w", err)
			}
		}
		if err := a.Accounts.LoggedIn(ctx, found.User, client, a.Now(), rehash); err != nil {
			return fmt.Errorf("note login: %w", err)
		}
		return nil
	})
	if err != nil {
		a.tell(ctx, found.User.ID, err)
		return User{}, err
	}
	return found.User, nil
}

// tell says whose account was not opened. It does nothing that takes time.
func (a Authenticator) tell(ctx context.Context, id int64, err error) {
	if a.Refused == nil || id == 0 {
		return
	}
	switch {
	case errors.Is(err, ErrIncorrect):
		a.Refused(ctx, id, WhyPassword)
	case errors.Is(err, ErrLocked):
		a.Refused(ctx, id, WhyLocked)
	case errors.Is(err, ErrInactive):
		a.Refused(ctx, id, WhyInactive)
	}
}

func (a Authenticator) refuse(ctx context.Context, key, client string, known bool) error {
	if !known {
		return ErrIncorrect
	}
	now := a.Now()
	err := a.Accounts.Failed(ctx, key, client, now, func(here, all Attempts) (Attempts, Attempts) {
		return a.Throttle.Fail(here, now), a.Ceiling.Fail(all, now)
	})
	if err != nil {
		return fmt.Errorf("count failed login: %w", err)
	}
	return ErrIncorrect
}
