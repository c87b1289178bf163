package serve_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

func TestAPersonSeesAndEndsTheOwnSessionsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked := make(chan string, 10)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.SessionRevoked) { revoked <- e.GetSessionId() }))
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	refresh := w.login("jo@example.org", password).ok(200).str("refresh_token")
	w.login("al@example.org", password).ok(200)

	sessions := func(who tenant.Identity) []map[string]any { return w.request("listSessions", who, nil).ok(200).list }
	before := sessions(jo)
	if len(before) == 0 {
		t.Fatal("no session is listed")
	}
	jo.Session, _ = before[0]["id"].(string)
	current := 0
	for _, s := range sessions(jo) {
		if s["current"] == true {
			current++
		}
	}
	if current != 1 {
		t.Errorf("%d sessions are the current one", current)
	}
	id := before[0]["id"]
	w.request("endSession", al, obj{"session_id": id}).refused(errs.NotFound, "not found")
	w.request("endSession", jo, obj{"session_id": "no uuid"}).refused(errs.NotFound, "not found")
	if got := sessions(jo); len(got) != len(before) {
		t.Errorf("somebody else ended one: %v", got)
	}
	w.request("endSession", jo, obj{"session_id": id}).ok(204)
	if got := <-revoked; got != id {
		t.Errorf("said of %s", got)
	}
	w.request("endSession", jo, obj{"session_id": id}).refused(errs.NotFound, "not found")

	w.login("jo@example.org", password).ok(200)
	others := len(sessions(al))
	w.request("endSessions", jo, nil).ok(200)
	if got := sessions(jo); len(got) != 0 {
		t.Errorf("still alive: %v", got)
	}
	if got := sessions(al); len(got) != others {
		t.Errorf("sessions of others went: %v", got)
	}
	w.refresh(refresh).refused(errs.Unauthenticated, "refresh token")
	<-revoked
	for _, op := range []string{"listSessions", "endSessions", "endSession"} {
		w.request(op, nobody, obj{"session_id": id}).refused(errs.Unauthenticated, "")
	}
}

func TestAPasswordChangeAsksForTheOldOneAndEndsOtherSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	other := w.login("jo@example.org", password).ok(200).str("refresh_token")
	w.clock.move(time.Minute)
	mine := w.login("jo@example.org", password).ok(200).str("refresh_token")
	jo.Session, _ = w.request("listSessions", jo, nil).ok(200).list[0]["id"].(string)
	change := func(old, fresh string) answer {
		return w.request("changePassword", jo, obj{"body": obj{"old_password": old, "new_password": fresh}})
	}
	const fresh = "another horse battery"
	change("not the password", fresh).refused(errs.Forbidden, "old password is incorrect")
	change(password, "password1").refused(errs.Invalid, "common")
	w.request("changePassword", nobody, obj{"body": obj{"old_password": password, "new_password": fresh}}).refused(errs.Unauthenticated, "")
	change(password, fresh).ok(200)
	w.login("jo@example.org", password).refused(errs.Unauthenticated, "incorrect")
	w.login("jo@example.org", fresh).ok(200)
	w.refresh(other).refused(errs.Unauthenticated, "refresh token")
	w.refresh(mine).ok(200)
	for range 5 {
		change("not the password", fresh)
	}
	change(fresh, password).refused(errs.RateLimited, "too many")
}

func TestASessionTellsItsOwnerFromWhereAndWithWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	from := func(address, agent, op string, body obj) answer {
		t.Helper()
		ctx, cancel := context.WithTimeout(bus.WithOrigin(t.Context(), bus.Origin{Writes: true, Address: address, Agent: agent}), bustest.Patience)
		defer cancel()
		a, err := w.edge.Request(ctx, bus.Target{Service: "auth", Operation: op}, nobody, w.json(obj{"body": body}))
		return w.read(op, a, err).ok(200)
	}
	seen := func(want ...string) {
		t.Helper()
		var got []string
		for _, s := range w.request("listSessions", jo, nil).ok(200).list {
			got = append(got, fmt.Sprint(s["address"], " ", s["client"]))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("seen %q, want %q", got, want)
		}
	}
	login := obj{"email": "jo@example.org", "password": password}
	refresh := from("192.0.2.1", "curl/8.5.0", "login", login).str("refresh_token")
	from("2001:db8::1", "Mozilla/5.0\x1b[31m "+strings.Repeat("x", 300), "loginBrowser", login)
	seen("192.0.2.1 curl/8.5.0", "2001:db8::1 Mozilla/5.0[31m "+strings.Repeat("x", 184))
	from("192.0.2.2", "curl/8.6.0", "refreshToken", obj{"refresh_token": refresh})
	seen("192.0.2.2 curl/8.6.0", "2001:db8::1 Mozilla/5.0[31m "+strings.Repeat("x", 184))
}
