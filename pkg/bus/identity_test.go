package bus

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// keyring signs as several services and verifies as one.
type keyring struct {
	signers  map[string]*signer
	verifier *verifier
	now      time.Time
}

func newKeyring(t testing.TB, services ...string) *keyring {
	t.Helper()
	k := &keyring{signers: map[string]*signer{}, now: time.Unix(1_800_000_000, 0)}
	issuers := map[string]string{}
	for _, service := range services {
		kp, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		seed, err := kp.Seed()
		if err != nil {
			t.Fatal(err)
		}
		if issuers[service], err = kp.PublicKey(); err != nil {
			t.Fatal(err)
		}
		if k.signers[service], err = newSigner(service, seed); err != nil {
			t.Fatal(err)
		}
		k.signers[service].now = func() time.Time { return k.now }
	}
	var err error
	if k.verifier, err = newVerifier(issuers, []string{"gateway"}); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keyring) sign(t testing.TB, service string, id tenant.Identity, audience, behalf string) string {
	t.Helper()
	token, err := k.signers[service].token(id, audience, behalf)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

var bob = tenant.Identity{Project: 42, Principal: "user:7", UserID: 7, Email: "bob@example.org", Role: tenant.Admin, Superuser: true, Session: "s1"}

func TestATokenSaysWhoIsCallingToItsAudienceWhileItLives(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, "gateway", "knowledge")
	token := k.sign(t, "gateway", bob, "auth.me", "")
	for range 2 { // the second time out of the cache
		c, err := k.verifier.verify(token, "auth.me", k.now)
		if err != nil {
			t.Fatal(err)
		}
		if c.identity() != bob || c.Issuer != "gateway" {
			t.Errorf("identity %+v", c)
		}
		for name, try := range map[string]struct {
			audience string
			at       time.Time
		}{
			"another operation":   {"auth.deleteUser", k.now},
			"at its end":          {"auth.me", k.now.Add(tokenLife)},
			"long after":          {"auth.me", k.now.Add(time.Hour)},
			"before it was given": {"auth.me", k.now.Add(-time.Minute)},
		} {
			if _, err := k.verifier.verify(token, try.audience, try.at); errs.KindOf(err) != errs.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := k.verifier.verify(token, "auth.me", k.now.Add(-2*time.Second)); err != nil {
		t.Errorf("a clock that is a little behind: %v", err)
	}
	if _, err := k.verifier.verify("", "auth.me", k.now); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("no token: %v", err)
	}
}

func TestATokenIsHandedOutAgainWhileHalfOfItsLifeIsLeft(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, "gateway")
	first := k.sign(t, "gateway", bob, "auth.me", "")
	k.now = k.now.Add(29 * time.Second)
	if k.sign(t, "gateway", bob, "auth.me", "") != first {
		t.Error("after 29 s: another token")
	}
	k.now = k.now.Add(2 * time.Second)
	second := k.sign(t, "gateway", bob, "auth.me", "")
	if second == first {
		t.Error("after 31 s: the same token")
	}
	other := bob
	other.Role = tenant.Viewer
	if k.sign(t, "gateway", other, "auth.me", "") == second || k.sign(t, "gateway", bob, "auth.you", "") == second {
		t.Error("another caller or operation: the same token")
	}
}

