package natsd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// The accounts.
const (
	AccountCC  = "CC"
	AccountHub = "HUB"
	AccountSys = "SYS"
)

// The users that [Provision] adds to every instance.
const (
	UserAdmin    = "admin"     // everything in CC: creates streams, redrives, tails
	UserHubAdmin = "hub-admin" // everything in HUB
	UserSys      = "sys"       // the server's own account, for diagnosis
	UserWatch    = "watch"     // there, too: may ask how leaf connections are
)

// UserSpec is one user and what it may do. A subject that no list allows is
// refused; Deny lists win over Pub and Sub.
type UserSpec struct {
	Name    string   // a service's name; also the name of its files
	Account string   // AccountCC when empty
	Pub     []string // subjects that it may publish to
	Sub     []string // subjects that it may subscribe to
	PubDeny []string
	// Leaf lets another instance join with the user by a leaf connection; for
	// AccountHub.
	Leaf bool
	// Replies lets the user answer any message that it received, once and
	// within half a minute, whatever its reply subject.
	Replies bool
}

// Trust is the key material of an instance, read from or written to
// <dir>/keys.
type Trust struct {
	dir      string
	operator string            // JWT
	accounts map[string]string // name -> JWT
	ids      map[string]string // account name -> public key
	issuers  map[string]string // user -> public signing key
}

