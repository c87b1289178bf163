package signon

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// house is a provider that says what it is told to, and accounts in memory.
type house struct {
	says   Identity
	fail   error // of the provider
	seen   []string
	known  map[string]user.User // by subject
	byMail map[string]user.User
	linked int
}

func (h *house) Address(_ context.Context, state, nonce, verifier string) (string, error) {
	h.seen = []string{state, nonce, verifier}
	return "https://idp.example.org/?state=" + state, h.fail
}

func (h *house) Redeem(_ context.Context, code, nonce, verifier string) (Identity, error) {
	if code != "code" || nonce != h.seen[1] || verifier != h.seen[2] {
		return Identity{}, errors.New("another login")
	}
	return h.says, h.fail
}

func (h *house) ByIdentity(_ context.Context, _, subject string) (user.User, error) {
	if u, ok := h.known[subject]; ok {
		return u, nil
	}
	return user.User{}, user.ErrUnknown
}

func (h *house) Link(_ context.Context, id Identity, hash string, proven int64, _ time.Time) (user.User, Ended, error) {
	u, ok := h.byMail[id.Email]
	if !ok || hash == "" {
		return user.User{}, Ended{}, user.ErrUnknown
	}
	h.linked++
	h.known[id.Subject] = u
	if u.ID == proven {
		return u, Ended{}, nil
	}
	return u, Ended{Sessions: 1}, nil
}

func (h *house) Create(_ context.Context, d user.Draft, _ time.Time) (user.User, error) {
	u := user.User{ID: 9, Email: d.Email, FullName: d.FullName, Active: true}
	h.byMail[d.Email] = u
	return u, nil
}

func (h *house) InTurn(ctx context.Context, work func(context.Context) error) error { return work(ctx) }
func (h *house) Hash(plain string) (string, error)                                  { return "hash of " + plain, nil }

