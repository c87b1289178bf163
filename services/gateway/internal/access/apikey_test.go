package access

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// APIKey answers for the keys that were issued.
func (w *world) APIKey(ctx context.Context, hash [32]byte) (APIKey, bool, error) {
	w.mu.Lock()
	w.keyFinds++
	hold, down := w.hold, w.down
	k, found := w.apiKeys[hash]
	w.mu.Unlock()
	if hold != nil {
		w.held <- struct{}{}
		select {
		case <-hold:
		case <-ctx.Done():
			return APIKey{}, false, ctx.Err()
		}
	}
	if down {
		return APIKey{}, false, errs.New(errs.Unavailable, "away")
	}
	return k, found, nil
}

func (w *world) issue(k APIKey) apikey.Key {
	w.t.Helper()
	plain, err := apikey.New(Brand)
	if err != nil {
		w.t.Fatal(err)
	}
	w.set(func() {
		if w.apiKeys == nil {
			w.apiKeys = map[[32]byte]APIKey{}
		}
		w.apiKeys[plain.Hash()] = k
	})
	return plain
}

func TestAnAPIKeyIsLookedUpOnceAndBelievedForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	k := w.issue(APIKey{ID: "k", Project: 4, User: 7, Scopes: Scopes{"knowledge": Read}})
	for range 3 {
		c, err := w.Authenticate(t.Context(), k.Reveal())
		if err != nil || c.UserID != 7 || c.Session != "" || c.Key == nil || c.Key.ID != "k" {
			t.Fatalf("%+v, %v", c, err)
		}
		// Whatever project is named, the one of the key is asked for.
		if got := c.asked(9); got != (Question{User: 7, Project: 4}) {
			t.Errorf("asked for %+v", got)
		}
	}
	if w.keyFinds != 1 {
		t.Errorf("looked up %d times", w.keyFinds)
	}
	w.pass(2 * time.Minute)
	if _, err := w.Authenticate(t.Context(), k.Reveal()); err != nil || w.keyFinds != 2 {
		t.Errorf("after a while: %v, looked up %d times", err, w.keyFinds)
	}
}

func TestWhatIsNoAPIKeyCostsNoQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	good := w.issue(APIKey{ID: "k", Project: 1, User: 7}).Reveal()
	for _, bad := range []string{"cc_", "cc_abc", good + "x", good[:len(good)-1], strings.ToUpper(good), "cc_" + strings.Repeat("a", 3000)} {
		if _, err := w.Authenticate(t.Context(), bad); errs.KindOf(err) != errs.Unauthenticated {
			t.Errorf("%.20s: %v", bad, err)
		}
	}
	if w.keyFinds != 0 {
		t.Errorf("asked %d times", w.keyFinds)
	}
	// One that could be a key is asked for once in a minute, and kept apart.
	guess, err := apikey.New(Brand)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		w.pass(40 * time.Second)
		if _, err := w.Authenticate(t.Context(), guess.Reveal()); !errors.Is(err, ErrBadKey) {
			t.Error(err)
		}
	}
	if w.keyFinds != 2 || len(w.apiKeysKept()) != 0 {
		t.Errorf("asked %d times, kept %d", w.keyFinds, len(w.apiKeysKept()))
	}
}

func (g *Guard) apiKeysKept() map[[32]byte]entry[*APIKey] {
	g.apiKeys.mu.Lock()
	defer g.apiKeys.mu.Unlock()
	return g.apiKeys.entries
}

func TestARevokedAPIKeyStopsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	k, other := w.issue(APIKey{ID: "k", Project: 1, User: 7}), w.issue(APIKey{ID: "other", Project: 1, User: 7})
	for _, x := range []apikey.Key{k, other} {
		if _, err := w.Authenticate(t.Context(), x.Reveal()); err != nil {
			t.Fatal(err)
		}
	}
	w.set(func() { delete(w.apiKeys, k.Hash()) })
	w.ForgetKey("k")
	if _, err := w.Authenticate(t.Context(), k.Reveal()); !errors.Is(err, ErrBadKey) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), other.Reveal()); err != nil || w.keyFinds != 3 {
		t.Errorf("the other one: %v after %d questions", err, w.keyFinds)
	}
}

