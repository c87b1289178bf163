package access

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Brand is how every API key begins.
const Brand = "cc"

// APIKey is what the auth service says of a key.
type APIKey struct {
	ID      string
	Project tenant.Project // the one in which it is good
	User    int64          // whose it is, or
	Account int64          // of which service account
	Scopes  Scopes
	Expires time.Time // zero: by itself never
}

// Level is how much of an area a scope allows; each holds those before it.
type Level int

// The levels.
const (
	Nothing Level = iota
	Read
	Write
	Admin
)

var levels = map[string]Level{"read": Read, "write": Write, "admin": Admin}

// String is the level as scopes spell it.
func (l Level) String() string {
	for word, level := range levels {
		if level == l {
			return word
		}
	}
	return "nothing"
}

// ParseLevel is the level with that word, Nothing for another.
func ParseLevel(word string) Level { return levels[word] }

// anywhere is the area of a scope for all of them.
const anywhere = "*"

// Scopes are the levels by area.
type Scopes map[string]Level

// ParseScopes reads scopes as the auth service writes them, "<area>:<level>".
// What it does not know allows nothing.
func ParseScopes(texts []string) Scopes {
	out := Scopes{}
	for _, t := range texts {
		for i := range len(t) {
			if t[i] == ':' {
				out[t[:i]] = max(out[t[:i]], levels[t[i+1:]])
				break
			}
		}
	}
	return out
}

// Allow reports whether they reach the level in the area.
func (s Scopes) Allow(area string, want Level) bool { return max(s[area], s[anywhere]) >= want }

// authenticateKey finds out whose an API key is. What does not have the form of
// one is refused without a question; an unknown one is remembered for a minute,
// apart from the known ones, so that guesses push none of them out.
func (g *Guard) authenticateKey(ctx context.Context, text string) (Claims, error) {
	k, err := apikey.Parse(Brand, text)
	if err != nil {
		return Claims{}, ErrBadKey.Because(err)
	}
	now, hash := g.c.Now(), k.Hash()
	if _, stranger := g.strangers.find(hash, now); stranger {
		return Claims{}, ErrBadKey
	}
	known, err := g.apiKeys.get(ctx, hash, now, func(ctx context.Context) (*APIKey, time.Time, error) {
		k, found, err := g.from.APIKey(ctx, hash)
		if err != nil || !found {
			return nil, time.Time{}, err // kept until a time that has passed
		}
		until := g.c.Now().Add(g.c.Keep)
		if !k.Expires.IsZero() && k.Expires.Before(until) {
			until = k.Expires
		}
		return &k, until, nil
	})
	switch {
	case err != nil:
		return Claims{}, away(ctx, err)
	case known == nil:
		g.stranger(hash)
		return Claims{}, ErrBadKey
	case !known.Expires.IsZero() && !now.Before(known.Expires):
		return Claims{}, ErrBadKey
	}
	return Claims{UserID: known.User, Expires: known.Expires, Key: known}, nil
}

// ForgetKey drops what is known of an API key.
func (g *Guard) ForgetKey(id string) {
	g.apiKeys.drop(func(_ [32]byte, k *APIKey) bool { return k == nil || k.ID == id })
}
