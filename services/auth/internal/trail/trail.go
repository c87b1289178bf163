package trail

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Query selects entries of one log.
type Query struct {
	Chain     tenant.Project
	Actor     string
	Target    string // "user:7", "document_id=12", or the value alone
	Operation string
	Outcome   audit.Outcome // "" for any
	Reasons   []string      // of the outcome; set by the service
	Text      string        // somewhere in what is shown
	From      *time.Time    // accepted then or later
	Until     *time.Time    // accepted before
	// After asks for what follows an entry, oldest first; Before for what precedes
	// one, newest first. Without either the newest come first.
	After  *int64
	Before *int64
	Limit  int
}

// Page is a part of a log.
type Page struct {
	Entries []audit.Entry
	More    bool
	Head    audit.Anchor
}

// Service shows logs, and adds to them.
type Service struct {
	Log log
	Now func() time.Time
}

type log interface {
	// Append adds e at the end of the log of p, or, when there is no such project
	// any more, of the instance's.
	Append(ctx context.Context, p tenant.Project, e audit.Entry) error
	// List returns a page, with one entry more than the limit when there is more.
	List(ctx context.Context, q Query) ([]audit.Entry, audit.Anchor, error)
	// Person returns the principal of the account with an address in its normal form,
	// if it is a member of the project or in its log; in that of the instance every
	// account is. "" is for none.
	Person(ctx context.Context, chain tenant.Project, email string) (principal string, err error)
	// Anchor announces the logs that went on since they were announced last, and
	// returns how many there were.
	Anchor(ctx context.Context) (int, error)
}

// The refusals of this package.
var (
	errForbidden = errs.New(errs.Forbidden, "the audit log is shown to an admin of the project")
	errSuperuser = errs.New(errs.Forbidden, "the audit log of the instance is shown to a superuser")
)

// Append adds what was told of a call.
func (s Service) Append(ctx context.Context, p tenant.Project, e audit.Entry) error {
	e.RecordedAt, e.AcceptedAt, e.LastAt = s.Now(), micro(e.AcceptedAt), micro(e.LastAt)
	e.Count = max(1, e.Count)
	if e.LastAt.Before(e.AcceptedAt) {
		e.LastAt = e.AcceptedAt
	}
	return s.Log.Append(ctx, p, e)
}

// micro is a time as the database keeps it.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// List shows a page of the caller's project, or, with instance, of the
// instance.
func (s Service) List(ctx context.Context, caller tenant.Identity, instance bool, q Query) (Page, error) {
	chain, err := chainOf(caller, instance)
	if err != nil {
		return Page{}, err
	}
	limit := q.Limit
	q.Chain, q.Reasons = chain, q.Outcome.Reasons()
	q.Limit++
	list, head, err := s.Log.List(ctx, q)
	if err != nil {
		return Page{}, err
	}
	more := len(list) > limit
	if more {
		list = list[:limit]
	}
	return Page{Entries: list, More: more, Head: head}, nil
}

// Person returns the principal of whoever has an e-mail address, which is in its
// normal form and was given to a filter. Somebody who has nothing to do with the log is refused as nobody: who
// has an account is not told here.
func (s Service) Person(ctx context.Context, caller tenant.Identity, instance bool, filter, email string) (string, error) {
	chain, err := chainOf(caller, instance)
	if err != nil {
		return "", err
	}
	who, err := s.Log.Person(ctx, chain, email)
	if err == nil && who == "" {
		err = errs.InvalidField("value_error", "nobody with this e-mail address is a member of the project or in its log", "query", filter)
	}
	return who, err
}

// Head is the last entry of a log.
func (s Service) Head(ctx context.Context, caller tenant.Identity, instance bool) (audit.Anchor, error) {
	chain, err := chainOf(caller, instance)
	if err != nil {
		return audit.Anchor{}, err
	}
	_, head, err := s.Log.List(ctx, Query{Chain: chain})
	return head, err
}

// Anchor announces how the logs end that have gone on.
func (s Service) Anchor(ctx context.Context) (int, error) { return s.Log.Anchor(ctx) }

func chainOf(caller tenant.Identity, instance bool) (tenant.Project, error) {
	switch {
	case instance && !caller.Superuser:
		return 0, errSuperuser
	case instance:
		return tenant.Instance, nil
	case !caller.Allows(tenant.Admin):
		return 0, errForbidden
	}
	return caller.Project, nil
}