// The answer that was under way when the key was revoked may be of before.
func TestARevocationDoesNotLoseARaceOfAPIKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	k := w.issue(APIKey{ID: "k", Project: 1, User: 7})
	hold := make(chan struct{})
	w.set(func() { w.hold = hold })
	done := make(chan error)
	go func() {
		_, err := w.Authenticate(t.Context(), k.Reveal())
		done <- err
	}()
	<-w.held
	w.set(func() { delete(w.apiKeys, k.Hash()); w.hold = nil })
	w.ForgetKey("k")
	close(hold)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := w.Authenticate(t.Context(), k.Reveal()); !errors.Is(err, ErrBadKey) {
		t.Errorf("after the race: %v", err)
	}
}

func TestAnAPIKeyEndsWhenItSaysAndNotWhenItIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	k := w.issue(APIKey{ID: "k", Project: 1, User: 7, Expires: w.clock().Add(10 * time.Second)})
	if _, err := w.Authenticate(t.Context(), k.Reveal()); err != nil {
		t.Fatal(err)
	}
	w.pass(10 * time.Second)
	if _, err := w.Authenticate(t.Context(), k.Reveal()); !errors.Is(err, ErrBadKey) {
		t.Errorf("at its end: %v", err)
	}
}

func TestAnAPIKeyIsWorthWhatItsHolderIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	k := w.issue(APIKey{ID: "k", Project: 1, Account: 3})
	c, err := w.Authenticate(t.Context(), k.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := w.Guard.Standing(t.Context(), c, tenant.Instance); err != nil || s.Role != tenant.Member {
		t.Fatalf("%+v, %v", s, err)
	}
	w.set(func() { w.standing = Standing{} })
	w.ForgetAccount(4) // another one
	if _, err := w.Guard.Standing(t.Context(), c, 1); err != nil {
		t.Errorf("kept: %v", err)
	}
	w.ForgetAccount(3)
	if _, err := w.Guard.Standing(t.Context(), c, 1); !errors.Is(err, ErrKeyEnded) {
		t.Errorf("an account that is gone: %v", err)
	}
}

func TestWithoutAuthAnUnknownAPIKeyWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	known, unknown := w.issue(APIKey{ID: "a", Project: 1, User: 7}), w.issue(APIKey{ID: "b", Project: 1, User: 7})
	if _, err := w.Authenticate(t.Context(), known.Reveal()); err != nil {
		t.Fatal(err)
	}
	w.set(func() { w.down = true })
	if _, err := w.Authenticate(t.Context(), known.Reveal()); err != nil {
		t.Errorf("a known one: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), unknown.Reveal()); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestScopesAllowWhatTheyNameAndNothingElse(t *testing.T) {
	t.Parallel()
	s := ParseScopes([]string{"knowledge:write", "knowledge:read", "events:read", "projects:god", "nonsense", ":admin"})
	for area, most := range map[string]Level{"knowledge": Write, "events": Read, "projects": Nothing, "nonsense": Nothing, "federation": Nothing} {
		for _, want := range []Level{Read, Write, Admin} {
			if got := s.Allow(area, want); got != (want <= most) {
				t.Errorf("%s:%v allowed: %v", area, want, got)
			}
		}
	}
	if all := ParseScopes([]string{"*:read", "knowledge:admin"}); !all.Allow("events", Read) || all.Allow("events", Write) || !all.Allow("knowledge", Admin) {
		t.Errorf("everywhere: %v", all)
	}
	if Nothing.String() != "nothing" || Write.String() != "write" {
		t.Error("levels are not spelt as scopes are")
	}
}

func TestTokensOfAKeyThatIsGoneAreNobodys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addKey("k2")
	old, other := w.token("k1"), w.token("k2")
	for _, token := range []string{old, other} {
		if _, err := w.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	w.set(func() { delete(w.keys, "k1") })
	if _, err := w.Authenticate(t.Context(), old); err != nil {
		t.Errorf("before anybody has said so: %v", err)
	}
	w.ForgetKeyring()
	if _, err := w.Authenticate(t.Context(), old); !errors.Is(err, ErrBadToken) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), other); err != nil {
		t.Errorf("of the other key: %v", err)
	}

	// An answer that was under way is of before, and is not kept.
	hold := make(chan struct{})
	w.addKey("k3")
	third := w.token("k3")
	w.ForgetKeyring()
	w.set(func() { w.hold = hold })
	done := make(chan error)
	go func() {
		_, err := w.Authenticate(t.Context(), third)
		done <- err
	}()
	<-w.held
	w.ForgetKeyring()
	w.set(func() { w.hold = nil })
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("a good token, while the ring was dropped: %v", err)
	}
	w.ForgetKeyring()
	w.set(func() { delete(w.keys, "k3") })
	if _, err := w.Authenticate(t.Context(), third); !errors.Is(err, ErrBadToken) {
		t.Errorf("after the race: %v", err)
	}
}
