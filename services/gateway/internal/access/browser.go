package access

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"
)

// Browser is what the auth service says of the cookie of a browser.
type Browser struct {
	Session string
	User    int64
	Email   string
}

// browserPrefix begins every cookie of a session; maxCookie bounds one.
const (
	browserPrefix = "ccs_"
	maxCookie     = 200 // bytes
)

// AuthenticateBrowser finds out whose session the cookie of a browser is. That it
// lives still is part of the standing, as with a token.
func (g *Guard) AuthenticateBrowser(ctx context.Context, cookie string) (Claims, error) {
	if !strings.HasPrefix(cookie, browserPrefix) || len(cookie) > maxCookie {
		return Claims{}, ErrSession
	}
	hash := sha256.Sum256([]byte(cookie))
	if _, stranger := g.strangers.find(hash, g.c.Now()); stranger {
		return Claims{}, ErrSession
	}
	b, err := g.browsers.get(ctx, hash, g.c.Now(), func(ctx context.Context) (Browser, time.Time, error) {
		b, found, err := g.from.Browser(ctx, hash)
		if err != nil || !found {
			return Browser{}, time.Time{}, err // not kept
		}
		return b, g.c.Now().Add(g.c.Keep), nil
	})
	switch {
	case err != nil:
		return Claims{}, away(ctx, err)
	case b.Session == "":
		g.stranger(hash)
		return Claims{}, ErrSession
	}
	return Claims{UserID: b.User, Email: b.Email, Session: b.Session}, nil
}