var userName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// Provision creates what is missing of the instance's trust under dir and
// brings every user's permissions up to date. Keys that exist are kept, files
// whose content would not change are not written. Only these users are let in,
// and trusted with identities: a user of an earlier call is revoked in its
// account and its files are removed, and so is a key in whose place another one
// was put. A server has to read the accounts again for that. It is safe to run
// at the same time in several processes.
func Provision(dir string, users []UserSpec) (*Trust, error) {
	keys := filepath.Join(dir, "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return nil, fmt.Errorf("keys directory: %w", err)
	}
	unlock, err := lock(filepath.Join(keys, ".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	t := &Trust{dir: keys, accounts: map[string]string{}, ids: map[string]string{}, issuers: map[string]string{}}
	op, err := loadOrCreate(filepath.Join(keys, "operator.nk"), nkeys.CreateOperator)
	if err != nil {
		return nil, err
	}
	signers := map[string]nkeys.KeyPair{}
	for _, name := range []string{AccountSys, AccountCC, AccountHub} {
		kp, err := loadOrCreate(filepath.Join(keys, name+".nk"), nkeys.CreateAccount)
		if err != nil {
			return nil, err
		}
		if t.ids[name], err = kp.PublicKey(); err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		signers[name] = kp
	}
	if err := t.signOperator(op); err != nil {
		return nil, err
	}
	known := map[string]member{}
	for _, u := range append(builtin(), users...) {
		if known[u.Name], err = t.signUser(u, signers); err != nil {
			return nil, fmt.Errorf("user %s: %w", u.Name, err)
		}
	}
	gone, err := t.gone(known)
	if err != nil {
		return nil, err
	}
	for name := range signers {
		if err := t.signAccount(name, op, gone[name]); err != nil {
			return nil, err
		}
	}
	// Only now that they are revoked may they be forgotten.
	if err := t.remember(known); err != nil {
		return nil, err
	}
	issuers, err := json.MarshalIndent(t.issuers, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	if err := writeFile(filepath.Join(keys, "issuers.json"), append(issuers, '\n')); err != nil {
		return nil, err
	}
	return t, writeFile(filepath.Join(keys, "nats-trust.conf"), t.serverConfig())
}

// LoadTrust reads what [Provision] wrote under dir, for a process that is not
// the one that provisions.
func LoadTrust(dir string) (*Trust, error) {
	t := &Trust{dir: filepath.Join(dir, "keys"), accounts: map[string]string{}, ids: map[string]string{}, issuers: map[string]string{}}
	var err error
	if t.operator, err = t.read("operator.jwt"); err != nil {
		return nil, err
	}
	for _, name := range []string{AccountSys, AccountCC, AccountHub} {
		if t.accounts[name], err = t.read(name + ".jwt"); err != nil {
			return nil, err
		}
		c, err := jwt.DecodeAccountClaims(t.accounts[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(t.dir, name+".jwt"), err)
		}
		t.ids[name] = c.Subject
	}
	return t, t.readIssuers()
}

// CredsFile is the path of the user's credentials file.
func (t *Trust) CredsFile(user string) string { return filepath.Join(t.dir, user+".creds") }

// SigningSeed is the seed with which the user signs identities on the bus. It
// is another key than the one that the user connects with: a server chooses
// what a connection key signs.
func (t *Trust) SigningSeed(user string) ([]byte, error) {
	path := filepath.Join(t.dir, user+".sign.nk")
	seed, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("signing key of %s: %w", user, err)
	}
	return []byte(strings.TrimSpace(string(seed))), nil
}

// Issuers maps every user of account CC to the public key of its
// [Trust.SigningSeed].
func (t *Trust) Issuers() map[string]string { return maps.Clone(t.issuers) }

// Domain is a JetStream domain that no other instance has.
func (t *Trust) Domain() string { return "cc-" + strings.ToLower(t.ids[AccountCC][1:13]) }

func builtin() []UserSpec {
	all := []string{">"}
	return []UserSpec{
		{Name: UserAdmin, Pub: all, Sub: all},
		{Name: UserHubAdmin, Account: AccountHub, Pub: all, Sub: all},
		{Name: UserSys, Account: AccountSys, Pub: all, Sub: all},
		{Name: UserWatch, Account: AccountSys, Pub: []string{askVars, askLeafs}, Sub: []string{"_INBOX_" + UserWatch + ".>"}},
	}
}

func (t *Trust) signOperator(op nkeys.KeyPair) error {
	pub, err := op.PublicKey()
	if err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	c := jwt.NewOperatorClaims(pub)
	c.Name = "commandcenter"
	c.SystemAccount = t.ids[AccountSys]
	t.operator, err = t.keep("operator.jwt", c, op, func(old string) (any, any, error) {
		o, err := jwt.DecodeOperatorClaims(old)
		if err != nil {
			return nil, nil, err
		}
		return o.Operator, c.Operator, nil
	})
	return err
}

func (t *Trust) signAccount(name string, op nkeys.KeyPair, gone []string) error {
	c := jwt.NewAccountClaims(t.ids[name])
	c.Name = name
	if name != AccountSys {
		// The server's own bounds apply; an account is not limited further.
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{
			MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
			MaxAckPending: jwt.NoLimit, MemoryMaxStreamBytes: jwt.NoLimit, DiskMaxStreamBytes: jwt.NoLimit,
		}
	}
	if name != AccountHub {
		c.Limits.LeafNodeConn = 0
	}
	if name == AccountCC {
		c.Exports = exports()
	}
	if err := t.revoke(c, gone); err != nil {
		return err
	}
	var err error
	t.accounts[name], err = t.keep(name+".jwt", c, op, func(old string) (any, any, error) {
		o, err := jwt.DecodeAccountClaims(old)
		if err != nil {
			return nil, nil, err
		}
		return o.Account, c.Account, nil
	})
	return err
}

func (t *Trust) signUser(u UserSpec, signers map[string]nkeys.KeyPair) (member, error) {
	if !userName.MatchString(u.Name) {
		return member{}, errors.New("want a name of lower-case letters, digits and dashes")
	}
	account := u.Account
	if account == "" {
		account = AccountCC
	}
	signer, ok := signers[account]
	if !ok {
		return member{}, fmt.Errorf("no account %q", account)
	}
	kp, err := loadOrCreate(filepath.Join(t.dir, u.Name+".nk"), nkeys.CreateUser)
	if err != nil {
		return member{}, err
	}
	pub, err := kp.PublicKey()
	if err != nil {
		return member{}, err
	}
	c := jwt.NewUserClaims(pub)
	c.Name = u.Name
	c.Permissions.Pub = jwt.Permission{Allow: sorted(u.Pub), Deny: sorted(u.PubDeny)}
	c.Permissions.Sub = jwt.Permission{Allow: sorted(u.Sub)}
	if len(u.Pub) == 0 { // an empty allow list would allow everything
		c.Permissions.Pub.Deny = jwt.StringList{">"}
	}
	if len(u.Sub) == 0 {
		c.Permissions.Sub.Deny = jwt.StringList{">"}
	}
	if u.Replies {
		c.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: 30 * time.Second}
	}
	c.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket, jwt.ConnectionTypeInProcess}
	if u.Leaf {
		if account != AccountHub {
			return member{}, fmt.Errorf("a leaf connection binds %s, not %s", AccountHub, account)
		}
		c.AllowedConnectionTypes = append(c.AllowedConnectionTypes, jwt.ConnectionTypeLeafnode)
	}
	token, err := t.keep(u.Name+".jwt", c, signer, func(old string) (any, any, error) {
		o, err := jwt.DecodeUserClaims(old)
		if err != nil {
			return nil, nil, err
		}
		return o.User, c.User, nil
	})
	if err != nil {
		return member{}, err
	}
	seed, err := kp.Seed()
	if err != nil {
		return member{}, err
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return member{}, err
	}
	if err := writeFile(t.CredsFile(u.Name), creds); err != nil {
		return member{}, err
	}
	m := member{Account: account, Key: pub}
	if account != AccountCC {
		return m, nil
	}
	sign, err := loadOrCreate(filepath.Join(t.dir, u.Name+".sign.nk"), nkeys.CreateUser)
	if err != nil {
		return member{}, err
	}
	t.issuers[u.Name], err = sign.PublicKey()
	return m, err
}

