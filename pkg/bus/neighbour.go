package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

// NeighbourConfig says where a hub is that belongs to somebody else.
type NeighbourConfig struct {
	Service     string      // who is connecting
	URL         string      // nats://host:port, or tls://host:port
	Credentials string      // file with what we show there, see natsd.ReadCredentials; "" shows nothing
	TLS         *tls.Config // of a tls:// address; the system's roots when nil
	Log         *slog.Logger
	Announcing  Announcing // its Prefix
	// Heard is given each announcement, one at a time. An error is logged: an
	// instance announces itself again soon.
	Heard func(ctx context.Context, p Presence) error
}

// Neighbour is a plain client of somebody else's NATS server, which needs to
// know nothing of this product: instances of every version meet there on the
// subjects of the announcements, without streams. It is a part of an application; it need not
// find the server there, and comes back to it without end.
type Neighbour struct {
	c    NeighbourConfig
	host string

	mu   sync.Mutex
	nc   *nats.Conn // nil before the start
	last *nats.Msg  // said again to a server that comes back
	said time.Time
}

// What a neighbour may pile up on us, and how long it is waited between tries.
const (
	pendingPresences = 1024
	pendingBytes     = 8 << 20
	minRejoin        = time.Second
	maxRejoin        = 30 * time.Second
)

// lastFresh is how old an announcement may be when it is said late.
const lastFresh = time.Minute

// NewNeighbour checks the address.
func NewNeighbour(c NeighbourConfig) (*Neighbour, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" || u.User != nil {
		return nil, errors.New("neighbour: want nats://host:port or tls://host:port, and user and password in a file")
	}
	if !strings.HasSuffix(c.Announcing.Prefix, ".") {
		return nil, errors.New("neighbour: want the prefix of what is announced")
	}
	if c.Heard == nil {
		return nil, errors.New("neighbour: nobody hears it")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Log = c.Log.With("service", c.Service, "hub", u.Host)
	return &Neighbour{c: c, host: u.Host}, nil
}

// Name is the host.
func (n *Neighbour) Name() string { return "neighbour " + n.host }

// Start begins to connect, and does not wait for it.
func (n *Neighbour) Start(ctx context.Context) error {
	opts := []nats.Option{
		nats.Name(n.c.Service), nats.NoEcho(), nats.IgnoreDiscoveredServers(), nats.CustomInboxPrefix("_INBOX_" + HubUser(n.c.Service)),
		nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(), nats.MaxReconnects(-1), nats.Timeout(5 * time.Second),
		nats.CustomReconnectDelay(rejoin), nats.PingInterval(20 * time.Second), nats.MaxPingsOutstanding(2), nats.ReconnectBufSize(-1), nats.DrainTimeout(2 * time.Second),
		nats.ConnectHandler(func(nc *nats.Conn) { n.joined(nc) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { n.joined(nc) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				n.c.Log.Warn("hub.lost", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { n.c.Log.Debug("hub.waiting", "err", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				err = fmt.Errorf("%s: %w", sub.Subject, err)
			}
			n.c.Log.Warn("hub.error", "err", err)
		}),
	}
	show, err := n.credentials()
	if err != nil {
		return err
	}
	opts = append(opts, show...)
	if strings.HasPrefix(n.c.URL, "tls:") {
		opts = append(opts, nats.Secure(n.c.TLS))
	}
	nc, err := nats.Connect(n.c.URL, opts...)
	if err != nil {
		return fmt.Errorf("join the hub at %s: %w", n.host, err)
	}
	n.mu.Lock()
	n.nc = nc
	n.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	sub, err := nc.Subscribe(n.c.Announcing.Prefix+"*", func(m *nats.Msg) { n.hear(ctx, m) })
	if err == nil {
		err = sub.SetPendingLimits(pendingPresences, pendingBytes)
	}
	if err != nil {
		nc.Close()
		return fmt.Errorf("join the hub at %s: %w", n.host, err)
	}
	return nil
}

func (n *Neighbour) credentials() ([]nats.Option, error) {
	if n.c.Credentials == "" {
		return nil, nil
	}
	show, err := natsd.ReadCredentials(n.c.Credentials)
	switch {
	case err != nil:
		return nil, fmt.Errorf("join the hub at %s: %w", n.host, err)
	case show.File != "":
		return []nats.Option{nats.UserCredentials(show.File)}, nil
	case show.User != "":
		return []nats.Option{nats.UserInfo(show.User, show.Password)}, nil
	}
	return []nats.Option{nats.Token(show.Token)}, nil
}

// rejoin waits longer each time, with chance in it, so that many do not come
// back at once.
func rejoin(tries int) time.Duration {
	d := min(minRejoin<<min(tries, 10), maxRejoin)
	return d/2 + rand.N(d/2+1) //nolint:gosec // G404: chance against herds, not secrecy
}

func (n *Neighbour) hear(ctx context.Context, m *nats.Msg) {
	p := Presence{Slug: m.Subject[len(n.c.Announcing.Prefix):], Header: m.Header, Data: m.Data, Time: time.Now()}
	if err := n.c.Heard(ctx, p); err != nil {
		n.c.Log.WarnContext(ctx, "presence.heard", "subject", m.Subject, "err", err)
	}
}

// joined says again what was said last: it may have been lost, or said to
// nobody, and the next time is half a minute away.
func (n *Neighbour) joined(nc *nats.Conn) {
	n.c.Log.Info("hub.joined")
	n.mu.Lock()
	last := n.last
	if time.Since(n.said) > lastFresh {
		last = nil
	}
	n.mu.Unlock()
	if last == nil {
		return
	}
	if err := nc.PublishMsg(last); err != nil {
		n.c.Log.Warn("hub.announce", "err", err)
	}
}

// Announce says there that the instance slug is here, now or, within a minute,
// when the server is back. Nothing is promised about its arrival.
func (n *Neighbour) Announce(slug string, header nats.Header, data []byte) error {
	if !validToken(slug) {
		return fmt.Errorf("announce: %q is not a name", slug)
	}
	m := &nats.Msg{Subject: n.c.Announcing.Prefix + slug, Header: header, Data: data}
	n.mu.Lock()
	n.last, n.said = m, time.Now()
	n.mu.Unlock()
	nc := n.conn()
	if nc == nil || !nc.IsConnected() {
		return nil
	}
	if err := nc.PublishMsg(m); err != nil {
		return fmt.Errorf("announce to the hub at %s: %w", n.host, err)
	}
	return nil
}

// conn is the connection, nil before the start.
func (n *Neighbour) conn() *nats.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nc
}

// Ready asks the server for one round trip: a health check.
func (n *Neighbour) Ready(ctx context.Context) error {
	nc := n.conn()
	if nc == nil || !nc.IsConnected() {
		return fmt.Errorf("the hub at %s is not connected", n.host)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("the hub at %s: %w", n.host, err)
	}
	return nil
}

// Stop disconnects when what came was heard.
func (n *Neighbour) Stop(ctx context.Context) error {
	nc := n.conn()
	if nc == nil {
		return nil
	}
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	if nc.IsClosed() {
		return nil
	}
	if err := nc.Drain(); err != nil {
		nc.Close()
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		nc.Close()
		return fmt.Errorf("leave the hub at %s: %w", n.host, context.Cause(ctx))
	}
}
