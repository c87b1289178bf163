package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
)

var (
	monday   = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	rotation = Rotation{Every: 30 * 24 * time.Hour, Announce: time.Hour, Keep: 2 * time.Hour}
)

// memory is a key store.
type memory struct {
	mu   sync.Mutex
	rows []Row
	err  error
}

func (m *memory) SigningKeys(_ context.Context, now time.Time) ([]Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good(now), m.err
}

func (m *memory) good(now time.Time) []Row {
	var out []Row
	for _, r := range m.rows {
		if now.Before(r.VerifyUntil) {
			out = append(out, r)
		}
	}
	return out
}

func (m *memory) ChangeSigningKeys(_ context.Context, now time.Time, next func([]Row) ([]Row, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed, err := next(m.good(now))
	if err != nil || len(changed) == 0 {
		return err
	}
	m.rows = append(slices.DeleteFunc(m.good(now), func(old Row) bool {
		return slices.ContainsFunc(changed, func(r Row) bool { return r.ID == old.ID })
	}), changed...)
	return m.err
}

func newSealer(t *testing.T, ring *secret.Ring) *Sealer {
	t.Helper()
	s, err := NewSealer(ring, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKeys(t *testing.T, m *memory, ring *secret.Ring) *Keys {
	t.Helper()
	k, err := NewKeys(m, newSealer(t, ring), rotation)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func refresh(t *testing.T, k *Keys, now time.Time) {
	t.Helper()
	if err := k.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

func newIssuer(t *testing.T, now *time.Time) Issuer {
	t.Helper()
	k := newKeys(t, &memory{}, secrettest.Ring(t))
	refresh(t, k, *now)
	return Issuer{Keys: k, Name: "cc", Audience: "cc-api", Life: 30 * time.Minute, Now: func() time.Time { return *now }}
}

func issue(t *testing.T, i Issuer, session string) string {
	t.Helper()
	s, life, err := i.Issue(t.Context(), 7, "jo@example.org", session, i.Now())
	if err != nil || life != i.Life {
		t.Fatalf("life %v, err %v", life, err)
	}
	return s
}

func TestAccessTokenSaysWhoAndIsReadBack(t *testing.T) {
	t.Parallel()
	now := monday
	i := newIssuer(t, &now)
	sid := uuid.NewString()
	text := issue(t, i, sid)

	var header map[string]any
	head, _, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || json.Unmarshal(raw, &header) != nil {
		t.Fatal(err)
	}
	if header["alg"] != "EdDSA" || header["typ"] != "at+jwt" || header["kid"] != i.Keys.Published(now)[0].ID || len(header) != 3 {
		t.Errorf("header = %v", header)
	}
	c, err := i.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "7" || c.Email != "jo@example.org" || c.Session != sid || c.Type != "access" || c.Issuer != "cc" ||
		!slices.Equal(c.Audience, []string{"cc-api"}) || c.ID == "" || !c.ExpiresAt.Equal(monday.Add(30*time.Minute)) ||
		!c.IssuedAt.Equal(monday) || !c.NotBefore.Equal(monday) {
		t.Errorf("claims = %+v", c)
	}
	if issue(t, i, sid) == text {
		t.Error("two tokens of the same second are equal")
	}
}

func TestAccessTokenEndsAndDoesNotBeginEarly(t *testing.T) {
	t.Parallel()
	now := monday
	i := newIssuer(t, &now)
	text := issue(t, i, "s")
	for d, want := range map[time.Duration]bool{
		0: true, 29 * time.Minute: true, 30*time.Minute + leeway + time.Second: false, -time.Minute: false,
	} {
		now = monday.Add(d)
		if got := i.IsAccess(t.Context(), text); got != want {
			t.Errorf("after %v: %v, want %v", d, got, want)
		}
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	now := monday
	i := newIssuer(t, &now)
	key := (*i.Keys.ring.Load())[0]
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	make1 := func(method jwt.SigningMethod, signer any, change func(*jwt.Token, *Claims)) string {
		c := Claims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer: "cc", Audience: jwt.ClaimStrings{"cc-api"}, Subject: "7", ID: "1", IssuedAt: jwt.NewNumericDate(now),
				NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
			}, Session: "s", Type: "access",
		}
		tok := jwt.NewWithClaims(method, &c)
		tok.Header["kid"], tok.Header["typ"] = key.ID, "at+jwt"
		if change != nil {
			change(tok, &c)
		}
		s, err := tok.SignedString(signer)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := func(change func(*jwt.Token, *Claims)) string {
		return make1(jwt.SigningMethodEdDSA, key.private, change)
	}
	if !i.IsAccess(t.Context(), good(nil)) {
		t.Fatal("the pattern of the forgeries is not good itself")
	}
	for name, text := range map[string]string{
		"another key":        make1(jwt.SigningMethodEdDSA, stranger, nil),
		"none":               make1(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"public key as HMAC": make1(jwt.SigningMethodHS256, []byte(key.Public), nil),
		"unknown kid":        good(func(t *jwt.Token, _ *Claims) { t.Header["kid"] = "../../etc/passwd" }),
		"no kid":             good(func(t *jwt.Token, _ *Claims) { delete(t.Header, "kid") }),
		"kid no text":        good(func(t *jwt.Token, _ *Claims) { t.Header["kid"] = 1 }),
		"plain JWT":          good(func(t *jwt.Token, _ *Claims) { t.Header["typ"] = "JWT" }),
		"critical extension": good(func(t *jwt.Token, _ *Claims) { t.Header["crit"] = []string{"x"} }),
		"other issuer":       good(func(_ *jwt.Token, c *Claims) { c.Issuer = "evil" }),
		"other audience":     good(func(_ *jwt.Token, c *Claims) { c.Audience = jwt.ClaimStrings{"evil"} }),
		"no expiry":          good(func(_ *jwt.Token, c *Claims) { c.ExpiresAt = nil }),
		"refresh type":       good(func(_ *jwt.Token, c *Claims) { c.Type = "refresh" }),
		"no subject":         good(func(_ *jwt.Token, c *Claims) { c.Subject = "" }),
		"no session":         good(func(_ *jwt.Token, c *Claims) { c.Session = "" }),
		"no id":              good(func(_ *jwt.Token, c *Claims) { c.ID = "" }),
		"issued in future":   good(func(_ *jwt.Token, c *Claims) { c.IssuedAt = jwt.NewNumericDate(now.Add(time.Hour)) }),
		"cut":                good(nil)[:40],
		"changed":            "A" + good(nil)[1:],
		"empty":              "",
		"dots":               "..",
	} {
		if i.IsAccess(t.Context(), text) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReplicasShareOneRing(t *testing.T) {
	t.Parallel()
	m := &memory{}
	ring := secrettest.Ring(t)
	a, b := newKeys(t, m, ring), newKeys(t, m, ring)
	var wg sync.WaitGroup
	for _, k := range []*Keys{a, b} {
		wg.Go(func() {
			if err := k.Refresh(context.Background(), monday); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(m.rows) != 1 {
		t.Fatalf("%d keys made, want 1", len(m.rows))
	}
	now := monday
	clock := func() time.Time { return now }
	ia := Issuer{Keys: a, Name: "cc", Audience: "x", Life: time.Minute, Now: clock}
	ib := Issuer{Keys: b, Name: "cc", Audience: "x", Life: time.Minute, Now: clock}
	if !ib.IsAccess(t.Context(), issue(t, ia, "s")) {
		t.Error("a replica refuses what the other signed")
	}
}

func TestKeysRotateByOverlap(t *testing.T) {
	t.Parallel()
	m := &memory{}
	k := newKeys(t, m, secrettest.Ring(t))
	refresh(t, k, monday)
	first := k.Published(monday)[0]
	signerAt := func(now time.Time) string {
		key, err := k.signer(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return key.ID
	}
	end := monday.Add(rotation.Every)
	refresh(t, k, end.Add(-3*rotation.Announce))
	if len(k.Published(end.Add(-3*rotation.Announce))) != 1 {
		t.Fatal("a second key before its time")
	}
	refresh(t, k, end.Add(-2*rotation.Announce))
	both := k.Published(end.Add(-2 * rotation.Announce))
	if len(both) != 2 || both[1].ID != first.ID {
		t.Fatalf("%d keys published, want the next one and the first", len(both))
	}
	next := both[0]
	if lead := next.SignFrom.Sub(end.Add(-2 * rotation.Announce)); lead < rotation.Announce || !next.SignFrom.Before(end) {
		t.Errorf("signs from %v, %v after its announcement and the old one signs until %v", next.SignFrom, lead, end)
	}
	if signerAt(next.SignFrom.Add(-1)) != first.ID || signerAt(next.SignFrom) != next.ID || signerAt(end) != next.ID {
		t.Error("the new key does not take over when it should")
	}
	for now, want := range map[time.Time]int{end: 2, end.Add(rotation.Keep - 1): 2, end.Add(rotation.Keep): 1} {
		if got := len(k.Published(now)); got != want {
			t.Errorf("%v after the end: %d keys verify, want %d", now.Sub(end), got, want)
		}
	}
	refresh(t, k, end)
	if len(m.rows) != 2 {
		t.Errorf("%d keys made, want 2", len(m.rows))
	}
}

func TestAfterALongSleepThereIsAKeyAtOnce(t *testing.T) {
	t.Parallel()
	k := newKeys(t, &memory{}, secrettest.Ring(t))
	refresh(t, k, monday)
	later := monday.Add(100 * 24 * time.Hour)
	if k.Ready(later) == nil {
		t.Error("ready with a key that signs no more")
	}
	key, err := k.signer(t.Context(), later)
	if err != nil || !key.signs(later) || k.Ready(later) != nil {
		t.Fatalf("key = %+v, err = %v", key, err)
	}
}

func TestAnotherRingIsAnErrorAndMakesNoKey(t *testing.T) {
	t.Parallel()
	ring := secrettest.Ring(t)
	m := &memory{}
	refresh(t, newKeys(t, m, ring), monday)
	other := newKeys(t, m, secrettest.Ring(t))
	for _, now := range []time.Time{monday, monday.Add(rotation.Every - time.Hour)} {
		if err := other.Refresh(t.Context(), now); !errors.Is(err, ErrSecret) {
			t.Fatalf("err = %v, want ErrSecret", err)
		}
	}
	if len(m.rows) != 1 || len(other.Published(monday)) != 0 {
		t.Error("papered over with a new key")
	}
	m.rows[0].ID = "exchanged"
	if err := newKeys(t, m, ring).Refresh(t.Context(), monday); !errors.Is(err, ErrSecret) {
		t.Errorf("exchanged row: %v", err)
	}
	m.rows[0].Sealed = []byte("short")
	if err := newKeys(t, m, ring).Refresh(t.Context(), monday); !errors.Is(err, ErrSecret) {
		t.Errorf("cut row: %v", err)
	}
}

// sealedBefore is a row as it was kept before there was a store of secrets.
func sealedBefore(t *testing.T, s *Sealer, r Row) Row {
	t.Helper()
	seed, err := s.seed(r)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, s.legacy.NonceSize())
	r.Sealed, r.Legacy = nil, s.legacy.Seal(nonce, nonce, seed.Reveal(), []byte(r.ID))
	return r
}

func TestKeysOfBeforeMoveIntoTheStoreOfSecrets(t *testing.T) {
	t.Parallel()
	m, ring := &memory{}, secrettest.Ring(t)
	k := newKeys(t, m, ring)
	refresh(t, k, monday)
	before := m.rows[0]
	m.rows[0] = sealedBefore(t, k.sealer, before)
	if err := k.Read(t.Context(), monday); err != nil {
		t.Fatal("a row of before does not open:", err)
	}
	refresh(t, newKeys(t, m, ring), monday)
	if r := m.rows[0]; len(m.rows) != 1 || r.ID != before.ID || r.Legacy != nil || r.Sealed == nil {
		t.Fatalf("%d rows, %+v", len(m.rows), m.rows)
	}
	refresh(t, newKeys(t, m, ring), monday)
	m.rows[0] = sealedBefore(t, k.sealer, m.rows[0])
	m.rows[0].Legacy[20] ^= 1
	if err := k.Refresh(t.Context(), monday); !errors.Is(err, ErrSecret) {
		t.Errorf("damaged: %v", err)
	}
	m.rows[0].Legacy = []byte("short")
	if err := k.Refresh(t.Context(), monday); !errors.Is(err, ErrSecret) {
		t.Errorf("cut: %v", err)
	}
}

func TestSeedIsNotReadableInTheRow(t *testing.T) {
	t.Parallel()
	m := &memory{}
	k := newKeys(t, m, secrettest.Ring(t))
	refresh(t, k, monday)
	seed := string((*k.ring.Load())[0].private.Seed())
	if strings.Contains(string(m.rows[0].Sealed), seed) || strings.Contains(string(m.rows[0].Public), seed) {
		t.Fatal("the seed is in the row")
	}
}

func TestFaultsOfTheStoreAreReported(t *testing.T) {
	t.Parallel()
	m := &memory{err: errors.New("gone")}
	k := newKeys(t, m, secrettest.Ring(t))
	if err := k.Refresh(t.Context(), monday); err == nil {
		t.Error("refresh")
	}
	if _, _, err := (Issuer{Keys: k, Now: time.Now}).Issue(t.Context(), 1, "", "", monday); err == nil {
		t.Error("issue without a key")
	}
	if err := k.Read(t.Context(), monday); err == nil {
		t.Error("load")
	}
}

func TestImpossibleSettingsAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := NewSealer(secrettest.Ring(t), []byte("too short")); err == nil {
		t.Error("a short secret")
	}
	if _, err := NewSealer(nil, make([]byte, 32)); err == nil {
		t.Error("no ring")
	}
	for _, r := range []Rotation{{}, {Every: time.Hour, Announce: time.Hour, Keep: time.Hour}, {Every: time.Hour, Announce: time.Minute}} {
		if _, err := NewKeys(&memory{}, newSealer(t, secrettest.Ring(t)), r); err == nil {
			t.Errorf("%+v accepted", r)
		}
	}
}
