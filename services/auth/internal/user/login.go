package user

import (
	"context"
	"fmt"
	"time"
)

// Credentials is what is known of an address before a password is compared.
// Without an account User and Hash are zero.
type Credentials struct {
	User     User
	Hash     string
	Attempts Attempts
}

// Authenticator tells whose password it is.
type Authenticator struct {
	Passwords verifier
	Accounts  ledger
	Throttle  Throttle
	Now       func() time.Time
}

type verifier interface {
	InTurn(ctx context.Context, work func(ctx context.Context) error) error
	Verify(plain, stored string) (match, stale bool, err error)
	Hash(plain string) (string, error)
}

type ledger interface {
	// Credentials reads account and record of an address in one statement.
	Credentials(ctx context.Context, email string) (Credentials, error)
	// Failed applies next to the record of the address, under its lock.
	Failed(ctx context.Context, email string, now time.Time, next func(Attempts) Attempts) error
	// LoggedIn clears the record and notes the time; rehash, when not empty,
	// replaces the stored hash.
	LoggedIn(ctx context.Context, u User, now time.Time, rehash string) error
}

// Authenticate returns the account that email and password belong to, and
// forgets the failures before. It returns [ErrIncorrect] alike for an unknown
// address and a wrong password, [ErrLocked] with a time to wait after too many
// failures (even for the right password: a lock that opens is none), and
// [ErrInactive] only for the right password.
//
// Looking, comparing and counting happen in one turn, so that guesses made at
// the same time cannot pass the lock together: there are at most as many of
// them as there are turns.
func (a Authenticator) Authenticate(ctx context.Context, email, password string) (User, error) {
	// What cannot be an address has no account; it costs the same.
	key, err := Normalise(email)
	known := err == nil
	var found Credentials
	err = a.Passwords.InTurn(ctx, func(ctx context.Context) error {
		if known {
			if found, err = a.Accounts.Credentials(ctx, key); err != nil {
				return fmt.Errorf("look up credentials: %w", err)
			}
			if wait := found.Attempts.Wait(a.Now()); wait > 0 {
				return ErrLocked.After(wait)
			}
		}
		match, stale, err := a.Passwords.Verify(password, found.Hash)
		if err != nil {
			return fmt.Errorf("compare password: %w", err)
		}
		if !match {
			return a.refuse(ctx, key, known)
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
		if err := a.Accounts.LoggedIn(ctx, found.User, a.Now(), rehash); err != nil {
			return fmt.Errorf("note login: %w", err)
		}
		return nil
	})
	if err != nil {
		return User{}, err
	}
	return found.User, nil
}

func (a Authenticator) refuse(ctx context.Context, key string, known bool) error {
	if !known {
		return ErrIncorrect
	}
	now := a.Now()
	err := a.Accounts.Failed(ctx, key, now, func(before Attempts) Attempts { return a.Throttle.Fail(before, now) })
	if err != nil {
		return fmt.Errorf("count failed login: %w", err)
	}
	return ErrIncorrect
}
