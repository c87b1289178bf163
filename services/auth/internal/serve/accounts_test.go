package serve_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
)

func TestRegisterAnswersTheAccountWithoutItsPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.request("register", nobody, obj{"body": obj{"email": " Jo@Example.ORG ", "password": password, "full_name": nil, "is_superuser": true, "id": 99}}).ok(201)
	if a.str("email") != "jo@example.org" || a.body["full_name"] != nil || a.body["is_active"] != true || a.body["is_superuser"] != false {
		t.Errorf("body = %v", a.body)
	}
	want := map[string]bool{"id": true, "email": true, "full_name": true, "is_active": true, "is_superuser": true, "created_at": true, "updated_at": true}
	for key := range a.body {
		if !want[key] {
			t.Errorf("the answer has %q", key)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("the answer lacks %v", want)
	}
	if !strings.HasSuffix(a.str("created_at"), "Z") {
		t.Errorf("created_at = %s, want UTC", a.str("created_at"))
	}
	w.register("JO@example.org").refused(errs.Conflict, "already registered")
	e := w.request("register", nobody, obj{"body": obj{"email": "no address", "password": "short"}}).refused(errs.Invalid, "")
	if len(e.Fields) != 2 {
		t.Errorf("fields = %+v", e.Fields)
	}
	w.request("register", nobody, obj{"body": obj{"email": "al@example.org", "password": "password1"}}).refused(errs.Invalid, "common")
	w.request("register", nobody, nil).refused(errs.Invalid, "")
}

func TestRegistrationsOfOneAddressAtOnceMakeOneAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch a := w.register("jo@example.org"); errs.KindOf(a.err) {
			case "":
				won.Add(1)
			case errs.Conflict:
				lost.Add(1)
			default:
				t.Error(a.err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

// verify reads an access token with the published keys, as the gateway does.
func (w *world) verify(text string) jwt.MapClaims {
	w.Helper()
	keys, err := bus.CallInternal[*authv1.SigningKeysResponse](w.Context(), w.edge, "auth", "signingKeys", &authv1.SigningKeysRequest{})
	if err != nil {
		w.Fatal(err)
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) {
		for _, k := range keys.GetKeys() {
			if k.GetKid() == t.Header["kid"] && k.GetNotAfter() == nil {
				return ed25519.PublicKey(k.GetPublicKey()), nil
			}
		}
		return nil, errors.New("unknown key")
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithAudience("commandcenter"), jwt.WithIssuer("commandcenter"), jwt.WithTimeFunc(w.clock.now))
	if err != nil {
		w.Fatal(err)
	}
	return claims
}

func TestLoginGivesATokenThatTheGatewayCanVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	a := w.login("JO@Example.org", password).ok(200)
	if a.str("token_type") != "bearer" || a.num("expires_in") != 1800 || a.header["Cache-Control"] != "no-store" {
		t.Errorf("answer = %v, %v", a.body, a.header)
	}
	c := w.verify(a.str("access_token"))
	if sub, _ := c.GetSubject(); sub != strings.TrimPrefix(me.Principal, "user:") || c["type"] != "access" || c["email"] != "jo@example.org" {
		t.Errorf("claims = %v", c)
	}
	sid, _ := c["sid"].(string)
	if got := w.access(me.UserID, 0, sid); !got.GetActive() || !got.GetSessionLive() || got.GetRole() != "owner" || got.GetProjectId() != int32(me.Project) {
		t.Errorf("access = %v", got)
	}
	if w.count(`SELECT count(*) FROM users WHERE last_login_at IS NOT NULL`) != 1 {
		t.Error("the login is not noted")
	}
}

func TestLoginRefusesUnknownAndWrongAlikeAndInactiveOnlyForTheRightPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	w.login("jo@example.org", "").refused(errs.Unauthenticated, "incorrect")
	w.login("jo@example.org", "x").refused(errs.Unauthenticated, "incorrect")
	unknown := w.login("nobody@example.org", password).refused(errs.Unauthenticated, "incorrect")
	wrong := w.login("jo@example.org", "wrong password").refused(errs.Unauthenticated, "incorrect")
	if unknown.Msg != wrong.Msg {
		t.Errorf("%q and %q differ", unknown.Msg, wrong.Msg)
	}
	w.exec(`UPDATE users SET is_active = false WHERE id = $1`, me.UserID)
	w.login("jo@example.org", "wrong password").refused(errs.Unauthenticated, "incorrect")
	w.login("jo@example.org", password).refused(errs.Forbidden, "inactive")
	w.request("getCurrentUserInfo", instance(me), nil).refused(errs.Forbidden, "inactive")
}