func newLogin(t *testing.T) (*house, Login) {
	t.Helper()
	h := &house{
		says: Identity{Issuer: "i", Subject: "s", Email: " Ada@Example.org", Verified: true, Name: "Ada"}, known: map[string]user.User{}, byMail: map[string]user.User{},
	}
	sealer, err := NewSealer([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return h, Login{Provider: h, Sealer: sealer, Accounts: h, Passwords: h, Open: true, Now: func() time.Time { return monday }}
}

// through is a login from its begin to its end.
func (h *house) through(t *testing.T, l Login) (user.User, string, error) {
	t.Helper()
	_, cookie, err := l.Begin(t.Context(), "/docs")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Finish(t.Context(), Answer{Code: "code", State: h.seen[0], Cookie: cookie})
	return c.User, c.ReturnTo, err
}

func TestAnIdentityIsLinkedOnceAndThenKnown(t *testing.T) {
	t.Parallel()
	h, l := newLogin(t)
	u, to, err := h.through(t, l)
	if err != nil || to != "/docs" || u.Email != "ada@example.org" || *u.FullName != "Ada" || h.linked != 1 {
		t.Errorf("%+v to %s, %v", u, to, err)
	}
	h.says.Email, h.says.Verified = "", false // of no interest any more
	if again, _, err := h.through(t, l); err != nil || again.ID != u.ID || h.linked != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestWhoIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h *house, l *Login)
		want   error
		kind   errs.Kind
	}{
		"an address that nobody vouches for": {func(h *house, _ *Login) { h.says.Verified = false }, ErrAddress, errs.Forbidden},
		"no address":                         {func(h *house, _ *Login) { h.says.Email = "" }, ErrAddress, errs.Forbidden},
		"nobody may register":                {func(_ *house, l *Login) { l.Open = false }, ErrClosed, errs.Forbidden},
		"switched off": {func(h *house, _ *Login) {
			h.known["s"] = user.User{ID: 7}
		}, user.ErrInactive, errs.Forbidden},
		"refused by the provider": {func(h *house, l *Login) { l.Provider = failing{h, errRefused} }, errRefused, errs.Unauthenticated},
		"a bad code": {func(h *house, l *Login) {
			l.Provider = failing{h, &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}}}
		}, errRefused, errs.Unauthenticated},
		"a provider in trouble": {func(h *house, l *Login) {
			l.Provider = failing{h, &oauth2.RetrieveError{Response: &http.Response{StatusCode: 502}}}
		}, errAway, errs.Unavailable},
		"a provider that is away": {func(h *house, l *Login) { l.Provider = failing{h, errors.New("no route")} }, errAway, errs.Unavailable},
	} {
		h, l := newLogin(t)
		c.change(h, &l)
		if _, _, err := h.through(t, l); !errors.Is(err, c.want) || errs.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing redeems nothing.
type failing struct {
	*house
	err error
}

func (f failing) Redeem(context.Context, string, string, string) (Identity, error) {
	return Identity{}, f.err
}

func TestAFlowIsOfItsBrowserAndItsTime(t *testing.T) {
	t.Parallel()
	h, l := newLogin(t)
	_, cookie, err := l.Begin(t.Context(), "//evil.example.org")
	if err != nil {
		t.Fatal(err)
	}
	good := Answer{Code: "code", State: h.seen[0], Cookie: cookie}
	other, err := NewSealer([]byte(strings.Repeat("o", 32)))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.seal(flow{State: h.seen[0], Expires: monday.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]Answer{
		"no cookie": {Code: "code", State: good.State}, "not base64": {Code: "code", State: good.State, Cookie: "!"}, "short": {Code: "code", State: good.State, Cookie: "AAAA"},
		"of another instance": {Code: "code", State: good.State, Cookie: foreign}, "another state": {Code: "code", State: "x", Cookie: cookie}, "no state": {Code: "code", Cookie: cookie},
	} {
		if _, err := l.Finish(t.Context(), a); !errors.Is(err, ErrFlow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, a := range map[string]Answer{"an error": {State: good.State, Cookie: cookie, Error: "access_denied", Code: "code"}, "no code": {State: good.State, Cookie: cookie}} {
		if _, err := l.Finish(t.Context(), a); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := l.Finish(t.Context(), good); err != nil || c.ReturnTo != home || c.Linked == nil || len(c.Linked.Named()) != 1 {
		t.Errorf("came as %+v, %v", c, err)
	}
	l.Now = func() time.Time { return monday.Add(FlowLife) }
	if _, err := l.Finish(t.Context(), good); !errors.Is(err, ErrFlow) {
		t.Errorf("too late: %v", err)
	}
	l.Provider = nil
	if _, _, err := l.Begin(t.Context(), "/"); !errors.Is(err, ErrNone) {
		t.Errorf("begin without a provider: %v", err)
	}
	if _, err := l.Finish(t.Context(), good); !errors.Is(err, ErrNone) {
		t.Errorf("finish without a provider: %v", err)
	}
	h.fail = errors.New("away")
	l.Provider = h
	if _, _, err := l.Begin(t.Context(), "/"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a provider that is away: %v", err)
	}
}

// A provider that answers discovery, and gives no or bad ID tokens.
func TestWhatAProviderGivesIsVerified(t *testing.T) {
	t.Parallel()
	answer := `{"access_token":"a","token_type":"Bearer"}`
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_, _ = w.Write([]byte(`{"issuer":"` + srv.URL + `","authorization_endpoint":"` + srv.URL + `/auth","token_endpoint":"` + srv.URL + `/token","jwks_uri":"` + srv.URL + `/keys","id_token_signing_alg_values_supported":["RS256"]}`))
		case "/token":
			_, _ = w.Write([]byte(answer))
		default:
			_, _ = w.Write([]byte(`{"keys":[]}`))
		}
	}))
	defer srv.Close()
	p := &Provider{HTTP: srv.Client(), Settings: Settings{Issuer: srv.URL, ClientID: "c", Callback: "http://here/back", Scopes: []string{"openid"}}}
	at, err := p.Address(t.Context(), "state", "nonce", oauth2.GenerateVerifier())
	if err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(at); err != nil || u.Path != "/auth" || u.Query().Get("nonce") != "nonce" || u.Query().Get("code_challenge_method") != "S256" {
		t.Errorf("sent to %s, %v", at, err)
	}
	for name, given := range map[string]string{
		"no ID token": answer, "one that is none": `{"access_token":"a","token_type":"Bearer","id_token":"x.y.z"}`,
		"one without signature": `{"access_token":"a","token_type":"Bearer","id_token":"eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0."}`,
	} {
		answer = given
		if id, err := p.Redeem(t.Context(), "code", "nonce", "verifier"); !errors.Is(err, errRefused) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	srv.Close()
	if _, err := p.Redeem(t.Context(), "code", "nonce", "verifier"); err == nil || errors.Is(err, errRefused) {
		t.Errorf("away: %v", err)
	}
	gone := &Provider{HTTP: srv.Client(), Settings: p.Settings}
	if _, err := gone.Address(t.Context(), "s", "n", "v"); err == nil {
		t.Error("an address of a provider that is away")
	}
	if _, err := gone.Redeem(t.Context(), "c", "n", "v"); err == nil {
		t.Error("a code of a provider that is away")
	}
}

func TestVerifiedIsTrueInBothSpellings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"true": true, `"true"`: true, "false": false, `"false"`: false, "1": false, "null": false, `"yes"`: false} {
		var got truth
		if err := got.UnmarshalJSON([]byte(text)); err != nil || bool(got) != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}
