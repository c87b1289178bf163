package serve

import (
	"net/http"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Names of the session's cookie: over TLS, and without.
const (
	secureCookie = "__Host-cc_session"
	plainCookie  = "cc_session"
)

var errOrigin = errs.New(errs.Forbidden, "A cookie counts for calls from the pages of this server alone")

// cookieOf returns the session cookie of a call, "" without one. It counts only
// when no page of another origin had the browser send it, whatever the method:
// an event stream is a GET, and tells as much as a write changes.
func (s *Edge) cookieOf(r *http.Request) (string, error) {
	if len(r.Header["Cookie"]) == 0 {
		return "", nil
	}
	for _, name := range []string{secureCookie, plainCookie} {
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
