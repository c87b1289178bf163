package natsd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Offer is what account CC lets other accounts have a part of. No account has
// any but by its [GrantSpec], which the operator's key signs.
type Offer struct {
	Subject string
	Asked   bool // it is asked or told, not heard
	Often   bool // one question has many answers
}

// offers are the wide forms; a grant has narrower ones.
var offers = []Offer{
	{Subject: "evt.>"},
	{Subject: "ext.>", Asked: true},
	{Subject: "$JS.API.CONSUMER.INFO.*.*", Asked: true},
	{Subject: "$JS.API.CONSUMER.MSG.NEXT.*.*", Asked: true, Often: true},
	{Subject: "$JS.ACK.>", Asked: true, Often: true},
}

// GrantSpec is what somebody outside may do: an account of its own, into which
// nothing of account CC reaches but what is listed. Inside it the holder may do
// anything; a deliver or reply subject of its choosing leads nowhere else. That
// is why it is no user of CC: there, whoever may pull from a consumer chooses
// where the server publishes the message, and no permission looks at that.
type GrantSpec struct {
	Name    string
	Hears   []string // subjects of CC that it may subscribe to
	Asks    []Ask
	Expires time.Time
}

// Ask is a subject of CC that a grant may publish to.
type Ask struct {
	Subject string
	As      string // what the holder calls it; the same when empty
}

// Granted is a grant that was made.
type Granted struct {
	Account string // public key
	User    string // public key
	Token   string // the account's JWT, to be pushed with [Push]
	Creds   []byte // nil when those that were given out before go on
}

// Limits of one grant.
const (
	grantConns   = 64
	grantSubs    = 1000
	grantPayload = 256 << 10
)

// Grant makes or changes a grant of the instance in dir. Its credentials are
// new when there was none of the name, or when renew is set; then older ones
// are refused once the token is pushed.
func Grant(dir string, s GrantSpec, renew bool) (*Granted, error) {
	if !userName.MatchString(s.Name) {
		return nil, fmt.Errorf("grant %q: want a name of lower-case letters, digits and dashes", s.Name)
	}
	t, op, unlock, err := operator(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := os.MkdirAll(t.grants(), 0o700); err != nil {
		return nil, fmt.Errorf("grants: %w", err)
	}
	account, err := loadOrCreate(filepath.Join(t.grants(), s.Name+".nk"), nkeys.CreateAccount)
	if err != nil {
		return nil, err
	}
	g := &Granted{}
	if g.Account, err = account.PublicKey(); err != nil {
		return nil, fmt.Errorf("grant %s: %w", s.Name, err)
	}
	c := t.grantClaims(g.Account, s)
	userFile := filepath.Join(t.grants(), s.Name+".user")
	old, err := os.ReadFile(userFile)
	switch {
	case err == nil && !renew:
		g.User = strings.TrimSpace(string(old))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("grant %s: %w", s.Name, err)
	default:
		if g.User, g.Creds, err = grantUser(s, account); err != nil {
			return nil, fmt.Errorf("grant %s: %w", s.Name, err)
		}
		if err := writeFile(userFile, []byte(g.User+"\n")); err != nil {
			return nil, err
		}
	}
	if err := t.revokeEarlier(c, g, strings.TrimSpace(string(old))); err != nil {
		return nil, err
	}
	if g.Token, err = c.Encode(op); err != nil {
		return nil, fmt.Errorf("grant %s: %w", s.Name, err)
	}
	return g, t.keepGrants(func() error { return writeFile(t.grantFile(g.Account), []byte(g.Token+"\n")) })
}

// Revoke ends a grant: its keys are removed, and what is returned ends its
// connections once it is pushed. A server that starts later does not know it.
func Revoke(dir, name string) (*Granted, error) {
	t, op, unlock, err := operator(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	seed, err := os.ReadFile(filepath.Join(t.grants(), name+".nk"))
	if err != nil {
		return nil, fmt.Errorf("grant %s: %w", name, err)
	}
	kp, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, fmt.Errorf("grant %s: %w", name, err)
	}
	g := &Granted{}
	if g.Account, err = kp.PublicKey(); err != nil {
		return nil, fmt.Errorf("grant %s: %w", name, err)
	}
	c := t.grantClaims(g.Account, GrantSpec{Name: name})
	c.RevokeAt(jwt.All, time.Now().Add(time.Second)) // those of this second, too
	if g.Token, err = c.Encode(op); err != nil {
		return nil, fmt.Errorf("grant %s: %w", name, err)
	}
	return g, t.keepGrants(func() error {
		err := os.Remove(t.grantFile(g.Account))
		for _, ext := range []string{".user", ".nk"} { // the key last: until then it can be tried again
			err = errors.Join(ignoreAbsent(err), ignoreAbsent(os.Remove(filepath.Join(t.grants(), name+ext))))
		}
		return err
	})
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Push tells the running servers of a grant as it is now. sys is a connection of
// [UserSys]. Connections that a revocation concerns are closed before it returns
// by the server that answers.
func Push(ctx context.Context, sys *nats.Conn, g *Granted) error {
	m, err := sys.RequestWithContext(ctx, "$SYS.REQ.ACCOUNT."+g.Account+".CLAIMS.UPDATE", []byte(g.Token))
	if err != nil {
		return fmt.Errorf("push grant: %w", err)
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("push grant: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("push grant: %s", answer.Error.Description)
	}
	return nil
}

// operator opens the keys of an instance for signing.
func operator(dir string) (t *Trust, op nkeys.KeyPair, unlock func(), err error) {
	if t, err = LoadTrust(dir); err != nil {
		return nil, nil, nil, err
	}
	if unlock, err = lock(filepath.Join(t.dir, ".lock")); err != nil {
		return nil, nil, nil, err
	}
	seed, err := os.ReadFile(filepath.Join(t.dir, "operator.nk"))
	if err == nil {
		op, err = nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	}
	if err != nil {
		unlock()
		return nil, nil, nil, fmt.Errorf("operator's key: %w", err)
	}
	return t, op, unlock, nil
}

func (t *Trust) grants() string { return filepath.Join(t.dir, "grants") }

func (t *Trust) grantFile(account string) string { return filepath.Join(t.grants(), account+".jwt") }

// keepGrants changes the grants and what a stock server includes.
func (t *Trust) keepGrants(change func() error) error {
	if err := change(); err != nil {
		return fmt.Errorf("grants: %w", err)
	}
	return writeFile(filepath.Join(t.dir, "nats-trust.conf"), t.serverConfig())
}

func (t *Trust) grantClaims(account string, s GrantSpec) *jwt.AccountClaims {
	c := jwt.NewAccountClaims(account)
	c.Name = "grant-" + s.Name
	c.Limits.Conn, c.Limits.Subs, c.Limits.Payload, c.Limits.LeafNodeConn = grantConns, grantSubs, grantPayload, 0
	c.Limits.DisallowBearer = true
	if !s.Expires.IsZero() {
		c.Expires = s.Expires.Unix()
	}
	for _, subject := range s.Hears {
		c.Imports.Add(&jwt.Import{Name: subject, Subject: jwt.Subject(subject), Account: t.ids[AccountCC], Type: jwt.Stream})
	}
	for _, a := range s.Asks {
		c.Imports.Add(&jwt.Import{Name: a.Subject, Subject: jwt.Subject(a.Subject), LocalSubject: jwt.RenamingSubject(a.As), Account: t.ids[AccountCC], Type: jwt.Service})
	}
	return c
}

func grantUser(s GrantSpec, account nkeys.KeyPair) (public string, creds []byte, err error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return "", nil, err
	}
	if public, err = kp.PublicKey(); err != nil {
		return "", nil, err
	}
	c := jwt.NewUserClaims(public)
	c.Name = s.Name
	c.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket}
	if !s.Expires.IsZero() {
		c.Expires = s.Expires.Unix()
	}
	token, err := c.Encode(account)
	if err != nil {
		return "", nil, err
	}
	seed, err := kp.Seed()
	if err != nil {
		return "", nil, err
	}
	creds, err = jwt.FormatUserConfig(token, seed)
	return public, creds, err
}

// revokeEarlier keeps the revocations that the grant has, and adds the user that
// a new one takes the place of.
func (t *Trust) revokeEarlier(c *jwt.AccountClaims, g *Granted, before string) error {
	token, err := os.ReadFile(t.grantFile(g.Account))
	if err != nil {
		return ignoreAbsent(err)
	}
	old, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(token)))
	if err != nil {
		return fmt.Errorf("%s: %w", t.grantFile(g.Account), err)
	}
	c.Revocations = old.Revocations
	if before != "" && before != g.User {
		if c.Revocations == nil {
			c.Revocations = jwt.RevocationList{}
		}
		c.Revocations.Revoke(before, time.Now().Add(time.Second))
	}
	return nil
}