// keep returns the token in the file name when it was issued by signer and
// says what c says; otherwise it signs c and writes the file. A token carries
// its time of issue, so that signing again would change every file.
func (t *Trust) keep(name string, c jwt.Claims, signer nkeys.KeyPair, both func(old string) (was, want any, err error)) (string, error) {
	issuer, err := signer.PublicKey()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	token, err := c.Encode(signer) // also sets the version in c
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", name, err)
	}
	old, err := t.read(name)
	if err == nil {
		if was, want, err := both(old); err == nil && sameJSON(was, want) {
			if g, err := jwt.Decode(old); err == nil && g.Claims().Issuer == issuer && g.Claims().Subject == c.Claims().Subject {
				return old, nil
			}
		}
	}
	return token, writeFile(filepath.Join(t.dir, name), []byte(token+"\n"))
}

func (t *Trust) read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(t.dir, name))
	if err != nil {
		return "", fmt.Errorf("trust of this instance: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (t *Trust) readIssuers() error {
	b, err := t.read("issuers.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(b), &t.issuers); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(t.dir, "issuers.json"), err)
	}
	return nil
}

// serverConfig is what a stock nats-server includes to trust this instance's
// users.
func (t *Trust) serverConfig() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by commandcenter; include it in nats-server.conf.\noperator: %s\nsystem_account: %s\nmax_control_line: %d\nmax_payload: %d\nresolver: MEMORY\nresolver_preload: {\n",
		t.operator, t.ids[AccountSys], maxControlLine, MaxPayload)
	for _, name := range slices.Sorted(maps.Keys(t.accounts)) {
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", name, t.ids[name], t.accounts[name])
	}
	for _, file := range t.grantFiles() {
		if token, err := os.ReadFile(file); err == nil { // one that is gone meanwhile is revoked
			fmt.Fprintf(&b, "  %s: %s\n", strings.TrimSuffix(filepath.Base(file), ".jwt"), strings.TrimSpace(string(token)))
		}
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

func sorted(s []string) jwt.StringList {
	out := slices.Clone(s)
	slices.Sort(out)
	return jwt.StringList(slices.Compact(out))
}

func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}
