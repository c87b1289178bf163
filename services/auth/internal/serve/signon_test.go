package serve_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
)

// people are those that the provider knows, by id.
type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User { return p[id] }

func (p people) GetUserByUsername(name string) *storage.User {
	for _, u := range p {
		if u.Username == name {
			return u
		}
	}
	return nil
}

func (p people) ExampleClientID() string { return "none" }

const (
	public   = "https://cc.example.org"
	callback = public + "/api/v1/auth/oidc/callback"
)

// signOn is the service with a real provider of identities beside it, and the
// browser of somebody.
type signOn struct {
	*world
	provider string
	people   people
	browser  *http.Client
	cookie   string // of the flow
	session  string // cookie of the session that the browser has already
}

func newSignOn(t *testing.T, change ...func(*auth.Config)) *signOn {
	t.Helper()
	known := people{}
	for i, name := range []string{"ada", "bob"} {
		id := string(rune('1' + i))
		known[id] = &storage.User{ID: id, Username: name, Password: "p", FirstName: name, LastName: "Example", Email: name + "@example.org", EmailVerified: true}
	}
	var router http.Handler
	op := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { router.ServeHTTP(w, r) }))
	t.Cleanup(op.Close)
	client := storage.WebClient("commandcenter", "the secret", callback)
	router = exampleop.SetupServer(op.URL, storage.NewStorageWithClients(known, map[string]*storage.Client{"commandcenter": client}), nil, false)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("the secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, append([]func(*auth.Config){func(c *auth.Config) {
		c.PublicURL, c.OIDC.Issuer, c.OIDC.ClientID, c.OIDC.ClientSecretFile = public, op.URL, "commandcenter", file
	}}, change...)...)
	w.clock.move(time.Since(w.clock.now())) // the provider has a clock of its own
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &signOn{world: w, provider: op.URL, people: known, browser: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "cc.example.org" {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// begin sends the browser to the provider.
func (s *signOn) begin(returnTo string) *url.URL {
	s.Helper()
	a := s.request("beginSignOn", nobody, obj{"return_to": returnTo}).ok(303)
	to, err := url.Parse(a.header["Location"])
	if err != nil || !strings.HasPrefix(to.String(), s.provider+"/") {
		s.Fatalf("sent to %s, %v", to, err)
	}
	set, err := http.ParseSetCookie(a.header["Set-Cookie"])
	if err != nil || set.Name != "__Host-cc_signon" || !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteLaxMode || set.MaxAge != 600 || set.Domain != "" || set.Path != "/" {
		s.Fatalf("cookie %s, %v", a.header["Set-Cookie"], err)
	}
	s.cookie = set.Value
	return to
}

// at logs somebody in at the provider, and returns what it sends back with.
func (s *signOn) at(to *url.URL, name string) url.Values {
	s.Helper()
	page, err := s.browser.Get(to.String())
	if err != nil {
		s.Fatal(err)
	}
	_ = page.Body.Close() // nothing is read
	form := url.Values{"username": {name}, "password": {"p"}, "id": {page.Request.URL.Query().Get("authRequestID")}}
	back, err := s.browser.PostForm(s.provider+"/login/username", form)
	if err != nil {
		s.Fatal(err)
	}
	_ = back.Body.Close() // nothing is read
	at, err := back.Location()
	if err != nil || !strings.HasPrefix(at.String(), callback+"?") {
		s.Fatalf("sent back to %v, %v", at, err)
	}
	return at.Query()
}

func (s *signOn) finish(q url.Values) answer {
	s.Helper()
	payload := obj{"__Host-cc_signon": s.cookie, "__Host-cc_session": s.session}
	for k := range q {
		payload[k] = q.Get(k)
	}
	ctx, cancel := context.WithTimeout(bus.WithOrigin(s.Context(), bus.Origin{Writes: true}), bustest.Patience)
	defer cancel()
	a, err := s.edge.Request(ctx, bus.Target{Service: "auth", Operation: "finishSignOn"}, nobody, s.json(payload))
	return s.read("finishSignOn", a, err)
}

// in logs somebody in, and returns the cookie of the session.
func (s *signOn) in(name string) string {
	s.Helper()
	a := s.finish(s.at(s.begin("/docs"), name)).ok(303)
	set, err := http.ParseSetCookie(a.header["Set-Cookie"])
	if err != nil || a.header["Location"] != "/docs" || set.Name != "__Host-cc_session" || !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteLaxMode {
		s.Fatalf("%v, %v", a.header, err)
	}
	return set.Value
}

func (w *world) whose(cookie string) *authv1.ResolveBrowserResponse {
	w.Helper()
	hash := sha256.Sum256([]byte(cookie))
	res, err := bus.CallInternal[*authv1.ResolveBrowserResponse](w.Context(), w.edge, "auth", "resolveBrowser", &authv1.ResolveBrowserRequest{Hash: hash[:]})
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func TestSomebodyNewLogsInByTheProviderAndIsKnownAgain(t *testing.T) {
	t.Parallel()
	s := newSignOn(t)
	first := s.whose(s.in("ada"))
	if first.GetEmail() != "ada@example.org" || !s.access(int64(first.GetUserId()), 0, first.GetSessionId()).GetSessionLive() {
		t.Errorf("in as %v", first)
	}
	me := s.request("getCurrentUserInfo", instance(s.as(int64(first.GetUserId()), 0)), nil).ok(200)
	if me.str("full_name") != "ada Example" {
		t.Errorf("called %v", me.body)
	}
	s.people["1"].Email = "other@example.org" // an address may change; who it is does not
	second := s.whose(s.in("ada"))
	if second.GetUserId() != first.GetUserId() || second.GetSessionId() == first.GetSessionId() {
		t.Errorf("again as %v", second)
	}
	if s.whose("ccs_nonsense").GetSessionId() != "" {
		t.Error("a made-up cookie is somebody's")
	}
}

func TestAnAccountIsLinkedByAnAddressThatTheProviderVouchesFor(t *testing.T) {
	t.Parallel()
	s := newSignOn(t)
	ada := s.member("ada@example.org")
	refresh := s.login("ada@example.org", password).ok(200).str("refresh_token")
	secret, _ := s.newKey(ada, reading)

	s.people["1"].EmailVerified = false
	s.finish(s.at(s.begin("/"), "ada")).refused(errs.Forbidden, "vouch")
	s.people["1"].EmailVerified = true
	if got := s.whose(s.in("ada")); int64(got.GetUserId()) != ada.UserID {
		t.Errorf("in as %v", got)
	}
	// Whoever had registered the address may have been somebody else.
	s.login("ada@example.org", password).refused(errs.Unauthenticated, "incorrect")
	s.refresh(refresh).refused(errs.Unauthenticated, "")
	if s.resolve(secret).GetKeyId() != "" {
		t.Error("the key from before still works")
	}
	s.in("ada") // known by identity now: nothing ends
	if n := s.count(`SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL`, ada.UserID); n != 2 {
		t.Errorf("%d sessions live", n)
	}
}

func TestWhoIsNotLetInByTheProvider(t *testing.T) {
	t.Parallel()
	s := newSignOn(t, func(c *auth.Config) { c.Registration = "closed" })
	s.finish(s.at(s.begin("/"), "ada")).refused(errs.Forbidden, "not everybody may register")
	s.exec(`INSERT INTO users (email, password_hash, is_superuser, created_at, updated_at) VALUES ('bob@example.org', '$argon2id$x', true, now(), now())`)
	s.finish(s.at(s.begin("/"), "bob")).refused(errs.Forbidden, "superuser")
	s.exec(`UPDATE users SET is_superuser = false`)
	if s.whose(s.in("bob")).GetUserId() == 0 {
		t.Error("an account of before is not let in")
	}
	s.exec(`UPDATE users SET is_active = false`)
	s.finish(s.at(s.begin("/"), "bob")).refused(errs.Forbidden, "inactive")
}

func TestALoginEndsWhereItBegan(t *testing.T) {
	t.Parallel()
	s := newSignOn(t)
	to := s.begin("/")
	q := to.Query()
	for name, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256", "redirect_uri": callback, "scope": "openid email profile"} {
		if q.Get(name) != want {
			t.Errorf("%s is %q", name, q.Get(name))
		}
	}
	if q.Get("state") == "" || q.Get("nonce") == "" || q.Get("code_challenge") == "" {
		t.Errorf("asked with %v", q)
	}
	back := s.at(to, "ada")
	mine := s.cookie
	s.begin("/") // another browser
	s.finish(back).refused(errs.Unauthenticated, "another browser")
	for _, cookie := range []string{"", "nonsense", mine[:len(mine)-2] + "AA"} {
		s.cookie = cookie
		s.finish(back).refused(errs.Unauthenticated, "another browser")
	}
	s.cookie = mine
	s.finish(url.Values{"code": back["code"], "state": {"guess"}}).refused(errs.Unauthenticated, "another browser")
	s.finish(url.Values{"error": {"access_denied"}, "state": back["state"]}).refused(errs.Unauthenticated, "did not let you in")
	s.finish(url.Values{"code": {"nonsense"}, "state": back["state"]}).refused(errs.Unauthenticated, "did not let you in")
	s.finish(back).ok(303)
	s.finish(back).refused(errs.Unauthenticated, "did not let you in") // a code is good once
	s.clock.move(10 * time.Minute)
	s.finish(back).refused(errs.Unauthenticated, "too long ago")
	for given, want := range map[string]string{"//evil.example.org": "/ui", `/\evil.example.org`: "/ui", "https://evil.example.org": "/ui", "/a?b=c": "/a?b=c"} {
		s.world.clock.move(time.Since(s.world.clock.now()))
		if got := s.finish(s.at(s.begin(given), "ada")).ok(303).header["Location"]; got != want {
			t.Errorf("%s: sent to %s", given, got)
		}
	}
}

func TestWithoutAProviderThereIsNoSuchLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.request("beginSignOn", nobody, nil).refused(errs.NotFound, "no identity provider")
	w.request("finishSignOn", nobody, nil).refused(errs.NotFound, "no identity provider")
	away := newWorld(t, func(c *auth.Config) {
		c.PublicURL, c.OIDC.Issuer, c.OIDC.ClientID = "http://127.0.0.1:1", "http://127.0.0.1:1", "x"
	})
	away.request("beginSignOn", nobody, nil).refused(errs.Unavailable, "cannot be reached")
}

func TestABrowserLogsInByPasswordAndItsSessionLivesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	in := func(secret string) answer {
		return w.request("loginBrowser", tenant.Identity{Client: "c"}, obj{"body": obj{"email": "jo@example.org", "password": secret}})
	}
	in("wrong horse").refused(errs.Unauthenticated, "incorrect")
	set, err := http.ParseSetCookie(in(password).ok(200).header["Set-Cookie"])
	if err != nil || set.Name != "cc_session" || set.Secure || !set.HttpOnly || set.MaxAge != int((90*24*time.Hour).Seconds()) {
		t.Fatalf("%v, %v", set, err)
	}
	first := w.whose(set.Value)
	if int64(first.GetUserId()) != jo.UserID {
		t.Errorf("in as %v", first)
	}
	w.clock.move(6 * 24 * time.Hour)
	if w.whose(set.Value).GetSessionId() == "" {
		t.Fatal("it ended too soon")
	}
	w.clock.move(6 * 24 * time.Hour) // it was used meanwhile
	if w.whose(set.Value).GetSessionId() == "" {
		t.Error("a session that is used ended")
	}
	w.request("endSession", jo, obj{"session_id": first.GetSessionId()}).ok(204)
	if w.whose(set.Value).GetSessionId() != "" {
		t.Error("it outlives its end")
	}
}

