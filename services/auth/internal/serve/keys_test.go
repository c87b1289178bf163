package serve_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
)

// resolve asks as the gateway does: it shows the hash, never the key.
func (w *world) resolve(key string) *authv1.ResolveKeyResponse {
	w.Helper()
	hash := sha256.Sum256([]byte(key))
	res, err := bus.CallInternal[*authv1.ResolveKeyResponse](w.Context(), w.edge, "auth", "resolveKey", &authv1.ResolveKeyRequest{Hash: hash[:]})
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (w *world) newKey(who tenant.Identity, body obj) (secret string, key map[string]any) {
	w.Helper()
	a := w.request("createKey", who, obj{"body": body}).ok(201)
	if a.header["Cache-Control"] != "no-store" {
		w.Errorf("the key may be kept: %v", a.header)
	}
	key, _ = a.body["key"].(map[string]any)
	return a.str("secret"), key
}

var reading = obj{"name": " ci ", "scopes": []string{"knowledge:read", "*:read", "knowledge:read"}}

func TestAKeyIsShownOnceAndKeptAsAHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	secret, key := w.newKey(jo, reading)
	if key["name"] != "ci" || key["holder_name"] != "jo@example.org" || key["holder"] != jo.Principal || key["created_by"] != jo.Principal || key["project_id"] != float64(jo.Project) ||
		key["expires_at"] != nil || key["last_used_at"] != nil || !strings.HasPrefix(secret, "cc_"+key["prefix"].(string)+"_") {
		t.Errorf("made %v", key)
	}
	got := w.resolve(secret)
	if got.GetKeyId() != key["id"] || int64(got.GetUserId()) != jo.UserID || got.GetServiceAccountId() != 0 || got.GetProjectId() != int32(jo.Project) ||
		strings.Join(got.GetScopes(), " ") != "*:read knowledge:read" || got.GetExpiresAt() != nil {
		t.Errorf("resolved as %v", got)
	}
	if other := w.resolve(secret + "x"); other.GetKeyId() != "" {
		t.Errorf("another text is %v", other)
	}
	list := w.request("listKeys", jo, nil).ok(200).list
	if len(list) != 1 || list[0]["id"] != key["id"] || list[0]["holder_name"] != "jo@example.org" || list[0]["secret"] != nil {
		t.Errorf("listed %v", list)
	}
	for _, place := range []string{"outbox", "operations", "api_keys"} {
		if n := w.count(`SELECT count(*) FROM `+place+` x WHERE x::text LIKE '%' || $1 || '%'`, secret[12:]); n != 0 {
			t.Errorf("the secret lies in %s", place)
		}
	}
}

func TestAKeyThatEndsStopsAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	revoked := make(chan *authv1.ApiKeyRevoked, 10)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.ApiKeyRevoked) { revoked <- e }))
	secret, key := w.newKey(jo, reading)
	id := key["id"]

	w.request("revokeKey", al, obj{"key_id": id}).refused(errs.NotFound, "not found")
	foreign := jo
	foreign.Project = al.Project
	w.request("revokeKey", foreign, obj{"key_id": id}).refused(errs.NotFound, "not found")
	w.request("revokeKey", jo, obj{"key_id": "no uuid"}).refused(errs.NotFound, "not found")
	viewer := tenant.Identity{Project: jo.Project, Principal: "user:99", UserID: 99, Role: tenant.Viewer}
	w.request("revokeKey", viewer, obj{"key_id": id}).refused(errs.NotFound, "not found")
	if w.resolve(secret).GetKeyId() == "" {
		t.Fatal("somebody else has ended it")
	}
	w.request("revokeKey", jo, obj{"key_id": id}).ok(204)
	e := bustest.Await(w.env, revoked)
	if e.GetKeyId() != id || e.GetReason() != "revoked" || int64(e.GetUserId()) != jo.UserID || e.GetVersion() != 2 {
		t.Errorf("said %v", e)
	}
	if w.resolve(secret).GetKeyId() != "" || len(w.request("listKeys", jo, nil).ok(200).list) != 0 {
		t.Error("it still lives")
	}
	w.request("revokeKey", jo, obj{"key_id": id}).refused(errs.NotFound, "not found")

	until := w.clock.now().Add(time.Hour)
	secret, _ = w.newKey(jo, obj{"name": "short", "scopes": []string{"*:read"}, "expires_at": until})
	if got := w.resolve(secret).GetExpiresAt().AsTime(); !got.Equal(until) {
		t.Errorf("ends at %v, want %v", got, until)
	}
	w.clock.move(time.Hour)
	if w.resolve(secret).GetKeyId() != "" || len(w.request("listKeys", jo, nil).ok(200).list) != 0 {
		t.Error("it outlived its end")
	}
}

