package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

// What there is of each in a cluster on one machine; one PostgreSQL.
const (
	Servers  = 3 // of NATS
	Gateways = 2
	replicas = 2 // of every service, gateways included
)

// routesAbove is how far above the ports of clients those of the members are.
const routesAbove = 2000

// formWait is how long the members get to elect a leader and make the streams.
const formWait = time.Minute

// Next is the i-th address after addr: the next port, or again any free one.
func Next(addr string, i int) string {
	host, port, err := net.SplitHostPort(addr)
	n, numeric := strconv.Atoi(port)
	if err != nil || numeric != nil || n == 0 {
		return addr
	}
	return net.JoinHostPort(host, strconv.Itoa(n+i))
}

// cluster lists the processes of a product of which any may be lost but
// PostgreSQL, in the order of their start.
func (s *Split) cluster(ctx context.Context) ([][]app.Part, error) {
	e := s.Env
	members, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	infra := make([]app.Part, 0, Servers+1)
	for _, m := range members {
		infra = append(infra, m)
	}
	if e.Config.DatabaseURL == "" {
		infra = append(infra, s.child(RolePostgres, "", ""))
	}
	var inner, edge []app.Part
	for _, svc := range services() {
		for i := range replicas {
			if svc.edge {
				edge = append(edge, s.child(svc.name, "CC_HTTP", Next(e.Config.HTTP, i)).called(i+1))
			} else {
				inner = append(inner, s.child(svc.name, "", "").called(i+1))
			}
		}
	}
	return [][]app.Part{
		{app.Func("keys", func(context.Context) error { return e.keys() }, nil), app.Func("database", func(ctx context.Context) error { return AwaitDatabase(ctx, e) }, nil)},
		infra,
		append(setUp(e), app.Func("streams", func(ctx context.Context) error { return s.form(ctx, members) }, nil)),
		inner, edge,
	}, nil
}

// keys makes those that the members read.
func (e *Env) keys() error {
	users, err := e.users()
	if err != nil {
		return err
	}
	_, err = natsd.Provision(e.Dir.Path(), users)
	return err
}

// members are the NATS servers. Each knows all others before one of them runs:
// that tells it how many there are.
func (s *Split) members(ctx context.Context) ([]*child, error) {
	c := s.Env.Config
	host, port, err := net.SplitHostPort(c.NATS)
	if err != nil {
		return nil, fmt.Errorf("--nats (CC_NATS): %w", err)
	}
	var routes []string
	if n, err := strconv.Atoi(port); err == nil && n > 0 && n+routesAbove+Servers <= 1<<16 {
		for i := range Servers {
			routes = append(routes, net.JoinHostPort(host, strconv.Itoa(n+routesAbove+i)))
		}
	} else if routes, err = natsd.FreeRoutes(ctx, host, Servers); err != nil {
		return nil, err
	}
	var out []*child
	for i := range Servers {
		m := s.child(RoleNATS, "CC_NATS", Next(c.NATS, i)).called(i + 1)
		m.settings = []string{"CC_CLUSTER_NAME=" + m.name, "CC_CLUSTER_LISTEN=" + routes[i], "CC_CLUSTER_ROUTES=" + strings.Join(routes, ",")}
		if c.Hub.Listen != "" {
			m.settings = append(m.settings, "CC_HUB_LISTEN="+Next(c.Hub.Listen, i))
		}
		out = append(out, m)
	}
	return out, nil
}

// form makes the streams, once the members have found each other, and tells
// everybody where they are.
func (s *Split) form(ctx context.Context, members []*child) error {
	e := s.Env
	var urls []string
	for _, m := range members {
		urls = append(urls, m.url)
	}
	e.Config.Replicas = max(e.Config.Replicas, Servers)
	if err := e.Dir.Publish(datadir.EndpointNATS, strings.Join(urls, ",")); err != nil {
		return err
	}
	began, p := time.Now(), &natsPart{env: e}
	var err error
	if p.trust, err = natsd.LoadTrust(e.Dir.Path()); err != nil {
		return err
	}
	err = e.await(ctx, "the NATS servers to elect a leader", formWait, p.provision)
	var absent *AbsentError
	if errors.As(err, &absent) {
		return fmt.Errorf("%w: see the log of the processes nats-1 to nats-%d", err, Servers)
	}
	if err == nil {
		e.notice("NATS", fmt.Sprintf("%d servers, %d copies of each stream", Servers, e.Config.Replicas), began)
	}
	return err
}
