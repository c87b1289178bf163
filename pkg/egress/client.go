package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Config says how a Client calls. Zero values are the defaults.
type Config struct {
	Policy    Policy
	UserAgent string        // "commandcenter"
	Connect   time.Duration // for a connection, name and TLS included each; 5 s
	Whole     time.Duration // for a call with its redirects, body included; 30 s
	MaxBytes  int64         // of a body after it was unpacked; 10 MiB
	Redirects int           // that are followed; 5, below 0 none
	Pause     time.Duration // between two calls of one host; none
	AtOnce    int           // connections to one host; 4

	// Resolve returns the addresses of a name; those of the system when nil.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS is for servers whose certificates the system does not know; may be nil.
	TLS *tls.Config
}

// The refusals of an answer.
var (
	// ErrLarge says that a body is larger than it may be.
	ErrLarge  = errs.New(errs.Invalid, "the answer is larger than it may be")
	errCircle = errs.New(errs.Invalid, "it redirects too often")
)

// Client calls addresses that people gave. It is safe for concurrent use.
type Client struct {
	c    Config
	http *http.Client
	pace *pace
}

// New returns a client.
func New(c Config) *Client {
	if c.UserAgent == "" {
		c.UserAgent = "commandcenter"
	}
	if c.Connect <= 0 {
		c.Connect = 5 * time.Second
	}
	if c.Whole <= 0 {
		c.Whole = 30 * time.Second
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 10 << 20
	}
	if c.Redirects == 0 {
		c.Redirects = 5
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 4
	}
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	x := &Client{c: c, pace: newPace()}
	x.http = &http.Client{
		Transport: &http.Transport{
			DialContext: x.dial, TLSHandshakeTimeout: c.Connect, ResponseHeaderTimeout: c.Whole, ForceAttemptHTTP2: true, TLSClientConfig: c.TLS,
			MaxConnsPerHost: c.AtOnce, MaxIdleConnsPerHost: 1, MaxIdleConns: 64, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: x.follow,
	}
	return x
}

// Close ends idle connections.
func (x *Client) Close() { x.http.CloseIdleConnections() }

// dial connects to an address that was checked, and to no other.
func (x *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, x.c.Connect)
	defer cancel()
	found, err := x.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	// What is connected to is looked at once more, where nothing comes between.
	d := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return x.c.Policy.Check(a.Addr())
	}}
	var all []error
	for i, a := range found {
		// Each gets its share of the time, so that one that is silent leaves some.
		share, done := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok && i < len(found)-1 {
			share, done = context.WithTimeout(ctx, time.Until(end)/2)
		}
		conn, err := d.DialContext(share, network, net.JoinHostPort(a.String(), port))
		done()
		if err == nil {
			return conn, nil
		}
		all = append(all, err)
	}
	return nil, errors.Join(all...)
}

// mostAddresses of a name are tried.
const mostAddresses = 4

// resolve returns the addresses of a host, all of which may be called.
func (x *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, x.c.Policy.Check(a)
	}
	found, err := x.c.Resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("find the address of %s: %w", host, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	for i, a := range found {
		if err := x.c.Policy.Check(a); err != nil {
			return nil, errs.Wrap(errs.Invalid, err, host+": "+err.Error())
		}
		found[i] = a.Unmap()
	}
	return found[:min(len(found), mostAddresses)], nil
}

// trail is what became of a call on its way.
type trail struct {
	moved    string // where permanent redirects lead from the beginning
	detoured bool   // one was not
	secret   http.Header
}

type trailKey struct{}

// follow looks at where a redirect leads as at an address that was given.
func (x *Client) follow(req *http.Request, via []*http.Request) error {
	if x.c.Redirects < 0 {
		return http.ErrUseLastResponse
	}
	if len(via) > x.c.Redirects {
		return errCircle
	}
	u, err := Parse(req.URL.String())
	if err != nil {
		return err
	}
	req.URL, req.Host = u, ""
	if first := via[0].URL; u.Host != first.Host || u.Scheme != first.Scheme && u.Scheme != "https" {
		for name := range trailOf(req).secret {
			req.Header.Del(name)
		}
	}
	t := trailOf(req)
	code := req.Response.StatusCode
	t.detoured = t.detoured || code != http.StatusMovedPermanently && code != http.StatusPermanentRedirect
	if !t.detoured {
		t.moved = u.String()
	}
	return x.pace.wait(req.Context(), u.Host, x.c.Pause)
}

func trailOf(req *http.Request) *trail {
	t, _ := req.Context().Value(trailKey{}).(*trail)
	return t
}

// Answer is what was answered. Its body is whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	URL    string // that answered, after redirects
	Moved  string // where the address has moved for good; "" when it has not
}

// Get asks for an address, with further headers. Those of secret go to its host
// alone, and not over http after https. What cannot be asked for, now or ever, is a
// refusal (errs.Invalid); any other error may be gone when it is tried again. The
// status of an answer is the caller's to judge.
func (x *Client) Get(ctx context.Context, address string, header, secret http.Header) (Answer, error) {
	u, err := Parse(address)
	if err != nil {
		return Answer{}, err
	}
	if err := x.pace.wait(ctx, u.Host, x.c.Pause); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, x.c.Whole)
	defer cancel()
	t := &trail{secret: secret}
	req, err := http.NewRequestWithContext(context.WithValue(ctx, trailKey{}, t), http.MethodGet, u.String(), nil)
	if err != nil {
		return Answer{}, errs.Wrap(errs.Invalid, err, "this is no address")
	}
	req.Header.Set("User-Agent", x.c.UserAgent)
	for _, h := range []http.Header{header, secret} {
		for name, values := range h {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	res, err := x.http.Do(req) //nolint:bodyclose // read closes it
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // whose text has the address, and maybe a token
			err = u.Err
		}
		return Answer{}, err
	}
	a, err := x.read(res)
	a.Moved = t.moved
	return a, err
}

// read takes the body in, which the transport has unpacked if it was asked for so.
func (x *Client) read(res *http.Response) (a Answer, err error) {
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	a = Answer{Status: res.StatusCode, Header: res.Header, URL: res.Request.URL.String()}
	if how := res.Header.Get("Content-Encoding"); how != "" && !strings.EqualFold(how, "identity") {
		return a, errs.Newf(errs.Invalid, "the answer is packed as %.20q, which nobody asked for", how)
	}
	if res.ContentLength > x.c.MaxBytes {
		return a, ErrLarge
	}
	if a.Body, err = io.ReadAll(io.LimitReader(res.Body, x.c.MaxBytes+1)); err != nil {
		return a, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(a.Body)) > x.c.MaxBytes {
		return a, ErrLarge
	}
	return a, nil
}
