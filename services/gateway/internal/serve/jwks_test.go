package serve_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func TestAProgramVerifiesATokenWithThePublishedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const path = "/.well-known/jwks.json"
	got := w.call("GET", path, "")
	if got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=300" || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	var set struct {
		Keys []struct{ Kty, Crv, X, Kid, Use, Alg string }
	}
	if err := json.Unmarshal([]byte(got.body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s, %v", got.body, err)
	}
	k := set.Keys[0]
	if k.Kty != "OKP" || k.Crv != "Ed25519" || k.Use != "sig" || k.Alg != "EdDSA" {
		t.Errorf("%+v", k)
	}
	_, err := jwt.Parse(w.auth.token(owner), func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != k.Kid {
			t.Errorf("the token names %v, the set %s", tok.Header["kid"], k.Kid)
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		return ed25519.PublicKey(x), err
	}, jwt.WithValidMethods([]string{k.Alg}))
	if err != nil {
		t.Error(err)
	}
	if again := w.call("GET", path, "", with("If-None-Match", got.header.Get("Etag"))); again.status != 304 || again.body != "" {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	w.auth.mu.Lock()
	w.auth.down = true
	w.auth.mu.Unlock()
	if got := w.call("GET", path, ""); got.status != 200 {
		t.Errorf("while auth is away: %d", got.status)
	}
	fresh := newWorld(t)
	fresh.auth.down = true
	if got := fresh.call("GET", path, ""); got.status != 503 || got.header.Get("Cache-Control") == "public, max-age=300" {
		t.Errorf("with nothing known: %d %v", got.status, got.header)
	}
}
