package reset

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Service issues resets and takes them.
type Service struct {
	Resets    store
	Passwords policy
	Throttle  user.Throttle // of secrets that are none, per client address
	Life      time.Duration
	Page      string // where people choose the password; "" for nowhere
	Now       func() time.Time
}

type store interface {
	// Issue keeps a reset in the place of the account's earlier one, and tells the
	// audit log of one by an operator, whom no call tells of. It returns
	// [user.ErrUnknown], [ErrInactive], [ErrProvider], [user.ErrRank] when whoever
	// issues it is no superuser any more, and [session.ErrEnded] or [user.ErrInactive]
	// when its session or account has ended.
	Issue(ctx context.Context, d Draft) (user.User, error)
	// Find reads the account of a secret that is good, and the record of the
	// client's address, in one statement.
	Find(ctx context.Context, key []byte, client string, now time.Time) (Found, error)
	// Failed applies next to the record of the client's address, under its lock.
	Failed(ctx context.Context, client string, now time.Time, next func(user.Attempts) user.Attempts) error
	// Use gives the account its password, ends the reset and all sessions with
	// their facts, and forgets failed logins. It returns [ErrInvalid] when the
	// reset is not good any more.
	Use(ctx context.Context, key []byte, u user.User, client, hash string, now time.Time) error
}

type policy interface {
	Fault(plain string, near ...string) (word, sentence string)
	InTurn(ctx context.Context, work func(ctx context.Context) error) error
	Hash(plain string) (string, error)
}

// Issue makes a reset for an account, which ends the one before.
func (s Service) Issue(ctx context.Context, caller tenant.Identity, userID int64, addPassword bool) (Issued, error) {
	if !caller.Superuser {
		return Issued{}, user.ErrRank
	}
	return s.issue(ctx, Draft{UserID: userID, By: caller, AddPassword: addPassword})
}

// IssueHere does so for whoever has the machine of the instance, and with it the
// database: nobody is asked for rights.
func (s Service) IssueHere(ctx context.Context, operator string, userID int64, addPassword bool) (Issued, error) {
	return s.issue(ctx, Draft{UserID: userID, Operator: operator, AddPassword: addPassword})
}

func (s Service) issue(ctx context.Context, d Draft) (Issued, error) {
	secret, key, err := newSecret()
	if err != nil {
		return Issued{}, err
	}
	d.Key, d.CreatedAt = key, s.Now()
	d.ExpiresAt = d.CreatedAt.Add(s.Life)
	u, err := s.Resets.Issue(ctx, d)
	if err != nil {
		return Issued{}, err
	}
	return Issued{User: u, ExpiresAt: d.ExpiresAt, Secret: secret, Link: s.link(secret)}, nil
}

// link is where the password is chosen. The secret is the fragment: browsers send
// that to nobody, so that it is in no log.
func (s Service) link(secret string) string {
	u, err := url.Parse(s.Page)
	if err != nil || s.Page == "" {
		return ""
	}
	u.Fragment = secret
	return u.String()
}

// Show returns whose password the secret is for, and until when. What is wrong with
// a secret is told, and counted, as [Service.Use] does.
func (s Service) Show(ctx context.Context, secret, client string) (Found, error) {
	found, err := s.Resets.Find(ctx, readSecret(secret), client, s.Now())
	if err != nil {
		return Found{}, fmt.Errorf("look for a password reset: %w", err)
	}
	if wait := found.Attempts.Wait(s.Now()); wait > 0 {
		return Found{}, errMany.After(wait)
	}
	if found.User.ID == 0 {
		return Found{}, s.refuse(ctx, client)
	}
	return found, nil
}

// Use gives the account of the secret the password, and returns the account. It
// returns an error of kind Invalid for a password that is refused, which leaves
// the reset as it is, [ErrInvalid], and after too many of these from the client's
// address a refusal with a time to wait.
//
// Looking, hashing and counting happen in one turn, as for a login. The hash is
// made whatever the secret is, so that the time tells nothing of it.
func (s Service) Use(ctx context.Context, secret, fresh, client string) (user.User, error) {
	if word, sentence := s.Passwords.Fault(fresh); word != "" {
		return user.User{}, refused(word, sentence)
	}
	key := readSecret(secret)
	var found Found
	err := s.Passwords.InTurn(ctx, func(ctx context.Context) (err error) {
		if found, err = s.Resets.Find(ctx, key, client, s.Now()); err != nil {
			return fmt.Errorf("look for a password reset: %w", err)
		}
		if wait := found.Attempts.Wait(s.Now()); wait > 0 {
			return errMany.After(wait)
		}
		hash, err := s.Passwords.Hash(fresh)
		if err != nil {
			return fmt.Errorf("hash password: %w", err)
		}
		if found.User.ID == 0 {
			return s.refuse(ctx, client)
		}
		local, _, _ := strings.Cut(found.User.Email, "@")
		if word, sentence := s.Passwords.Fault(fresh, found.User.Email, local); word != "" {
			return refused(word, sentence)
		}
		err = s.Resets.Use(ctx, key, found.User, client, hash, s.Now())
		if errors.Is(err, ErrInvalid) { // another was faster
			return s.refuse(ctx, client)
		}
		return err
	})
	if err != nil {
		return user.User{}, err
	}
	return found.User, nil
}

func (s Service) refuse(ctx context.Context, client string) error {
	now := s.Now()
	err := s.Resets.Failed(ctx, client, now, func(a user.Attempts) user.Attempts { return s.Throttle.Fail(a, now) })
	if err != nil {
		return fmt.Errorf("count a password reset that is none: %w", err)
	}
	return ErrInvalid
}

func refused(word, sentence string) error {
	return errs.InvalidField(word, sentence, "body", "new_password")
}
