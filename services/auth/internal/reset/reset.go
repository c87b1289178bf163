package reset

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// Prefix tells the secret of a reset from others, for people and scanners.
const Prefix = "ccp_"

const secretSize = 32

// Failures that a caller is told.
var (
	// ErrInvalid is the answer for whatever is wrong with a reset. It is a denial:
	// the secret is the credential of who comes with it.
	ErrInvalid  = errs.New(errs.Forbidden, "this password reset is not valid: it was used or replaced, or has run out")
	ErrInactive = errs.New(errs.Conflict, "this account is switched off: switch it on again first")
	ErrProvider = errs.New(errs.Conflict, "this account logs in by the identity provider: a reset would let it in by a password as well; say add_password to do so")
	errMany     = errs.New(errs.RateLimited, "too many password resets from here that were not valid, try again later")
)

// Draft is a reset that may be kept.
type Draft struct {
	UserID int64
	// By is the superuser's call. Without one, Operator is who has the machine, for
	// the audit log.
	By       tenant.Identity
	Operator string
	// AddPassword says that the account may get a password beside its identity at
	// the provider.
	AddPassword bool
	Key         []byte
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// Issued is a reset with its secret, which is shown this once.
type Issued struct {
	User      user.User
	ExpiresAt time.Time
	Secret    string
	Link      string // "" without a page
}

// Found is what is known when somebody comes with a secret.
type Found struct {
	Expires  time.Time     // the reset
	User     user.User     // zero when the secret is none, or not good
	Attempts user.Attempts // that were not valid, from the client's address
}

// newSecret makes the secret of a reset and what is kept of it.
func newSecret() (secret string, key []byte, err error) {
	b := make([]byte, secretSize)
	if _, err := rand.Read(b); err != nil {
		return "", nil, fmt.Errorf("secret of a password reset: %w", err)
	}
	return Prefix + base64.RawURLEncoding.EncodeToString(b), keyOf(b), nil
}

// readSecret is what is kept of a secret; that of a text which is none is of no
// reset, and as long in the looking.
func readSecret(secret string) []byte {
	text, ok := strings.CutPrefix(strings.TrimSpace(secret), Prefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != secretSize {
		return keyOf(nil)
	}
	return keyOf(b)
}

func keyOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
