package natsd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ClusterName is the name of the cluster that members form.
const ClusterName = "commandcenter"

// Member makes the server one of a cluster of three or five, whose streams have
// copies on several. Its own are below <Config.Dir>/nats/<Name>, so that members
// of one machine may share the directory. All of them need the keys of one
// [Provision]: a member reads them and makes none.
type Member struct {
	Name   string   // unlike that of every other member
	Addr   string   // where the others connect, host:port
	Routes []string // where every member, this one included, takes the others: all know the size of the cluster by it
	// Advertise is what members that do not have this one among their Routes are
	// told; Addr when empty.
	Advertise string
	// TLS is for the connections between members, which then show and check
	// certificates on both sides. Beyond loopback it is needed, unless Config.Plain.
	TLS *tls.Config
}

// How fast members notice that a connection leads nowhere: one that is cut says
// nothing. Three intervals without an answer end it. Elections take as long as
// they do; a queue group that sends every other question into the void for a
// minute would be worse.
const (
	memberPing     = time.Second
	memberPingsOut = 2
)

var memberName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// member fills in what concerns the cluster.
func (c Config) member(opts *server.Options) error {
	m := c.Member
	if m == nil {
		return nil
	}
	if !memberName.MatchString(m.Name) || m.Name == storeOfOne {
		return fmt.Errorf("nats cluster: name %q: want lower-case letters, digits and dashes", m.Name)
	}
	if c.Addr == "" { // the server opens the port for members after the one for clients
		return errors.New("nats cluster: a member needs an address for clients")
	}
	if len(m.Routes) != 3 && len(m.Routes) != 5 {
		return fmt.Errorf("nats cluster: %d routes: want those of all three or five members", len(m.Routes))
	}
	electSooner()
	opts.ServerName, opts.Cluster.Name = m.Name, ClusterName
	opts.StoreDir = filepath.Join(opts.StoreDir, m.Name)
	var err error
	if opts.Cluster.Host, opts.Cluster.Port, err = split(m.Addr, m.TLS != nil || c.Plain); err != nil {
		return fmt.Errorf("nats cluster address: %w", err)
	}
	for _, r := range m.Routes {
		host, port, err := split(r, m.TLS != nil || c.Plain)
		if err == nil && (host == "" || port <= 0) {
			err = fmt.Errorf("%q: want host:port", r)
		}
		if err != nil {
			return fmt.Errorf("nats cluster route: %w", err)
		}
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	if m.TLS != nil {
		both := m.TLS.Clone()
		both.ClientAuth, both.ClientCAs = tls.RequireAndVerifyClientCert, both.RootCAs
		opts.Cluster.TLSConfig, opts.Cluster.TLSTimeout = both, 5
	}
	opts.Cluster.Advertise = m.Advertise
	// Clients are given all addresses, and show their credentials nowhere else.
	opts.Cluster.NoAdvertise = true
	opts.Cluster.PingInterval, opts.Cluster.MaxPingsOut = memberPing, memberPingsOut
	opts.PingInterval, opts.MaxPingsOut = memberPing, memberPingsOut
	return nil
}

// free looks whether the member can listen: the server would say so after its
// start, and then end.
func (m *Member) free(ctx context.Context, setting string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", m.Addr)
	if err == nil {
		return l.Close()
	}
	if setting != "" {
		setting = " with " + setting
	}
	return fmt.Errorf("nats cluster: %w: stop the program that listens there, or choose another address%s", err, setting)
}

// RouteAddr is where other members connect, "" when this is a server alone.
func (s *Server) RouteAddr() string {
	if a := s.ns.ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

// storeOfOne is where a server alone has its streams, beside which members have
// theirs.
const storeOfOne = "jetstream"

// checkKind refuses to leave streams behind: a server alone does not see those
// of members, nor they its.
func checkKind(dir string, member bool) error {
	if member {
		if entries, err := os.ReadDir(filepath.Join(dir, storeOfOne)); err == nil && len(entries) > 0 {
			return fmt.Errorf("nats store: %s holds the streams of a server alone, which do not become those of a cluster: choose another directory, or restore a back-up into the cluster", dir)
		}
		return nil
	}
	of, err := filepath.Glob(filepath.Join(dir, "*", storeOfOne))
	if err == nil && len(of) > 0 {
		return fmt.Errorf("nats store: %s holds the streams of members of a cluster (%s), which a server alone does not see: start the cluster, or choose another directory", dir, filepath.Base(filepath.Dir(of[0])))
	}
	return nil
}

// FreeRoutes are n addresses of host that nobody listens on, for members that
// have to know of each other before one of them runs.
func FreeRoutes(ctx context.Context, host string, n int) (out []string, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, fmt.Errorf("nats cluster address: %w", err)
		}
		held = append(held, l)
		out = append(out, l.Addr().String())
	}
	return out, nil
}
