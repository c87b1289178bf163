package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/commandcenter/commandcenter/pkg/app"
)

// Registry returns a fresh registry that already knows the Go runtime and the
// process. Each process has one and passes it on.
func Registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// MetricsHandler answers with everything in r, in the Prometheus text format.
func MetricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r})
}

// Ops is a small HTTP listener for a process that has no other: /metrics,
// /health/live (the process runs) and /health/ready (no check fails). It has
// no authentication and belongs on loopback or a private network.
type Ops struct {
	addr   string
	checks []app.Check
	reg    *prometheus.Registry
	log    *slog.Logger
	server *http.Server
	ln     net.Listener
	failed chan error
}

// NewOps returns the listener for addr (host:port) as a part.
func NewOps(addr string, reg *prometheus.Registry, log *slog.Logger, checks ...app.Check) *Ops {
	return &Ops{addr: addr, reg: reg, log: log, checks: checks, failed: make(chan error, 1)}
}

// Name is "ops".
func (o *Ops) Name() string { return "ops" }

// Addr returns where it listens, once started.
func (o *Ops) Addr() string { return o.ln.Addr().String() }

// Start binds the address.
func (o *Ops) Start(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	o.ln = ln
	o.server = &http.Server{Handler: o.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := o.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			o.failed <- err
		}
	}()
	return nil
}

func (o *Ops) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", MetricsHandler(o.reg))
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		o.write(w, http.StatusOK, "live\n")
	})
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, r *http.Request) {
		status, body := http.StatusOK, ""
		for _, res := range app.RunChecks(r.Context(), 2*time.Second, o.checks...) {
			if res.Status == app.StatusUnhealthy {
				status = http.StatusServiceUnavailable
			}
			body += fmt.Sprintf("%s %s\n", res.Name, res.Status)
		}
		o.write(w, status, body)
	})
	return mux
}

func (o *Ops) write(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if _, err := w.Write([]byte(body)); err != nil {
		o.log.Debug("ops.write", "err", err)
	}
}

// Stop ends the listener after the requests under way.
func (o *Ops) Stop(ctx context.Context) error { return o.server.Shutdown(ctx) }

// Failed reports a listener that broke.
func (o *Ops) Failed() <-chan error { return o.failed }
