package user

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Limits of a page of accounts.
const (
	DefaultLimit = 100
	maxLimit     = 1000
	maxSkip      = 1_000_000
)

// Refusals of the directory.
var (
	ErrUnknown       = errs.New(errs.NotFound, "user not found")
	ErrLastSuperuser = errs.New(errs.Conflict, "this is the last superuser that is active")
	ErrRank          = errs.New(errs.Forbidden, "this takes a superuser")
)

// Query chooses accounts.
type Query struct {
	Search      string // in address or name; "" for all
	Address     string // the same, as it is in an address; set by the directory
	Active      *bool
	Skip, Limit int
}

// Directory shows superusers all accounts, and switches them off and on.
type Directory struct {
	Accounts directory
	Now      func() time.Time
}

type directory interface {
	// Find returns a page of accounts, oldest first, and how many there are in all.
	Find(ctx context.Context, q Query) ([]User, int, error)
	// Get returns an account, or [ErrGone].
	Get(ctx context.Context, id int64) (User, error)
	// Switch makes an account active or not, and says so; going inactive ends all
	// its sessions. An account that is so already stays as it is. It returns
	// [ErrUnknown], [ErrLastSuperuser] when nobody would be left to switch it on, and
	// [ErrRank], [ErrInactive], [session.ErrEnded] or [key.ErrEnded] when by is no
	// superuser any more, or what the call came with has ended.
	Switch(ctx context.Context, id int64, active bool, by tenant.Identity, now time.Time) (User, error)
}

// List returns a page of accounts, oldest first, and how many there are in all.
func (d Directory) List(ctx context.Context, caller tenant.Identity, q Query) ([]User, int, error) {
	switch {
	case !caller.Superuser:
		return nil, 0, ErrRank
	case q.Skip < 0 || q.Skip > maxSkip:
		return nil, 0, errs.InvalidField("out_of_range", "skip must be between 0 and 1000000", "query", "skip")
	case q.Limit < 1 || q.Limit > maxLimit:
		return nil, 0, errs.InvalidField("out_of_range", "limit must be between 1 and 1000", "query", "limit")
	}
	q.Address = searched(q.Search)
	found, total, err := d.Accounts.Find(ctx, q)
	if err != nil {
		return nil, 0, fmt.Errorf("list users: %w", err)
	}
	return found, total, nil
}

// Get returns an account, or [ErrUnknown].
func (d Directory) Get(ctx context.Context, caller tenant.Identity, id int64) (User, error) {
	if !caller.Superuser {
		return User{}, ErrRank
	}
	u, err := d.Accounts.Get(ctx, id)
	if errors.Is(err, ErrGone) {
		return User{}, ErrUnknown
	}
	return u, err
}

// Deactivate switches an account off.
func (d Directory) Deactivate(ctx context.Context, caller tenant.Identity, id int64) (User, error) {
	return d.turn(ctx, caller, id, false)
}

// Reactivate switches an account on again.
func (d Directory) Reactivate(ctx context.Context, caller tenant.Identity, id int64) (User, error) {
	return d.turn(ctx, caller, id, true)
}

func (d Directory) turn(ctx context.Context, caller tenant.Identity, id int64, active bool) (User, error) {
	if !caller.Superuser {
		return User{}, ErrRank
	}
	u, err := d.Accounts.Switch(ctx, id, active, caller, d.Now())
	if err != nil {
		return User{}, fmt.Errorf("switch user %d: %w", id, err)
	}
	return u, nil
}
