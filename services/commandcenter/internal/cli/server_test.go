package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

func TestClientsTalkToWhatRunsFromTheDataDirectory(t *testing.T) { // not parallel: the environment
	named, running, filed := listen(t), listen(t), listen(t)
	host := func(l *listener) string { return strings.TrimPrefix(l.URL, "http://") }
	for name, c := range map[string]struct {
		wrote  bool // where it is
		args   []string
		http   string // $CC_HTTP
		called *listener
	}{
		"it says where it is":              {wrote: true, called: running},
		"a server is named":                {wrote: true, args: []string{"--server", named.URL}, called: named},
		"the environment names an address": {wrote: true, http: host(named), called: named},
		"any port is no address":           {wrote: true, http: "127.0.0.1:0", called: running},
		"nothing has run from it":          {called: filed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			t.Setenv("CC_HTTP", c.http)
			d, err := datadir.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if c.wrote {
				if err := d.Publish(datadir.EndpointHTTP, running.URL); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte("http: "+host(filed)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, l := range []*listener{named, running, filed} {
				l.forget()
			}
			var errs bytes.Buffer
			args := append([]string{"login", "--email", "me@example.org", "--password-stdin", "--config", file, "--data-dir", d.Path()}, c.args...)
			Run(t.Context(), args, Streams{In: strings.NewReader("secret\n"), Out: io.Discard, Err: &errs})
			for _, l := range []*listener{named, running, filed} {
				if l.saw("secret") != (l == c.called) {
					t.Errorf("%s was called: %t\n%s", l.URL, l != c.called, &errs)
				}
			}
		})
	}
}

func TestWordsAreQuotedForAShellWhereTheyMustBe(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"/srv/cc": "/srv/cc", "/srv/my cc": "'/srv/my cc'", "/srv/it's": `'/srv/it'\''s'`} {
		if got := shell(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
