package serve

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

const (
	// csp is for answers that no browser should run or frame.
	csp = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	// cspDocs lets the documentation page load its own files and ask this API.
	cspDocs = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	permissions = "geolocation=(), microphone=(), camera=(), payment=(), usb=(), magnetometer=(), gyroscope=(), accelerometer=()"
	hsts        = "max-age=31536000; includeSubDomains"
)

// fixed header values, shared by all answers: a slice per header per answer
// would be nine allocations. Nothing may append to them.
var (
	valNosniff     = []string{"nosniff"}
	valDeny        = []string{"DENY"}
	valXSS         = []string{"1; mode=block"}
	valReferrer    = []string{"strict-origin-when-cross-origin"}
	valPermissions = []string{permissions}
	valCSP         = []string{csp}
	valHSTS        = []string{hsts}
	valSameSite    = []string{"same-origin"}
	valNoStore     = []string{"no-store"}
	valJSON        = []string{"application/json"}
	valOrigin      = []string{"Origin"}
	valCommitted   = []string{"committed"}
	valClose       = []string{"close"}
	valStream      = []string{"stream"}
)

// secured sets the headers that every answer has.
func (s *Edge) secured(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h["X-Content-Type-Options"] = valNosniff
		h["X-Frame-Options"] = valDeny
		h["X-Xss-Protection"] = valXSS
		h["Referrer-Policy"] = valReferrer
		h["Permissions-Policy"] = valPermissions
		h["Content-Security-Policy"] = valCSP
		h["Cross-Origin-Opener-Policy"] = valSameSite
		if s.overTLS(c.Request()) {
			h["Strict-Transport-Security"] = valHSTS
		}
		return next(c)
	}
}

func (s *Edge) overTLS(r *http.Request) bool {
	return r.TLS != nil || s.c.TLS || len(s.c.TrustedProxies) > 0 && r.Header.Get("X-Forwarded-Proto") == "https" && s.trusted(peer(r))
}

const (
	allowMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	allowHeaders = "Authorization, X-API-Key, Content-Type, Accept, X-Project-ID, X-Request-ID, Idempotency-Key, If-Match, Prefer, Last-Event-ID, traceparent, tracestate"
	exposed      = "X-Request-ID, Retry-After, RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Location, ETag, Deprecation, Sunset, " +
		"Idempotent-Replayed, Preference-Applied, CC-Durability, CC-Search-Mode, CC-Search-Degraded, CC-Search-Total, CC-Search-Query, CC-Search-Reranked, CC-Search-Not-Reranked, CC-Search-Cached, CC-Search-Languages, CC-Index-Generation"
)

var valExposed = []string{exposed}

// crossOrigin answers preflights and marks the answers that a page of another
// origin may read. An origin that is not listed gets the same answers without
// the marks: the browser then keeps them from the page.
func (s *Edge) crossOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	maxAge := strconv.Itoa(int(s.c.CORSMaxAge / time.Second))
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		h["Vary"] = valOrigin
		origin := r.Header.Get("Origin")
		if origin == "" {
			return next(c)
		}
		known := s.origins[origin]
		if known {
			h.Set("Access-Control-Allow-Origin", origin)
			if s.c.Credentials {
				h.Set("Access-Control-Allow-Credentials", "true")
			}
			h["Access-Control-Expose-Headers"] = valExposed
		}
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			return next(c)
		}
		h["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
		if known {
			h.Set("Access-Control-Allow-Methods", allowMethods)
			h.Set("Access-Control-Allow-Headers", allowHeaders)
			h.Set("Access-Control-Max-Age", maxAge)
		}
		return c.NoContent(http.StatusNoContent)
	}
}

// deprecation returns the headers of an operation that will go (RFC 9745, RFC
// 8594).
func deprecation(o *contract.Operation) map[string]string {
	if !o.Deprecated {
		return nil
	}
	return map[string]string{
		"Deprecation": "@" + strconv.FormatInt(o.DeprecatedSince.Unix(), 10),
		"Sunset":      o.Sunset.UTC().Format(http.TimeFormat),
	}
}

// requestID returns the caller's id when it is safe to repeat everywhere, else
// "".
func requestID(sent string) string {
	if sent == "" || len(sent) > 128 {
		return ""
	}
	for i := range len(sent) {
		switch c := sent[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return ""
		}
	}
	return sent
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func (s *Edge) trusted(a netip.Addr) bool {
	for _, p := range s.c.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddr is the address of the caller: the peer, or behind proxies that we
// trust the last address in X-Forwarded-For that is not one of them. What a
// caller wrote into the header itself is further left and never reached.
func (s *Edge) clientAddr(r *http.Request) netip.Addr {
	at := peer(r)
	if len(s.c.TrustedProxies) == 0 || !s.trusted(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return at
		}
		at = a.Unmap()
		if !s.trusted(at) {
			return at
		}
	}
	return at
}

// bucket is the address that limits count: all of a household's IPv6 addresses
// are one.
func bucket(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
