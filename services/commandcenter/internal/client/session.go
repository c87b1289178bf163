package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says which server, as whom.
type Config struct {
	Server    string // http(s)://host:port
	Token     string // a bearer token, or an API key; "" uses the store
	Project   int64  // X-Project-ID; 0 takes the chosen one, else the server decides
	Store     *Store
	UserAgent string
	// Local returns e-mail and password of the owner if the server runs from a
	// data directory of this machine that we can read. Otherwise its error, an
	// [ErrNotLoggedIn], says why it does not. It may be nil.
	Local func() (email, password string, err error)
	HTTP  *http.Client // nil for one with sensible timeouts
	TLS   *tls.Config  // of that one, see [Trust]; nil trusts what the system does
	Once  bool         // send every call once: who asks how the server is wants no patience
	// Patience is how long the server may let one call wait by asking for pauses
	// before it is sent again; 0 is 30 s.
	Patience time.Duration
	// Paused is told of each such pause of a second or more; it may be nil.
	Paused func(d time.Duration, status int)
}

// Session is a server as a user. It is safe for concurrent use.
type Session struct {
	*Client // the generated calls, authenticated and retried

	cfg   Config
	plain *Client // without a token: login, refresh, health
	wait  func(ctx context.Context, d time.Duration) error
	slow  *http.Client // for answers that may take long to begin

	mu    sync.Mutex
	creds Credentials
}

// New checks the configuration; nothing is sent yet.
func New(cfg Config) (*Session, error) {
	u, err := url.Parse(cfg.Server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("server %q: want http(s)://host:port", cfg.Server)
	}
	cfg.Server = strings.TrimRight(cfg.Server, "/")
	if cfg.Patience <= 0 {
		cfg.Patience = 30 * time.Second
	}
	slow := cfg.HTTP
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: transport(cfg.TLS)}
		t := transport(cfg.TLS)
		t.ResponseHeaderTimeout = 0
		slow = &http.Client{Transport: t}
	}
	s := &Session{cfg: cfg, wait: sleep, slow: slow}
	if s.creds, err = cfg.Store.Get(cfg.Server); err != nil {
		return nil, err
	}
	if s.plain, err = NewClient(cfg.Server, WithHTTPClient(doerFunc(s.doPlain))); err != nil {
		return nil, err
	}
	s.Client, err = NewClient(cfg.Server, WithHTTPClient(doerFunc(s.do)))
	return s, err
}

func transport(c *tls.Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if c != nil {
		t.TLSClientConfig = c
	}
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxIdleConnsPerHost = 16
	return t
}

// Server is the address, without a trailing slash.
func (s *Session) Server() string { return s.cfg.Server }

// Open is the same calls without a token.
func (s *Session) Open() *Client { return s.plain }

// keyPrefix begins every API key.
const keyPrefix = "cc_"

// Project is the project that calls name, 0 when the server decides.
func (s *Session) Project() int64 {
	if s.cfg.Project != 0 || strings.HasPrefix(s.cfg.Token, keyPrefix) {
		return s.cfg.Project // a key has a project of its own, whatever the login here has chosen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creds.Project
}

// UseProject keeps the project for later calls, of later processes too.
func (s *Session) UseProject(ctx context.Context, id int64) error {
	return s.update(ctx, func(c *Credentials) error { c.Project = id; return nil })
}

// ForgetProject ends the choice of the project, if it is that one.
func (s *Session) ForgetProject(ctx context.Context, id int64) error {
	return s.update(ctx, func(c *Credentials) error {
		if c.Project == id {
			c.Project = 0
		}
		return nil
	})
}

func (s *Session) update(ctx context.Context, fn func(*Credentials) error) error {
	return s.cfg.Store.Update(ctx, s.cfg.Server, func(c *Credentials) error {
		if err := fn(c); err != nil {
			return err
		}
		s.mu.Lock()
		s.creds = *c
		s.mu.Unlock()
		return nil
	})
}

// Login trades credentials for tokens and keeps those.
func (s *Session) Login(ctx context.Context, email, password string) error {
	return s.update(ctx, func(c *Credentials) error { return s.login(ctx, c, email, password) })
}

func (s *Session) login(ctx context.Context, c *Credentials, email, password string) error {
	// Marshalled by hand: the generated address type refuses what the server may allow.
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		return err
	}
	tok, err := Into[Token](s.plain.LoginWithBody(ctx, "application/json", strings.NewReader(string(body))))
	if err != nil {
		return err
	}
	if c.Email != email {
		c.Project = 0 // chosen by somebody else
	}
	c.Email, c.LoggedOut = email, false
	c.set(tok)
	return nil
}

