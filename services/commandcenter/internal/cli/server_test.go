package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// TestAnAddressThatIsNamedIsCalledAsItSpeaks: that it speaks TLS is not said by host
// and port.
func TestAnAddressThatIsNamedIsCalledAsItSpeaks(t *testing.T) {
	t.Parallel()
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(datadir.EndpointHTTP, "https://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	for http, want := range map[string]string{"127.0.0.1:1": "https://127.0.0.1:1", "127.0.0.1:2": "http://127.0.0.1:2"} {
		if _, out, _ := cc(t, "", "doctor", "--json", "--http", http, "--data-dir", d.Path()); !strings.Contains(out, "no answer from "+want+":") {
			t.Errorf("--http %s: want %s\n%s", http, want, out)
		}
	}
}

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

func TestHintsWorkInATerminalThatKnowsNothingOfThisOne(t *testing.T) { // not parallel: the environment
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(t.TempDir(), "data")
	hint := func(args ...string) string {
		e := &env{}
		root := e.root()
		cmd, rest, err := root.Find(append([]string{"up"}, args...))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(cmd.ParseFlags(rest), e.load(cmd, nil)); err != nil {
			t.Fatal(err)
		}
		d := &display{env: e, p: &process{Env: &stack.Env{Dir: datadir.At(e.cfg.DataDir)}}}
		return d.command()
	}
	if got := hint("--data-dir", dir); !strings.HasSuffix(got, " --data-dir "+dir) {
		t.Errorf("by a flag: %s", got)
	}
	file := filepath.Join(home, "commandcenter", "config.yaml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("data_dir: "+dir+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := hint(); strings.Contains(got, "--data-dir") {
		t.Errorf("by the file that every terminal reads: %s", got)
	}
	if got := hint("--config", file); strings.Contains(got, "--data-dir") {
		t.Errorf("by that file, named: %s", got)
	}
	t.Setenv("CC_DATA_DIR", dir+"2")
	if got := hint(); !strings.HasSuffix(got, " --data-dir "+dir+"2") {
		t.Errorf("by the environment: %s", got)
	}
}
