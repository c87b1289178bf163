package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// cookiePrefix marks the cookie of a browser's session, so that it is known
// where it does not belong.
const cookiePrefix = "ccs_"

// touchEvery is how often the use of a browser's session is written down.
const touchEvery = time.Hour

// Browsers opens and knows sessions of browsers: in the place of a pair of
// tokens they have one cookie, which scripts cannot read.
type Browsers struct {
	Sessions browsers
	Rules    Rules
	Now      func() time.Time
}

type browsers interface {
	// OpenBrowser keeps a new session with the hash of its cookie, or returns
	// [ErrChanged] when the account has another version by now.
	OpenBrowser(ctx context.Context, s Session, version int64, hash []byte) error
	// Browser returns the live session of a cookie, found is false without one;
	// used is when its use was last written down.
	Browser(ctx context.Context, hash []byte, now time.Time) (s Session, email string, used time.Time, found bool, err error)
	// Touch writes down that a session is used, and until when it lives then.
	Touch(ctx context.Context, id uuid.UUID, now, expires time.Time) error
	// ByCookie says whether a session, live or not, is one of a browser.
	ByCookie(ctx context.Context, id uuid.UUID) (bool, error)
}

// Cookie is what a browser is given.
type Cookie struct {
	Value string
	Life  time.Duration // the longest that its session can last
}

// Open begins a session of the user, or returns [ErrChanged].
func (b Browsers) Open(ctx context.Context, who Login) (Cookie, error) {
	now := b.Now()
	id, err := uuid.NewRandom()
	if err != nil {
		return Cookie{}, fmt.Errorf("make session id: %w", err)
	}
	var secret [secretBytes]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return Cookie{}, fmt.Errorf("read random cookie: %w", err)
	}
	c := Cookie{Value: cookiePrefix + base64.RawURLEncoding.EncodeToString(secret[:]), Life: b.Rules.Longest}
	s := Session{ID: id, UserID: who.UserID, CreatedAt: now, ExpiresAt: b.Rules.expiry(now, now), From: who.From}
	if err := b.Sessions.OpenBrowser(ctx, s, who.Version, digest(c.Value)); err != nil {
		return Cookie{}, fmt.Errorf("open session of a browser: %w", err)
	}
	return c, nil
}

// Resolve returns the live session of the cookie with this hash; found is false
// without one. A session that is used lives on.
func (b Browsers) Resolve(ctx context.Context, hash []byte) (s Session, email string, found bool, err error) {
	now := b.Now()
	s, email, used, found, err := b.Sessions.Browser(ctx, hash, now)
	if err != nil {
		return Session{}, "", false, fmt.Errorf("find session of a browser: %w", err)
	}
	if found && now.Sub(used) >= touchEvery {
		if err := b.Sessions.Touch(ctx, s.ID, now, b.Rules.expiry(s.CreatedAt, now)); err != nil {
			return Session{}, "", false, fmt.Errorf("note use of session %s: %w", s.ID, err)
		}
	}
	return s, email, found, nil
}

// ByCookie says whether a session is one of a browser, which has a cookie to lose
// when it ends.
func (b Browsers) ByCookie(ctx context.Context, session string) (bool, error) {
	id, err := uuid.Parse(session)
	if err != nil {
		return false, ErrEnded
	}
	is, err := b.Sessions.ByCookie(ctx, id)
	if err != nil {
		return false, fmt.Errorf("what kind of session %s is: %w", id, err)
	}
	return is, nil
}
