package serve

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// jsonWebKey is one of a set (RFC 7517), of Ed25519 (RFC 8037).
type jsonWebKey struct {
	Kind      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// keysKept is for how long a set may be kept. A new key is published long before
// it signs, so that nobody misses it.
const keysKept = "public, max-age=300"

// jwks shows the keys that verify access tokens, to programs that are given one
// and want to know whether it is ours.
func (s *Edge) jwks(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	keys, err := s.guard.PublicKeys(c.Request().Context())
	if err != nil {
		return err
	}
	set := struct {
		Keys []jsonWebKey `json:"keys"`
	}{make([]jsonWebKey, len(keys))}
	for i, k := range keys {
		set.Keys[i] = jsonWebKey{Kind: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(k.Public), ID: k.ID, Use: "sig", Algorithm: "EdDSA"}
	}
	body, err := json.Marshal(set)
	if err != nil {
		return err
	}
	a, h := newAsset("application/json", "", body), c.Response().Header()
	h.Set("Etag", a.etag)
	h.Set("Cache-Control", keysKept)
	if names(c.Request().Header["If-None-Match"], a.etag) {
		c.Response().WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", a.kind)
	return s.send(c, http.StatusOK, a.body)
}