func TestAKeyIsRotatedWithATimeForBoth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	created := make(chan *authv1.ApiKeyCreated, 10)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.ApiKeyCreated) { created <- e }))
	old, key := w.newKey(jo, obj{"name": "ci", "scopes": []string{"events:read"}, "expires_at": w.clock.now().Add(24 * time.Hour)})
	if e := bustest.Await(w.env, created); e.GetReplacesKeyId() != "" || e.GetKeyId() != key["id"] {
		t.Errorf("said %v", e)
	}
	w.clock.move(12 * time.Hour)
	admin := w.as(jo.UserID, jo.Project)
	admin.UserID, admin.Principal = al.UserID, al.Principal
	w.request("rotateKey", admin, obj{"key_id": key["id"]}).refused(errs.NotFound, "not found") // it would act as jo
	a := w.request("rotateKey", jo, obj{"key_id": key["id"], "body": obj{"overlap_seconds": 60}}).ok(201)
	if e := bustest.Await(w.env, created); e.GetReplacesKeyId() != key["id"] {
		t.Errorf("said %v", e)
	}
	fresh := a.str("secret")
	next := w.resolve(fresh)
	if next.GetKeyId() == key["id"] || strings.Join(next.GetScopes(), "") != "events:read" || !next.GetExpiresAt().AsTime().Equal(w.clock.now().Add(24*time.Hour)) {
		t.Errorf("the new one: %v", next)
	}
	if got := w.resolve(old); got.GetKeyId() != key["id"] || !got.GetExpiresAt().AsTime().Equal(w.clock.now().Add(time.Minute)) {
		t.Errorf("the old one: %v", got)
	}
	w.clock.move(time.Minute)
	if w.resolve(old).GetKeyId() != "" || w.resolve(fresh).GetKeyId() == "" {
		t.Error("after the overlap the wrong one works")
	}
	a = w.request("rotateKey", jo, obj{"key_id": next.GetKeyId()}).ok(201)
	if w.resolve(fresh).GetKeyId() != "" || w.resolve(a.str("secret")).GetKeyId() == "" {
		t.Error("without an overlap the wrong one works")
	}
}

func TestKeysThatMayNotBeAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *auth.Config) { c.KeyMaxLife = 48 * time.Hour })
	jo := w.member("jo@example.org")
	now := w.clock.now()
	for name, body := range map[string]obj{
		"no name": {"name": " ", "scopes": []string{"*:read"}}, "a long name": {"name": strings.Repeat("é", 101), "scopes": []string{"*:read"}},
		"no scope": {"name": "x", "scopes": []string{}}, "no level": {"name": "x", "scopes": []string{"knowledge"}}, "no such level": {"name": "x", "scopes": []string{"knowledge:god"}},
		"part of an area": {"name": "x", "scopes": []string{"know*:read"}}, "in the past": {"name": "x", "scopes": []string{"*:read"}, "expires_at": now},
		"too long": {"name": "x", "scopes": []string{"*:read"}, "expires_at": now.Add(49 * time.Hour)},
	} {
		if e := w.request("createKey", jo, obj{"body": body}).refused(errs.Invalid, ""); len(e.Fields) == 0 {
			t.Errorf("%s: no field is at fault", name)
		}
	}
	if _, key := w.newKey(jo, reading); key["expires_at"] == nil {
		t.Error("without an end, although the instance has a longest life")
	}
	w.request("createKey", nobody, obj{"body": reading}).refused(errs.Unauthenticated, "")
	w.request("createKey", jo, obj{"body": obj{"name": "CI", "scopes": []string{"*:read"}}}).refused(errs.Conflict, "of this name")
	var last map[string]any
	for i := range 49 {
		_, last = w.newKey(jo, obj{"name": strconv.Itoa(i), "scopes": []string{"*:read"}})
	}
	w.request("createKey", jo, obj{"body": obj{"name": "one more", "scopes": []string{"*:read"}}}).refused(errs.Conflict, "50 live keys")
	// Two where there was one are one too many; one in the place of another is not.
	rotate := func(overlap int) answer {
		return w.request("rotateKey", jo, obj{"key_id": last["id"], "body": obj{"overlap_seconds": overlap}})
	}
	rotate(60).refused(errs.Conflict, "50 live keys")
	next := rotate(0).ok(201).body["key"].(map[string]any)
	if next["name"] != last["name"] {
		t.Errorf("the next one is called %v", next["name"])
	}
	w.request("revokeKey", jo, obj{"key_id": next["id"]}).ok(204)
	w.newKey(jo, obj{"name": next["name"], "scopes": []string{"*:read"}}) // the name is free again
}

