package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// address is where a service is, as an operator sets it.
type address struct{ url, model, key, keyFile string }

func (a address) validate() error {
	u, err := url.Parse(a.url)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("url: an address that begins with https:// or http://")
	case u.User != nil:
		return errors.New("url: no user in it; the key has a setting of its own")
	case u.Scheme == "http" && (a.key != "" || a.keyFile != "") && !local(u.Hostname()):
		return errors.New("url: a key is sent over https alone, or to this machine")
	case a.model == "" || strings.ContainsFunc(a.model, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("?#%", r) }):
		return errors.New("model: a name of the service's")
	case a.key != "" && a.keyFile != "":
		return errors.New("key: it or key_file")
	}
	return nil
}

func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// keyOf is the key itself, or what is in the file.
func keyOf(key, file string) (string, error) {
	if file == "" {
		return key, nil
	}
	b, err := os.ReadFile(file) //nolint:gosec // G304: the operator names it
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// caller makes the calls of one service.
type caller struct {
	what   string // it is, in errors
	key    string
	away   error // why it is not asked
	client *http.Client
	places chan struct{}
	b      breaker
	now    func() time.Time
	sleep  func(ctx context.Context, d time.Duration) error
}

func newCaller(what, key string, away error) *caller {
	return &caller{what: what, key: key, away: away, client: client(30*time.Second, time.Minute), places: make(chan struct{}, atOnce), now: time.Now, sleep: sleep}
}

// client follows nobody elsewhere, and does not ask addresses that no such
// service has, such as that at which a cloud tells a machine its secrets. It waits so
// long for the beginning of an answer, and for all of it; 0 is as long as its caller.
func client(first, whole time.Duration) *http.Client {
	d := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return err
		}
		if a = a.Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
			return fmt.Errorf("%s is no address of a service", a)
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: first, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       whole,
	}
}

// Close ends idle connections.
func (c *caller) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// call asks until it is answered, or it makes no sense to go on. read takes a
// whole answer.
func (c *caller) call(ctx context.Context, tries int, build func(ctx context.Context) (*http.Request, error), read func(body []byte) error) error {
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.try(ctx, tries, func() (time.Duration, error) { return c.once(ctx, build, read) })
}

// try makes a call up to so many times. ask returns how long to wait before the
// next time, 0 when the service does not say, and below 0 when there should be none.
func (c *caller) try(ctx context.Context, tries int, ask func() (wait time.Duration, err error)) error {
	for try := 1; ; try++ {
		ok, probe := c.b.admit(c.now())
		if !ok {
			return c.away
		}
		wait, err := ask()
		// A service that did not answer in the time that there was has failed.
		c.b.end(c.now(), probe, err != nil, err != nil && errors.Is(ctx.Err(), context.Canceled))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case wait < 0: // it would be the same
			return err
		case try == tries:
			return fmt.Errorf("%w: %w", c.away, err)
		}
		if wait == 0 {
			wait = time.Duration(float64(500*time.Millisecond<<(try-1)) * (0.5 + rand.Float64())) //nolint:gosec // G404: chance for spread
		}
		if err := c.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once makes one call.
func (c *caller) once(ctx context.Context, build func(ctx context.Context) (*http.Request, error), read func(body []byte) error) (wait time.Duration, err error) {
	res, wait, err := c.send(ctx, build)
	if err != nil {
		return wait, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("read the answer of %s: %w", c.what, err)
	case len(body) > most:
		return -1, errs.Newf(errs.Upstream, "%s answers more than it should", c.what)
	}
	if err := read(body); err != nil {
		return -1, err
	}
	return 0, nil
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	after  time.Duration // as the service asks for
	text   string
}

// Error says what the service said.
func (r *refusal) Error() string { return r.text }

// send makes one call and returns its answer when that is a success.
func (c *caller) send(ctx context.Context, build func(ctx context.Context) (*http.Request, error)) (res *http.Response, wait time.Duration, err error) {
	req, err := build(ctx)
	if err != nil {
		return nil, -1, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "commandcenter")
	if res, err = c.client.Do(req); err != nil {
		var u *url.Error
		if errors.As(err, &u) { // whose text has the address
			err = u.Err
		}
		return nil, 0, fmt.Errorf("ask %s: %w", c.what, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, 0, nil
	}
	body, rerr := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	err = &refusal{res.StatusCode, pause(res.Header.Get("Retry-After")), fmt.Sprintf("%s answers %d: %s", c.what, res.StatusCode, c.quote(body))}
	wait = -1
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout || res.StatusCode >= 500 {
		wait = pause(res.Header.Get("Retry-After"))
	}
	return nil, wait, errors.Join(err, rerr, res.Body.Close())
}

// pause is what a service asks for, within reason; 0 when it does not.
func pause(header string) time.Duration {
	n, err := strconv.Atoi(header)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Minute)
}

// quote is the beginning of an answer for the log, without the key, which some
// services repeat.
func (c *caller) quote(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), 300)]), "")
	if c.key != "" {
		text = strings.ReplaceAll(text, c.key, "(key)")
	}
	return strings.Join(strings.Fields(text), " ")
}