func TestFiveFailuresLockTheAccountForAGrowingTimeUpToAQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("jo@example.org")
	fail := func(email string, want time.Duration) {
		t.Helper()
		for range 5 {
			w.login(email, "wrong password").refused(errs.Unauthenticated, "incorrect")
		}
		if e := w.login(email, password).refused(errs.RateLimited, "too many"); e.RetryAfter != want {
			t.Errorf("%s: retry after %v, want %v", email, e.RetryAfter, want)
		}
	}
	fail("nobody@example.org", time.Minute)
	for _, lock := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		fail("jo@example.org", lock)
		w.clock.move(lock)
	}
	w.login("jo@example.org", password).ok(200)
	fail("jo@example.org", time.Minute) // a login ends the row
	w.clock.move(time.Minute)
	w.login("jo@example.org", "wrong password").refused(errs.Unauthenticated, "incorrect")
	w.login("jo@example.org", password).ok(200)
}

func TestALockHoldsWhereTheFailuresCameFromUntilThereAreVeryMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *auth.Config) { c.Throttle.Ceiling = 12 })
	w.member("jo@example.org")
	for range 5 {
		w.loginFrom("203.0.113.7", "jo@example.org", "wrong password").refused(errs.Unauthenticated, "incorrect")
	}
	w.loginFrom("203.0.113.7", "jo@example.org", password).refused(errs.RateLimited, "too many")
	w.loginFrom("198.51.100.1", "jo@example.org", password).ok(200)
	for i := range 12 {
		w.loginFrom(fmt.Sprintf("203.0.113.%d", 10+i), "jo@example.org", "wrong password").refused(errs.Unauthenticated, "incorrect")
	}
	if e := w.loginFrom("198.51.100.1", "jo@example.org", password).refused(errs.RateLimited, "too many"); e.RetryAfter != time.Minute {
		t.Errorf("for everybody: %v, want a minute", e.RetryAfter)
	}
	w.clock.move(time.Minute)
	w.loginFrom("198.51.100.1", "jo@example.org", password).ok(200)
}

func TestGuessesAtTheSameMomentDoNotPassTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *auth.Config) { c.Password.Concurrent = 1 })
	w.member("jo@example.org")
	var tried, locked atomic.Int32
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			switch a := w.login("jo@example.org", "wrong password"); errs.KindOf(a.err) {
			case errs.Unauthenticated:
				tried.Add(1)
			case errs.RateLimited:
				locked.Add(1)
			default:
				t.Error(a.err)
			}
		})
	}
	wg.Wait()
	if tried.Load() != 5 || locked.Load() != 7 {
		t.Errorf("%d guesses were compared, %d locked out; want 5 and 7", tried.Load(), locked.Load())
	}
}

func TestRefreshRotatesAndAReturningTokenEndsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	revoked := make(chan *authv1.SessionRevoked, 1)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { revoked <- e }))

	first := w.login("jo@example.org", password).ok(200)
	sid, _ := w.verify(first.str("access_token"))["sid"].(string)
	second := w.refresh(first.str("refresh_token")).ok(200)
	if second.str("access_token") == first.str("access_token") || second.str("refresh_token") == first.str("refresh_token") {
		t.Error("the refreshed tokens are the old ones")
	}
	if got := w.verify(second.str("access_token"))["sid"]; got != sid {
		t.Errorf("session %v after the refresh, %v before", got, sid)
	}
	// Sent twice at the same moment: refused, and the session lives.
	w.clock.move(time.Second)
	w.refresh(first.str("refresh_token")).refused(errs.Unauthenticated, "invalid")
	third := w.refresh(second.str("refresh_token")).ok(200)
	// Back after the grace: in two hands.
	w.clock.move(time.Minute)
	w.refresh(first.str("refresh_token")).refused(errs.Unauthenticated, "invalid")
	w.refresh(third.str("refresh_token")).refused(errs.Unauthenticated, "invalid")
	if w.access(me.UserID, 0, sid).GetSessionLive() {
		t.Error("the session lives")
	}
	if e := bustest.Await(w.env, revoked); e.GetSessionId() != sid || e.GetReason() != "reuse_detected" || e.GetUserId() != int32(me.UserID) {
		t.Errorf("event = %v", e)
	}
	w.login("jo@example.org", password).ok(200)
}

