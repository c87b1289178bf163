package natsd

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Remote is the hub of another instance that this one joins: the accounts HUB
// of both become one for what both sides allow. One of the two joins the other,
// not both: a loop is cut by the server.
type Remote struct {
	Addr        string      // host:port where the other one takes leaf connections
	Credentials string      // file with what we show there, see [ReadCredentials]; "" shows nothing
	TLS         *tls.Config // nil speaks without; an address beyond this machine then needs Config.LeafPlain
	// Deny names subjects of account HUB that never cross, either way. Those of
	// JetStream and of the server itself are denied always: the other side may
	// belong to somebody who would like to make streams here.
	Deny []string
}

// private never crosses a leaf connection.
var private = []string{"$JS.>", "$KV.>", "$O.>", "$OBJ.>", "$SRV.>", "$SYS.>", "_INBOX.>"}

func (r Remote) options(c Config, t *Trust) (*server.RemoteLeafOpts, error) {
	host, port, err := split(r.Addr, r.TLS != nil || c.Plain || c.LeafPlain)
	if err != nil {
		return nil, err
	}
	if host == "" || port <= 0 {
		return nil, fmt.Errorf("%q: want host:port", r.Addr)
	}
	deny := append(slices.Clone(private), r.Deny...)
	o := &server.RemoteLeafOpts{
		LocalAccount: t.ids[AccountHub], URLs: []*url.URL{{Scheme: "nats-leaf", Host: r.Addr}},
		TLS: r.TLS != nil, TLSConfig: r.TLS, TLSTimeout: 5, FirstInfoTimeout: 5 * time.Second, DialTimeout: 5 * time.Second,
		DenyImports: deny, DenyExports: deny,
		IgnoreDiscoveredServers: true, // we show our credentials where we were told to
	}
	if r.TLS != nil {
		o.URLs[0].Scheme = "tls"
		if o.TLSConfig = r.TLS.Clone(); o.TLSConfig.ServerName == "" {
			o.TLSConfig.ServerName = host
		}
	}
	if r.Credentials == "" {
		return o, nil
	}
	show, err := ReadCredentials(r.Credentials)
	switch {
	case err != nil:
		return nil, err
	case show.File != "":
		o.Credentials = show.File
	case show.User != "":
		o.URLs[0].User = url.UserPassword(show.User, show.Password)
	default:
		return nil, fmt.Errorf("%s: a leaf connection takes no token: want a credentials file, or user:password", r.Credentials)
	}
	return o, nil
}

// Credentials are what a server wants to be shown: a credentials file of NATS,
// a user with a password, or a token.
type Credentials struct {
	File           string
	User, Password string
	Token          string
}

// maxCredentials is the longest file that is read, in bytes.
const maxCredentials = 64 << 10

// ReadCredentials reads a file that somebody else has given us: a credentials
// file of NATS (two blocks between dashes), or one line that is user:password
// or a token. No error shows what is in it.
func ReadCredentials(path string) (Credentials, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxCredentials {
		return Credentials{}, fmt.Errorf("credentials: %s is no file of at most %d bytes", path, maxCredentials)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials: %w", err)
	}
	text := bytes.TrimSpace(data)
	switch {
	case bytes.Contains(text, []byte("-----BEGIN NATS USER JWT-----")):
		return Credentials{File: path}, nil
	case len(text) == 0 || bytes.ContainsAny(text, "\n\r"):
		return Credentials{}, fmt.Errorf("credentials: %s: want a credentials file of NATS, or one line with user:password or a token", path)
	}
	if user, password, ok := strings.Cut(string(text), ":"); ok {
		if user == "" || password == "" {
			return Credentials{}, fmt.Errorf("credentials: %s: user or password is empty", path)
		}
		return Credentials{User: user, Password: password}, nil
	}
	return Credentials{Token: string(text)}, nil
}

// leaf fills in what concerns leaf connections.
func (c Config) leaf(opts *server.Options, t *Trust) error {
	var err error
	if c.LeafAddr != "" {
		secure := c.LeafTLS
		if secure == nil {
			secure = c.TLS
		}
		if opts.LeafNode.Host, opts.LeafNode.Port, err = split(c.LeafAddr, secure != nil || c.Plain || c.LeafPlain); err != nil {
			return fmt.Errorf("nats leaf address: %w", err)
		}
		opts.LeafNode.TLSConfig, opts.LeafNode.TLSTimeout = secure, 5
	}
	for _, r := range c.Remotes {
		o, err := r.options(c, t)
		if err != nil {
			return fmt.Errorf("nats leaf connection to %s: %w", r.Addr, err)
		}
		opts.LeafNode.Remotes = append(opts.LeafNode.Remotes, o)
	}
	return nil
}

// LeafAddr is where other instances join, "" when no port is open for them.
func (s *Server) LeafAddr() (string, error) {
	v, err := s.ns.Varz(nil)
	if err != nil {
		return "", fmt.Errorf("nats server: %w", err)
	}
	if v.LeafNode.Port == 0 {
		return "", nil
	}
	return net.JoinHostPort(v.LeafNode.Host, fmt.Sprint(v.LeafNode.Port)), nil
}

// Joined returns an error when some of the hubs that this server joins are not
// connected now.
func (s *Server) Joined() error {
	if s.joins == 0 {
		return nil
	}
	leafs, err := s.ns.Leafz(nil)
	if err != nil {
		return fmt.Errorf("leaf connections: %w", err)
	}
	there := 0
	for _, l := range leafs.Leafs {
		if l.IsSpoke { // not one that has joined us
			there++
		}
	}
	if there < s.joins {
		return fmt.Errorf("%d of %d leaf connections to hubs are there", there, s.joins)
	}
	return nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var errPlain = errors.New("leaves this machine without TLS: give a certificate, or stay on 127.0.0.1")
