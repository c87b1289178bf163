package pg

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/lib/pq"
)

// RoleSecrets gives the password of a role. It must give the same one every
// time and in every process; [InstanceSecrets] derives them.
type RoleSecrets func(role string) string

// ServiceDSN is adminDSN with the login role of service in place of the
// administrator. Both forms are understood: a URL and key=value pairs.
func ServiceDSN(adminDSN, service string, s RoleSecrets) (string, error) {
	if !validName(service) {
		return "", fmt.Errorf("DSN of service %q: want a lower-case name", service)
	}
	role := roleApp(service)
	if !strings.HasPrefix(adminDSN, "postgres://") && !strings.HasPrefix(adminDSN, "postgresql://") {
		return adminDSN + " user=" + quoteValue(role) + " password=" + quoteValue(s(role)), nil
	}
	u, err := url.Parse(adminDSN)
	if err != nil {
		return "", fmt.Errorf("DSN of service %s: not a URL", service) // the error would show the password
	}
	u.User = url.UserPassword(role, s(role))
	q := u.Query()
	q.Del("user")
	q.Del("password")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// connectorFor adds run-time parameters and the application's name to dsn;
// what the DSN itself sets wins.
func connectorFor(dsn string, runtime map[string]string, application string) (*pq.Connector, error) {
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse the DSN: %w", err)
	}
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = application
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second // the handshake does not look at the context
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	for k, v := range runtime {
		if _, set := cfg.Runtime[k]; !set {
			cfg.Runtime[k] = v
		}
	}
	return pq.NewConnectorConfig(cfg)
}

func quoteValue(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// validName keeps service names fit for schemas, roles and subjects without
// quoting, and leaves room for the suffixes within 63 bytes.
func validName(s string) bool { return nameForm.MatchString(s) }

func roleOwner(service string) string  { return service + "_owner" }
func roleApp(service string) string    { return service + "_app" }
func roleAcross(service string) string { return service + "_across" }
