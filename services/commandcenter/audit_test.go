package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

type auditEntry struct {
	Seq                                                 int64
	Operation, Actor, Outcome, Reason, Address, Service string
	Count                                               int
	RequestID                                           string `json:"request_id"`
	KeyID                                               string `json:"key_id"`
	Target                                              []named
}

type named = struct{ Name, Value string }

// audited reads a whole log, filtered by the query.
func (c *caller) audited(query string) (all []auditEntry) {
	c.t.Helper()
	for after := int64(0); ; {
		var page struct {
			Entries   []auditEntry
			NextAfter *int64 `json:"next_after"`
		}
		c.json("GET", fmt.Sprintf("/api/v1/audit?limit=500&after=%d&%s", after, query), nil, 200, &page)
		all = append(all, page.Entries...)
		if page.NextAfter == nil {
			return all
		}
		after = *page.NextAfter
	}
}

// auditedWhen reads both logs again and again until they fit.
func (c *caller) auditedWhen(fits func(all []auditEntry) bool) []auditEntry {
	c.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		all := append(c.audited("instance=true"), c.audited("")...)
		if fits(all) {
			return all
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Errorf("the audit logs do not become what they should; they have %d entries", len(all))
			return all
		}
	}
}

// writes are the operations of the contract that change something.
func writes(t *testing.T) map[string]bool {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			read, said := op.Extensions["x-reads"].(bool)
			if said && !read || !said && method != http.MethodGet {
				out[op.OperationID] = true
			}
		}
	}
	return out
}