// exports are the offers of account CC in its token.
func exports() jwt.Exports {
	var out jwt.Exports
	for _, o := range offers {
		e := &jwt.Export{Name: o.Subject, Subject: jwt.Subject(o.Subject), Type: jwt.Stream}
		if o.Asked {
			e.Type, e.ResponseType = jwt.Service, jwt.ResponseTypeSingleton
		}
		if o.Often {
			e.ResponseType = jwt.ResponseTypeStream
		}
		out.Add(e)
	}
	return out
}

// resolver finds the tokens of accounts: the instance's own as they were at the
// start, those of grants as they are on disk. The server asks for a grant when
// somebody connects with it first, and is told of its changes with [Push].
type resolver struct{ t *Trust }

func (r resolver) Fetch(account string) (string, error) {
	for name, id := range r.t.ids {
		if id == account {
			return r.t.accounts[name], nil
		}
	}
	if !nkeys.IsValidPublicAccountKey(account) {
		return "", server.ErrMissingAccount
	}
	token, err := os.ReadFile(r.t.grantFile(account))
	if err != nil {
		return "", server.ErrMissingAccount
	}
	return strings.TrimSpace(string(token)), nil
}

func (r resolver) Store(string, string) error { return errors.New("accounts are kept by their owner") }
func (r resolver) IsReadOnly() bool           { return true }
func (r resolver) Start(*server.Server) error { return nil }
func (r resolver) IsTrackingUpdate() bool     { return false }
func (r resolver) Reload() error              { return nil }
func (r resolver) Close()                     {}

func (t *Trust) grantFiles() []string {
	files, err := filepath.Glob(filepath.Join(t.grants(), "A*.jwt"))
	if err != nil {
		return nil // only a bad pattern is an error
	}
	return files
}
