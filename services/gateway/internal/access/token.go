package access

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

const (
	headerType = "at+jwt" // RFC 9068
	claimType  = "access"
	leeway     = 5 * time.Second // by how much the clocks of replicas may differ
	maxToken   = 4096            // bytes
	maxKeyID   = 128             // bytes
)

type claims struct {
	jwt.RegisteredClaims
	Email   string `json:"email"`
	Session string `json:"sid"`
	Type    string `json:"type"`
}

// Authenticate verifies a bearer token, an access token or an API key, and
// returns what it says.
func (g *Guard) Authenticate(ctx context.Context, token string) (Claims, error) {
	if token == "" {
		return Claims{}, ErrNoToken
	}
	if len(token) > maxToken {
		return Claims{}, ErrBadToken
	}
	if apikey.Is(Brand, token) {
		return g.authenticateKey(ctx, token)
	}
	now := g.c.Now()
	if c, ok := g.tokens.find(token, now); ok {
		return c, nil
	}
	epoch := g.tokens.now()
	var in claims
	t, err := jwt.ParseWithClaims(token, &in, func(t *jwt.Token) (any, error) { return g.key(ctx, t) },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(g.c.Issuer), jwt.WithAudience(g.c.Audience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(g.c.Now), jwt.WithStrictDecoding())
	if err != nil {
		return Claims{}, refusal(err)
	}
	user, err := strconv.ParseInt(in.Subject, 10, 64)
	if err != nil || user <= 0 || in.Session == "" || in.Type != claimType || !readable(t.Raw) {
		return Claims{}, ErrBadToken
	}
	c := Claims{UserID: user, Email: in.Email, Session: in.Session, Expires: in.ExpiresAt.Time}
	g.tokens.putAsOf(epoch, token, c, c.Expires, now)
	return c, nil
}

// readable reports whether the claims are UTF-8, which the reader of JSON does
// not ask for.
func readable(token string) bool {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	return err == nil && utf8.Valid(text)
}

// PublicKeys returns the keys that verify tokens now, by name: for whoever else
// wants to. While the auth service is away they are those that are known.
func (g *Guard) PublicKeys(ctx context.Context) ([]Key, error) {
	now := g.c.Now()
	if g.keys.old(now, g.c) {
		if err := g.keys.refresh(ctx, now, g.from, g.c); err != nil && g.keys.never() {
			return nil, away(ctx, err)
		}
	}
	return g.keys.all(now), nil
}

func refusal(err error) error {
	var e *errs.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err // of a caller that gave up; the token has not been judged
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired.Because(err)
	}
	return ErrBadToken.Because(err)
}

// key finds the key of a token. Nothing of the header but the key's name is
// believed, and the name only chooses among our own.
func (g *Guard) key(ctx context.Context, t *jwt.Token) (any, error) {
	if typ, ok := t.Header["typ"].(string); !ok || typ != headerType {
		return nil, errors.New("not an access token")
	}
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("an extension that is not understood")
	}
	id, ok := t.Header["kid"].(string)
	if !ok || id == "" || len(id) > maxKeyID {
		return nil, errors.New("no key is named")
	}
	now := g.c.Now()
	k, known, stale := g.keys.find(id, now, g.c)
	// Again when the ring was dropped meanwhile: the answer was of before.
	for try := 0; stale && try < 3; try++ {
		err := g.keys.refresh(ctx, now, g.from, g.c)
		switch {
		case err != nil && !known:
			return nil, away(ctx, err)
		case err == nil:
			k, known, _ = g.keys.find(id, now, g.c)
		}
		stale = err == nil && g.keys.never()
	}
	switch {
	case !known && g.keys.never():
		return nil, errAway
	case !known:
		return nil, errors.New("the key is not one of ours")
	}
	return k.Public, nil
}

// keyring is the set of keys that the auth service has published.
type keyring struct {
	mu    sync.Mutex
	set   map[string]Key
	asked time.Time               // when the set was last asked for
	got   time.Time               // when it last came
	last  error                   // of the last asking
	now   *flight[map[string]Key] // the asking under way, and all who wait for it
}

// ForgetKeyring drops the keys of tokens, and what was verified with them.
func (g *Guard) ForgetKeyring() {
	g.keys.forget()
	g.tokens.drop(func(string, Claims) bool { return true })
}

// forget drops the set. An answer that is under way is of before, and not kept.
func (r *keyring) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set, r.asked, r.got, r.now = nil, time.Time{}, time.Time{}, nil
}

// find looks a key up. stale says that it is time to ask again: the set is old,
// or the key is unknown and the last asking is long enough ago, so that made-up
// key names cannot make us ask at every call.
func (r *keyring) find(id string, now time.Time, c Config) (k Key, known, stale bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known = r.set[id]
	if known && !k.NotAfter.IsZero() && now.After(k.NotAfter.Add(leeway)) {
		known = false
	}
	pause := c.KeyPause
	if r.got.IsZero() {
		pause = min(pause, time.Second)
	}
	due := now.Sub(r.asked) >= pause
	return k, known, due && (!known || now.Sub(r.got) >= c.KeepKeys)
}

// old says that it is time to ask again.
func (r *keyring) old(now time.Time, c Config) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Sub(r.asked) >= c.KeyPause && now.Sub(r.got) >= c.KeepKeys
}

// all returns the keys that are good at now, by name.
func (r *keyring) all(now time.Time) []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Key, 0, len(r.set))
	for _, k := range r.set {
		if k.NotAfter.IsZero() || !now.After(k.NotAfter) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b Key) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// never reports that no set has come yet: nobody can be judged.
func (r *keyring) never() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.IsZero()
}

// refresh asks for the set, unless that has been done since began. Callers of
// the same moment share one question, and one who gives up is let go.
func (r *keyring) refresh(ctx context.Context, began time.Time, from Authority, c Config) error {
	r.mu.Lock()
	if r.now == nil && !r.asked.Before(began) {
		defer r.mu.Unlock()
		return r.last
	}
	a := r.now
	if a == nil {
		a = &flight[map[string]Key]{done: make(chan struct{})}
		r.now = a
		go r.ask(context.WithoutCancel(ctx), a, from, c)
	}
	r.mu.Unlock()
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *keyring) ask(ctx context.Context, a *flight[map[string]Key], from Authority, c Config) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	list, err := from.SigningKeys(ctx)
	set := make(map[string]Key, len(list))
	for _, k := range list {
		if len(k.Public) == 32 {
			set[k.ID] = k
		}
	}
	r.mu.Lock()
	if r.now == a { // nobody has said since that it is of before
		r.asked, r.last, r.now = c.Now(), err, nil
		if err == nil {
			r.set, r.got = set, r.asked
		}
	}
	r.mu.Unlock()
	a.v, a.err = set, err
	close(a.done)
}
