package serve

import (
	"net/http"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Names of the session's cookie: over TLS, and without. With the prefix a browser
// takes a cookie from this very server over TLS alone; without it, any other
// server of the domain may have set it, as the session of whom it likes.
const (
	hostPrefix   = "__Host-"
	secureCookie = hostPrefix + plainCookie
	plainCookie  = "cc_session"
)

// loginBrowser is the operation that gives a browser a cookie for a password.
const loginBrowser = "loginBrowser"

var errOrigin = errs.New(errs.Forbidden, "A cookie counts for calls from the pages of this server alone")

// cookieOf returns the session cookie of a call, "" without one. Over TLS that is
// the one with the prefix. It counts only
// when no page of another origin had the browser send it, whatever the method:
// an event stream is a GET, and tells as much as a write changes.
func (s *Edge) cookieOf(r *http.Request) (string, error) {
	if len(r.Header["Cookie"]) == 0 {
		return "", nil
	}
	names := []string{secureCookie, plainCookie}
	if s.overTLS(r) {
		names = names[:1]
	}
	for _, name := range names {
		c, err := r.Cookie(name)
		if err != nil || c.Value == "" {
			continue
		}
		written := *r
		written.Method = http.MethodPost // reads are let through by their method
		if err := s.sameOrigin.Check(&written); err != nil {
			return "", errOrigin.Because(err)
		}
		return c.Value, nil
	}
	return "", nil
}

// cookieTo is a cookie that a service sets, as this call's browser may have it:
// what goes over TLS is for TLS alone, whatever the service knows of that.
func (s *Edge) cookieTo(r *http.Request, set string) string {
	if !s.overTLS(r) {
		return set
	}
	c, err := http.ParseSetCookie(set)
	if err != nil || strings.HasPrefix(c.Name, hostPrefix) {
		return set
	}
	c.Name, c.Secure, c.Path, c.Domain = hostPrefix+c.Name, true, "/", ""
	return c.String()
}

// newSameOrigin believes the browser (Sec-Fetch-Site, Origin), and the origins
// that the instance allows.
func newSameOrigin(origins []string) (*http.CrossOriginProtection, error) {
	p := http.NewCrossOriginProtection()
	for _, o := range origins {
		if o == "*" {
			continue // any page may read what is public, and none act for somebody
		}
		if err := p.AddTrustedOrigin(o); err != nil {
			return nil, err
		}
	}
	return p, nil
}
