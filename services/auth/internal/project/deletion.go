package project

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Deletion takes projects away.
type Deletion struct {
	Projects remover
	Streams  streams
	Holders  []string // the services that keep rows of projects
	Now      func() time.Time
}

type remover interface {
	// Begin hides the project, ends its memberships, moves the defaults that
	// pointed to it, notes that the holders have to purge, and says
	// project.deleting. It returns [ErrNotFound] for a project that is not there,
	// [ErrForbidden] when by is neither its owner any more nor a superuser, [ErrLast],
	// and what a call is refused with that has ended meanwhile, see [store].
	Begin(ctx context.Context, id tenant.Project, by tenant.Identity, holders []string, now time.Time) error
	// Confirm notes that a holder keeps nothing any more, and what it has counted.
	// What is not awaited is ignored.
	Confirm(ctx context.Context, id tenant.Project, holder string, parts []purge.Part, now time.Time) error
	// Remind says project.deleting again for what has waited for its holders
	// since before, and returns how many projects that were.
	Remind(ctx context.Context, before, now time.Time) (int, error)
	// Confirmed lists the deletions that no holder is awaited for. Of one that is
	// not Settled something has to be said or heard first.
	Confirmed(ctx context.Context) ([]Confirmed, error)
	// Finish removes what the service itself keeps, the project's row and its
	// audit log, keeps the proof and says project.deleted. One that is finished
	// stays as it is. It returns [purge.ErrLeft] when something was left.
	Finish(ctx context.Context, id tenant.Project, streams []purge.Part, now time.Time) error
	// Deletion returns what is known of one, or [ErrNoDeletion].
	Deletion(ctx context.Context, id tenant.Project) (Proof, error)
}

type streams interface {
	// Purge removes what the bus keeps of a project.
	Purge(ctx context.Context, id tenant.Project) ([]purge.Part, error)
}

// Confirmed is a deletion whose holders have all purged.
type Confirmed struct {
	Project tenant.Project
	Settled bool
}

// Proof is a deletion with all that was counted.
type Proof struct {
	Project     tenant.Project
	RequestedBy int64
	RequestedAt time.Time
	FinishedAt  *time.Time // nil while somebody purges
	Purges      []Purge    // by service
}

// Purge is what one service has removed, "streams" being the bus.
type Purge struct {
	Service     string       `json:"service"`
	ConfirmedAt *time.Time   `json:"confirmed_at"`
	Parts       []purge.Part `json:"parts"`
}

// Streams is the name of the bus among those that purge.
const Streams = "streams"

// ErrNoDeletion is the answer for a project that is not being deleted, and for one
// that somebody else has deleted alike.
var ErrNoDeletion = errs.New(errs.NotFound, "no deletion of this project is known")

// Delete begins the deletion of the caller's project.
func (d Deletion) Delete(ctx context.Context, caller tenant.Identity, id tenant.Project) error {
	if err := Permit(caller, id, tenant.Owner); err != nil {
		return err
	}
	return d.Projects.Begin(ctx, id, caller, d.Holders, d.Now())
}

// Proof tells who asked for a deletion, and superusers, how far it is and what was
// counted.
func (d Deletion) Proof(ctx context.Context, caller tenant.Identity, id tenant.Project) (Proof, error) {
	p, err := d.Projects.Deletion(ctx, id)
	if err != nil {
		return Proof{}, err
	}
	if p.RequestedBy != caller.UserID && !caller.Superuser {
		return Proof{}, ErrNoDeletion
	}
	return p, nil
}

// Purged notes that a service keeps nothing of the project any more.
func (d Deletion) Purged(ctx context.Context, id tenant.Project, holder string, parts []purge.Part) error {
	if !slices.Contains(d.Holders, holder) {
		return nil
	}
	if err := d.Projects.Confirm(ctx, id, holder, parts, d.Now()); err != nil {
		return fmt.Errorf("confirm purge of project %d by %s: %w", id, holder, err)
	}
	return nil
}

// Finish ends the deletions that no holder is awaited for, and returns how many
// have to be tried again.
func (d Deletion) Finish(ctx context.Context) (waiting int, err error) {
	all, err := d.Projects.Confirmed(ctx)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, c := range all {
		if !c.Settled {
			waiting++
			continue
		}
		parts, err := d.Streams.Purge(ctx, c.Project)
		if err == nil {
			err = d.Projects.Finish(ctx, c.Project, parts, d.Now())
		}
		if err != nil {
			waiting++
		}
		if err != nil && errs.KindOf(err) != errs.Unavailable {
			failed = append(failed, fmt.Errorf("end the deletion of project %d: %w", c.Project, err))
		}
	}
	return waiting, errors.Join(failed...)
}

// Remind asks again for purges that nobody confirmed for the given time: a
// service may have been down for longer than the stream remembers.
func (d Deletion) Remind(ctx context.Context, after time.Duration) (int, error) {
	now := d.Now()
	return d.Projects.Remind(ctx, now.Add(-after), now)
}
