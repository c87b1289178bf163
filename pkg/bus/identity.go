package bus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// An identity token is a compact JWS (EdDSA) about one caller, for one
// operation, for one minute. Signing and verifying cost more than the rest of
// a request together, so both ends remember tokens: the signer hands the same
// one out while half of its life is left, and the verifier keeps what it found
// good. What is remembered is keyed by everything that it depends on, and the
// audience and the time are compared on every use.
const (
	tokenLife  = 60 * time.Second
	tokenReuse = 30 * time.Second // a token with less left is not handed out
	tokenSkew  = 5 * time.Second  // a clock may be ahead by so much

	// passLife is how long after it was signed an edge's token may be passed on,
	// in a fresh token of the service that does: a handler may take longer than a
	// minute before it asks a neighbour. A thief of the token alone has its minute.
	passLife   = 15 * time.Minute
	tokenMax   = 8 << 10 // bytes
	tokenCache = 4096    // entries of one generation
)

var tokenHead = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"cc-identity+jwt"}`))

// servicePrefix starts the principal of a service that speaks for itself.
const servicePrefix = "service:"

var (
	errNoToken      = errs.New(errs.Unauthenticated, "no identity was given")
	errBadToken     = errs.New(errs.Unauthenticated, "the identity is not valid")
	errExpiredToken = errs.New(errs.Unauthenticated, "the identity has expired")

	// errOldIdentity is a fault of the handler, and not of the caller.
	errOldIdentity = errs.New(errs.Internal, "the call is too old for its caller's identity to be passed on: ask as the service itself, with a call of the contract")
)

// claims are the body of a token.
type claims struct {
	Issuer    string `json:"iss"` // service that signed
	Audience  string `json:"aud"` // "<service>.<operation>"
	IssuedAt  int64  `json:"iat"`
	Expires   int64  `json:"exp"`
	Principal string `json:"sub"`
	Project   int64  `json:"prj"`
	UserID    int64  `json:"uid,omitempty"`
	Email     string `json:"eml,omitempty"`
	Role      string `json:"rol,omitempty"`
	Superuser bool   `json:"sup,omitempty"`
	Session   string `json:"ses,omitempty"`
	Account   int64  `json:"sac,omitempty"`
	Key       string `json:"key,omitempty"`
	Client    string `json:"cli,omitempty"`
	// Behalf is the token of an edge that a service passes on.
	Behalf string `json:"obo,omitempty"`
}

func (c claims) identity() tenant.Identity {
	return tenant.Identity{
		Project: tenant.Project(c.Project), Principal: c.Principal, UserID: c.UserID, Email: c.Email,
		Role: tenant.Role(c.Role), Superuser: c.Superuser, Session: c.Session, Client: c.Client,
		ServiceAccount: c.Account, Key: c.Key,
	}
}

// signer makes this service's tokens.
type signer struct {
	service string
	key     nkeys.KeyPair // nil: cannot sign
	now     func() time.Time
	made    *cache[signKey, signed]
}

type signKey struct {
	id       tenant.Identity
	audience string
	behalf   string
}

type signed struct {
	token   string
	expires int64
}

func newSigner(service string, seed []byte) (*signer, error) {
	s := &signer{service: service, now: time.Now, made: newCache[signKey, signed](tokenCache)}
	if len(seed) == 0 {
		return s, nil
	}
	var err error
	if s.key, err = nkeys.FromSeed(bytes.TrimSpace(seed)); err != nil {
		return nil, fmt.Errorf("signing seed of %s: %w", service, err)
	}
	return s, nil
}

// token returns a token for id and audience. behalf is the edge's token when
// id came with one.
func (s *signer) token(id tenant.Identity, audience, behalf string) (string, error) {
	now := s.now()
	key := signKey{id, audience, behalf}
	if t, ok := s.made.get(key); ok && t.expires-now.Unix() > int64(tokenReuse/time.Second) {
		return t.token, nil
	}
	if s.key == nil {
		return "", errs.Newf(errs.Internal, "service %s has no key to sign an identity with", s.service)
	}
	c := claims{
		Issuer: s.service, Audience: audience, IssuedAt: now.Unix(), Expires: now.Add(tokenLife).Unix(),
		Principal: id.Principal, Project: int64(id.Project), UserID: id.UserID, Email: id.Email, Role: string(id.Role),
		Superuser: id.Superuser, Session: id.Session, Account: id.ServiceAccount, Key: id.Key, Client: id.Client, Behalf: behalf,
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("identity token: %w", err)
	}
	input := tokenHead + "." + base64.RawURLEncoding.EncodeToString(body)
	sig, err := s.key.Sign([]byte(input))
	if err != nil {
		return "", fmt.Errorf("identity token: %w", err)
	}
	token := input + "." + base64.RawURLEncoding.EncodeToString(sig)
	s.made.set(key, signed{token, c.Expires})
	return token, nil
}

// verifier decides whom to believe.
type verifier struct {
	keys  map[string]nkeys.KeyPair
	edges []string
	seen  *cache[string, *claims] // signature good, claims consistent
}

func newVerifier(issuers map[string]string, edges []string) (*verifier, error) {
	v := &verifier{keys: map[string]nkeys.KeyPair{}, edges: edges, seen: newCache[string, *claims](tokenCache)}
	for service, pub := range issuers {
		k, err := nkeys.FromPublicKey(pub)
		if err != nil {
			return nil, fmt.Errorf("signing key of %s: %w", service, err)
		}
		v.keys[service] = k
	}
	return v, nil
}

// verify returns who is calling, as of the time at: now for a request, the
// time of its arrival in the stream for a command. Its errors are of kind
// Unauthenticated and say nothing that helps to forge a token.
func (v *verifier) verify(token, audience string, at time.Time) (*claims, error) {
	if token == "" {
		return nil, errNoToken
	}
	c, err := v.check(token)
	if err != nil {
		return nil, errBadToken.Because(err)
	}
	if c.Audience != audience {
		return nil, errBadToken.Because(fmt.Errorf("it is for %q, this is %q", c.Audience, audience))
	}
	if err := c.in(at); err != nil {
		return nil, err
	}
	if c.Behalf != "" {
		behalf, err := v.check(c.Behalf) // remembered with the token
		if err != nil {
			return nil, errBadToken.Because(err)
		}
		if err := behalf.passed(at); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// in reports whether the token is valid at the time.
func (c *claims) in(at time.Time) error {
	now := at.Unix()
	if c.Expires <= now {
		return errExpiredToken
	}
	if c.IssuedAt > now+int64(tokenSkew/time.Second) {
		return errBadToken.Because(errors.New("it was issued in the future"))
	}
	return nil
}

// passed is [claims.in] for a token that a service passes on.
func (c *claims) passed(at time.Time) error {
	long := *c
	long.Expires = max(c.Expires, c.IssuedAt+int64(passLife/time.Second))
	return long.in(at)
}

// check verifies what does not depend on time and audience.
func (v *verifier) check(token string) (*claims, error) {
	if c, ok := v.seen.get(token); ok {
		return c, nil
	}
	c, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	if err := v.believe(c); err != nil {
		return nil, err
	}
	v.seen.set(strings.Clone(token), c)
	return c, nil
}

// parse decodes a token and verifies its signature.
func (v *verifier) parse(token string) (*claims, error) {
	if len(token) > tokenMax {
		return nil, errors.New("it is too long")
	}
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return nil, errors.New("it has no signature")
	}
	input := token[:dot]
	head, body, ok := strings.Cut(input, ".")
	if !ok || head != tokenHead { // one algorithm, chosen here and not by the token
		return nil, errors.New("its header is not ours")
	}
	enc := base64.RawURLEncoding.Strict()
	raw, err := enc.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("its body: %w", err)
	}
	sig, err := enc.DecodeString(token[dot+1:])
	if err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	var c claims
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("its body: %w", err)
	}
	key, ok := v.keys[c.Issuer]
	if !ok {
		return nil, fmt.Errorf("its issuer %q is unknown", c.Issuer)
	}
	if err := key.Verify([]byte(input), sig); err != nil {
		return nil, fmt.Errorf("its signature by %s: %w", c.Issuer, err)
	}
	return &c, nil
}

// believe decides whether the issuer may say what the token says.
func (v *verifier) believe(c *claims) error {
	if c.Expires-c.IssuedAt > int64(tokenLife/time.Second) || c.Expires < c.IssuedAt {
		return errors.New("it lives too long")
	}
	if c.Project < 0 || c.Audience == "" {
		return errors.New("it names no project or no operation")
	}
	if name, ok := strings.CutPrefix(c.Principal, servicePrefix); ok {
		if name != c.Issuer {
			return fmt.Errorf("%s speaks for service %s", c.Issuer, name)
		}
		return nil
	}
	if slices.Contains(v.edges, c.Issuer) {
		if c.Behalf != "" {
			return errors.New("an edge passes nothing on")
		}
		return nil
	}
	if c.Behalf == "" {
		return fmt.Errorf("%s speaks for %q without a token of an edge", c.Issuer, c.Principal)
	}
	inner, err := v.parse(c.Behalf)
	if err != nil {
		return fmt.Errorf("what it passes on: %w", err)
	}
	if !slices.Contains(v.edges, inner.Issuer) || inner.Behalf != "" || strings.HasPrefix(inner.Principal, servicePrefix) {
		return errors.New("what it passes on is not of an edge")
	}
	if inner.identity() != c.identity() {
		return errors.New("what it passes on is about somebody else")
	}
	return nil
}
