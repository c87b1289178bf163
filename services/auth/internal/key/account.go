package key

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Refusals of accounts.
var (
	ErrUnknownAccount = errs.New(errs.NotFound, "service account not found")
	ErrManyAccounts   = errs.Newf(errs.Conflict, "there are %d service accounts already: delete one first", MaxAccounts)
	ErrNameTaken      = errs.New(errs.Conflict, "a service account of this name already exists")
)

// MaxAccounts is how many service accounts a project may have.
const MaxAccounts = 100

// Account is a member of a project that is nobody.
type Account struct {
	ID        int64
	Project   tenant.Project
	Name      string
	Role      tenant.Role // viewer, member or admin
	CreatedBy int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Change is what somebody wants changed; nil leaves a thing as it is.
type Change struct {
	Name *string
	Role *tenant.Role
}

// Accounts makes, changes and ends service accounts.
type Accounts struct {
	Store accounts
	Now   func() time.Time
}

// accounts keeps service accounts. Every write is refused to a caller whose session, key
// or account has ended meanwhile: by [session.ErrEnded], [ErrEnded], [user.ErrInactive].
type accounts interface {
	// Accounts returns those of the project, by name.
	Accounts(ctx context.Context, p tenant.Project) ([]Account, error)
	// CreateAccount keeps a new one and says so, or returns [ErrNameTaken] or
	// [ErrManyAccounts]. Like the others it returns [ErrAdmin] when who does it is no
	// admin any more: the call may be of before.
	CreateAccount(ctx context.Context, by tenant.Identity, a Account) (Account, error)
	// UpdateAccount changes one under its lock and says so. It returns
	// [ErrUnknownAccount] and [ErrNameTaken].
	UpdateAccount(ctx context.Context, p tenant.Project, by tenant.Identity, id int64, now time.Time, c Change) (Account, error)
	// DeleteAccount ends one with its keys and says so, or returns
	// [ErrUnknownAccount].
	DeleteAccount(ctx context.Context, p tenant.Project, by tenant.Identity, id int64) error
}

// List returns those of the caller's project, by name.
func (s Accounts) List(ctx context.Context, caller tenant.Identity) ([]Account, error) {
	all, err := s.Store.Accounts(ctx, caller.Project)
	if err != nil {
		return nil, fmt.Errorf("list service accounts: %w", err)
	}
	return all, nil
}

// Create makes one of the caller's project.
func (s Accounts) Create(ctx context.Context, caller tenant.Identity, name string, role tenant.Role) (Account, error) {
	c, err := permitted(caller, Change{Name: &name, Role: &role})
	if err != nil {
		return Account{}, err
	}
	now := s.Now()
	a, err := s.Store.CreateAccount(ctx, caller, Account{Project: caller.Project, Name: *c.Name, Role: role, CreatedBy: caller.UserID, CreatedAt: now, UpdatedAt: now})
	if err != nil {
		return Account{}, fmt.Errorf("create service account: %w", err)
	}
	return a, nil
}

// Update changes one of the caller's project.
func (s Accounts) Update(ctx context.Context, caller tenant.Identity, id int64, c Change) (Account, error) {
	c, err := permitted(caller, c)
	if err != nil {
		return Account{}, err
	}
	a, err := s.Store.UpdateAccount(ctx, caller.Project, caller, id, s.Now(), c)
	if err != nil {
		return Account{}, fmt.Errorf("update service account: %w", err)
	}
	return a, nil
}

// Delete ends one of the caller's project.
func (s Accounts) Delete(ctx context.Context, caller tenant.Identity, id int64) error {
	if _, err := permitted(caller, Change{}); err != nil {
		return err
	}
	if err := s.Store.DeleteAccount(ctx, caller.Project, caller, id); err != nil {
		return fmt.Errorf("delete service account: %w", err)
	}
	return nil
}

// permitted checks caller and change, and returns it in its normal form.
func permitted(caller tenant.Identity, c Change) (Change, error) {
	if !caller.Allows(tenant.Admin) {
		return c, ErrAdmin
	}
	if c.Name != nil {
		name, err := checkName(*c.Name)
		if err != nil {
			return c, err
		}
		c.Name = &name
	}
	if c.Role != nil && !slices.Contains([]tenant.Role{tenant.Viewer, tenant.Member, tenant.Admin}, *c.Role) {
		return c, errs.InvalidField("enum", "want viewer, member or admin", "body", "role")
	}
	return c, nil
}
