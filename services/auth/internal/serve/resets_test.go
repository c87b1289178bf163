package serve_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth"
)

const chosen = "staple battery horse"

// reset issues one for an account and returns its secret.
func (w *world) reset(by tenant.Identity, userID int64) string {
	w.Helper()
	return w.request("issuePasswordReset", by, obj{"user_id": userID}).ok(201).str("token")
}

// resets comes with a secret, from an address.
func (w *world) resets(client, secret, fresh string) answer {
	w.Helper()
	return w.request("resetPassword", tenant.Identity{Client: client}, obj{"body": obj{"token": secret, "new_password": fresh}})
}

func TestAPasswordIsChosenAnewOnceAndEveryLoginEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *auth.Config) { c.PasswordResetURL = "https://cc.example.org/reset" })
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	revoked := make(chan string, 10)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { revoked <- e.GetReason() }))
	refresh := w.login("jo@example.org", password).ok(200).str("refresh_token")
	for range 5 {
		w.loginFrom("192.0.2.1", "jo@example.org", "not the password")
	}
	w.loginFrom("192.0.2.1", "jo@example.org", password).refused(errs.RateLimited, "too many")

	a := w.request("issuePasswordReset", root, obj{"user_id": jo.UserID}).ok(201)
	secret := a.str("token")
	if !strings.HasPrefix(secret, "ccp_") || a.str("link") != "https://cc.example.org/reset#"+secret || a.str("email") != "jo@example.org" || a.header["Cache-Control"] != "no-store" {
		t.Errorf("issued %v, %v", a.body, a.header)
	}
	if shown := w.request("showPasswordReset", nobody, obj{"body": obj{"token": secret}}).ok(200); shown.str("email") != "jo@example.org" || shown.str("expires_at") != a.str("expires_at") {
		t.Errorf("shown %v", shown.body)
	}
	w.request("showPasswordReset", nobody, obj{"body": obj{"token": secret + "x"}}).refused(errs.Forbidden, "not valid")
	w.refresh(refresh).ok(200) // nothing has changed yet
	refresh = w.login("jo@example.org", password).ok(200).str("refresh_token")
	w.resets("192.0.2.1", secret, "password1").refused(errs.Invalid, "common")
	w.resets("192.0.2.1", secret, "jo@example.org").refused(errs.Invalid, "")
	w.resets("192.0.2.1", " "+secret+"\n", chosen).ok(200)
	for range 2 {
		if reason := bustest.Await(w.env, revoked); reason != "password_changed" {
			t.Errorf("said %s", reason)
		}
	}
	w.refresh(refresh).refused(errs.Unauthenticated, "")
	w.login("jo@example.org", password).refused(errs.Unauthenticated, "incorrect")
	w.loginFrom("192.0.2.1", "jo@example.org", chosen).ok(200) // the lock was of guesses at the other one
	w.resets("192.0.2.1", secret, "another "+chosen).refused(errs.Forbidden, "not valid")
	w.request("showPasswordReset", nobody, obj{"body": obj{"token": secret}}).refused(errs.Forbidden, "not valid")
	if n := w.count(`SELECT count(*) FROM password_resets`); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestAResetEndsWithWhateverMakesItNeedless(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, root, jo tenant.Identity){
		"time":                     func(w *world, _, _ tenant.Identity) { w.clock.move(time.Hour) },
		"another":                  func(w *world, root, jo tenant.Identity) { w.reset(root, jo.UserID) },
		"a password change":        func(w *world, _, jo tenant.Identity) { w.change(jo, chosen) },
		"the account switched off": func(w *world, root, jo tenant.Identity) { w.switchOffAndOn(root, jo.UserID) },
		"its issuer switched off":  func(w *world, root, _ tenant.Identity) { w.switchOffAndOn(w.superuser("al@example.org"), root.UserID) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
			secret := w.reset(root, jo.UserID)
			end(w, root, jo)
			w.resets("", secret, "yet another "+chosen).refused(errs.Forbidden, "not valid")
		})
	}
}

func (w *world) change(who tenant.Identity, fresh string) {
	w.Helper()
	w.request("changePassword", who, obj{"body": obj{"old_password": password, "new_password": fresh}}).ok(200)
}

func (w *world) switchOffAndOn(by tenant.Identity, userID int64) {
	w.Helper()
	w.command("deactivateUser", "", by, obj{"user_id": userID}).ok(200)
	w.command("reactivateUser", "", by, obj{"user_id": userID}).ok(200)
}

func TestWhoGetsAResetAndWhoGivesOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	issue := func(by tenant.Identity, userID int64, body obj) answer {
		return w.request("issuePasswordReset", by, obj{"user_id": userID, "body": body})
	}
	issue(instance(jo), root.UserID, nil).refused(errs.Forbidden, "superuser")
	issue(nobody, jo.UserID, nil).refused(errs.Unauthenticated, "")
	issue(root, 999, nil).refused(errs.NotFound, "user not found")

	// Whoever logs in by the provider has no password, unless it is said so.
	w.exec(`INSERT INTO user_identities (issuer, subject, user_id, created_at) VALUES ('https://id.example.org', 's', $1, now())`, jo.UserID)
	issue(root, jo.UserID, nil).refused(errs.Conflict, "identity provider")
	secret := issue(root, jo.UserID, obj{"add_password": true}).ok(201).str("token")
	w.resets("", secret, chosen).ok(200)

	// Who is switched off stays so.
	w.command("deactivateUser", "", root, obj{"user_id": jo.UserID}).ok(200)
	issue(root, jo.UserID, obj{"add_password": true}).refused(errs.Conflict, "switched off")
	w.login("jo@example.org", chosen).refused(errs.Forbidden, "inactive")

	// One who is a superuser no more, whatever the gateway remembers.
	w.exec(`UPDATE users SET is_superuser = false WHERE id = $1`, root.UserID)
	issue(root, root.UserID, nil).refused(errs.Forbidden, "superuser")
}

func TestSecretsOfResetsAreGuessedNoFasterThanPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	secret := w.reset(root, jo.UserID)
	wrong := "ccp_" + strings.Repeat("A", 43)
	for _, guess := range []string{wrong, "ccp_", "x", strings.TrimPrefix(secret, "ccp_"), secret + "="} {
		w.resets("192.0.2.1", guess, chosen).refused(errs.Forbidden, "not valid")
	}
	if e := w.resets("192.0.2.1", secret, chosen).refused(errs.RateLimited, "too many"); e.RetryAfter <= 0 {
		t.Errorf("no time to wait: %+v", e)
	}
	w.resets("192.0.2.2", secret, chosen).ok(200)
}

func TestOfManyWhoComeWithOneResetOneChooses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	secret := w.reset(root, jo.UserID)
	var took atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if a := w.resets("", secret, chosen); a.err == nil {
				took.Add(1)
			}
		})
	}
	wg.Wait()
	if took.Load() != 1 {
		t.Errorf("%d chose", took.Load())
	}
}

func TestASecretOfAResetIsNowhereButInItsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	text := strings.TrimPrefix(w.reset(root, jo.UserID), "ccp_")
	for _, table := range []string{"password_resets", "outbox"} {
		if n := w.count(`SELECT count(*) FROM `+table+` t WHERE t::text LIKE '%' || $1 || '%'`, text); n != 0 {
			t.Errorf("the secret is in %s", table)
		}
	}
}

func TestTheLogTellsWhoResetWhosePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.superuser("root@example.org")
	jo := w.member("jo@example.org")
	told := func(operation, actor string, n int) {
		t.Helper()
		bustest.Eventually(w.env, func() bool {
			return w.count(`SELECT count(*) FROM audit_entries WHERE project_id = 0 AND operation = $1 AND actor = $2 AND reason = ''`, operation, actor) == n
		})
	}
	ask := func(op string, who tenant.Identity, o bus.Origin, payload obj) *bus.Answer {
		t.Helper()
		ctx, cancel := context.WithTimeout(bus.WithOrigin(t.Context(), o), bustest.Patience)
		defer cancel()
		a, err := w.edge.Request(ctx, bus.Target{Service: "auth", Operation: op}, who, w.json(payload))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := ask("issuePasswordReset", root, bus.Origin{Writes: true, Named: []bus.Named{{Name: "user_id", Value: "2"}}}, obj{"user_id": jo.UserID})
	secret := w.read("issuePasswordReset", a, nil).str("token")
	told("issuePasswordReset", root.Principal, 1)
	ask("resetPassword", nobody, bus.Origin{Writes: true, Address: "192.0.2.1"}, obj{"body": obj{"token": secret, "new_password": chosen}})
	told("resetPassword", jo.Principal, 1)

	// On the machine, without anybody who is logged in: the last superuser too.
	for _, account := range []string{"ROOT@example.org", "1"} {
		r, err := auth.IssuePasswordReset(t.Context(), w.db, cheap(), "operator:ada@host", account, false)
		if err != nil || r.UserID != root.UserID || r.Email != "root@example.org" {
			t.Fatalf("%+v, %v", r, err)
		}
		if account == "1" {
			ahead := time.Until(w.clock.now()) // the command goes by the clock of the machine
			w.clock.move(ahead)
			w.resets("", r.Secret, chosen).ok(200)
			w.clock.move(-ahead)
		}
	}
	told("issuePasswordReset", "operator:ada@host", 2)
	w.login("root@example.org", chosen).ok(200)
	if _, err := auth.IssuePasswordReset(t.Context(), w.db, cheap(), "operator:ada@host", "nobody@example.org", false); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an account that is none: %v", err)
	}
}