func TestRefreshTokensSentTwiceAtOnceGiveOnePair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("jo@example.org")
	token := w.login("jo@example.org", password).ok(200).str("refresh_token")
	var pairs atomic.Int32
	next := make(chan string, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if a := w.refresh(token); a.err == nil {
				pairs.Add(1)
				next <- a.str("refresh_token")
			} else if errs.KindOf(a.err) != errs.Unauthenticated {
				t.Error(a.err)
			}
		})
	}
	wg.Wait()
	if pairs.Load() != 1 {
		t.Fatalf("%d pairs, want 1", pairs.Load())
	}
	w.refresh(<-next).ok(200)
}

func TestRefreshRefusesWhatIsNoLiveRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	a := w.login("jo@example.org", password).ok(200)
	w.refresh(a.str("access_token")).refused(errs.Unauthenticated, "invalid token type")
	for _, text := range []string{"", "garbled", "a.b.c", "ccr_" + strings.Repeat("A", 43), strings.Repeat("x", 4096)} {
		w.refresh(text).refused(errs.Unauthenticated, "invalid")
	}
	w.exec(`UPDATE users SET is_active = false WHERE id = $1`, me.UserID)
	w.refresh(a.str("refresh_token")).refused(errs.Unauthenticated, "invalid")
	w.exec(`UPDATE users SET is_active = true WHERE id = $1`, me.UserID)
	w.clock.move(7 * 24 * time.Hour)
	w.refresh(a.str("refresh_token")).refused(errs.Unauthenticated, "expired")
}

func TestLogoutEndsTheSessionForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	revoked := make(chan *authv1.SessionRevoked, 1)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { revoked <- e }))
	gone, other := w.login("jo@example.org", password).ok(200), w.login("jo@example.org", password).ok(200)
	sid := func(a answer) string { s, _ := w.verify(a.str("access_token"))["sid"].(string); return s }

	caller := instance(me)
	caller.Session = sid(gone)
	for range 2 {
		if a := w.request("logout", caller, nil).ok(200); a.str("message") == "" {
			t.Error("no message")
		}
	}
	if w.access(me.UserID, 0, sid(gone)).GetSessionLive() || !w.access(me.UserID, 0, sid(other)).GetSessionLive() {
		t.Error("the wrong session ended")
	}
	w.refresh(gone.str("refresh_token")).refused(errs.Unauthenticated, "invalid")
	w.refresh(other.str("refresh_token")).ok(200)
	if e := bustest.Await(w.env, revoked); e.GetSessionId() != sid(gone) || e.GetReason() != "logout" {
		t.Errorf("event = %v", e)
	}
	w.request("logout", nobody, nil).refused(errs.Unauthenticated, "not authenticated")
	w.request("logout", instance(me), nil).refused(errs.Unauthenticated, "ended")
}

func TestMeIsTheCallersAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	if a := w.request("getCurrentUserInfo", instance(me), nil).ok(200); a.num("id") != me.UserID || a.str("email") != "jo@example.org" {
		t.Errorf("body = %v", a.body)
	}
	w.request("getCurrentUserInfo", nobody, nil).refused(errs.Unauthenticated, "")
	w.request("getCurrentUserInfo", tenant.Identity{Principal: "user:999", UserID: 999}, nil).refused(errs.Unauthenticated, "")
}

func TestSecretsAreNeitherInTheOutboxNorInTheAnswersKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("jo@example.org")
	a := w.login("jo@example.org", password).ok(200)
	for _, secret := range []string{password, a.str("refresh_token"), a.str("access_token")} {
		for _, q := range []string{
			`SELECT count(*) FROM outbox WHERE position(convert_to($1, 'UTF8') IN data) > 0`,
			`SELECT count(*) FROM operations WHERE position(convert_to($1, 'UTF8') IN coalesce(body, '')) > 0`,
			`SELECT count(*) FROM refresh_tokens WHERE position(convert_to($1, 'UTF8') IN token_hash) > 0`,
			`SELECT count(*) FROM users WHERE position($1 IN password_hash) > 0`,
		} {
			if n := w.count(q, secret); n != 0 {
				t.Errorf("%d rows hold a secret: %s", n, q)
			}
		}
	}
}
