package bench

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/obs"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/services/gateway"
)

const (
	rate   = 2000 // calls a second
	path   = "/api/v1/knowledge/categories?collection=default"
	answer = `["architecture","decisions","guides"]`
)

// nowhere takes spans and drops them: what is measured is making and batching
// them.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

// house is a gateway, the services that it asks, and a caller.
type house struct {
	*bustest.Env
	url   string
	token string
	http  *http.Client
}

func build(b *testing.B) *house {
	b.Helper()
	app.RelaxGC() // as the product does, for all that is measured
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}))
	otel.SetTracerProvider(provider)
	b.Cleanup(func() { _ = provider.Shutdown(context.Background()) }) // drops what is left
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	h := &house{Env: bustest.New(b, "auth", "knowledge")}
	log := obs.NewLogger(io.Discard, slog.LevelInfo, "json")
	connect := func(service string) *bus.Bus {
		c := h.Config(service)
		c.Log = log
		return h.Connect(c)
	}
	auth := bus.NewServer(connect("auth"), bus.ServerConfig{})
	bus.Internal(auth, "signingKeys", func(context.Context, *authv1.SigningKeysRequest) (*authv1.SigningKeysResponse, error) {
		return &authv1.SigningKeysResponse{Keys: []*authv1.SigningKey{{Kid: "k", PublicKey: key.Public().(ed25519.PublicKey)}}}, nil
	})
	bus.Internal(auth, "resolveAccess", func(_ context.Context, r *authv1.ResolveAccessRequest) (*authv1.ResolveAccessResponse, error) {
		return &authv1.ResolveAccessResponse{UserId: r.GetUserId(), Active: true, SessionLive: true, ProjectId: 1, Role: "member"}, nil
	})
	knowledge := bus.NewServer(connect("knowledge"), bus.ServerConfig{})
	words := []string{"architecture", "decisions", "guides"}
	bus.Request(knowledge, "listCategories", func(context.Context, struct{}) ([]string, error) { return words, nil })
	c := gateway.Defaults()
	c.Addr, c.Anonymous, c.Reads, c.Writes = "127.0.0.1:0", "off", "off", "off"
	m, err := gateway.New(gateway.Deps{Bus: connect("gateway"), Log: log, Registry: obs.Registry(), Listening: func(a string) { h.url = "http://" + a + path }}, c)
	if err != nil {
		b.Fatal(err)
	}
	parts := []bustest.Part{auth, knowledge}
	for _, p := range m.Parts {
		parts = append(parts, p)
	}
	h.Run(parts...)
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": c.Issuer, "aud": c.Audience, "type": "access", "sub": "1", "sid": "s", "iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	t.Header["kid"], t.Header["typ"] = "k", "at+jwt"
	if h.token, err = t.SignedString(key); err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	h.http = &http.Client{Transport: transport}
	return h
}

// get asks url as the caller would and returns the status.
func (h *house) get(url string) (int, http.Header, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+h.token)
	res, err := h.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header, errors.Join(err, res.Body.Close())
}

// nothing serves the same bytes over HTTP and does nothing else.
func nothing(b *testing.B) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer) // a caller that has gone is not measured
	})}
	go func() { _ = s.Serve(ln) }() // ends with Close
	b.Cleanup(func() { _ = s.Close() })
	return "http://" + ln.Addr().String() + path
}

// raw is the same exchange on bare NATS connections.
func (h *house) raw(b *testing.B) func() error {
	b.Helper()
	server, client := h.Conn("knowledge"), h.Conn("gateway")
	if _, err := server.Subscribe("req.p1.knowledge.bare", func(m *nats.Msg) { _ = m.Respond([]byte(answer)) }); err != nil {
		b.Fatal(err)
	}
	if err := server.Flush(); err != nil {
		b.Fatal(err)
	}
	payload := []byte(`{"collection":"default"}`)
	return func() error {
		_, err := client.Request("req.p1.knowledge.bare", payload, 5*time.Second)
		return err
	}
}

func BenchmarkEdge(b *testing.B) {
	h := build(b)
	noop := nothing(b)
	ask := func(url string) func() error {
		return func() error {
			status, _, err := h.get(url)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("status %d", status)
			}
			return err
		}
	}
	subjects := []struct {
		name string
		call func() error
		took []time.Duration
		used time.Duration
	}{{name: "no-op HTTP", call: ask(noop)}, {name: "raw NATS request", call: h.raw(b)}, {name: "through the gateway", call: ask(h.url)}}
	for i := range subjects { // connections, caches
		if _, _, err := paced(b, time.Second/rate, 500*time.Millisecond, 64, subjects[i].call); err != nil {
			b.Fatal(subjects[i].name, err)
		}
	}
	for b.Loop() {
		for range 5 {
			for i := range subjects {
				s := &subjects[i]
				before := cpu(b)
				took, left, err := paced(b, time.Second/rate, time.Second, 64, s.call)
				s.used += cpu(b) - before
				if err != nil {
					b.Fatal(s.name, err)
				}
				if left > 0 {
					b.Logf("%s: %d calls left out: the machine is too busy to measure", s.name, left)
				}
				s.took = append(s.took, took...)
			}
		}
	}
	n50, n99 := report(b, subjects[0].name, subjects[0].took, subjects[0].used)
	r50, r99 := report(b, subjects[1].name, subjects[1].took, subjects[1].used)
	g50, g99 := report(b, subjects[2].name, subjects[2].took, subjects[2].used)
	over50, over99 := g50-n50-r50, g99-n99-r99
	b.Logf("overhead: p50 %s (target 100µs), p99 %s (target 1ms)", over50.Round(time.Microsecond), over99.Round(time.Microsecond))
	b.ReportMetric(float64(over50.Microseconds()), "overhead-p50-µs")
	b.ReportMetric(float64(over99.Microseconds()), "overhead-p99-µs")
	b.ReportMetric(float64(g50.Microseconds()), "gateway-p50-µs")
	b.ReportMetric(0, "ns/op") // a fixed time, and not of interest
}

func BenchmarkOverload(b *testing.B) {
	h := build(b)
	var ok, refused, wrong atomic.Int64
	call := func() error {
		status, header, err := h.get(h.url)
		switch {
		case err != nil:
			wrong.Add(1)
			return err
		case status == http.StatusOK:
			ok.Add(1)
		case (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && header.Get("Retry-After") != "":
			refused.Add(1)
		default:
			wrong.Add(1)
			return fmt.Errorf("status %d, Retry-After %q", status, header.Get("Retry-After"))
		}
		return nil
	}
	var took []time.Duration
	var left int
	began, before := time.Now(), cpu(b)
	for b.Loop() {
		t, l, err := paced(b, time.Second/(10*rate), 5*time.Second, 2000, call)
		if err != nil {
			b.Errorf("%d calls went wrong, one of them: %v", wrong.Load(), err)
		}
		took, left = append(took, t...), left+l
	}
	elapsed := time.Since(began).Seconds()
	report(b, "answered", took, cpu(b)-before)
	b.Logf("offered %d a second with at most 2000 under way: %.0f a second answered, %.0f refused with a time to come back, %d wrong (%d not even sent)",
		10*rate, float64(ok.Load())/elapsed, float64(refused.Load())/elapsed, wrong.Load(), left)
	b.ReportMetric(float64(ok.Load())/elapsed, "answered/s")
	b.ReportMetric(float64(refused.Load())/elapsed, "refused/s")
	b.ReportMetric(float64(wrong.Load()), "wrong")
	b.ReportMetric(0, "ns/op")
}
