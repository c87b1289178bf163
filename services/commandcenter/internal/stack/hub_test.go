package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/federation"
)

func TestTwoFreshInstancesOfOneMachineHaveDifferentNamesThatStay(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		path := t.TempDir()
		var first string
		for range 2 { // a restart
			d, err := datadir.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			e := &Env{Config: settings.Default(), Dir: d}
			if e.Secret, err = d.Secret(); err != nil {
				t.Fatal(err)
			}
			slug, err := e.slug()
			if err != nil || first != "" && slug != first {
				t.Fatalf("%q, was %q: %v", slug, first, err)
			}
			first = slug
			c := federation.DefaultConfig()
			if c.Slug = slug; c.Validate() != nil || !strings.HasSuffix(slug, e.id()[:6]) || len(e.id()) != 16 {
				t.Errorf("slug %q, id %q", slug, e.id())
			}
			e.Config.Federation.Slug = "chosen"
			if s, err := e.slug(); err != nil || s != "chosen" {
				t.Errorf("%q, %v", s, err)
			}
		}
		if seen[first] {
			t.Errorf("both are called %s", first)
		}
		seen[first] = true
	}
}

func TestAnyNameOfAHostMakesAValidSlug(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"Build-Box.example.org": "build-box-abcdef", "a_b": "a-b-abcdef", "": "commandcenter-abcdef", "...": "commandcenter-abcdef", "--x--": "x-abcdef", "möb": "m-b-abcdef",
		strings.Repeat("h", 63): strings.Repeat("h", 40) + "-abcdef", strings.Repeat("h", 39) + "-h": strings.Repeat("h", 39) + "-abcdef", "global": "global-abcdef",
	} {
		got := slugOf(host, "abcdef0123456789")
		c := federation.DefaultConfig()
		if c.Slug = got; got != want || c.Validate() != nil {
			t.Errorf("%q: %q, want %q, %v", host, got, want, c.Validate())
		}
	}
}

func TestHubsAreJoinedAsTheSettingsSay(t *testing.T) {
	t.Parallel()
	h := settings.Hub{Listen: "127.0.0.1:0", Plain: true, Join: []string{"leaf+tls://a", "leaf://b /creds", "tls://c /password", "nats://d"}}
	var c natsd.Config
	if err := leaf(&c, h); err != nil || c.LeafAddr != h.Listen || !c.LeafPlain || c.Plain || c.LeafTLS != nil || len(c.Remotes) != 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	if a, b := c.Remotes[0], c.Remotes[1]; a.Addr != "a:7422" || a.TLS == nil || b.Addr != "b:7422" || b.TLS != nil || b.Credentials != "/creds" || len(b.Deny) < 2 {
		t.Errorf("%+v", c.Remotes)
	}
	n, err := neighbours(h)
	if err != nil || len(n) != 2 || n[0].URL != "tls://c:4222" || n[0].TLS == nil || n[0].Credentials != "/password" || n[1].URL != "nats://d:4222" || n[1].TLS != nil {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestAFileThatHoldsNoCertificateIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]settings.Hub{
		"hub.cert_file": {Listen: "127.0.0.1:0", CertFile: file, KeyFile: file},
		"hub.ca_file":   {CAFile: file},
		"no such file":  {CAFile: file + "x"},
		"hub.join":      {Join: []string{"x"}},
	} {
		var c natsd.Config
		if err := leaf(&c, h); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := neighbours(h); name != "hub.cert_file" && err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
