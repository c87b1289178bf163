package cli

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
)

// listener is somebody on the loopback address; it remembers what it was sent.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(l.answer))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	l.mu.Lock()
	l.sent = append(l.sent, r.URL.Path+" "+string(body))
	l.mu.Unlock()
	if err != nil || r.URL.Path != "/api/v1/auth/login" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// saw reports whether text was among what it was sent.
func (l *listener) saw(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.sent, "\n"), text)
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = nil
}

func TestTheOwnersPasswordGoesToTheRunningInstanceAlone(t *testing.T) { // not parallel: the environment
	for name, c := range map[string]struct {
		running bool
		at      string // what it has written down; "here" is the server of the call
		want    string
		sent    bool
	}{
		"another listener":    {running: true, at: "http://127.0.0.1:2", want: "is at http://127.0.0.1:2"},
		"a process gone":      {at: "here", want: "nothing runs from"},
		"not ready":           {running: true, want: "not ready yet"},
		"the instance itself": {running: true, at: "here", want: "", sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			l := listen(t)
			d, err := datadir.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			password, _, err := d.OwnerPassword(rand.Text)
			if c.at == "here" {
				c.at = l.URL
			}
			if err := errors.Join(err, d.Publish(datadir.EndpointHTTP, c.at)); err != nil {
				t.Fatal(err)
			}
			if c.running {
				lock, err := d.Lock(datadir.LockInstance)
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Release()
			}
			for _, args := range [][]string{{"project", "list"}, {"login"}} {
				var errs bytes.Buffer
				code := Run(t.Context(), append(args, "--server", l.URL, "--data-dir", d.Path()), Streams{In: strings.NewReader(""), Out: io.Discard, Err: &errs})
				if want := map[bool]int{true: exitUsage, false: exitAuth}[args[0] == "login" && !c.sent]; code != want || !strings.Contains(errs.String(), c.want) || c.want != "" && !strings.Contains(errs.String(), "login") {
					t.Errorf("%v: exit code %d, want %d: %s", args, code, want, &errs)
				}
				if l.saw(password) != c.sent {
					t.Errorf("%v: the password was sent: %t, want %t", args, !c.sent, c.sent)
				}
			}
		})
	}
}

func TestWhoDoesNotAnswerIsNamedBeforeALogin(t *testing.T) { // not parallel: the environment
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	l := listen(t)
	l.Close()
	d, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.OwnerPassword(rand.Text); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	code := Run(t.Context(), []string{"project", "list", "--server", l.URL, "--data-dir", d.Path()}, Streams{In: strings.NewReader(""), Out: io.Discard, Err: &errs})
	if code != exitUnavailable || !strings.Contains(errs.String(), "commandcenter up") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}
