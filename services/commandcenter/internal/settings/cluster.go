package settings

import (
	"errors"
	"fmt"
	"net"
)

// Cluster makes the embedded NATS server one of several.
type Cluster struct {
	Name      string   `config:"name" usage:"name of this NATS server among those of its cluster, for serve nats; empty is a server alone"`
	Listen    string   `config:"listen" usage:"address where the other NATS servers of the cluster connect, host:port"`
	Routes    []string `config:"routes" usage:"that address of every NATS server of the cluster, of this one too: three or five"`
	Advertise string   `config:"advertise" usage:"what those are told who do not have this server among their routes, host:port; empty is its address"`
	CertFile  string   `config:"cert_file" usage:"certificate of this NATS server, shown to the others and to clients; needed beyond this machine, with key_file and ca_file"`
	KeyFile   string   `config:"key_file" usage:"private key of the certificate"`
	CAFile    string   `config:"ca_file" usage:"certificates that those of the others are checked against"`
	Plain     bool     `config:"plain" usage:"allow addresses beyond this machine without TLS, where something else protects the network"`
}

// validate reports every fault.
func (c Cluster) validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("cluster."+key+": "+format, args...))
	}
	if c.Name == "" {
		if c.Listen != "" || len(c.Routes) > 0 {
			bad("name", "is empty, and cluster.listen or cluster.routes is not")
		}
		return errors.Join(errs...)
	}
	if len(c.Routes) != 3 && len(c.Routes) != 5 {
		bad("routes", "%d, want those of all three or five servers, this one included", len(c.Routes))
	}
	safe := c.CertFile != "" || c.Plain
	for _, a := range append([]string{c.Listen}, c.Routes...) {
		key := "routes"
		if a == c.Listen {
			key = "listen"
		}
		if err := address(a); err != nil {
			bad(key, "%w", err)
		} else if !safe && !local(a) {
			bad(key, "%s leaves this machine without TLS: give cluster.cert_file, cluster.key_file and cluster.ca_file, or say cluster.plain", a)
		}
	}
	if _, _, err := net.SplitHostPort(c.Advertise); c.Advertise != "" && err != nil {
		bad("advertise", "%q: want host:port", c.Advertise)
	}
	if all := c.CertFile != "" && c.KeyFile != "" && c.CAFile != ""; !all && c.CertFile+c.KeyFile+c.CAFile != "" {
		bad("cert_file", "want cert_file, key_file and ca_file, or none of them")
	}
	return errors.Join(errs...)
}