func TestAForgedTokenIsRefused(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, "gateway", "knowledge")
	stranger := newKeyring(t, "gateway")
	good := k.sign(t, "gateway", bob, "auth.me", "")
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding
	raw, err := b64.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	admin := b64.EncodeToString([]byte(strings.Replace(string(raw), "user:7", "user:1", 1)))
	none := b64.EncodeToString([]byte(`{"alg":"none","typ":"cc-identity+jwt"}`))
	long := func() string {
		var c claims
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		c.Expires = c.IssuedAt + 3600
		return craft(t, k.signers["gateway"], c)
	}
	for name, token := range map[string]string{
		"another body":          parts[0] + "." + admin + "." + parts[2],
		"no signature":          parts[0] + "." + parts[1] + ".",
		"alg none":              none + "." + parts[1] + ".",
		"another header":        none + "." + parts[1] + "." + parts[2],
		"two parts":             parts[0] + "." + parts[1],
		"garbage":               "x",
		"bad base64":            parts[0] + ".$$." + parts[2],
		"padded":                good + "=",
		"an unknown key":        stranger.sign(t, "gateway", bob, "auth.me", ""),
		"too long a life":       long(),
		"too long":              parts[0] + "." + strings.Repeat("A", tokenMax) + "." + parts[2],
		"a service for a user":  k.sign(t, "knowledge", bob, "auth.me", ""),
		"a service for another": k.sign(t, "knowledge", tenant.Identity{Principal: "service:gateway"}, "auth.me", ""),
		"an edge for a service": k.sign(t, "gateway", tenant.Identity{Principal: "service:knowledge"}, "auth.me", ""),
		"a negative project":    craft(t, k.signers["gateway"], claims{Issuer: "gateway", Audience: "auth.me", Project: -1, IssuedAt: k.now.Unix(), Expires: k.now.Unix() + 9}),
	} {
		for range 2 { // what was refused must not be remembered as good
			if c, err := k.verifier.verify(token, "auth.me", k.now); errs.KindOf(err) != errs.Unauthenticated {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
	}
}

// craft signs any claims.
func craft(t testing.TB, s *signer, c claims) string {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	input := tokenHead + "." + base64.RawURLEncoding.EncodeToString(body)
	sig, err := s.key.Sign([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestAServicePassesOnWhatAnEdgeSigned(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, "gateway", "knowledge", "auth")
	edge := k.sign(t, "gateway", bob, "knowledge.search", "")
	c, err := k.verifier.verify(k.sign(t, "knowledge", bob, "auth.me", edge), "auth.me", k.now)
	if err != nil || c.identity() != bob || c.Issuer != "knowledge" {
		t.Fatalf("%+v, %v", c, err)
	}
	other := bob
	other.UserID, other.Principal = 1, "user:1"
	promoted := bob
	promoted.Role = tenant.Owner
	elsewhere := bob
	elsewhere.Project = 43
	for name, token := range map[string]string{
		"about somebody else":  k.sign(t, "knowledge", other, "auth.me", edge),
		"with a higher role":   k.sign(t, "knowledge", promoted, "auth.me", edge),
		"in another project":   k.sign(t, "knowledge", elsewhere, "auth.me", edge),
		"of no edge":           k.sign(t, "knowledge", bob, "auth.me", k.sign(t, "auth", bob, "knowledge.search", "")),
		"a chain":              k.sign(t, "knowledge", bob, "auth.me", k.sign(t, "auth", bob, "knowledge.search", edge)),
		"an edge that does it": k.sign(t, "gateway", bob, "auth.me", edge),
		"rubbish":              k.sign(t, "knowledge", bob, "auth.me", "rubbish"),
	} {
		if _, err := k.verifier.verify(token, "auth.me", k.now); errs.KindOf(err) != errs.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASignerWithoutAKeyAndAVerifierWithABadOneSaySo(t *testing.T) {
	t.Parallel()
	s, err := newSigner("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.token(bob, "auth.me", ""); errs.KindOf(err) != errs.Internal {
		t.Errorf("token: %v", err)
	}
	if _, err := newSigner("x", []byte("rubbish")); err == nil {
		t.Error("a rubbish seed")
	}
	if _, err := newVerifier(map[string]string{"x": "rubbish"}, nil); err == nil {
		t.Error("a rubbish key")
	}
}

func TestACacheStaysBoundedAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	c := newCache[int, int](10)
	for i := range 1000 {
		c.set(i, i)
		if v, ok := c.get(0); !ok || v != 0 {
			t.Fatalf("after %d: the entry in use is gone", i)
		}
	}
	if c.size() > 20 {
		t.Errorf("%d entries", c.size())
	}
	if _, ok := c.get(1); ok {
		t.Error("an entry that nobody used is still there")
	}
}

func FuzzTokenVerification(f *testing.F) {
	k := newKeyring(f, "gateway", "knowledge")
	good := k.sign(f, "gateway", bob, "auth.me", "")
	f.Add(good)
	f.Add(k.sign(f, "knowledge", bob, "auth.me", good))
	f.Add(tokenHead + ".e30.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := k.verifier.verify(token, "auth.me", k.now)
		if err == nil && (c.identity() != bob || token != good && c.Behalf != good) {
			t.Errorf("%q was believed: %+v", token, c)
		}
	})
}

func FuzzDecodingOfEverythingThatArrives(f *testing.F) {
	f.Add("cmd.p42.auth.createProject", "invalid", []byte(`{"kind":"invalid","msg":"x","fields":[{"loc":["body"]}],"retry_after":1.5}`))
	f.Add("evt.instance.auth.project.created.v1", "", []byte(`{}`))
	f.Add("....", "internal", []byte("\xff"))
	f.Fuzz(func(t *testing.T, subject, kind string, body []byte) {
		if a, err := parseSubject(subject); err == nil {
			if got := a.kind + "." + a.project.Token() + "." + a.service + "." + a.rest; got != subject {
				t.Errorf("%q reads back as %q", subject, got)
			}
		}
		if err := decodeError(kind, body); err == nil {
			t.Error("a failure that is none")
		}
		_, object := fingerprint(body)
		if object != "" && !strings.Contains(string(body), `"upload"`) {
			t.Errorf("an object out of nothing: %q", object)
		}
		if s, id, err := splitOperationID(subject); err == nil && s+"."+id.String() != subject {
			t.Errorf("%q is not an operation", subject)
		}
	})
}

func TestCommandIDsDependOnEveryPart(t *testing.T) {
	t.Parallel()
	base := Target{Service: "auth", Operation: "createProject", Project: 42}
	seen := map[string]string{}
	for name, c := range map[string]struct {
		t              Target
		principal, key string
	}{
		"base": {base, "user:7", "k"}, "key": {base, "user:7", "l"}, "principal": {base, "user:8", "k"},
		"operation": {Target{"auth", "deleteProject", 42}, "user:7", "k"}, "project": {Target{"auth", "createProject", 43}, "user:7", "k"},
		"shifted": {base, "user:", "7k"},
	} {
		id, err := commandID(c.t, c.principal, c.key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := commandID(c.t, c.principal, c.key)
		if err != nil || again != id || !keyed(id) {
			t.Errorf("%s: %s and %s, %v", name, id, again, err)
		}
		if other, ok := seen[id.String()]; ok {
			t.Errorf("%s and %s have one id", name, other)
		}
		seen[id.String()] = name
	}
	a, err := commandID(base, "user:7", "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := commandID(base, "user:7", "")
	if err != nil || a == b || keyed(a) {
		t.Errorf("without a key: %s and %s, %v", a, b, err)
	}
}

func TestVersionsThatTheFrameworkDoesNotTakeAreReplaced(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1.2.3": "1.2.3", "v1.2.3-rc.1+abc": "1.2.3-rc.1+abc", "": "0.0.0", "dev": "0.0.0", "1.2": "0.0.0", "01.2.3": "0.0.0", "1.x.3": "0.0.0"} {
		if got := semver(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAnIdentityIsPassedOnForAQuarterOfAnHourAndTheTokenAloneForAMinute(t *testing.T) {
	t.Parallel()
	k := newKeyring(t, "gateway", "knowledge")
	edge := k.sign(t, "gateway", bob, "knowledge.ask", "")
	said, err := k.verifier.verify(edge, "knowledge.ask", k.now)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithValue(t.Context(), callKey{}, &callState{token: edge, edge: edge, said: said, id: bob})
	began := k.now
	k.now = began.Add(14 * time.Minute)
	obo, err := behalf(ctx, bob, k.now)
	if err != nil || obo != edge {
		t.Fatalf("behalf %q, %v", obo, err)
	}
	if c, err := k.verifier.verify(k.sign(t, "knowledge", bob, "auth.me", edge), "auth.me", k.now); err != nil || c.identity() != bob {
		t.Errorf("passed on by a handler that took long: %+v, %v", c, err)
	}
	if _, err := k.verifier.verify(edge, "knowledge.ask", k.now); !errors.Is(err, errExpiredToken) {
		t.Errorf("the token alone: %v", err)
	}
	k.now = began.Add(16 * time.Minute)
	if _, err := k.verifier.verify(k.sign(t, "knowledge", bob, "auth.me", edge), "auth.me", k.now); !errors.Is(err, errExpiredToken) {
		t.Errorf("passed on too late: %v", err)
	}
	if _, err := behalf(ctx, bob, k.now); !errors.Is(err, errOldIdentity) {
		t.Errorf("the handler is told: %v", err)
	}
}
