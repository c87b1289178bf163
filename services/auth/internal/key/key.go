package key

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Brand is how every key begins.
const Brand = "cc"

// MaxPerHolder is how many live keys somebody may have in a project.
const MaxPerHolder = 50

// Refusals.
var (
	// ErrUnknown is the answer for a key that is not there, has ended, or is
	// somebody else's alike.
	ErrUnknown = errs.New(errs.NotFound, "API key not found")
	ErrTooMany = errs.Newf(errs.Conflict, "there are %d live keys already: revoke one first", MaxPerHolder)
	ErrNamed   = errs.New(errs.Conflict, "there is a live key of this name already")
	ErrAdmin   = errs.New(errs.Forbidden, "this takes an admin of the project")
	// ErrEnded is the answer to a call that came with a key which has been revoked, and
	// reached auth all the same: by a command that waited, or a gateway that has not
	// heard of it yet.
	ErrEnded = errs.New(errs.Unauthenticated, "this API key has been revoked")
)

// Reasons why a key was revoked, as rows and events say them.
const (
	Revoked        = "revoked"
	Rotated        = "rotated"
	AccountDeleted = "account_deleted"
)

// Holder is who calls with a key: one of the two is 0.
type Holder struct{ User, Account int64 }

// String is the principal of the holder's calls.
func (h Holder) String() string {
	if h.Account != 0 {
		return "service-account:" + strconv.FormatInt(h.Account, 10)
	}
	return "user:" + strconv.FormatInt(h.User, 10)
}

// Key is a key without its secret.
type Key struct {
	ID        uuid.UUID
	Project   tenant.Project
	Holder    Holder
	Name      string
	Prefix    string
	Scopes    []string
	CreatedBy int64
	CreatedAt time.Time
	Expires   *time.Time // nil: by itself never
	LastUsed  *time.Time
}

// life is for how long it was given; nil for ever.
func (k Key) life() *time.Duration {
	if k.Expires == nil {
		return nil
	}
	d := k.Expires.Sub(k.CreatedAt)
	return &d
}

// Draft is what somebody wants of a key.
type Draft struct {
	Name    string
	Scopes  []string
	Expires *time.Time
}

var scopeForm = regexp.MustCompile(`^(\*|[a-z][a-z0-9_-]{0,39}):(read|write|admin)$`)

// maxName is the longest name, in characters.
const maxName = 100

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || utf8.RuneCountInString(name) > maxName {
		return "", errs.InvalidField("value_error", "want a name of 1 to 100 characters", "body", "name")
	}
	return name, nil
}

// check returns the draft in its normal form. No areas accept every one.
func (d Draft) check(areas []string, now time.Time, most time.Duration) (Draft, error) {
	var err error
	if d.Name, err = checkName(d.Name); err != nil {
		return d, err
	}
	d.Scopes = slices.Clone(d.Scopes)
	slices.Sort(d.Scopes)
	d.Scopes = slices.Compact(d.Scopes)
	if len(d.Scopes) == 0 || len(d.Scopes) > 50 {
		return d, errs.InvalidField("value_error", "want 1 to 50 scopes", "body", "scopes")
	}
	for _, s := range d.Scopes {
		area, _, _ := strings.Cut(s, ":")
		if !scopeForm.MatchString(s) || len(areas) > 0 && area != "*" && !slices.Contains(areas, area) {
			return d, errs.InvalidField("value_error", fmt.Sprintf("%q is no scope: want <area>:read, write or admin, with an area out of * %s", s, strings.Join(areas, " ")), "body", "scopes")
		}
	}
	switch {
	case d.Expires == nil && most > 0:
		last := now.Add(most)
		d.Expires = &last
	case d.Expires == nil:
	case !d.Expires.After(now):
		return d, errs.InvalidField("value_error", "want a time to come", "body", "expires_at")
	case most > 0 && d.Expires.After(now.Add(most)):
		return d, errs.InvalidField("value_error", fmt.Sprintf("a key lives for at most %v here", most), "body", "expires_at")
	}
	if d.Expires != nil {
		at := d.Expires.UTC().Truncate(time.Microsecond)
		d.Expires = &at
	}
	return d, nil
}
