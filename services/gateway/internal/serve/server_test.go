package serve_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func listen(t *testing.T, w *world, c serve.ListenConfig) (*serve.Listener, string) {
	t.Helper()
	var addr string
	c.Addr = "127.0.0.1:0"
	l := serve.NewListener(w.edge, c, discard(), func(a string) { addr = a })
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, addr
}

func stop(t *testing.T, l *serve.Listener, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return l.Stop(ctx)
}

func TestATakenPortIsAClearError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := strings.TrimPrefix(w.server.URL, "http://")
	err := serve.NewListener(w.edge, serve.ListenConfig{Addr: addr}, discard(), nil).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), addr+" is in use") || !strings.Contains(err.Error(), "--http") {
		t.Errorf("err = %v", err)
	}
	if err := serve.NewListener(w.edge, serve.ListenConfig{Addr: "nowhere.invalid:1"}, discard(), nil).Start(t.Context()); err == nil {
		t.Error("an address that is not here was taken")
	}
}

func TestStopLetsCallsInHandFinish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	w.bus.request = func(tg bus.Target, _ tenant.Identity, _ []byte) (*bus.Answer, error) {
		close(arrived)
		<-goOn
		return sample(tg.Operation), nil
	}
	l, addr := listen(t, w, serve.ListenConfig{MaxConns: 10})
	if l.Name() != "gateway.http" || l.Failed() == nil {
		t.Error("a part has a name and can fail")
	}
	status := make(chan int, 1)
	go func() {
		r, err := http.NewRequest("GET", "http://"+addr+"/api/v1/projects", nil)
		if err != nil {
			status <- 0
			return
		}
		as(w.auth.token(owner))(r)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			status <- 0
			return
		}
		status <- res.StatusCode
	}()
	await(t, arrived)
	stopped := make(chan error, 1)
	go func() { stopped <- stop(t, l, patience) }()
	close(goOn)
	if got := await(t, status); got != 200 {
		t.Errorf("the call in hand: %d", got)
	}
	if err := await(t, stopped); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
}

func TestStopCutsOffWhatOutlivesItsDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		close(arrived)
		<-goOn
		return sample("listProjects"), nil
	}
	l, addr := listen(t, w, serve.ListenConfig{})
	go func() {
		r, err := http.NewRequest("GET", "http://"+addr+"/api/v1/projects", nil)
		if err != nil {
			return
		}
		as(w.auth.token(owner))(r)
		if res, err := http.DefaultClient.Do(r); err == nil {
			_ = res.Body.Close() // nothing is read
		}
	}()
	await(t, arrived)
	if err := stop(t, l, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("err = %v", err)
	}
}

// slow sends text and returns what comes back before the connection ends.
func slow(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // read to its end
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(bufio.NewReader(c))
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the connection was held open: %v", err)
	}
	return string(b)
}

func TestCallersWhoDoNotGoOnAreLeft(t *testing.T) {
	t.Parallel()
	// Of each that is to be left one bound is short, and no other: on a busy machine
	// 100 milliseconds are over before what has come is read.
	for name, c := range map[string]struct {
		listen  serve.ListenConfig
		request string
		body    string
		want    string
	}{
		"half a header":  {serve.ListenConfig{ReadHeader: 100 * time.Millisecond}, "GET /health HTTP/1.1\r\nHost: x\r\nX-A", "", ""},
		"half a body":    {serve.ListenConfig{Read: time.Second}, "POST /api/v1/projects", "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"na", " 408 "},
		"half a form":    {serve.ListenConfig{}, "POST /api/v1/knowledge/documents", "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 1000\r\n\r\n--B\r\n", " 408 "},
		"a large header": {serve.ListenConfig{MaxHeader: 4 << 10}, "GET /health", "X-A: " + strings.Repeat("a", 10<<10) + "\r\n\r\n", " 431 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.UploadStall = 100 * time.Millisecond })
			l, addr := listen(t, w, c.listen)
			text := c.request
			if c.body != "" {
				text += " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + w.auth.token(member) + "\r\n" + c.body
			}
			if got := slow(t, addr, text); !strings.Contains(got, c.want) || strings.Contains(got, " 200 ") {
				t.Errorf("%q, want %q", got, c.want)
			}
			if err := stop(t, l, patience); err != nil {
				t.Error(err)
			}
		})
	}
}
