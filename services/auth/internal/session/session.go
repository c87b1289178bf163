package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Failures that a caller is told. Which of several reasons made a token
// worthless is not among them.
var (
	ErrInvalid = errs.New(errs.Unauthenticated, "invalid or expired refresh token")
	ErrType    = errs.New(errs.Unauthenticated, "invalid token type")
	// ErrEnded is also the answer to a write of auth that was given while its session
	// lived: commands of other services are done all the same.
	ErrEnded   = errs.New(errs.Unauthenticated, "this session has ended")
	ErrChanged = errs.New(errs.Unauthenticated, "the account has changed since you were let in: log in again")
)

// EndedReason is why a refresh token is refused that was never traded.
const EndedReason = "session_ended"

// Reasons why a session was revoked, as events say them.
const (
	LogoutReason      = "logout"
	StolenReason      = "reuse_detected"
	PasswordReason    = "password_changed"
	DeactivatedReason = "deactivated"
)

// Rules are the lives of things.
type Rules struct {
	Refresh time.Duration // of a refresh token, and of an unused session
	Longest time.Duration // of a session, however much it is used
	Grace   time.Duration // within which a token sent twice is no theft
}

// Login is somebody who was let in, with the version that the account had then.
// Whatever ends all sessions of an account gives it another: a login that was
// under way then opens none.
type Login struct {
	UserID  int64
	Email   string
	Version int64
	From    Place
}

// Place is where somebody is logged in, for its owner to know it by.
type Place struct {
	Address string // network address
	Client  string // program, as it names itself
}

// Session is one login, from its start to its end.
type Session struct {
	ID        uuid.UUID
	UserID    int64
	CreatedAt time.Time
	ExpiresAt time.Time
	From      Place
}

// expiry returns until when a session that is used at now lives.
func (r Rules) expiry(created, now time.Time) time.Time {
	end := now.Add(r.Refresh)
	if last := created.Add(r.Longest); end.After(last) {
		return last
	}
	return end
}

// prefix marks a refresh token, so that it is recognised where it does not
// belong (in an Authorization header, in a repository).
const prefix = "ccr_"

// secretBytes is the randomness of a refresh token.
const secretBytes = 32

// newSecret returns a refresh token and what is kept of it.
func newSecret() (plain string, hash []byte, err error) {
	b := make([]byte, secretBytes)
	if _, err := rand.Read(b); err != nil {
		return "", nil, fmt.Errorf("read random token: %w", err)
	}
	plain = prefix + base64.RawURLEncoding.EncodeToString(b)
	return plain, digest(plain), nil
}

func digest(plain string) []byte {
	sum := sha256.Sum256([]byte(plain))
	return sum[:]
}

var errForm = errors.New("not the form of a refresh token")

// checkForm tells a refresh token from any other text without asking the
// database.
func checkForm(plain string) error {
	rest, ok := strings.CutPrefix(plain, prefix)
	if !ok {
		return errForm
	}
	// The decoder skips line ends; the length does not.
	if len(rest) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return errForm
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(rest); err != nil || len(b) != secretBytes {
		return errForm
	}
	return nil
}

// Stored is a refresh token with its session and the account, as found under
// their locks.
type Stored struct {
	Session      Session
	Email        string
	Active       bool       // the account
	TokenExpires time.Time  // of this token
	TradedAt     *time.Time // when it was traded for the next one
	RevokedAt    *time.Time // the session
}

// why is the reason for which the token is refused.
func (s Stored) why() string {
	if s.TradedAt != nil {
		return StolenReason
	}
	return EndedReason
}

// Verdict is what to do with a refresh token that came in.
type Verdict int

// The verdicts.
const (
	Trade  Verdict = iota + 1 // give the next one
	Refuse                    // 401, change nothing
	Revoke                    // 401, and the session ends
)

// Judge decides about a token at now.
func (r Rules) Judge(s Stored, now time.Time) Verdict {
	switch {
	case s.RevokedAt != nil, !now.Before(s.Session.ExpiresAt):
		return Refuse
	case s.TradedAt != nil && now.Sub(*s.TradedAt) <= r.Grace:
		return Refuse
	case s.TradedAt != nil:
		return Revoke
	case !now.Before(s.TokenExpires), !s.Active:
		return Refuse
	}
	return Trade
}
