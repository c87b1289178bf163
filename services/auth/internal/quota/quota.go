package quota

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Classes are what can be limited.
func Classes() []string { return []string{"reads", "writes"} }

// The refusals of this package.
var (
	ErrNone      = errs.New(errs.NotFound, "the project has no limit of its own for this")
	errSuperuser = errs.New(errs.Forbidden, "a superuser has set this limit")
	errForbidden = errs.New(errs.Forbidden, "your role in this project does not allow this")
)

// Quota is one limit of a project.
type Quota struct {
	Project tenant.Project
	Class   string
	Calls   int
	Per     time.Duration
	Raised  bool // set by a superuser
	By      int64
	Set     time.Time
}

var periods = []struct {
	word string
	per  time.Duration
}{{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour}, {"day", 24 * time.Hour}}

const most = 999_999 // calls per period

// Limit is the form that callers read: "300/minute".
func (q Quota) Limit() string {
	for _, p := range periods {
		if p.per == q.Per {
			return strconv.Itoa(q.Calls) + "/" + p.word
		}
	}
	return strconv.Itoa(q.Calls) + "/" + q.Per.String()
}

// parse reads what [Quota.Limit] writes.
func parse(limit string) (calls int, per time.Duration, err error) {
	count, word, _ := strings.Cut(limit, "/")
	n, err := strconv.Atoi(count)
	for _, p := range periods {
		if err == nil && p.word == word && n >= 1 && n <= most {
			return n, p.per, nil
		}
	}
	return 0, 0, errs.InvalidField("value_error", "want a number of calls per second, minute, hour or day, such as 300/minute", "body", "limit")
}

// Restored is a quota as an archive has it, checked as one that a caller sets.
func Restored(p tenant.Project, class string, calls int, per time.Duration, raised bool) (Quota, error) {
	q := Quota{Project: p, Class: class, Calls: calls, Per: per, Raised: raised}
	if !slices.Contains(Classes(), class) {
		return Quota{}, errs.InvalidField("enum", "there is no such class of calls", "body", "class")
	}
	_, _, err := parse(q.Limit())
	return q, err
}

// Service sets quotas.
type Service struct {
	Quotas store
	Now    func() time.Time
}

// store keeps quotas. Every write is refused to a caller whose session, key, account or
// role has ended meanwhile: by [session.ErrEnded], [key.ErrEnded], [user.ErrInactive],
// [project.ErrForbidden], [project.ErrNotFound].
type store interface {
	// Put sets a quota under the lock of its project, and says so, unless keep
	// refuses what is there. [ErrNone] means that there is no such project.
	Put(ctx context.Context, by tenant.Identity, q Quota, keep func(old Quota) error) error
	// Reset removes one in the same way, or returns [ErrNone].
	Reset(ctx context.Context, by tenant.Identity, p tenant.Project, class string, keep func(old Quota) error) error
}

// Set gives the caller's project a limit of its own.
func (s Service) Set(ctx context.Context, caller tenant.Identity, class, limit string) (Quota, error) {
	if err := check(caller, class); err != nil {
		return Quota{}, err
	}
	calls, per, err := parse(limit)
	if err != nil {
		return Quota{}, err
	}
	q := Quota{Project: caller.Project, Class: class, Calls: calls, Per: per, Raised: caller.Superuser, By: caller.UserID, Set: s.Now()}
	if err := s.Quotas.Put(ctx, caller, q, keeps(caller)); err != nil {
		return Quota{}, fmt.Errorf("set a limit: %w", err)
	}
	return q, nil
}

// Reset lets the limit of the instance hold again.
func (s Service) Reset(ctx context.Context, caller tenant.Identity, class string) error {
	if err := check(caller, class); err != nil {
		return err
	}
	if err := s.Quotas.Reset(ctx, caller, caller.Project, class, keeps(caller)); err != nil {
		return fmt.Errorf("reset a limit: %w", err)
	}
	return nil
}

func check(caller tenant.Identity, class string) error {
	switch {
	case caller.Project == tenant.Instance:
		return ErrNone
	case !caller.Allows(tenant.Admin):
		return errForbidden
	case !slices.Contains(Classes(), class):
		return errs.InvalidField("enum", "there is no such class of calls", "path", "class")
	}
	return nil
}

// keeps refuses to let an admin change what a superuser has set.
func keeps(caller tenant.Identity) func(Quota) error {
	return func(old Quota) error {
		if old.Raised && !caller.Superuser {
			return errSuperuser
		}
		return nil
	}
}