// TestEveryWriteAndEveryDenialIsRecorded calls every operation of the contract
// that writes, as somebody who may, as somebody who may not and as nobody. One
// that is added there is tried without a line here.
func TestEveryWriteAndEveryDenialIsRecorded(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	a := newAttacker(t, p)
	owner := p.owner()
	viewer, viewerID := p.guest(owner, 1, "viewer@example.org", "viewer")
	type try struct {
		call   attackCall
		status int
		kept   bool
	}
	tries := map[string]try{} // by request id
	changes := writes(t)
	var denied, nobody int
	send := func(as string, c attackCall, token string) {
		id := as + "-" + c.op.id
		c.header.Set("X-Request-Id", id)
		if token != "" {
			c.header.Set("Authorization", "Bearer "+token)
		}
		got, ok := a.send(t, c)
		if !ok {
			t.Fatalf("%s: %s is not sent", as, c)
		}
		tries[id] = try{c, got.status, got.header.Get("Cc-Durability") != ""}
	}
	for _, op := range a.ops {
		if !changes[op.id] || op.id == "leaveProject" || op.id == "endSessions" || op.id == "changePassword" {
			continue // would end what the test goes on with; they are called at the end
		}
		if !op.public {
			c := a.fresh(op)
			send("viewer", c, viewer.token)
			if s := tries["viewer-"+op.id].status; s == 403 {
				denied++
			} else if op.id == "logout" {
				viewer = p.login("viewer@example.org", guestPassword)
			}
			c = a.fresh(op)
			c.header.Set("Authorization", "Bearer nonsense")
			send("nobody", c, "")
			nobody++
		}
		send("owner", a.fresh(op), "")
	}
	for _, id := range []string{"changePassword", "leaveProject", "endSessions"} {
		i := slices.IndexFunc(a.ops, func(o attackedOp) bool { return o.id == id })
		send("viewer", a.fresh(a.ops[i]), viewer.token)
	}
	owner = p.owner()                                           // the first session may be over
	owner.json("DELETE", "/api/v1/limits/reads", nil, 204, nil) // the sample of setLimit is five a minute
	by := map[string][]auditEntry{}
	var counted int
	owner.auditedWhen(func(all []auditEntry) bool {
		clear(by)
		counted = 0
		for _, e := range all {
			by[e.RequestID] = append(by[e.RequestID], e)
			if e.Reason == "unauthenticated" {
				counted += e.Count
			}
		}
		for id, s := range tries {
			if !strings.HasPrefix(id, "nobody-") && (s.status < 300 || s.status == 403 && !s.call.op.public || s.kept) && len(by[id]) == 0 {
				return false
			}
		}
		return counted >= nobody
	})
	var missed []string
	for id, s := range tries {
		op, as := s.call.op, strings.SplitN(id, "-", 2)[0]
		entries := by[id]
		if as == "nobody" || op.public && s.status >= 300 {
			continue // told of together with others
		}
		if len(entries) == 0 && (s.status == 422 || s.status == 400) && !s.kept {
			missed = append(missed, op.id) // the gateway has refused it as no call of this operation
			continue
		}
		if len(entries) != 1 {
			t.Errorf("%s: answered %d, %d entries %+v", id, s.status, len(entries), entries)
			continue
		}
		e := entries[0]
		want := map[bool]string{true: "ok", false: "refused"}[s.status < 300]
		if s.status == 401 || s.status == 403 || s.status == 429 || s.call.path["project_id"] == "2147480000" {
			want = "denied"
		}
		actor := "user:1"
		if as == "viewer" {
			actor = fmt.Sprintf("user:%d", viewerID)
		}
		if op.public {
			actor = e.Actor
		}
		if e.Operation != op.id || e.Outcome != want || e.Actor != actor || e.Count != 1 || !strings.HasPrefix(e.Address, "10.") {
			t.Errorf("%s: answered %d, recorded as %+v", id, s.status, e)
		}
		if made := func(n struct{ Name, Value string }) bool { return n.Name == "id" && n.Value != "" }; s.status == 201 && strings.HasSuffix(op.id, "Key") && !slices.ContainsFunc(e.Target, made) {
			t.Errorf("%s: the key that was made is not in %+v", id, e.Target)
		}
		for name, value := range s.call.path {
			if !slices.ContainsFunc(e.Target, func(n struct{ Name, Value string }) bool { return n.Name == name && n.Value == value }) {
				t.Errorf("%s: %s %s is not in %+v", id, name, value, e.Target)
			}
		}
	}
	if counted < nobody || denied == 0 {
		t.Errorf("%d calls of nobody are told of, and there were %d; %d were denied to a viewer", counted, nobody, denied)
	}
	slices.Sort(missed)
	t.Logf("%d writes tried %d times; refused by the gateway as no call: %v", len(changes), len(tries), slices.Compact(missed))
	if len(slices.Compact(missed)) > len(changes)/4 {
		t.Errorf("of %d writes too many did not come to a service", len(changes))
	}

	// And the whole of it is what an honest verifier takes.
	p.loginOwner(p.dir)
	for _, args := range [][]string{{"audit", "verify"}, {"audit", "verify", "--instance"}} {
		if code, out, errs := p.cc(args...); code != 0 || !strings.HasPrefix(out, "Sound: ") {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	if code, _, errs := p.cc("audit", "export", "--output", file); code != 0 {
		t.Fatalf("export: %d %s", code, errs)
	}
	if code, out, errs := p.cc("audit", "verify", "--file", file); code != 0 {
		t.Errorf("verify the export: %d %s%s", code, out, errs)
	}
	if code, out, errs := p.cc("audit", "list", "--outcome", "denied", "-n", "3"); code != 0 || !strings.Contains(out, "denied: forbidden") {
		t.Errorf("list: %d %s%s", code, out, errs)
	}
	if got := owner.audited("text=" + url.QueryEscape("correct horse")); len(got) > 0 {
		t.Errorf("a password is in the log: %+v", got)
	}
}

// TestALoginOfABrowserIsRecordedAsThePersons logs in for a cookie.
func TestALoginOfABrowserIsRecordedAsThePersons(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	_, id := p.guest(owner, 1, "viewer@example.org", "viewer")
	p.caller("").json("POST", "/api/v1/auth/browser", map[string]string{"email": "viewer@example.org", "password": guestPassword}, 200, nil)
	owner.auditedWhen(func(all []auditEntry) bool {
		return slices.ContainsFunc(all, func(e auditEntry) bool {
			return e.Operation == "loginBrowser" && e.Actor == fmt.Sprintf("user:%d", id)
		})
	})
}

// TestWhoCouldNotLogInIsFoundByTheAccount: in the instance's log, of an address that
// has one and of no other.
func TestWhoCouldNotLogInIsFoundByTheAccount(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	_, id := p.guest(owner, 1, "viewer@example.org", "viewer")
	for email, word := range map[string]string{"viewer@example.org": "not the password", "nobody@example.org": guestPassword} {
		p.caller("").json("POST", "/api/v1/auth/login", map[string]string{"email": email, "password": word}, 401, nil)
	}
	var pair, next struct {
		Token string `json:"refresh_token"`
	}
	p.caller("").json("POST", "/api/v1/auth/login", map[string]string{"email": "viewer@example.org", "password": guestPassword}, 200, &pair)
	p.caller("").json("POST", "/api/v1/auth/refresh", map[string]string{"refresh_token": pair.Token}, 200, &next)
	p.caller("").json("POST", "/api/v1/auth/refresh", map[string]string{"refresh_token": pair.Token}, 401, nil)
	who := fmt.Sprintf("user:%d", id)
	var failed []auditEntry
	owner.auditedWhen(func(all []auditEntry) bool {
		failed = slices.DeleteFunc(all, func(e auditEntry) bool { return e.Outcome != "denied" })
		return len(failed) == 3
	})
	for _, query := range []string{"target=" + who, "target=viewer@example.org"} {
		got := owner.audited("instance=true&outcome=denied&" + query)
		if len(got) != 2 || got[0].Operation != "login" || got[0].Actor != "" || !slices.Contains(got[0].Target, named{"reason", "wrong_password"}) ||
			got[1].Operation != "refreshToken" || got[1].Actor != who || !slices.Contains(got[1].Target, named{"reason", "reuse_detected"}) {
			t.Errorf("%s: %+v", query, got)
		}
	}
	for _, e := range failed {
		if e.Operation == "login" && len(e.Target) > 0 && !slices.Contains(e.Target, named{"user", who}) {
			t.Errorf("an address without account: %+v", e)
		}
	}
}