func TestServiceAccountsAreOfWhoIsAnAdminNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	al := w.guest(jo, "al@example.org", "admin")
	id := w.command("createServiceAccount", "", al, obj{"body": obj{"name": "ci"}}).ok(201).num("id")
	made := w.request("createServiceAccountKey", al, obj{"account_id": id, "body": reading}).ok(201).body["key"].(map[string]any)
	w.command("setMemberRole", "", jo, on(jo, al.UserID, obj{"role": "member"})).ok(200)
	// The call says what was true when it was made.
	w.command("createServiceAccount", "", al, obj{"body": obj{"name": "more"}}).refused(errs.Forbidden, "admin")
	w.command("updateServiceAccount", "", al, obj{"account_id": id, "body": obj{"role": "admin"}}).refused(errs.Forbidden, "admin")
	w.command("deleteServiceAccount", "", al, obj{"account_id": id}).refused(errs.Forbidden, "admin")
	w.request("createServiceAccountKey", al, obj{"account_id": id, "body": obj{"name": "x", "scopes": []string{"*:read"}}}).refused(errs.Forbidden, "admin")
	w.request("rotateKey", al, obj{"key_id": made["id"]}).refused(errs.Forbidden, "admin")

	w.exec(`INSERT INTO service_accounts (project_id, name, role, created_by, created_at, updated_at)
		SELECT $1, 'n' || n, 'viewer', $2, now(), now() FROM generate_series(1, 99) n`, int64(jo.Project), jo.UserID)
	w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "one more"}}).refused(errs.Conflict, "100 service accounts")
	w.command("deleteServiceAccount", "", jo, obj{"account_id": id}).ok(204)
	w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "one more"}}).ok(201)

	it := tenant.Identity{Principal: "service-account:1", ServiceAccount: id, Project: jo.Project, Role: tenant.Admin}
	for _, op := range []string{"listKeys", "listSessions", "createKey"} {
		w.request(op, it, obj{"body": reading}).refused(errs.Forbidden, "persons")
	}
}

func TestKeysThatAMemberMadeForServiceAccountsGoOnUnlessTheyAreRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("me@example.org")
	account := w.command("createServiceAccount", "", me, obj{"body": obj{"name": "ci"}}).ok(201).num("id")
	secretOf := func(who tenant.Identity, name string) string {
		return w.request("createServiceAccountKey", who, obj{"account_id": account, "body": obj{"name": name, "scopes": []string{"*:read"}}}).ok(201).str("secret")
	}
	mine := secretOf(me, "mine")
	for _, revoke := range []bool{false, true} {
		name := fmt.Sprint(revoke)
		admin := w.guest(me, name+"@example.org", "admin")
		made := secretOf(admin, name)
		own, _ := w.newKey(admin, obj{"name": name, "scopes": []string{"*:read"}})
		w.command("removeMember", "", me, obj{"project_id": int64(me.Project), "user_id": admin.UserID, "revoke_keys": revoke}).ok(204)
		if lives := w.resolve(made).GetKeyId() != ""; lives == revoke {
			t.Errorf("a key of a service account, by revoke_keys=%v, lives: %v", revoke, lives)
		}
		if w.resolve(own).GetKeyId() != "" || w.resolve(mine).GetKeyId() == "" {
			t.Errorf("revoke_keys=%v: the member's own key has to end, and that of somebody else to stay", revoke)
		}
	}
	if got := w.targets(me.Project, "removeMember", 2); !strings.Contains(got, "made_keys.before=1 made_keys.after=0") {
		t.Errorf("the log has %q", got)
	}
}