// TestABrowserThatLogsOutForgetsItsCookie, and who came by a token is told nothing of
// one.
func TestABrowserThatLogsOutForgetsItsCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo := w.member("jo@example.org")
	for _, op := range []string{"logout", "endSessions"} {
		in := w.request("loginBrowser", tenant.Identity{Client: "c"}, obj{"body": obj{"email": "jo@example.org", "password": password}}).ok(200)
		set, err := http.ParseSetCookie(in.header["Set-Cookie"])
		if err != nil {
			t.Fatal(err)
		}
		tab := jo
		tab.Session = w.whose(set.Value).GetSessionId()
		bye, err := http.ParseSetCookie(w.request(op, tab, nil).ok(200).header["Set-Cookie"])
		if err != nil || bye.Name != set.Name || bye.Value != "" || bye.MaxAge >= 0 || bye.Path != set.Path {
			t.Errorf("%s: %v, %v", op, bye, err)
		}
		if w.whose(set.Value).GetSessionId() != "" {
			t.Errorf("%s ended nothing", op)
		}
		jo.Session, _ = w.verify(w.login("jo@example.org", password).ok(200).str("access_token"))["sid"].(string)
		if got := w.request(op, jo, nil).ok(200).header["Set-Cookie"]; got != "" {
			t.Errorf("%s by a token: %s", op, got)
		}
	}
}
