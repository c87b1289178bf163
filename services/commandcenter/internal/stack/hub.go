package stack

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
)

// id tells this instance from every other one. All its processes derive the
// same from the secret, and nobody the secret from it.
func (e *Env) id() string {
	mac := hmac.New(sha256.New, e.Secret)
	mac.Write([]byte("commandcenter instance id")) // never fails
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// slug is the name of this instance among others: what was set, else the name
// that the host had at the first start, with a part of the id, so that two
// fresh instances differ.
func (e *Env) slug() (string, error) {
	if s := e.Config.Federation.Slug; s != "" {
		return s, nil
	}
	return e.Dir.Slug(func() string {
		host, err := os.Hostname()
		if err != nil {
			host = ""
		}
		return slugOf(host, e.id())
	})
}

// maxHost is how much of a host's name is in a slug, which has at most 50.
const maxHost = 40

func slugOf(host, id string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	var b strings.Builder
	for _, r := range host {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	name = strings.TrimRight(name[:min(len(name), maxHost)], "-")
	if name == "" {
		name = "commandcenter"
	}
	return name + "-" + id[:6]
}

// leaf adds to the embedded server what the settings say of leaf connections.
func leaf(c *natsd.Config, h settings.Hub) error {
	c.LeafAddr, c.LeafPlain = h.Listen, h.Plain
	if h.Listen != "" && h.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(h.CertFile, h.KeyFile)
		if err != nil {
			return fmt.Errorf("hub.cert_file: %w", err)
		}
		c.LeafTLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	joins, trusted, err := outgoing(h)
	if err != nil {
		return err
	}
	for _, j := range joins {
		if !j.Leaf {
			continue
		}
		r := natsd.Remote{Addr: j.Host, Credentials: j.Credentials, Deny: bus.HubPrivate(hubServices()...)}
		if j.TLS {
			r.TLS = trusted
		}
		c.Remotes = append(c.Remotes, r)
	}
	return nil
}

// neighbours are the hubs that the federation meets as a client.
func neighbours(h settings.Hub) ([]bus.NeighbourConfig, error) {
	joins, trusted, err := outgoing(h)
	if err != nil {
		return nil, err
	}
	var out []bus.NeighbourConfig
	for _, j := range joins {
		if j.Leaf {
			continue
		}
		c := bus.NeighbourConfig{URL: j.URL(), Credentials: j.Credentials}
		if j.TLS {
			c.TLS = trusted
		}
		out = append(out, c)
	}
	return out, nil
}

// outgoing is what is joined, and whose certificates are believed there.
func outgoing(h settings.Hub) ([]settings.Join, *tls.Config, error) {
	joins, err := h.Joins()
	if err != nil {
		return nil, nil, fmt.Errorf("hub.join: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if h.CAFile == "" {
		return joins, c, nil
	}
	pem, err := os.ReadFile(h.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("hub.ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, nil, errors.New("hub.ca_file: " + h.CAFile + " holds no certificate")
	}
	return joins, c, nil
}

// noticeHub says where others join, and with what, and whom we join.
func (p *natsPart) noticeHub(began time.Time) {
	if p.server == nil {
		return
	}
	var said []string
	if p.env.Config.Hub.Listen != "" {
		if addr, err := p.server.LeafAddr(); err == nil {
			said = append(said, fmt.Sprintf("%s, others join with %s", addr, p.trust.CredsFile(bus.NeighbourUser)))
		}
	}
	if joins, err := p.env.Config.Hub.Joins(); err == nil && len(joins) > 0 {
		var to []string
		for _, j := range joins {
			to = append(to, j.Address())
		}
		said = append(said, "joins "+strings.Join(to, ", ")+"; `commandcenter doctor` says whether it is there")
	}
	if len(said) == 0 {
		return
	}
	p.env.Hub.Store(&said)
	p.env.noticeHub(began)
}

// noticeHub passes on what a process with NATS says of the hub.
func (e *Env) noticeHub(began time.Time) {
	said := e.Hub.Load()
	if said == nil {
		return
	}
	for _, detail := range *said {
		e.notice("Hub", detail, began)
	}
}

// check says how NATS is: degraded while a hub that we join is not there.
func (p *natsPart) check() app.Check {
	return app.Check{Name: RoleNATS, Check: func(context.Context) error {
		if p.server == nil {
			return errors.New("nats is not running")
		}
		if err := p.server.Joined(); err != nil {
			return app.Degraded(err.Error())
		}
		return nil
	}}
}
