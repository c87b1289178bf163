package access

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// world is a guard with a clock and an authority that can be held and broken.
type world struct {
	*Guard
	t  testing.TB
	mu sync.Mutex

	now      time.Time
	keys     map[string]ed25519.PrivateKey
	notAfter map[string]time.Time
	down     bool
	keyAsks  int
	asks     int
	standing Standing
	apiKeys  map[[32]byte]APIKey
	keyFinds int
	browsers map[[32]byte]Browser
	hold     chan struct{} // when not nil, a question waits for it
	held     chan struct{} // told when a question waits
}

func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), keys: map[string]ed25519.PrivateKey{}, notAfter: map[string]time.Time{},
		standing: Standing{Known: true, Active: true, SessionLive: true, Project: 1, Role: tenant.Member}, held: make(chan struct{}, 10),
	}
	w.addKey("k1")
	c := Config{Issuer: "i", Audience: "a", Now: w.clock}
	if change != nil {
		change(&c)
	}
	g, err := New(w, c)
	if err != nil {
		t.Fatal(err)
	}
	w.Guard = g
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) addKey(id string) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys[id] = key
}

func (w *world) SigningKeys(ctx context.Context) ([]Key, error) {
	w.mu.Lock()
	w.keyAsks++
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		w.held <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, errs.New(errs.Unavailable, "away")
	}
	list := []Key{{ID: "broken", Public: ed25519.PublicKey("short")}}
	for id, k := range w.keys {
		list = append(list, Key{ID: id, Public: k.Public().(ed25519.PublicKey), NotAfter: w.notAfter[id]})
	}
	return list, nil
}

func (w *world) Standing(ctx context.Context, _ Question) (Standing, error) {
	w.mu.Lock()
	w.asks++
	hold, s, down := w.hold, w.standing, w.down
	w.mu.Unlock()
	if hold != nil {
		w.held <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return Standing{}, ctx.Err()
		}
	}
	if down {
		return Standing{}, errs.New(errs.Unavailable, "away")
	}
	return s, nil
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) token(kid string) string {
	w.t.Helper()
	now := w.clock()
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "i", "aud": "a", "sub": "7", "sid": "s", "type": "access", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	t.Header["kid"], t.Header["typ"] = kid, "at+jwt"
	w.mu.Lock()
	key := w.keys[kid]
	w.mu.Unlock()
	s, err := t.SignedString(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

var me = Claims{UserID: 7, Session: "s"}

func (w *world) ask(project tenant.Project) (Standing, error) {
	return w.Guard.Standing(w.t.Context(), me, project)
}

func (w *world) want(asks int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asks != asks {
		w.t.Errorf("asked %d times, want %d", w.asks, asks)
	}
}

func TestAStandingIsBelievedForAMinuteAndNoLonger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 3 {
		if s, err := w.ask(1); err != nil || s.Role != tenant.Member {
			t.Fatal(s, err)
		}
	}
	w.want(1)
	w.pass(59 * time.Second)
	if _, err := w.ask(1); err != nil {
		t.Fatal(err)
	}
	w.want(1)
	w.pass(time.Second)
	if _, err := w.ask(1); err != nil {
		t.Fatal(err)
	}
	w.want(2)
}

func TestWhatAnEventMakesUntrueIsForgotten(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]struct {
		f    func(*Guard)
		asks int
	}{
		"the user":          {func(g *Guard) { g.ForgetUser(7) }, 2},
		"another user":      {func(g *Guard) { g.ForgetUser(8) }, 1},
		"the session":       {func(g *Guard) { g.ForgetSession("s") }, 2},
		"another session":   {func(g *Guard) { g.ForgetSession("t") }, 1},
		"the project":       {func(g *Guard) { g.ForgetProject(1) }, 2},
		"another project":   {func(g *Guard) { g.ForgetProject(2) }, 1},
		"nothing to forget": {func(*Guard) {}, 1},
	} {
		w := newWorld(t, nil)
		if _, err := w.ask(0); err != nil { // the default project, which is 1
			t.Fatal(err)
		}
		forget.f(w.Guard)
		if _, err := w.ask(0); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		if w.asks != forget.asks {
			t.Errorf("%s: asked %d times, want %d", name, w.asks, forget.asks)
		}
		w.mu.Unlock()
	}
}

func TestAnAnswerFromBeforeARevocationIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	hold := make(chan struct{})
	w.set(func() { w.hold = hold })
	first := make(chan error, 1)
	go func() {
		_, err := w.ask(1)
		first <- err
	}()
	<-w.held
	w.ForgetUser(7)
	w.set(func() { w.hold = nil; w.standing.SessionLive = false })
	if _, err := w.ask(1); !errors.Is(err, ErrSession) { // does not join the flight of before
		t.Errorf("after the revocation: %v", err)
	}
	close(hold)
	if err := <-first; err != nil {
		t.Errorf("the call of before: %v", err)
	}
	if _, err := w.ask(1); !errors.Is(err, ErrSession) {
		t.Errorf("the old answer was kept: %v", err)
	}
}

func TestCallersOfTheSameMomentAskOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	hold := make(chan struct{})
	w.set(func() { w.hold = hold })
	var group sync.WaitGroup
	begun := make(chan struct{}, 20)
	for range 20 {
		group.Go(func() {
			begun <- struct{}{}
			if _, err := w.ask(1); err != nil {
				t.Error(err)
			}
		})
	}
	for range 20 {
		<-begun
	}
	<-w.held
	close(hold)
	group.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asks > 2 { // a caller that came after the answer left may find it kept
		t.Errorf("asked %d times", w.asks)
	}
}

func TestACallerWhoGivesUpDoesNotTakeTheAnswerAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	hold := make(chan struct{})
	w.set(func() { w.hold = hold })
	ctx, cancel := context.WithCancel(t.Context())
	gave := make(chan error, 1)
	go func() {
		_, err := w.Guard.Standing(ctx, me, 1)
		gave <- err
	}()
	<-w.held
	cancel()
	if err := <-gave; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	close(hold)
	if _, err := w.ask(1); err != nil {
		t.Error(err)
	}
}

func TestAccountsAndSessionsThatEndedAreRefused(t *testing.T) {
	t.Parallel()
	for want, s := range map[*errs.Error]Standing{
		ErrNoAccount: {}, ErrInactive: {Known: true}, ErrSession: {Known: true, Active: true},
	} {
		w := newWorld(t, nil)
		w.set(func() { w.standing = s })
		if _, err := w.ask(1); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestWithoutTheAuthServiceNobodyNewIsLetIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.token("k1")
	w.set(func() { w.down = true })
	if _, err := w.ask(1); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("standing: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), token); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("token: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), token); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("token again: %v", err)
	}
	w.set(func() { w.down = false })
	w.pass(2 * time.Second)
	if c, err := w.Authenticate(t.Context(), token); err != nil || c.UserID != 7 || c.Session != "s" {
		t.Errorf("back: %+v %v", c, err)
	}
}

func TestWhileTheAuthServiceIsAwayWhatItSaidLastIsGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	key := w.issue(APIKey{ID: "a", Project: 1, User: 7})
	good := func() error {
		if _, err := w.Authenticate(t.Context(), key.Reveal()); err != nil {
			return err
		}
		s, err := w.ask(1)
		if err == nil && s.Role != tenant.Member {
			t.Errorf("%+v", s)
		}
		return err
	}
	if err := good(); err != nil {
		t.Fatal(err)
	}
	w.set(func() { w.down = true })
	w.pass(14 * time.Minute)
	for range 3 {
		if err := good(); err != nil {
			t.Errorf("fourteen minutes later: %v", err)
		}
	}
	w.want(2) // and not at every call
	w.set(func() { w.down, w.standing.Role = false, tenant.Viewer })
	w.pass(6 * time.Second)
	if s, err := w.ask(1); err != nil || s.Role != tenant.Viewer {
		t.Errorf("it is back: %+v, %v", s, err)
	}
	w.set(func() { w.down = true })
	w.pass(16 * time.Minute)
	if err := good(); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("sixteen minutes later: %v", err)
	}
}

