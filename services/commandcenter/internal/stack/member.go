package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

// startMember starts a NATS server that is one of a cluster. It makes neither
// keys nor streams: a member by itself can have none, and `commandcenter migrate`
// or `up --cluster` makes them.
func (p *natsPart) startMember(ctx context.Context, began time.Time) error {
	if err := attach(ctx, p.env, p); err != nil {
		return err
	}
	c, err := p.config()
	if err != nil {
		return err
	}
	if err := member(&c, p.env.Config.Cluster); err != nil {
		return err
	}
	if err := p.run(ctx, c); err != nil {
		return err
	}
	p.env.notice(c.Member.Name, fmt.Sprintf("%s, members connect at %s", p.where(), p.server.RouteAddr()), began)
	p.noticeHub(began)
	return nil
}

// member adds to the embedded server what the settings say of its cluster.
func member(c *natsd.Config, s settings.Cluster) error {
	c.Plain = s.Plain
	c.Member = &natsd.Member{Name: s.Name, Addr: s.Listen, Routes: s.Routes, Advertise: s.Advertise}
	if s.CertFile == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return fmt.Errorf("cluster.cert_file: %w", err)
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return fmt.Errorf("cluster.ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("cluster.ca_file: " + s.CAFile + " holds no certificate")
	}
	c.Member.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots}
	c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	return nil
}
