package settings

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/config"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := c.ServerURL(); got != "http://127.0.0.1:8000" {
		t.Errorf("server %s", got)
	}
}

func TestEveryFaultOfEverySectionIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	c := Default()
	c.HTTP, c.NATS, c.Ops, c.DataDir, c.DatabaseURL, c.NATSURL, c.OTLP = "8000", "x:", "y", "", "mysql://x", "http://n", "collector:4318"
	c.Log.Format, c.Gateway.Origins, c.Gateway.Reads = "xml", []string{"example.org"}, "many"
	c.Auth.AccessLife, c.Knowledge.ChunkTokens, c.Federation.Slug = 0, 1, "No"
	c.Client.Server, c.Client.Project, c.Replicas = "x", -1, 2
	err := c.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{
		"http:", "nats:", "ops:", "data_dir:", "database_url:", "nats_url:", "nats_replicas:", "otlp_endpoint:", "log.format:", "gateway.origins:", "gateway.reads:",
		"auth.access_life:", "knowledge.chunk_tokens:", "federation.slug", "client.server:", "client.project:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestAddressesOfDatabaseAndBusHaveManyForms(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://u:p@h:5432/d", "postgresql:///d?host=/run/pg", "host=/run/pg dbname=d user=u"} {
		c := Default()
		c.DatabaseURL, c.NATSURL = dsn, "nats://a:4222, tls://b:4222"
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestAnAddressToListenOnBecomesOneToCall(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "host:80": "host:80", "10.0.0.1:80": "10.0.0.1:80", "odd": "odd"} {
		if got := Reachable(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	c := Default()
	if c.ServerURL() != "http://127.0.0.1:8000" {
		t.Errorf("server %s", c.ServerURL())
	}
	c.Gateway.CertFile, c.Gateway.KeyFile = "cert.pem", "key.pem"
	if c.ServerURL() != "https://127.0.0.1:8000" || c.OwnURL("[::]:8443") != "https://127.0.0.1:8443" {
		t.Errorf("with TLS: server %s, own %s", c.ServerURL(), c.OwnURL("[::]:8443"))
	}
	c.Client.Server = "https://x/"
	if c.ServerURL() != "https://x" {
		t.Errorf("server %s", c.ServerURL())
	}
}

func TestNoTwoSettingsShareAFlagOrAVariable(t *testing.T) {
	t.Parallel()
	c := Default()
	l, err := config.Load(&c, config.Source{EnvPrefix: EnvPrefix})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, e := range l.List() {
		for _, name := range []string{e.Env, "--" + e.Flag} {
			if name == "--" {
				continue
			}
			if other := seen[name]; other != "" {
				t.Errorf("%s is of %s and of %s", name, other, e.Key)
			}
			seen[name] = e.Key
		}
		if e.Usage == "" {
			t.Errorf("%s: no usage", e.Key)
		}
	}
}

func TestSettingsLiveInTheUsersConfigurationDirectory(t *testing.T) { // not parallel: the environment
	t.Setenv("XDG_CONFIG_HOME", "/somewhere")
	if got := DefaultFile(); got != filepath.FromSlash("/somewhere/commandcenter/config.yaml") {
		t.Errorf("file %s", got)
	}
	t.Setenv("XDG_CONFIG_HOME", "relative")
	t.Setenv("HOME", "/home/u")
	if got := Home(); got != filepath.FromSlash("/home/u/.config/commandcenter") {
		t.Errorf("home %s", got)
	}
}

// Environment variables are the process's, so this runs alone.
func TestTheIntervalOfHeartbeatsHasTheNameThatInstancesOfBeforeKnow(t *testing.T) {
	t.Setenv("HEARTBEAT_INTERVAL", "20")
	for _, step := range []struct {
		own  string
		want time.Duration
	}{{"", 20 * time.Second}, {"10s", 10 * time.Second}} {
		t.Setenv("CC_FEDERATION_INTERVAL", step.own)
		c := Default()
		if _, err := config.Load(&c, config.Source{EnvPrefix: EnvPrefix}); err != nil || c.Federation.Interval != step.want {
			t.Errorf("%q beside it: %s, want %s (%v)", step.own, c.Federation.Interval, step.want, err)
		}
	}
}