func TestWhoWasForgottenIsNotKnownWhileTheAuthServiceIsAway(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*Guard){
		"user":    func(g *Guard) { g.ForgetUser(7) },
		"session": func(g *Guard) { g.ForgetSession("s") },
		"project": func(g *Guard) { g.ForgetProject(1) },
	} {
		w := newWorld(t, nil)
		if _, err := w.ask(1); err != nil {
			t.Fatal(err)
		}
		w.set(func() { w.down = true })
		forget(w.Guard)
		if _, err := w.ask(1); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestANewKeyIsFoundAndMadeUpOnesCannotMakeUsAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if _, err := w.Authenticate(t.Context(), w.token("k1")); err != nil {
		t.Fatal(err)
	}
	w.addKey("k2")
	w.pass(6 * time.Second)
	if _, err := w.Authenticate(t.Context(), w.token("k2")); err != nil {
		t.Errorf("a new key: %v", err)
	}
	w.addKey("k3")
	for i := range 50 {
		w.set(func() { w.keys[fmt.Sprint("made-up-", i)] = w.keys["k3"] })
		if _, err := w.Authenticate(t.Context(), w.token(fmt.Sprint("made-up-", i))); errs.KindOf(err) != errs.Unauthenticated {
			t.Errorf("a made-up key: %v", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keyAsks != 2 {
		t.Errorf("asked for keys %d times, want 2", w.keyAsks)
	}
}

func TestKeysAreRenewedAndOldOnesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if _, err := w.Authenticate(t.Context(), w.token("k1")); err != nil {
		t.Fatal(err)
	}
	w.pass(6 * time.Minute)
	fresh := w.token("k1")
	w.set(func() { w.down = true })
	if _, err := w.Authenticate(t.Context(), fresh); err != nil {
		t.Errorf("a known key while auth is away: %v", err)
	}
	w.set(func() { w.down = false; w.notAfter["k1"] = w.now })
	w.pass(6 * time.Minute)
	if _, err := w.Authenticate(t.Context(), w.token("k1")); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("a key that has ended: %v", err)
	}
}

func TestATokenIsRecognisedUntilItExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.token("k1")
	for range 2 {
		if _, err := w.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Hour + 10*time.Second)
	if _, err := w.Authenticate(t.Context(), token); !errors.Is(err, ErrExpired) {
		t.Errorf("err = %v", err)
	}
	if _, err := w.Authenticate(t.Context(), strings.Repeat("x", maxToken+1)); !errors.Is(err, ErrBadToken) {
		t.Errorf("err = %v", err)
	}
	if _, err := w.Authenticate(t.Context(), ""); !errors.Is(err, ErrNoToken) {
		t.Errorf("err = %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Entries = 16 })
	for i := range 200 {
		if i == 100 {
			w.pass(2 * time.Minute)
		}
		if _, err := w.Guard.Standing(t.Context(), Claims{UserID: int64(i), Session: "s"}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.standings.entries); n > 16 {
		t.Errorf("%d entries", n)
	}
}

func TestAGuardHasToKnowWhoseTokensItTakes(t *testing.T) {
	t.Parallel()
	if _, err := New(nil, Config{Issuer: "i"}); err == nil {
		t.Error("taken")
	}
}

func BenchmarkKnownCaller(b *testing.B) {
	w := newWorld(&testing.T{}, nil)
	token := w.token("k1")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c, err := w.Authenticate(ctx, token)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Guard.Standing(ctx, c, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCallersWhoWaitForTheKeysShareOneQuestionAndItsFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	hold := make(chan struct{})
	w.set(func() { w.hold, w.down = hold, true })
	token := w.token("k1")
	answers := make(chan error, 10)
	for range cap(answers) {
		go func() {
			_, err := w.Authenticate(t.Context(), token)
			answers <- err
		}()
	}
	<-w.held
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	gave := make(chan error, 1)
	go func() {
		_, err := w.Authenticate(gone, token)
		gave <- err
	}()
	select {
	case err := <-gave:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who gave up: %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("a caller who gave up still waits")
	}
	close(hold)
	for range cap(answers) {
		if err := <-answers; errs.KindOf(err) != errs.Unavailable {
			t.Errorf("err = %v", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keyAsks != 1 {
		t.Errorf("asked for keys %d times, want 1", w.keyAsks)
	}
}

func TestKeysThatHaveJustBeenAskedForAreNotAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	began := w.clock()
	w.set(func() { w.down = true })
	for range 3 {
		if err := w.Guard.keys.refresh(t.Context(), began, w, w.c); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("err = %v", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keyAsks != 1 {
		t.Errorf("asked for keys %d times, want 1", w.keyAsks)
	}
}