func TestAMemberWhoIsSwitchedOffIsShownAsSuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, jo := w.superuser("root@example.org"), w.member("jo@example.org")
	al := w.guest(jo, "al@example.org", "member")
	w.command("deactivateUser", "", root, obj{"user_id": al.UserID}).ok(200)
	active := map[any]any{}
	for _, m := range w.request("listMembers", jo, in(jo)).ok(200).list {
		active[m["email"]] = m["is_active"]
	}
	if active["jo@example.org"] != true || active["al@example.org"] != false {
		t.Errorf("listed as %v", active)
	}
}

func TestServiceAccountsBelongToAProjectAndItsAdmins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	changed := make(chan *authv1.ServiceAccountChanged, 10)
	w.env.Run(bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.ServiceAccountChanged) { changed <- e }))
	made := w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "Deploy", "role": "member"}}).ok(201)
	id := made.num("id")
	if e := bustest.Await(w.env, changed); int64(e.GetServiceAccountId()) != id || e.GetRole() != "member" || e.GetVersion() != 1 {
		t.Errorf("said %v", e)
	}
	w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "deploy"}}).refused(errs.Conflict, "already exists")
	w.command("createServiceAccount", "", jo, obj{"body": obj{"name": "x", "role": "owner"}}).refused(errs.Invalid, "viewer, member or admin")
	member := jo
	member.Role, member.UserID, member.Principal = tenant.Member, al.UserID, al.Principal
	w.command("updateServiceAccount", "", member, obj{"account_id": id, "body": obj{"role": "admin"}}).refused(errs.Forbidden, "admin")
	w.request("createServiceAccountKey", member, obj{"account_id": id, "body": reading}).refused(errs.Forbidden, "admin")
	w.request("listKeys", member, obj{"all": true}).refused(errs.Forbidden, "admin")
	w.request("createServiceAccountKey", al, obj{"account_id": id, "body": reading}).refused(errs.NotFound, "service account not found")
	w.command("deleteServiceAccount", "", al, obj{"account_id": id}).refused(errs.NotFound, "service account not found")

	key := w.request("createServiceAccountKey", jo, obj{"account_id": id, "body": reading}).ok(201)
	secret := key.str("secret")
	if got := w.resolve(secret); int64(got.GetServiceAccountId()) != id || got.GetUserId() != 0 {
		t.Errorf("resolved as %v", got)
	}
	if all := w.request("listKeys", jo, obj{"all": true}).ok(200).list; len(all) != 1 || len(w.request("listKeys", jo, nil).ok(200).list) != 0 {
		t.Errorf("listed %v", all)
	}
	access := func(p tenant.Project) *authv1.ResolveAccessResponse {
		a, err := bus.CallInternal[*authv1.ResolveAccessResponse](t.Context(), w.edge, "auth", "resolveAccess",
			&authv1.ResolveAccessRequest{ServiceAccountId: int32(id), ProjectId: int32(p)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := access(jo.Project); !a.GetActive() || a.GetRole() != "member" || a.GetProjectId() != int32(jo.Project) || a.GetUserId() != 0 {
		t.Errorf("stands as %v", a)
	}
	if a := access(al.Project); a.GetServiceAccountId() != 0 || a.GetActive() || a.GetRole() != "" {
		t.Errorf("in another project: %v", a)
	}
	w.command("updateServiceAccount", "", jo, obj{"account_id": id, "body": obj{"role": "viewer"}}).ok(200)
	if a := access(jo.Project); a.GetRole() != "viewer" {
		t.Errorf("stands as %v", a)
	}
	if list := w.request("listServiceAccounts", jo, nil).ok(200).list; len(list) != 1 || list[0]["role"] != "viewer" || list[0]["name"] != "Deploy" {
		t.Errorf("listed %v", list)
	}

	// It is nobody's account, and its list of projects is its own.
	it := tenant.Identity{Principal: "service-account:1", ServiceAccount: id, Key: key.body["key"].(map[string]any)["id"].(string)}
	w.request("getCurrentUserInfo", it, nil).refused(errs.Forbidden, "nobody")
	if list := w.request("listProjects", it, nil).ok(200).list; len(list) != 1 || list[0]["id"] != float64(jo.Project) || list[0]["role"] != "viewer" {
		t.Errorf("its projects: %v", list)
	}
	w.command("deleteServiceAccount", "", jo, obj{"account_id": id}).ok(204)
	if w.resolve(secret).GetKeyId() != "" || access(jo.Project).GetActive() {
		t.Error("it outlives its end")
	}
	w.command("deleteServiceAccount", "", jo, obj{"account_id": id}).refused(errs.NotFound, "")
	w.request("listProjects", it, nil).refused(errs.NotFound, "")
}

func TestAPersonWithAKeySeesTheProjectOfTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	w.command("createProject", "", instance(jo), obj{"body": obj{"name": "Second"}}).ok(201)
	_, key := w.newKey(jo, reading)
	with := instance(jo)
	with.Key, _ = key["id"].(string)
	if list := w.request("listProjects", with, nil).ok(200).list; len(list) != 1 || list[0]["id"] != float64(jo.Project) || list[0]["role"] != "owner" {
		t.Errorf("its projects: %v", list)
	}
	with.Key = "nonsense"
	w.request("listProjects", with, nil).refused(errs.NotFound, "")
}

func TestKeysGoWithTheirProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	second := w.command("createProject", "", instance(jo), obj{"body": obj{"name": "Second"}}).ok(201).num("id")
	there := w.as(jo.UserID, tenant.Project(second))
	mine, _ := w.newKey(there, reading)
	id := w.command("createServiceAccount", "", there, obj{"body": obj{"name": "ci"}}).ok(201).num("id")
	its := w.request("createServiceAccountKey", there, obj{"account_id": id, "body": reading}).ok(201).str("secret")
	w.command("deleteProject", "", there, obj{"project_id": second}).ok(204)
	for _, secret := range []string{mine, its} {
		if got := w.resolve(secret); got.GetKeyId() != "" {
			t.Errorf("it still works: %v", got)
		}
	}
}

