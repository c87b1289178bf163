package signon

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Refusals.
var (
	ErrNone     = errs.New(errs.NotFound, "no identity provider is set up here")
	ErrFlow     = errs.New(errs.Unauthenticated, "this login was begun in another browser, or too long ago: begin again")
	errRefused  = errs.New(errs.Unauthenticated, "the identity provider did not let you in")
	errAway     = errs.New(errs.Unavailable, "the identity provider cannot be reached at the moment").After(5 * time.Second)
	ErrAddress  = errs.New(errs.Forbidden, "the identity provider does not vouch for an e-mail address of yours")
	ErrClosed   = errs.New(errs.Forbidden, "there is no account for you here, and not everybody may register")
	ErrTaken    = errs.New(errs.Forbidden, "the account of your address belongs to somebody else of the identity provider")
	ErrPowerful = errs.New(errs.Forbidden, "the account of a superuser is not linked by its address")
)

// Login logs people in by an identity provider.
type Login struct {
	Provider  provider // nil: none is set up
	Sealer    *Sealer
	Accounts  accounts
	Passwords hasher
	Open      bool // everybody may register
	Now       func() time.Time
}

type provider interface {
	Address(ctx context.Context, state, nonce, verifier string) (string, error)
	Redeem(ctx context.Context, code, nonce, verifier string) (Identity, error)
}

type accounts interface {
	// ByIdentity returns the account of an identity, or [user.ErrUnknown].
	ByIdentity(ctx context.Context, issuer, subject string) (user.User, error)
	// Link gives the account of the address to the identity: its sessions and keys
	// end, its hash is replaced. It returns [user.ErrUnknown] without an account,
	// [ErrTaken] for one that is linked already, and [ErrPowerful].
	Link(ctx context.Context, id Identity, hash string, now time.Time) (user.User, error)
	// Create makes an account, or returns [user.ErrRegistered].
	Create(ctx context.Context, d user.Draft, now time.Time) (user.User, error)
}

type hasher interface {
	InTurn(ctx context.Context, work func(ctx context.Context) error) error
	Hash(plain string) (string, error)
}

// Begin returns where to send somebody, and what its browser has to keep.
func (l Login) Begin(ctx context.Context, returnTo string) (address, cookie string, err error) {
	if l.Provider == nil {
		return "", "", ErrNone
	}
	f := flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), ReturnTo: local(returnTo), Expires: l.Now().Add(FlowLife)}
	if address, err = l.Provider.Address(ctx, f.State, f.Nonce, f.Verifier); err != nil {
		return "", "", errAway.Because(err)
	}
	cookie, err = l.Sealer.seal(f)
	return address, cookie, err
}

// Answer is what the provider sent somebody back with.
type Answer struct {
	Code, State, Error string
	Cookie             string // of the flow
}

// Finish returns the account of whoever comes back, and where they wanted to go.
func (l Login) Finish(ctx context.Context, a Answer) (u user.User, returnTo string, err error) {
	if l.Provider == nil {
		return user.User{}, "", ErrNone
	}
	f, err := l.Sealer.open(a.Cookie)
	if err != nil {
		return user.User{}, "", ErrFlow.Because(err)
	}
	switch {
	case !l.Now().Before(f.Expires), subtle.ConstantTimeCompare([]byte(a.State), []byte(f.State)) != 1:
		return user.User{}, "", ErrFlow
	case a.Error != "" || a.Code == "":
		return user.User{}, "", errRefused.Because(fmt.Errorf("the provider says %q", a.Error))
	}
	id, err := l.Provider.Redeem(ctx, a.Code, f.Nonce, f.Verifier)
	if err != nil {
		var told *oauth2.RetrieveError
		switch {
		case errors.Is(err, errRefused):
			return user.User{}, "", err
		case errors.As(err, &told) && told.Response.StatusCode < 500:
			return user.User{}, "", errRefused.Because(err)
		}
		return user.User{}, "", errAway.Because(err)
	}
	u, err = l.account(ctx, id)
	switch {
	case err != nil:
		return user.User{}, "", err
	case !u.Active:
		return user.User{}, "", user.ErrInactive
	}
	return u, f.ReturnTo, nil
}

// account finds the account of an identity, links one, or makes one.
func (l Login) account(ctx context.Context, id Identity) (user.User, error) {
	u, err := l.Accounts.ByIdentity(ctx, id.Issuer, id.Subject)
	if !errors.Is(err, user.ErrUnknown) {
		return u, err
	}
	email, err := user.Normalise(id.Email)
	if err != nil || !id.Verified {
		return user.User{}, ErrAddress
	}
	id.Email = email
	var hash string
	err = l.Passwords.InTurn(ctx, func(context.Context) (err error) {
		hash, err = l.Passwords.Hash(rand.Text()) // nobody knows the password
		return err
	})
	if err != nil {
		return user.User{}, fmt.Errorf("hash a password: %w", err)
	}
	u, err = l.Accounts.Link(ctx, id, hash, l.Now())
	if !errors.Is(err, user.ErrUnknown) {
		return u, err
	}
	if !l.Open {
		return user.User{}, ErrClosed
	}
	d := user.Draft{Email: email, Hash: hash}
	if id.Name != "" && len(id.Name) <= user.MaxName {
		d.FullName = &id.Name
	}
	if _, err := l.Accounts.Create(ctx, d, l.Now()); err != nil && !errors.Is(err, user.ErrRegistered) {
		return user.User{}, fmt.Errorf("make an account: %w", err)
	}
	// One that dies here is linked at the next login.
	return l.Accounts.Link(ctx, id, hash, l.Now())
}
