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
	// Link gives the account of the address to the identity: its hash is replaced,
	// and what is [Ended] ends. Of the account proven nothing ends. It returns
	// [user.ErrUnknown] without an account, [ErrTaken] for one that is linked
	// already, and [ErrPowerful].
	Link(ctx context.Context, id Identity, hash string, proven int64, now time.Time) (user.User, Ended, error)
	// Create makes an account, or returns [user.ErrRegistered].
	Create(ctx context.Context, d user.Draft, now time.Time) (user.User, error)
}

// Ended is what a link has ended, of the account that nobody had vouched for: all
// that still let somebody in who had registered the address before its owner came.
// In projects of the account that is everybody and everything else; in those of
// others, what the account has made there.
type Ended struct {
	Sessions, Keys, ServiceAccounts, Invitations, Members int
}

// Counted is one kind of what has ended.
type Counted struct {
	Name  string
	Count int
}

// Named is what there was of, for a record.
func (e Ended) Named() (out []Counted) {
	for _, c := range []Counted{
		{"ended_sessions", e.Sessions}, {"ended_keys", e.Keys}, {"ended_service_accounts", e.ServiceAccounts},
		{"ended_invitations", e.Invitations}, {"ended_members", e.Members},
	} {
		if c.Count > 0 {
			out = append(out, c)
		}
	}
	return out
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
	// Proven is the account in which this browser is logged in already, 0 for none:
	// its password was known here.
	Proven int64
}

// Came is who has come back from the provider.
type Came struct {
	User     user.User
	ReturnTo string
	Linked   *Ended // the account was linked just now, and this has ended
}

// Finish returns the account of whoever comes back, and where they wanted to go.
func (l Login) Finish(ctx context.Context, a Answer) (Came, error) {
	if l.Provider == nil {
		return Came{}, ErrNone
	}
	f, err := l.Sealer.open(a.Cookie)
	if err != nil {
		return Came{}, ErrFlow.Because(err)
	}
	switch {
	case !l.Now().Before(f.Expires), subtle.ConstantTimeCompare([]byte(a.State), []byte(f.State)) != 1:
		return Came{}, ErrFlow
	case a.Error != "" || a.Code == "":
		return Came{}, errRefused.Because(fmt.Errorf("the provider says %q", a.Error))
	}
	id, err := l.Provider.Redeem(ctx, a.Code, f.Nonce, f.Verifier)
	if err != nil {
		var told *oauth2.RetrieveError
		switch {
		case errors.Is(err, errRefused):
			return Came{}, err
		case errors.As(err, &told) && told.Response.StatusCode < 500:
			return Came{}, errRefused.Because(err)
		}
		return Came{}, errAway.Because(err)
	}
	c, err := l.account(ctx, id, a.Proven)
	switch {
	case err != nil:
		return Came{}, err
	case !c.User.Active:
		return Came{}, user.ErrInactive
	}
	c.ReturnTo = f.ReturnTo
	return c, nil
}

// account finds the account of an identity, links one, or makes one.
func (l Login) account(ctx context.Context, id Identity, proven int64) (Came, error) {
	u, err := l.Accounts.ByIdentity(ctx, id.Issuer, id.Subject)
	if !errors.Is(err, user.ErrUnknown) {
		return Came{User: u}, err
	}
	email, err := user.Normalise(id.Email)
	if err != nil || !id.Verified {
		return Came{}, ErrAddress
	}
	id.Email = email
	var hash string
	err = l.Passwords.InTurn(ctx, func(context.Context) (err error) {
		hash, err = l.Passwords.Hash(rand.Text()) // nobody knows the password
		return err
	})
	if err != nil {
		return Came{}, fmt.Errorf("hash a password: %w", err)
	}
	u, ended, err := l.Accounts.Link(ctx, id, hash, proven, l.Now())
	if !errors.Is(err, user.ErrUnknown) {
		return Came{User: u, Linked: &ended}, err
	}
	if !l.Open {
		return Came{}, ErrClosed
	}
	d := user.Draft{Email: email, Hash: hash}
	if id.Name != "" && len(id.Name) <= user.MaxName {
		d.FullName = &id.Name
	}
	if _, err := l.Accounts.Create(ctx, d, l.Now()); err != nil && !errors.Is(err, user.ErrRegistered) {
		return Came{}, fmt.Errorf("make an account: %w", err)
	}
	// One that dies here is linked at the next login.
	u, ended, err = l.Accounts.Link(ctx, id, hash, proven, l.Now())
	return Came{User: u, Linked: &ended}, err
}