func TestTheStateOfAKeyIsToldToWhoeverRunsWhatItGaveLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, al := w.member("jo@example.org"), w.member("al@example.org")
	_, made := w.newKey(jo, reading)
	id, _ := made["id"].(string)
	state := func(who tenant.Identity, p tenant.Project, id string) *authv1.ResolveAccessResponse {
		a, err := bus.CallInternal[*authv1.ResolveAccessResponse](t.Context(), w.env.Bus("knowledge"), "auth", "resolveAccess",
			&authv1.ResolveAccessRequest{UserId: int32(who.UserID), ProjectId: int32(p), KeyId: id})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, p := range []tenant.Project{jo.Project, 0} {
		if a := state(jo, p, id); a.GetKeyId() != id || !a.GetKeyLive() || len(a.GetKeyScopes()) == 0 || !a.GetActive() {
			t.Errorf("in %d: %v", p, a)
		}
	}
	for name, a := range map[string]*authv1.ResolveAccessResponse{
		"of another holder": state(al, jo.Project, id), "in another project": state(jo, al.Project, id), "of none": state(jo, jo.Project, "nonsense"),
	} {
		if a.GetKeyLive() || a.GetKeyId() == "" || len(a.GetKeyScopes()) != 0 {
			t.Errorf("%s: %v", name, a)
		}
	}
	w.request("revokeKey", jo, obj{"key_id": id}).ok(204)
	if a := state(jo, jo.Project, id); a.GetKeyLive() || a.GetKeyId() != id {
		t.Errorf("revoked: %v", a)
	}
}
