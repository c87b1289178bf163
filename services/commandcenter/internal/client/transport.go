package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// maxTries bounds how often one call is sent.
const maxTries = 6

// do sends a request with a token, refreshes that once when it is refused, and
// repeats what is safe to repeat: reads, and writes with an Idempotency-Key.
func (s *Session) do(r *http.Request) (*http.Response, error) {
	token, err := s.token(r.Context(), "")
	if err != nil {
		return nil, err
	}
	if p := s.Project(); p != 0 && r.Header.Get("X-Project-ID") == "" && inProject(r.URL.Path) {
		r.Header.Set("X-Project-ID", strconv.FormatInt(p, 10))
	}
	resp, err := s.retry(r, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if s.ByToken() {
		// What was refused says why: it is no key, has run out, or its holder is gone.
		_, refused := Into[struct{}](resp, nil)
		return nil, fmt.Errorf("%w: %w", ErrTokenRefused, refused)
	}
	fresh, err := s.token(r.Context(), token)
	if err != nil {
		return nil, errors.Join(err, discard(resp))
	}
	if err := errors.Join(discard(resp), rewind(r)); err != nil {
		return nil, err
	}
	return s.retry(r, fresh)
}

// elsewhere begins the paths of calls that work in no project, or in the one that
// they name: who is in the chosen one no more may still make them.
var elsewhere = []string{
	"/api/v1/auth/", "/api/v1/users", "/api/v1/projects", "/api/v1/invitations/", "/api/v1/operations/", "/api/v1/federation/instances", "/api/fed/",
}

func inProject(path string) bool {
	return strings.HasPrefix(path, "/api/") && !slices.ContainsFunc(elsewhere, func(begin string) bool { return strings.HasPrefix(path, begin) })
}

func (s *Session) doPlain(r *http.Request) (*http.Response, error) { return s.retry(r, "") }

func (s *Session) retry(r *http.Request, token string) (*http.Response, error) {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if s.cfg.UserAgent != "" {
		r.Header.Set("User-Agent", s.cfg.UserAgent)
	}
	by := s.cfg.HTTP
	if strings.Contains(r.Header.Get("Accept"), kindEvents) {
		by = s.slow
	}
	again := repeatable(r) && !s.cfg.Once
	paused := time.Duration(0) // because the server asked for it
	for try := 1; ; try++ {
		resp, err := by.Do(r)
		if err != nil && r.Context().Err() != nil {
			return nil, context.Cause(r.Context())
		}
		last := try == maxTries || !again
		if err != nil {
			// A refused connection is final at once for reads: nothing runs there. So is
			// a certificate that nobody vouches for.
			if last || untrusted(err) || refused(err) && r.Header.Get("Idempotency-Key") == "" {
				return nil, &UnreachableError{Server: s.cfg.Server, Err: cause(err)}
			}
			if err := s.pause(r, backoff(try)); err != nil {
				return nil, err
			}
			continue
		}
		// Who is told to come back, because others are served or the first try is
		// still in hand, has not failed.
		limited := resp.StatusCode == http.StatusTooManyRequests || inHand(resp)
		if last && !(limited && again) || !passing(resp.StatusCode) && !limited {
			return resp, nil
		}
		after := retryAfter(resp, try)
		if limited {
			paused += after
		}
		if max(after, paused) > s.cfg.Patience {
			return resp, nil // let the caller decide about a wait that long
		}
		if err := discard(resp); err != nil {
			return nil, err
		}
		if s.cfg.Paused != nil && after >= time.Second {
			s.cfg.Paused(after, resp.StatusCode)
		}
		if err := s.pause(r, after); err != nil {
			return nil, err
		}
	}
}

func (s *Session) pause(r *http.Request, d time.Duration) error {
	return errors.Join(s.wait(r.Context(), d), rewind(r))
}

func repeatable(r *http.Request) bool {
	if r.Body != nil && r.GetBody == nil {
		return false
	}
	return r.Method == http.MethodGet || r.Header.Get("Idempotency-Key") != ""
}

// inHand reports whether an earlier try with the same key has not been answered.
func inHand(resp *http.Response) bool {
	return resp.StatusCode == http.StatusConflict && resp.Header.Get("Retry-After") != ""
}

func passing(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusBadGateway ||
		status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func retryAfter(resp *http.Response, try int) time.Duration {
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
		return max(time.Duration(n)*time.Second, 100*time.Millisecond)
	}
	return backoff(try)
}

func backoff(try int) time.Duration { return 200 * time.Millisecond << min(try-1, 6) }

func rewind(r *http.Request) error {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return fmt.Errorf("send again: %w", err)
	}
	r.Body = body
	return nil
}

func discard(resp *http.Response) error {
	_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return errors.Join(err, resp.Body.Close())
}

func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// cause strips method and address, which the message has already.
func cause(err error) error {
	var u interface{ Unwrap() error }
	if errors.As(err, &u) && u.Unwrap() != nil {
		return u.Unwrap()
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
