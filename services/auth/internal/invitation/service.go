package invitation

import (
	"context"
	"net/url"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Service makes, shows, revokes and accepts invitations.
type Service struct {
	Invitations store
	Life        time.Duration // of one whose inviter says nothing
	Page        string        // where people accept; "" for nowhere
	Now         func() time.Time
}

// store keeps invitations. Every write is refused to a caller whose session, key or
// account has ended meanwhile: by [session.ErrEnded], [key.ErrEnded], [user.ErrInactive].
type store interface {
	// Create locks the project, asks may of its caller's standing, and keeps the
	// invitation, with its fact. It returns [project.ErrNotFound],
	// [project.ErrForbidden], [ErrTheirs] and [ErrMany].
	Create(ctx context.Context, by tenant.Identity, inv Invitation, key []byte) (Invitation, error)
	// List returns the open ones whose inviter may still give the role, latest
	// first.
	List(ctx context.Context, p tenant.Project, now time.Time) ([]Invitation, error)
	// Revoke ends an open one, with its fact, or returns [ErrNone]; and
	// [project.ErrForbidden] or [project.ErrNotFound] when by is no admin any more.
	Revoke(ctx context.Context, p tenant.Project, id int64, by tenant.Identity, now time.Time) error
	// Open returns the open one with that key, or [ErrInvalid].
	Open(ctx context.Context, key []byte, now time.Time) (Invitation, error)
	// Accept makes the caller a member, with the facts, uses the invitation up, and
	// returns its id with the project.
	// It returns [ErrInvalid] and [ErrMember]; for the user who has accepted it
	// before, it changes nothing.
	Accept(ctx context.Context, key []byte, by tenant.Identity, now time.Time) (project.Mine, int64, error)
}

// Issued is an invitation with its secret, which is shown this once.
type Issued struct {
	Invitation
	Secret string
	Link   string // "" without a page
}

// Create invites somebody to the caller's project.
func (s Service) Create(ctx context.Context, caller tenant.Identity, p tenant.Project, d Draft) (Issued, error) {
	if err := project.Permit(caller, p, tenant.Admin); err != nil {
		return Issued{}, err
	}
	if d.Role == tenant.Owner || !d.Role.Allows(tenant.Viewer) {
		return Issued{}, errs.InvalidField("enum", "the role must be viewer, member or admin", "body", "role")
	}
	life := s.Life
	if d.Days != nil {
		if *d.Days < 1 || *d.Days > MaxDays {
			return Issued{}, errs.InvalidField("out_of_range", "days must be between 1 and 90", "body", "days")
		}
		life = time.Duration(*d.Days) * 24 * time.Hour
	}
	if d.Email != nil {
		email, err := user.Normalise(*d.Email)
		if err != nil {
			return Issued{}, errs.InvalidField("value_error", err.Error(), "body", "email")
		}
		d.Email = &email
	}
	secret, key, err := newSecret()
	if err != nil {
		return Issued{}, err
	}
	now := s.Now()
	inv, err := s.Invitations.Create(ctx, caller, Invitation{
		Project: p, Role: d.Role, Email: d.Email, InvitedBy: caller.UserID, CreatedAt: now, ExpiresAt: now.Add(life),
	}, key)
	if err != nil {
		return Issued{}, err
	}
	return Issued{Invitation: inv, Secret: secret, Link: s.link(secret)}, nil
}

// link is where an invitation is accepted. The secret is the fragment: browsers
// send that to nobody, so that it is in no log.
func (s Service) link(secret string) string {
	u, err := url.Parse(s.Page)
	if err != nil || s.Page == "" {
		return ""
	}
	u.Fragment = secret
	return u.String()
}

// List returns the invitations to the caller's project that may be accepted,
// latest first.
func (s Service) List(ctx context.Context, caller tenant.Identity, p tenant.Project) ([]Invitation, error) {
	if err := project.Permit(caller, p, tenant.Admin); err != nil {
		return nil, err
	}
	return s.Invitations.List(ctx, p, s.Now())
}

// Revoke takes an invitation back.
func (s Service) Revoke(ctx context.Context, caller tenant.Identity, p tenant.Project, id int64) error {
	if err := project.Permit(caller, p, tenant.Admin); err != nil {
		return err
	}
	return s.Invitations.Revoke(ctx, p, id, caller, s.Now())
}

// Accept brings the caller into the project of the invitation, whose id it returns
// as well.
func (s Service) Accept(ctx context.Context, caller tenant.Identity, secret string) (project.Mine, int64, error) {
	key, err := Key(secret)
	if err != nil {
		return project.Mine{}, 0, err
	}
	return s.Invitations.Accept(ctx, key, caller, s.Now())
}

// Show returns the invitation of a secret, if it could be accepted now; otherwise
// [ErrInvalid].
func (s Service) Show(ctx context.Context, secret string) (Invitation, error) {
	key, err := Key(secret)
	if err != nil {
		return Invitation{}, err
	}
	return s.Invitations.Open(ctx, key, s.Now())
}

// Check returns the key of an invitation that the owner of the address, in its
// normal form, could accept now; otherwise [ErrInvalid].
func (s Service) Check(ctx context.Context, secret, email string) ([]byte, error) {
	key, err := Key(secret)
	if err != nil {
		return nil, err
	}
	inv, err := s.Invitations.Open(ctx, key, s.Now())
	if err != nil {
		return nil, err
	}
	if inv.Email != nil && *inv.Email != email {
		return nil, ErrInvalid
	}
	return key, nil
}