func (c *Credentials) set(t Token) {
	c.AccessToken, c.RefreshToken = t.AccessToken, t.RefreshToken
	c.Expires = time.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
}

// Logout ends the session at the server, if there is one that it still knows,
// and forgets the tokens in any case. Until the next [Session.Login] nobody is
// logged in, not even the local owner.
func (s *Session) Logout(ctx context.Context) error {
	var known bool
	if err := s.update(ctx, func(c *Credentials) error {
		known = c.AccessToken != "" || c.RefreshToken != ""
		c.LoggedOut = true
		return nil
	}); err != nil {
		return err
	}
	var err error
	if known || s.cfg.Token != "" {
		var apiErr *APIError
		_, err = Into[MessageResponse](s.Client.Logout(ctx))
		if errors.As(err, &apiErr) && apiErr.Status == http.StatusUnauthorized || errors.Is(err, ErrNotLoggedIn) || errors.Is(err, ErrTokenRefused) {
			err = nil
		}
	}
	return errors.Join(err, s.update(ctx, func(c *Credentials) error { *c = Credentials{LoggedOut: true}; return nil }))
}

// LoggedIn reports whether tokens of a login are kept here, good or not.
func (s *Session) LoggedIn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creds.AccessToken != "" || s.creds.RefreshToken != ""
}

// ByToken says that a token was given in the settings, which goes before any login.
func (s *Session) ByToken() bool { return s.cfg.Token != "" }

// Authenticate makes sure that there is a token to send, so that who is about
// to send much learns at once when there is none.
func (s *Session) Authenticate(ctx context.Context) error {
	_, err := s.token(ctx, "")
	return err
}

// token returns a bearer token. stale is one that the server has just refused;
// "" when there is none.
func (s *Session) token(ctx context.Context, stale string) (string, error) {
	if s.ByToken() {
		return s.cfg.Token, nil
	}
	s.mu.Lock()
	c := s.creds
	s.mu.Unlock()
	if usable(c, stale) {
		return c.AccessToken, nil
	}
	// update reads again under the lock: another process may have refreshed.
	err := s.update(ctx, func(c *Credentials) error {
		if usable(*c, stale) {
			return nil
		}
		return s.renew(ctx, c)
	})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creds.AccessToken, nil
}

func usable(c Credentials, stale string) bool {
	return c.AccessToken != "" && c.AccessToken != stale && time.Until(c.Expires) > 5*time.Second
}

// renew refreshes, or logs in as the local owner.
func (s *Session) renew(ctx context.Context, c *Credentials) error {
	var apiErr *APIError
	if c.RefreshToken != "" {
		tok, err := Into[Token](s.plain.RefreshToken(ctx, RefreshTokenRequest{RefreshToken: c.RefreshToken}))
		if err == nil {
			c.set(tok)
			return nil
		}
		if !errors.As(err, &apiErr) || apiErr.Status != http.StatusUnauthorized {
			return err
		}
	}
	email, password, err := s.local(c)
	if err != nil {
		if gone := s.there(ctx); gone != nil {
			return gone // a login would not help
		}
		return err
	}
	if c.Email != "" && c.Email != email {
		// Somebody else was logged in here: never become the owner silently.
		return ErrNotLoggedIn
	}
	if err := s.login(ctx, c, email, password); err != nil {
		if errors.As(err, &apiErr) && apiErr.Status == http.StatusUnauthorized {
			return ErrNotLoggedIn
		}
		return err
	}
	return nil
}

// local is the owner, where that is known on this machine, and unless somebody
// has logged out.
func (s *Session) local(c *Credentials) (email, password string, err error) {
	if s.cfg.Local == nil || c.LoggedOut {
		return "", "", ErrNotLoggedIn
	}
	return s.cfg.Local()
}

// there asks whether anything answers at the address. It says nothing of ours.
func (s *Session) there(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.Server+"/health", nil)
	if err != nil {
		return err
	}
	resp, err := s.cfg.HTTP.Do(r)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &UnreachableError{Server: s.cfg.Server, Err: cause(err)}
	}
	return resp.Body.Close()
}
