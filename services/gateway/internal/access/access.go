package access

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// The refusals of this package.
var (
	ErrNoToken   = errs.New(errs.Unauthenticated, "Not authenticated: send Authorization: Bearer with an access token or an API key")
	ErrBadToken  = errs.New(errs.Unauthenticated, "The access token is not valid")
	ErrExpired   = errs.New(errs.Unauthenticated, "The access token has expired")
	ErrSession   = errs.New(errs.Unauthenticated, "The session has ended")
	ErrNoAccount = errs.New(errs.Unauthenticated, "The account does not exist any more")
	ErrInactive  = errs.New(errs.Forbidden, "The account is inactive")
	ErrBadKey    = errs.New(errs.Unauthenticated, "The API key is not valid")
	ErrKeyEnded  = errs.New(errs.Unauthenticated, "The holder of the API key has left its project, or is switched off or gone")
	ErrNoProject = errs.New(errs.Forbidden, "The account belongs to no project")
	errAway      = errs.New(errs.Unavailable, "Access cannot be checked at the moment").After(2 * time.Second)
)

// Claims is what a valid token says, or what is known of an API key.
type Claims struct {
	UserID  int64 // 0 for a service account
	Email   string
	Session string // "" with a key
	Expires time.Time
	Key     *APIKey // nil for a token
}

// GoodUntil is when a call would first be refused for its age, as far as is known; zero
// for a key that never expires.
func (c Claims) GoodUntil() time.Time {
	if c.Key != nil {
		return c.Expires
	}
	return c.Expires.Add(leeway + time.Millisecond)
}

// asked is the question for the standing of whoever it is about. A key has one
// project, and no other is asked for.
func (c Claims) asked(project tenant.Project) Question {
	q := Question{User: c.UserID, Project: project, Session: c.Session}
	if c.Key != nil {
		q.Account, q.Project = c.Key.Account, c.Key.Project
	}
	return q
}

// Key verifies tokens.
type Key struct {
	ID       string
	Public   ed25519.PublicKey
	NotAfter time.Time // zero: no end is known
}

// Standing is what the auth service says of a user, now.
type Standing struct {
	Known       bool // the account exists, a person's or a service's
	Email       string
	Active      bool
	Superuser   bool
	SessionLive bool
	Project     tenant.Project // 0: no such project, or none at all
	Role        tenant.Role
	Limits      Limits // of the project, its own
}

// Limits are a project's own, by class.
type Limits map[string]Limit

// Limit is one of them.
type Limit struct {
	Calls int
	Per   time.Duration
	// Raised says that a superuser has set it: it may be above the instance's.
	Raised bool
}

// Authority is the auth service, as this package needs it.
type Authority interface {
	SigningKeys(ctx context.Context) ([]Key, error)
	// Standing asks for a user or a service account in a project.
	Standing(ctx context.Context, q Question) (Standing, error)
	// APIKey returns the live key with this hash, found is false without one.
	APIKey(ctx context.Context, hash [sha256.Size]byte) (k APIKey, found bool, err error)
	// Browser returns the session of the cookie with this hash, found is false
	// without one.
	Browser(ctx context.Context, hash [sha256.Size]byte) (b Browser, found bool, err error)
}

// Question is whose standing is wanted.
type Question struct {
	User    int64
	Account int64          // a service account in the place of a user
	Project tenant.Project // 0 is the user's default one
	Session string
}

// Config says what is accepted, and how long it is believed.
type Config struct {
	Issuer, Audience string
	Keep             time.Duration // of a standing, and of what an API key is
	Away             time.Duration // of the same while the auth service does not answer
	KeepKeys         time.Duration // of the key set
	KeyPause         time.Duration // between two askings for an unknown key
	Entries          int           // tokens and standings remembered, each
	Now              func() time.Time
}

// Guard verifies tokens and knows standings.
type Guard struct {
	c         Config
	from      Authority
	keys      keyring
	tokens    *cache[string, Claims]
	standings *cache[Question, Standing]
	apiKeys   *cache[[sha256.Size]byte, *APIKey] // by hash; nil is no key
	browsers  *cache[[sha256.Size]byte, Browser]
	strangers *cache[[sha256.Size]byte, struct{}] // keys and cookies that are none
}

