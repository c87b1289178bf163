package project

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Deletion takes projects away.
type Deletion struct {
	Projects remover
	Holders  []string // the services that keep rows of projects
	Now      func() time.Time
}

type remover interface {
	// Begin hides the project, ends its memberships, moves the defaults that
	// pointed to it, notes that the holders have to purge, and says
	// project.deleting; without holders it finishes at once. It returns
	// [ErrNotFound] for a project that is not there, and [ErrLast].
	Begin(ctx context.Context, id tenant.Project, by int64, holders []string, now time.Time) error
	// Confirm notes that a holder keeps nothing any more; with the last one the
	// project's row goes and project.deleted is said. What is not awaited is
	// ignored.
	Confirm(ctx context.Context, id tenant.Project, holder string, now time.Time) (done bool, err error)
	// Remind says project.deleting again for what has waited for its holders
	// since before, and returns how many projects that were.
	Remind(ctx context.Context, before, now time.Time) (int, error)
}

// Delete begins the deletion of the caller's project.
func (d Deletion) Delete(ctx context.Context, caller tenant.Identity, id tenant.Project) error {
	if err := Permit(caller, id, tenant.Owner); err != nil {
		return err
	}
	return d.Projects.Begin(ctx, id, caller.UserID, d.Holders, d.Now())
}

// Purged notes that a service keeps nothing of the project any more.
func (d Deletion) Purged(ctx context.Context, id tenant.Project, holder string) (done bool, err error) {
	if !slices.Contains(d.Holders, holder) {
		return false, nil
	}
	done, err = d.Projects.Confirm(ctx, id, holder, d.Now())
	if err != nil {
		return false, fmt.Errorf("confirm purge of project %d by %s: %w", id, holder, err)
	}
	return done, nil
}

// Remind asks again for purges that nobody confirmed for the given time: a
// service may have been down for longer than the stream remembers.
func (d Deletion) Remind(ctx context.Context, after time.Duration) (int, error) {
	now := d.Now()
	return d.Projects.Remind(ctx, now.Add(-after), now)
}
