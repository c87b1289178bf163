package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrNotLoggedIn says that nobody is known to the server by what we have.
var ErrNotLoggedIn = errors.New("not logged in: run `commandcenter login`")

// ErrTokenRefused says that the server does not accept the token that was given
// in the settings. A login would not help: the token goes before it.
var ErrTokenRefused = errors.New("the server does not accept the token in CC_TOKEN (client.token): give another one, or none to use your login")

// APIError is a refusal or a fault that the server reported.
type APIError struct {
	Status     int
	Title      string
	Detail     string        // one line; the fields at fault for a validation error
	RequestID  string        // for the server's log
	RetryAfter time.Duration // after which it may go better; 0 when the server does not say
}

func (e *APIError) Error() string {
	msg := e.Detail
	if msg == "" {
		msg = e.Title
	}
	if msg == "" {
		msg = http.StatusText(e.Status)
	}
	s := fmt.Sprintf("%s (HTTP %d", msg, e.Status)
	if e.RequestID != "" && e.Status >= http.StatusInternalServerError {
		s += ", request " + e.RequestID
	}
	s += ")"
	if e.RetryAfter > 0 {
		s += "; try again in " + e.RetryAfter.String()
	}
	return s
}

// UnreachableError says that the server did not answer at all.
type UnreachableError struct {
	Server string
	Err    error
}

func (e *UnreachableError) Error() string {
	if e.Untrusted() {
		return fmt.Sprintf("the certificate of %s is not trusted: %v; %s", e.Server, e.Err, e.Mend())
	}
	return fmt.Sprintf("no answer from %s: %v; is it running? Start it with `commandcenter up`, or name another with --server", e.Server, e.Err)
}

// Mend says what to do about a certificate that is not trusted.
func (e *UnreachableError) Mend() string {
	var name x509.HostnameError
	if errors.As(e.Err, &name) {
		return "call the server by a name that is in it, or make one with this name (subjectAltName)"
	}
	return "name it, or who signed it, with --ca (CC_CA)"
}

// Untrusted reports whether somebody answered whose certificate is not trusted.
func (e *UnreachableError) Untrusted() bool { return untrusted(e.Err) }

func untrusted(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 64 << 20

// Into reads the answer of a call as a T. A status outside 2xx is an
// [APIError]. For an empty body T stays zero.
func Into[T any](resp *http.Response, err error) (T, error) {
	v, _, err := intoWithStatus[T](resp, err)
	return v, err
}

func intoWithStatus[T any](resp *http.Response, err error) (T, int, error) {
	var v T
	if err != nil {
		return v, 0, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return v, resp.StatusCode, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return v, resp.StatusCode, problem(resp, body)
	}
	if len(body) == 0 || resp.StatusCode == http.StatusAccepted {
		return v, resp.StatusCode, nil
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, resp.StatusCode, fmt.Errorf("read the answer: %w", err)
	}
	return v, resp.StatusCode, nil
}

// problem reads problem details as far as they go: what answers may be a
// proxy in between.
func problem(resp *http.Response, body []byte) error {
	e := &APIError{Status: resp.StatusCode}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	var p struct {
		Title     string          `json:"title"`
		Detail    json.RawMessage `json:"detail"`
		RequestID string          `json:"request_id"`
	}
	if json.Unmarshal(body, &p) != nil {
		if resp.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTP request to an HTTPS server") {
			e.Detail = "the server speaks TLS: call it https://"
		}
		return e
	}
	e.Title, e.RequestID = p.Title, p.RequestID
	var fields []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	switch {
	case json.Unmarshal(p.Detail, &e.Detail) == nil:
	case json.Unmarshal(p.Detail, &fields) == nil:
		var lines []string
		for _, f := range fields {
			lines = append(lines, location(f.Loc)+": "+f.Msg)
		}
		e.Detail = strings.Join(lines, "; ")
	}
	return e
}

func location(loc []any) string {
	var parts []string
	for i, p := range loc {
		if i == 0 && len(loc) > 1 {
			continue // "body", "query": of no interest here
		}
		parts = append(parts, fmt.Sprint(p))
	}
	return strings.Join(parts, ".")
}