// New returns a guard that asks from. Zero values of c get defaults: 60 s for
// standings, 15 min while nobody answers, 5 min for keys, 5 s between askings, 20,000 entries.
func New(from Authority, c Config) (*Guard, error) {
	if c.Issuer == "" || c.Audience == "" {
		return nil, errors.New("access: issuer and audience of tokens have to be named")
	}
	for d, def := range map[*time.Duration]time.Duration{
		&c.Keep: time.Minute, &c.Away: 15 * time.Minute, &c.KeepKeys: 5 * time.Minute, &c.KeyPause: 5 * time.Second,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	if c.Entries <= 0 {
		c.Entries = 20_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	g := &Guard{
		c: c, from: from,
		tokens:    newCache[string, Claims](c.Entries, 0),
		standings: newCache[Question, Standing](c.Entries, c.Away),
		apiKeys:   newCache[[sha256.Size]byte, *APIKey](c.Entries, c.Away),
		browsers:  newCache[[sha256.Size]byte, Browser](c.Entries, c.Away),
		strangers: newCache[[sha256.Size]byte, struct{}](min(c.Entries, mostStrangers), 0),
	}
	// Who is known in the default project is known where that is named, as in
	// an operation's id.
	g.standings.also = func(q Question, s Standing) Question {
		if q.Project == 0 {
			q.Project = s.Project
		}
		return q
	}
	return g, nil
}

// mostStrangers is how many keys and cookies that are none are remembered, and
// strange is for how long. They are 256 bits of chance: one that is none does not
// become one.
const (
	mostStrangers = 4096
	strange       = time.Minute
)

// Asks reports whether the auth service has to be asked whose an API key or the
// cookie of a browser is. Of an access token it is not.
func (g *Guard) Asks(credential string) bool {
	var hash [sha256.Size]byte
	switch {
	case strings.HasPrefix(credential, browserPrefix) && len(credential) <= maxCookie:
		hash = sha256.Sum256([]byte(credential))
	case apikey.Is(Brand, credential):
		k, err := apikey.Parse(Brand, credential)
		if err != nil {
			return false
		}
		hash = k.Hash()
	default:
		return false
	}
	now := g.c.Now()
	_, stranger := g.strangers.find(hash, now)
	_, key := g.apiKeys.find(hash, now)
	_, browser := g.browsers.find(hash, now)
	return !stranger && !key && !browser
}

// stranger remembers what is nobody's.
func (g *Guard) stranger(hash [sha256.Size]byte) {
	now := g.c.Now()
	g.strangers.putAsOf(g.strangers.now(), hash, struct{}{}, now.Add(strange), now)
}

// Standing returns the standing of the token's user in the project, 0 for the
// default one. While the auth service is away it is the last one that is known:
// whoever changes it is away as well, and what was heard of a change forgets it.
// It refuses accounts and sessions that have ended; whether the
// project is the caller's is for the caller of this method to judge.
func (g *Guard) Standing(ctx context.Context, c Claims, project tenant.Project) (Standing, error) {
	q := c.asked(project)
	s, err := g.standings.get(ctx, q, g.c.Now(), func(ctx context.Context) (Standing, time.Time, error) {
		s, err := g.from.Standing(ctx, q)
		return s, g.c.Now().Add(g.c.Keep), err
	})
	switch {
	case err != nil:
		return Standing{}, away(ctx, err)
	case c.Key != nil && (!s.Known || !s.Active):
		return Standing{}, ErrKeyEnded
	case !s.Known:
		return Standing{}, ErrNoAccount
	case !s.Active:
		return Standing{}, ErrInactive
	case !s.SessionLive:
		return Standing{}, ErrSession
	}
	return s, nil
}

// Known returns what is remembered of the token's user in the project, the zero
// Standing when nothing is. It asks nobody and judges nothing.
func (g *Guard) Known(c Claims, project tenant.Project) Standing {
	s, _ := g.standings.find(c.asked(project), g.c.Now())
	return s
}

// away makes one refusal of whatever kept the auth service from answering; a
// caller that gave up keeps its own reason.
func away(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return errAway.Because(err)
}

// ForgetUser drops every standing of a user.
func (g *Guard) ForgetUser(id int64) {
	g.standings.drop(func(q Question, _ Standing) bool { return q.User == id })
}

// ForgetSession drops every standing of a session.
func (g *Guard) ForgetSession(id string) {
	g.standings.drop(func(q Question, _ Standing) bool { return q.Session == id })
}

// ForgetAccount drops every standing of a service account.
func (g *Guard) ForgetAccount(id int64) {
	g.standings.drop(func(q Question, _ Standing) bool { return q.Account == id })
}

// ForgetProject drops every standing in a project, asked for by number or as
// somebody's default.
func (g *Guard) ForgetProject(p tenant.Project) {
	g.standings.drop(func(q Question, s Standing) bool { return q.Project == p || s.Project == p })
}
