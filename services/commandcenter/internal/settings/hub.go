package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// Hub says how this instance meets others: the account HUB of its NATS, where
// nothing but what instances tell each other is.
type Hub struct {
	Listen   string   `config:"listen" flag:"hub-listen" env:"CC_HUB_LISTEN" usage:"address where other instances may join the embedded NATS by a leaf connection, host:port; they need keys/neighbour.creds of this data directory; empty opens none"`
	CertFile string   `config:"cert_file" usage:"certificate of that address, needed beyond this machine; with key_file"`
	KeyFile  string   `config:"key_file" usage:"private key of the certificate"`
	CAFile   string   `config:"ca_file" usage:"certificates that those of joined hubs are checked against; empty takes the system's"`
	Join     []string `config:"join" flag:"hub-join" env:"CC_HUB_JOIN" usage:"hubs of others: leaf+tls://host:7422 joins another instance's, tls://host:4222 is a client of any NATS server; leaf:// and nats:// are without TLS. After a blank the file with what is shown there: credentials of NATS, or one line with user:password or a token"`
	Allow    []string `config:"allow" usage:"further subjects below hub. that cross the border to those who join this hub; heartbeats do always, and searches unless federation.search is off"`
	Plain    bool     `config:"plain" usage:"allow hub.listen and hub.join beyond this machine without TLS, where something else protects the network"`
}

// Join is one hub of others.
type Join struct {
	Leaf        bool   // by a leaf connection, else as a client
	TLS         bool   // whether the connection is safe
	Host        string // host:port
	Credentials string // file, "" for none
}

// URL is the address of a client.
func (j Join) URL() string {
	if j.TLS {
		return "tls://" + j.Host
	}
	return "nats://" + j.Host
}

// Address is the entry without its file.
func (j Join) Address() string {
	switch {
	case j.Leaf && j.TLS:
		return "leaf+tls://" + j.Host
	case j.Leaf:
		return "leaf://" + j.Host
	}
	return j.URL()
}

// Joins takes the entries of Join apart.
func (h Hub) Joins() ([]Join, error) {
	var out []Join
	var errs []error
	seen := map[Join]bool{}
	for _, entry := range h.Join {
		j, err := parseJoin(entry)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if k := (Join{Leaf: j.Leaf, Host: j.Host}); seen[k] {
			errs = append(errs, fmt.Errorf("%s is there twice", j.Host))
		} else {
			seen[k] = true
		}
		out = append(out, j)
	}
	return out, errors.Join(errs...)
}

var schemes = map[string]Join{
	"leaf": {Leaf: true}, "leaf+tls": {Leaf: true, TLS: true}, "nats": {}, "tls": {TLS: true},
}

// parseJoin reads an address and, after a blank, a file. An address with a
// secret in it is refused without being shown.
func parseJoin(entry string) (Join, error) {
	addr, file, _ := strings.Cut(strings.TrimSpace(entry), " ")
	u, err := url.Parse(addr)
	if err != nil {
		return Join{}, errors.New("want leaf+tls://host:port, tls://host:port, leaf:// or nats://, and a file after a blank")
	}
	if u.User != nil {
		return Join{}, fmt.Errorf("%s: put user and password in a file, and its name behind the address", u.Host)
	}
	j, ok := schemes[u.Scheme]
	if !ok || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Join{}, fmt.Errorf("%q: want leaf+tls://host:port, tls://host:port, leaf:// or nats://, and a file after a blank", addr)
	}
	port := u.Port()
	switch {
	case port != "":
	case j.Leaf:
		port = "7422"
	default:
		port = "4222"
	}
	j.Host, j.Credentials = net.JoinHostPort(u.Hostname(), port), strings.TrimSpace(file)
	return j, nil
}

// border is a subject that may cross: of the hub, and not all of it.
var border = regexp.MustCompile(`^hub\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+|\.\*)*(\.>)?$`)

// validate reports every fault. embedded says that NATS is ours.
func (h Hub) validate(embedded bool) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("hub."+key+": "+format, args...))
	}
	joins, err := h.Joins()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			bad("join", "%s", strings.TrimSpace(line))
		}
	}
	for _, subject := range h.Allow {
		if !border.MatchString(subject) {
			bad("allow", "%q: want a subject below hub., such as hub.north.project.>", subject)
		}
	}
	if (h.CertFile == "") != (h.KeyFile == "") {
		bad("cert_file", "want cert_file and key_file, or neither")
	}
	if h.Listen != "" {
		if err := address(h.Listen); err != nil {
			bad("listen", "%w", err)
		} else if h.CertFile == "" && !h.Plain && !local(h.Listen) {
			bad("listen", "%s leaves this machine without TLS: give hub.cert_file and hub.key_file, or say hub.plain", h.Listen)
		}
	}
	if h.Listen != "" && !embedded {
		bad("listen", "NATS is somebody else's (nats_url): leaf connections are a part of its configuration")
	}
	for _, j := range joins {
		if !j.TLS && !h.Plain && !local(j.Host) {
			bad("join", "%s leaves this machine without TLS: want leaf+tls:// or tls://, or say hub.plain", j.Host)
		}
		if j.Leaf && !embedded {
			bad("join", "%s: NATS is somebody else's (nats_url): leaf connections are a part of its configuration", j.Host)
		}
	}
	return errors.Join(errs...)
}

func local(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
