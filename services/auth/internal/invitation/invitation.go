package invitation

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Prefix tells the secret of an invitation from others, for people and scanners.
const Prefix = "cci_"

const secretSize = 32

// MaxOpen is how many invitations of a project may be open at a time.
const MaxOpen = 500

// MaxDays is the longest life of an invitation.
const MaxDays = 90

// Failures that a caller is told.
var (
	// ErrInvalid is the answer for whatever is wrong with an invitation.
	ErrInvalid = errs.New(errs.NotFound, "this invitation is not valid: it was used or taken back, has run out, or is for another e-mail address")
	ErrNone    = errs.New(errs.NotFound, "invitation not found")
	ErrMember  = errs.New(errs.Conflict, "you are a member of this project already")
	ErrTheirs  = errs.New(errs.Conflict, "the account of this e-mail address is a member of the project already")
	ErrMany    = errs.Newf(errs.Conflict, "the project has %d open invitations: take some back first", MaxOpen)
)

// Invitation lets one account into a project.
type Invitation struct {
	ID        int64
	Project   tenant.Project
	Name      string // of the project
	Role      tenant.Role
	Email     *string // normal form; nil for whoever has the secret
	InvitedBy int64
	Inviter   string // address
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Draft is what a caller gives to invite.
type Draft struct {
	Role  tenant.Role
	Email *string
	Days  *int
}

// Inviter is the standing of who invites, as it is now.
type Inviter struct {
	Active    bool
	Superuser bool
	Role      tenant.Role
}

// May reports whether the inviter may give the role, which is also whether its
// invitations are good.
func (i Inviter) May(role tenant.Role) bool {
	return i.Active && (i.Superuser || i.Role.Allows(tenant.Admin) && i.Role.Allows(role))
}

// newSecret makes the secret of an invitation and what is kept of it.
func newSecret() (secret string, key []byte, err error) {
	b := make([]byte, secretSize)
	if _, err := rand.Read(b); err != nil {
		return "", nil, fmt.Errorf("invitation secret: %w", err)
	}
	sum := sha256.Sum256(b)
	return Prefix + base64.RawURLEncoding.EncodeToString(b), sum[:], nil
}

// Key is what is kept of a secret; it returns [ErrInvalid] for a text that is
// none.
func Key(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(secret), Prefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != secretSize {
		return nil, ErrInvalid
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}
