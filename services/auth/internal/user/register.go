package user

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Registration is what a person gives to get an account.
type Registration struct {
	Email    string
	Password string
	FullName *string
	// Invitation is the secret of one, "" for none.
	Invitation string
}

// Mode says who may register.
type Mode string

// The modes. The zero Mode is OpenToAll.
const (
	OpenToAll    Mode = "open"
	ByInvitation Mode = "invitation"
	Closed       Mode = "closed"
)

// Modes lists them.
func Modes() []Mode { return []Mode{OpenToAll, ByInvitation, Closed} }

// Registrar makes accounts.
type Registrar struct {
	Passwords   policy
	Accounts    creator
	Invitations guestList
	Mode        Mode
	Now         func() time.Time
}

type guestList interface {
	// Check returns the key of an invitation that the owner of the address may
	// accept.
	Check(ctx context.Context, secret, email string) (key []byte, err error)
}

type policy interface {
	checker
	InTurn(ctx context.Context, work func(ctx context.Context) error) error
	Hash(plain string) (string, error)
}

type checker interface {
	// Fault returns a stable word and a sentence that say why plain is refused,
	// "" twice when it is not.
	Fault(plain string, near ...string) (word, sentence string)
}

type creator interface {
	// Registered reports whether the address has an account.
	Registered(ctx context.Context, email string) (bool, error)
	// Create makes the account, its first project, the membership and their
	// events in one transaction, and accepts the invitation of the draft in it, or
	// returns [ErrRegistered].
	Create(ctx context.Context, d Draft, now time.Time) (User, error)
}

// Register makes an account with its first project. It returns [ErrRegistered]
// when the address has one, an error of kind Invalid that names every field
// at fault, and [ErrClosed] or [ErrUninvited] where not everybody may.
func (r Registrar) Register(ctx context.Context, in Registration) (User, error) {
	switch {
	case r.Mode == Closed:
		return User{}, ErrClosed
	case r.Mode == ByInvitation && in.Invitation == "":
		return User{}, ErrUninvited
	}
	d, err := r.draft(in)
	if err != nil {
		return User{}, err
	}
	// Before it is told who is registered here: that is for guests.
	if in.Invitation != "" {
		if d.Invitation, err = r.Invitations.Check(ctx, in.Invitation, d.Email); err != nil {
			return User{}, err
		}
	}
	// Asked before the costly hash; the unique index has the last word.
	if taken, err := r.Accounts.Registered(ctx, d.Email); err != nil {
		return User{}, fmt.Errorf("look up address: %w", err)
	} else if taken {
		return User{}, ErrRegistered
	}
	return r.create(ctx, d, in.Password)
}

// Superuser makes an account that may do everything in every project, with its
// first project: the owner of the instance, whoever else may register.
func (r Registrar) Superuser(ctx context.Context, in Registration) (User, error) {
	d, err := r.draft(in)
	if err != nil {
		return User{}, err
	}
	d.Superuser = true
	return r.create(ctx, d, in.Password)
}

func (r Registrar) create(ctx context.Context, d Draft, password string) (User, error) {
	err := r.Passwords.InTurn(ctx, func(context.Context) (err error) {
		d.Hash, err = r.Passwords.Hash(password)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("hash password: %w", err)
	}
	return r.Accounts.Create(ctx, d, r.Now())
}

// draft checks all fields and reports all faults together.
func (r Registrar) draft(in Registration) (Draft, error) {
	var faults []errs.Field
	email, err := Normalise(in.Email)
	if err != nil {
		faults = append(faults, errs.Field{Type: "value_error", Loc: []any{"body", "email"}, Msg: err.Error(), Input: in.Email})
	}
	local, _, _ := strings.Cut(email, "@")
	if word, sentence := r.Passwords.Fault(in.Password, email, local); word != "" {
		faults = append(faults, errs.Field{Type: word, Loc: []any{"body", "password"}, Msg: sentence})
	}
	name, err := cleanName(in.FullName)
	if err != nil {
		faults = append(faults, errs.As(err).Fields...)
	}
	if len(faults) > 0 {
		e := errs.New(errs.Invalid, faults[0].Msg)
		e.Fields = faults
		return Draft{}, e
	}
	return Draft{Email: email, FullName: name}, nil
}
