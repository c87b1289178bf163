package serve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
)

// Names of the cookies. Over TLS the prefix keeps other servers of the domain
// from setting them.
const (
	sessionCookie = "cc_session"
	flowCookie    = "cc_signon"
	hostPrefix    = "__Host-"
)

// sent is an answer that sends a browser on or gives it a cookie.
type sent struct {
	MessageResponse
	status int
	header map[string]string
}

// StatusCode is 200, or 303 for a browser that is sent on.
func (s sent) StatusCode() int { return s.status }

// Headers are where to, and the cookie.
func (s sent) Headers() map[string]string { return s.header }

// cookie is the text of a Set-Cookie header. Scripts never see it, and other
// sites cannot have it sent but by a link.
func (h *Handlers) cookie(name, value string, life time.Duration) string {
	c := http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: h.secure()} //nolint:gosec // G124: a cookie that needs TLS is none where there is no TLS
	if c.Secure {
		c.Name = hostPrefix + name
	}
	return c.String()
}

// secure says that people reach the instance over TLS.
func (h *Handlers) secure() bool { return strings.HasPrefix(h.PublicURL, "https://") }

func (h *Handlers) loginBrowser(ctx context.Context, r loginRequest) (sent, error) {
	u, err := h.Authenticator.Authenticate(ctx, r.Body.Email, r.Body.Password, tenant.From(ctx).Client)
	if h.LoggedIn != nil {
		h.LoggedIn(outcomeOf(err))
	}
	if err != nil {
		return sent{}, err
	}
	acted(ctx, u.ID)
	return h.open(ctx, letIn(ctx, u), http.StatusOK, "")
}

// open gives a browser a session, and with an address sends it there.
func (h *Handlers) open(ctx context.Context, who session.Login, status int, to string) (sent, error) {
	c, err := h.Browsers.Open(ctx, who)
	if err != nil {
		return sent{}, err
	}
	s := sent{MessageResponse{Message: "Logged in"}, status, map[string]string{"Set-Cookie": h.cookie(sessionCookie, c.Value, c.Life), "Cache-Control": "no-store"}}
	if to != "" {
		s.header["Location"] = to
	}
	return s, nil
}

// farewell answers who ends the own session; a browser is told to forget its cookie.
func (h *Handlers) farewell(ctx context.Context, caller tenant.Identity, message string) (sent, error) {
	s := sent{MessageResponse{Message: message}, http.StatusOK, map[string]string{}}
	browser, err := h.Browsers.ByCookie(ctx, caller.Session)
	if browser {
		s.header["Set-Cookie"] = h.cookie(sessionCookie, "", -time.Second)
	}
	return s, err
}

type beginSignOnRequest struct {
	ReturnTo string `json:"return_to"`
}

func (h *Handlers) beginSignOn(ctx context.Context, r beginSignOnRequest) (sent, error) {
	to, cookie, err := h.SignOn.Begin(ctx, r.ReturnTo)
	if err != nil {
		return sent{}, err
	}
	return sent{MessageResponse{Message: "Log in at your identity provider"}, http.StatusSeeOther, map[string]string{
		"Location": to, "Set-Cookie": h.cookie(flowCookie, cookie, signon.FlowLife), "Cache-Control": "no-store",
	}}, nil
}

type finishSignOnRequest struct {
	Code   string `json:"code"`
	State  string `json:"state"`
	Error  string `json:"error"`
	Plain  string `json:"cc_signon"`
	Secure string `json:"__Host-cc_signon"`

	PlainSession  string `json:"cc_session"`
	SecureSession string `json:"__Host-cc_session"`
}

func (h *Handlers) finishSignOn(ctx context.Context, r finishSignOnRequest) (sent, error) {
	// Without TLS here there may be a proxy with TLS before us, whose gateway says so.
	a := signon.Answer{Code: r.Code, State: r.State, Error: r.Error, Cookie: cmp.Or(r.Secure, r.Plain)}
	mine := cmp.Or(r.SecureSession, r.PlainSession)
	if h.secure() {
		a.Cookie, mine = r.Secure, r.SecureSession
	}
	if mine != "" {
		hash := sha256.Sum256([]byte(mine))
		s, _, found, err := h.Browsers.Resolve(ctx, hash[:])
		if err != nil {
			return sent{}, err
		}
		if found {
			a.Proven = s.UserID
		}
	}
	came, err := h.SignOn.Finish(ctx, a)
	if h.LoggedIn != nil {
		h.LoggedIn(outcomeOf(err))
	}
	if err != nil {
		return sent{}, err
	}
	acted(ctx, came.User.ID)
	if came.Linked != nil {
		bus.Noted(ctx, "linked_user_id", strconv.FormatInt(came.User.ID, 10))
		for _, n := range came.Linked.Named() {
			bus.Noted(ctx, n.Name, strconv.Itoa(n.Count))
		}
	}
	return h.open(ctx, letIn(ctx, came.User), http.StatusSeeOther, came.ReturnTo)
}

// resolveBrowser answers the gateway. That a cookie is none is no failure.
func (h *Handlers) resolveBrowser(ctx context.Context, r *authv1.ResolveBrowserRequest) (*authv1.ResolveBrowserResponse, error) {
	var s session.Session
	s, email, found, err := h.Browsers.Resolve(ctx, r.GetHash())
	if err != nil || !found {
		return &authv1.ResolveBrowserResponse{}, err
	}
	return &authv1.ResolveBrowserResponse{SessionId: s.ID.String(), UserId: id32(s.UserID), Email: email}, nil
}
