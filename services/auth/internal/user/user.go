package user

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// MaxName is the longest full name, in characters.
const MaxName = 255

// Failures that a caller is told.
var (
	ErrRegistered = errs.New(errs.Conflict, "this e-mail address is already registered")
	ErrIncorrect  = errs.New(errs.Unauthenticated, "incorrect e-mail address or password")
	ErrInactive   = errs.New(errs.Forbidden, "this account is inactive")
	ErrLocked     = errs.New(errs.RateLimited, "too many failed logins for this account, try again later")
	ErrClosed     = errs.New(errs.Forbidden, "this instance takes no registrations")
	ErrUninvited  = errs.New(errs.Forbidden, "this instance takes registrations by invitation only: send the secret of one as invitation")
	ErrChanged    = errs.New(errs.Conflict, "the account has changed meanwhile: try again")
	ErrGone       = errs.New(errs.Unauthenticated, "this account does not exist any more")
)

// User is an account.
type User struct {
	ID        int64
	Email     string // normal form
	FullName  *string
	Active    bool
	Superuser bool
	CreatedAt time.Time
	UpdatedAt time.Time
	LastLogin *time.Time
	Version   int64 // counts the changes of the account
	// Joined is the project of the invitation with which the account was just made,
	// and JoinedBy the id of that.
	Joined   tenant.Project
	JoinedBy int64
}

// Draft is an account that may be made: all its rules hold.
type Draft struct {
	Email     string // normal form
	FullName  *string
	Hash      string // of the password
	Superuser bool
	// Invitation is the key of the one that is accepted with it; nil for none.
	Invitation []byte
}

// cleanName trims a full name; blank is none. It refuses what cannot be stored
// or shown.
func cleanName(name *string) (*string, error) {
	if name == nil {
		return nil, nil
	}
	s := strings.TrimSpace(*name)
	switch {
	case s == "":
		return nil, nil
	case utf8.RuneCountInString(s) > MaxName:
		return nil, errs.InvalidField("string_too_long", "the full name may have at most 255 characters", "body", "full_name")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return nil, errs.InvalidField("string_unprintable", "the full name holds control characters", "body", "full_name")
	}
	return &s, nil
}
