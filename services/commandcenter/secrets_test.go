package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// forms are the ways in which a secret would lie about.
func forms(secret string) [][]byte {
	out := [][]byte{[]byte(secret), []byte(hex.EncodeToString([]byte(secret))), []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))), []byte(url.QueryEscape(secret)), []byte(url.PathEscape(secret))}
	for before := range 3 { // what stands before it shifts base64
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + secret))
		// The first and last digits hold bits of the neighbours.
		text = text[(before*8+5)/6 : len(text)-1]
		out = append(out, []byte(text), []byte(strings.NewReplacer("+", "-", "/", "_").Replace(text)))
	}
	return out
}

// sealing are the keys that seal secrets, in the form of Tink.
var sealing = regexp.MustCompile(`"keyData":\{[^}]*"value":"([^"]+)"`)

var seed = regexp.MustCompile(`S[UAONX][A-Z2-7]{50,}`) // of an nkey

// TestSecretsLieNowhere plants secrets in a full run and then reads everything
// that the product has written: each row and message, each file of PostgreSQL, its
// log of writes among them, of the streams, buckets and logs, and each answer. What a service that is
// added later writes is read without a line here.
func TestSecretsLieNowhere(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample", "--log-level", "debug")
	a := newAttacker(t, p)
	owner := a.who
	const password, wrong, marker = "planted Password 4711 +/ of a user", "planted WRONG password 0815", "planted-marker-that-is-no-secret"
	planted := map[string]string{"a password": password, "a wrong password": wrong, "an access token": owner.token, "the signature of a token": owner.token[strings.LastIndexByte(owner.token, '.')+1:]}
	heard, deaf := p.overhear(t, owner, 0)
	anybody := p.caller("")
	anybody.json("POST", "/api/v1/auth/register", map[string]string{"email": "planted@example.org", "password": password}, 201, nil)
	anybody.json("POST", "/api/v1/auth/login", map[string]string{"email": "planted@example.org", "password": wrong}, 401, nil)
	var pair, next struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	anybody.json("POST", "/api/v1/auth/login", map[string]string{"email": "planted@example.org", "password": password}, 200, &pair)
	anybody.json("POST", "/api/v1/auth/refresh", map[string]string{"refresh_token": pair.Refresh}, 200, &next)
	planted["a refresh token"], planted["a traded refresh token"], planted["another access token"] = next.Refresh, pair.Refresh, next.Access
	var instance struct {
		Key string `json:"api_key"`
	}
	owner.json("POST", "/api/v1/federation/instances", map[string]string{"slug": "planted"}, 201, &instance)
	planted["the key of an instance"] = instance.Key
	if _, _, _, err := anybody.do("GET", "/api/fed/projects?api_key="+url.QueryEscape(instance.Key), "", nil, "X-API-Key", instance.Key); err != nil {
		t.Fatal(err)
	}
	var key struct {
		Secret string `json:"secret"`
	}
	owner.json("POST", "/api/v1/keys", map[string]any{"name": "planted", "scopes": []string{"*:read"}}, 201, &key)
	planted["an API key"], planted["the secret of an API key"] = key.Secret, key.Secret[len("cc_abcdefgh_"):]
	p.caller(key.Secret).json("GET", "/api/v1/knowledge/categories", nil, 200, nil)
	if _, _, _, err := anybody.do("GET", "/api/v1/knowledge/categories?api_key="+key.Secret, "", nil, "X-API-Key", key.Secret); err != nil {
		t.Fatal(err)
	}
	var me struct{ ID int64 }
	p.caller(pair.Access).json("GET", "/api/v1/auth/me", nil, 200, &me)
	var reset struct{ Token string }
	owner.json("POST", fmt.Sprintf("/api/v1/users/%d/password-reset", me.ID), nil, 201, &reset)
	planted["the secret of a password reset"] = reset.Token
	anybody.json("POST", "/api/v1/auth/password-reset", map[string]string{"token": reset.Token, "new_password": "Passw0rd"}, 422, nil)
	status, h, _, err := anybody.do("POST", "/api/v1/auth/browser", "application/json", []byte(`{"email":"planted@example.org","password":"`+password+`"}`))
	cookie, bad := http.ParseSetCookie(h.Get("Set-Cookie"))
	if err != nil || bad != nil || status != 200 {
		t.Fatalf("%d %v, %v, %v", status, h, err, bad)
	}
	planted["the cookie of a browser"] = cookie.Value
	if status, _, _, err := anybody.do("GET", "/api/v1/auth/me", "", nil, "Cookie", cookie.Name+"="+cookie.Value); err != nil || status != 200 {
		t.Fatalf("%d, %v", status, err)
	}
	owner.json("POST", "/api/v1/knowledge/documents/text", map[string]string{"title": marker, "content": marker, "category": "c"}, 201, nil)
	// A secret in the wrong place: refused, and not kept.
	if status, _, _, err := owner.do("POST", "/api/v1/projects", "application/json", []byte(`{"name":7,"password":"`+wrong+`"}`)); err != nil || status != 422 {
		t.Fatalf("%d, %v", status, err)
	}
	own, err := os.ReadFile(filepath.Join(p.dir, "owner-password"))
	if err != nil {
		t.Fatal(err)
	}
	planted["the owner's password"] = strings.TrimSpace(string(own))
	keys(t, filepath.Join(p.dir, "keys"), planted)

	heard.until(t, "document.")
	deaf()
	var said []string
	for _, secret := range planted {
		said = append(said, secret)
	}
	seen := heard.without(t, said, []string{"register", "login", "refreshToken", "registerInstance", "createKey", "issuePasswordReset", "resetPassword", "loginBrowser"})
	for _, name := range []string{"a password", "a wrong password", "a refresh token", "a traded refresh token", "the key of an instance", "an API key", "the secret of a password reset"} {
		if seen[planted[name]] == 0 {
			t.Errorf("%s was not heard where it belongs: this test listens in the wrong places", name)
		}
	}

	var all [][]byte
	var names []string
	for name, secret := range planted {
		if len(secret) < 12 {
			t.Fatalf("%s is %d bytes long: too short to be looked for", name, len(secret))
		}
		for _, form := range forms(secret) {
			all, names = append(all, form), append(names, name)
		}
	}
	scan := func(where string, text []byte) {
		for i, form := range all {
			if bytes.Contains(text, form) {
				t.Errorf("%s lies in %s, as %.12s…", names[i], where, form)
			}
		}
	}
	for _, op := range a.ops {
		if op.method == http.MethodGet && op.delivery != "live" {
			if got, ok := a.send(t, a.fresh(op)); ok {
				scan("the answer of "+op.id, got.body)
			}
		}
	}
	// As the product reads it: files may hold it compressed.
	counts := p.everything(t, func(where string, value []byte) {
		if !strings.HasPrefix(where, "file keys/") { // where they belong
			scan(where, value)
		}
	})
	if counts["rows"] < 500 || counts["messages"] < 20 {
		t.Errorf("looked at %v only", counts)
	}
	p.stop() // writes what is in memory
	scan("the log", []byte(p.log.String()))
	found := map[string]bool{}
	err = filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(p.dir, path) // both are absolute
		switch {
		case err != nil:
			return err
		case rel == "keys":
			return fs.SkipDir // where they belong
		case !d.Type().IsRegular() || rel == "owner-password":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		scan(rel, text)
		if bytes.Contains(text, []byte(marker)) {
			found[strings.SplitN(rel, string(filepath.Separator), 2)[0]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found["nats"] || !found["postgres"] {
		t.Errorf("what is no secret was found in %v only: this test looks in the wrong places", found)
	}
}

// keys adds the seeds and secrets of a directory.
func keys(t *testing.T, dir string, planted map[string]string) {
	t.Helper()
	before := len(planted)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range seed.FindAll(text, -1) {
			planted["a seed of "+d.Name()] = string(s)
		}
		if strings.Contains(d.Name(), "secret") {
			planted[d.Name()] = strings.TrimSpace(string(text))
		}
		for _, m := range sealing.FindAllSubmatch(text, -1) {
			planted["a sealing key"] = string(m[1])
			if raw, err := base64.StdEncoding.DecodeString(string(m[1])); err == nil && len(raw) >= 32 {
				planted["the bytes of a sealing key"] = string(raw[len(raw)-32:])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(planted) == before || planted["the bytes of a sealing key"] == "" {
		t.Errorf("no seeds or sealing keys in %s", dir)
	}
}
