package serve_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// BenchmarkCall is the edge alone: no socket, no bus, no log.
func BenchmarkCall(b *testing.B) {
	quick := quickBus{newFakeBus(), sample("listCategories")}
	w := newWorld(b, func(_ *serve.Config, d *serve.Deps) { d.Log, d.Bus = discard(), quick })
	defer w.server.Close()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/knowledge/categories?collection=default", nil)
	r.Header.Set("Authorization", "Bearer "+w.auth.token(owner))
	r.Header.Set("User-Agent", "bench")
	b.ReportAllocs()
	for b.Loop() {
		rec := &sink{h: http.Header{}}
		w.edge.ServeHTTP(rec, r)
		if rec.status != http.StatusOK {
			b.Fatal(rec.status)
		}
	}
}

// quickBus answers at once and keeps nothing.
type quickBus struct {
	*fakeBus
	a *bus.Answer
}

func (q quickBus) Request(context.Context, bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
	return q.a, nil
}

// sink is a response that is thrown away.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
