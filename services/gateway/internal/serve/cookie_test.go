package serve_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

func TestACookieCountsFromOurOwnPagesAlone(t *testing.T) {
	t.Parallel()
	const friend = "https://friend.example.org"
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Origins = []string{friend} })
	own := w.server.URL
	cookie := with("Cookie", "other=1; cc_session="+ownersCookie)
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"a page of ours":               {[]string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 200},
		"an old browser, page of ours": {[]string{"Origin", own}, 200},
		"somebody typed the address":   {[]string{"Sec-Fetch-Site", "none"}, 200},
		"a program":                    {nil, 200},
		"a friend":                     {[]string{"Sec-Fetch-Site", "cross-site", "Origin", friend}, 200},
		"another site":                 {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.org"}, 403},
		"another server of the domain": {[]string{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.localhost"}, 403},
		"an old browser, another site": {[]string{"Origin", "https://evil.example.org"}, 403},
		"a page without an origin":     {[]string{"Origin", "null"}, 403},
	} {
		for _, call := range []struct{ method, path, body string }{
			{"GET", "/api/v1/knowledge/categories", ""}, {"POST", "/api/v1/knowledge/query", `{"query":"x"}`},
		} {
			changes := []change{cookie}
			for i := 0; i < len(c.headers); i += 2 {
				changes = append(changes, with(c.headers[i], c.headers[i+1]))
			}
			if got := w.call(call.method, call.path, call.body, changes...); got.status != c.want {
				t.Errorf("%s %s from %s: %d %s", call.method, call.path, name, got.status, got.body)
			}
		}
	}
	if who := w.bus.last(t).who; who.UserID != owner || who.Session != "s-1" || who.Key != "" {
		t.Errorf("called as %+v", who)
	}
	for _, bad := range []string{"cc_session=ccs_stranger", "cc_session=", "session=" + ownersCookie, "cc_session=cc_abc"} {
		if got := w.call("GET", "/api/v1/knowledge/categories", "", with("Cookie", bad)); got.status != 401 {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
	// What is sent on purpose counts before what a browser adds.
	if got := w.call("GET", "/api/v1/knowledge/categories", "", cookie, with("Authorization", "Bearer nonsense")); got.status != 401 {
		t.Errorf("beside a bad token: %d", got.status)
	}
	if got := w.call("GET", "/api/v1/knowledge/categories", "", with("Cookie", "__Host-cc_session="+ownersCookie)); got.status != 200 {
		t.Errorf("over TLS: %d", got.status)
	}
}

func TestAnEventStreamMayBeOpenedWithACookieByOurOwnPagesAlone(t *testing.T) {
	t.Parallel()
	w := newFactWorld(t, 100)
	cookie := with("Cookie", "cc_session="+ownersCookie)
	if got := w.call("HEAD", streamPath, "", cookie, with("Sec-Fetch-Site", "cross-site")); got.status != 403 {
		t.Errorf("from another site: %d", got.status)
	}
	if got := w.call("HEAD", streamPath, "", cookie, with("Sec-Fetch-Site", "same-origin")); got.status != 200 {
		t.Errorf("from a page of ours: %d", got.status)
	}
}

func TestTheCookieOfALoginIsPassedOnAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.call("GET", "/api/v1/auth/oidc/callback?code=c&state=s", "", with("Cookie", "other=1; cc_session="+ownersCookie+"; cc_signon=flow"))
	if got := w.bus.last(t).payload; !sameJSON(got, `{"code":"c","state":"s","cc_signon":"flow","cc_session":"`+ownersCookie+`"}`) {
		t.Errorf("passed on %s", got)
	}
	w.call("GET", "/api/v1/knowledge/categories", "", with("Cookie", "cc_session="+ownersCookie+"; cc_signon=flow"))
	if got := w.bus.last(t).payload; strings.Contains(got, ownersCookie) || strings.Contains(got, "flow") {
		t.Errorf("passed on %s", got)
	}
}

func TestOverTLSACookieIsTheOneForTLS(t *testing.T) {
	t.Parallel()
	tls := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.TLS = true })
	for name, want := range map[string]int{"cc_session": 401, "__Host-cc_session": 200} {
		if got := tls.call("GET", "/api/v1/knowledge/categories", "", with("Cookie", name+"="+ownersCookie)); got.status != want {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	// The one of somebody else, which another server of the domain has set, is not looked at.
	if got := tls.call("GET", "/api/v1/knowledge/categories", "", with("Cookie", "cc_session=ccs_stranger; __Host-cc_session="+ownersCookie)); got.status != 200 {
		t.Errorf("beside another: %d", got.status)
	}
	// Nor is it handed on to who takes cookies as parameters: it would say that whoever
	// comes back from the provider is somebody else already.
	tls.call("GET", "/api/v1/auth/oidc/callback?code=c&state=s", "", with("Cookie", "cc_session=ccs_stranger; cc_signon=theirs; __Host-cc_signon=flow"))
	if got := tls.bus.last(t).payload; !sameJSON(got, `{"code":"c","state":"s","__Host-cc_signon":"flow"}`) {
		t.Errorf("passed on %s", got)
	}
	for w, want := range map[*world][2]string{
		tls:         {"__Host-cc_session=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax", "__Host-cc_session=y; Path=/; HttpOnly; Secure"},
		newWorld(t): {"cc_session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax", "__Host-cc_session=y; Path=/; HttpOnly; Secure"},
	} {
		for i, set := range []string{"cc_session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax", "__Host-cc_session=y; Path=/; HttpOnly; Secure"} {
			w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
				return &bus.Answer{Status: 200, Header: map[string]string{"Set-Cookie": set}, Body: []byte(`{"message":"Logged in"}`)}, nil
			}
			got := w.call("POST", "/api/v1/auth/browser", `{"email":"a@b.io","password":"correct horse"}`)
			if got.status != 200 || got.header.Get("Set-Cookie") != want[i] {
				t.Errorf("%d, set %s, want %s", got.status, got.header.Get("Set-Cookie"), want[i])
			}
		}
	}
}

func TestNoPageElsewhereLogsItsVisitorIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		header [2]string
		want   int
	}{
		"a program":            {[2]string{"X-Nothing", "x"}, 200},
		"a page of the server": {[2]string{"Sec-Fetch-Site", "same-origin"}, 200},
		"a page elsewhere":     {[2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"an old browser":       {[2]string{"Origin", "https://evil.example"}, 403},
	} {
		got := w.call("POST", "/api/v1/auth/browser", `{"email":"a@b.io","password":"correct horse"}`, with(c.header[0], c.header[1]))
		if got.status != c.want || c.want == 403 && len(got.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %s %v", name, got.status, got.body, got.header)
		}
	}
}
