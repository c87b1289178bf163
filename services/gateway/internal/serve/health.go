package serve

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// Component is the health of one part, as its owner sees it.
type Component struct {
	Name    string
	Status  app.Status
	Message string // of a degraded part, what is missing and how to mend it; of one that is down, why
	Took    time.Duration
}

// HealthOf asks a service for the health of its parts.
type HealthOf func(ctx context.Context, service string) ([]Component, error)

func (s *Edge) up(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	return s.writeJSON(c, http.StatusOK, s.brief(app.StatusHealthy))
}

// ready says whether calls should be sent here: not while draining, and not
// without the bus, on which every call depends.
func (s *Edge) ready(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.c.HealthTimeout)
	defer cancel()
	if s.draining() || s.bus.Ready(ctx) != nil {
		return s.writeJSON(c, http.StatusServiceUnavailable, s.brief(app.StatusUnhealthy))
	}
	return s.writeJSON(c, http.StatusOK, s.brief(app.StatusHealthy))
}

func (s *Edge) brief(st app.Status) map[string]string {
	return map[string]string{"status": string(st), "app": s.c.App, "version": s.c.Version}
}

// detailedHealth and componentHealth are the contract's.
type detailedHealth struct {
	Status     app.Status                 `json:"status"`
	App        string                     `json:"app"`
	Version    string                     `json:"version"`
	Timestamp  string                     `json:"timestamp"`
	Took       float64                    `json:"response_time_ms"`
	Components map[string]componentHealth `json:"components"`
}

type componentHealth struct {
	Status    app.Status `json:"status"`
	Took      float64    `json:"response_time_ms"`
	Timestamp string     `json:"timestamp"`
	Message   *string    `json:"message"`
}

// healthCache lets a crowd of probes cost one round of questions a second.
type healthCache struct {
	mu    sync.Mutex
	at    time.Time
	parts []Component
	took  time.Duration
}

const healthFresh = time.Second

func (s *Edge) detailed(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	ctx := c.Request().Context()
	parts, at, took := s.components(ctx)
	d := detailedHealth{
		Status: app.StatusHealthy, App: s.c.App, Version: s.c.Version, Timestamp: stamp(at), Took: millis(took),
		Components: make(map[string]componentHealth, len(parts)),
	}
	insider := s.isSuperuser(ctx, c.Request())
	for _, p := range parts {
		h := componentHealth{Status: p.Status, Took: millis(p.Took), Timestamp: d.Timestamp}
		// What is degraded is written for users; why something is down is not.
		if p.Message != "" && (p.Status == app.StatusDegraded || insider) {
			h.Message = &p.Message
		}
		d.Components[p.Name] = h
		d.Status = worse(d.Status, p.Status)
	}
	status := http.StatusOK
	if d.Status == app.StatusUnhealthy {
		status = http.StatusServiceUnavailable
	}
	return s.writeJSON(c, status, d)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

var order = []app.Status{app.StatusHealthy, app.StatusDegraded, app.StatusUnhealthy}

func worse(a, b app.Status) app.Status {
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func (s *Edge) isSuperuser(ctx context.Context, r *http.Request) bool {
	token, err := bearer(r)
	if err != nil {
		return false
	}
	claims, err := s.guard.Authenticate(ctx, token)
	if err != nil {
		return false
	}
	st, err := s.guard.Standing(ctx, claims, tenant.Instance)
	return err == nil && st.Superuser
}

// components asks every service of the contract, and the bus, at the same time.
func (s *Edge) components(ctx context.Context) ([]Component, time.Time, time.Duration) {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := s.now(); h.parts != nil && now.Sub(h.at) < healthFresh {
		return h.parts, h.at, h.took
	}
	// The answer is for everybody who waits, so it does not end with one caller.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.HealthTimeout)
	defer cancel()
	began := time.Now()
	services := s.services()
	results := make([][]Component, len(services)+1)
	var wg sync.WaitGroup
	for i, name := range services {
		wg.Go(func() { results[i] = s.service(ctx, name) })
	}
	wg.Go(func() {
		began := time.Now()
		results[len(services)] = []Component{component("bus", s.bus.Ready(ctx), time.Since(began))}
	})
	wg.Wait()
	parts := slices.Concat(results...)
	h.parts, h.at, h.took = append(parts, summaries(parts)...), s.now(), time.Since(began)
	return h.parts, h.at, h.took
}

// services are those that the contract names.
func (s *Edge) services() []string {
	var names []string
	for _, op := range s.contract.Operations {
		if !op.Own() && !slices.Contains(names, op.Service) {
			names = append(names, op.Service)
		}
	}
	slices.Sort(names)
	return names
}

// service is a service and its parts: one line for the whole, one per check.
func (s *Edge) service(ctx context.Context, name string) []Component {
	began := time.Now()
	parts, err := s.d.Health(ctx, name)
	whole := component(name, err, time.Since(began))
	for i := range parts {
		whole.take(parts[i])
		parts[i].Name = name + "." + strings.TrimPrefix(parts[i].Name, name+".")
	}
	return append([]Component{whole}, parts...)
}

// take makes c no better than one of its parts.
func (c *Component) take(p Component) {
	if worse(c.Status, p.Status) != c.Status {
		c.Message = p.Message
	}
	c.Status, c.Took = worse(c.Status, p.Status), max(c.Took, p.Took)
}

// summaries are lines that monitors of the first system look for: the
// databases of all services as one, and the heartbeat.
func summaries(parts []Component) []Component {
	database := Component{Name: "database", Status: app.StatusHealthy}
	heartbeat := Component{Name: "federation_heartbeat", Status: app.StatusUnhealthy, Message: "no answer"}
	asked := false
	for _, p := range parts {
		if strings.HasSuffix(p.Name, ".database") {
			asked = true
			database.take(p)
		}
		if p.Name == "federation" {
			heartbeat.Status, heartbeat.Message, heartbeat.Took = p.Status, p.Message, p.Took
		}
	}
	if !asked {
		database.Status, database.Message = app.StatusUnhealthy, "no answer"
	}
	return []Component{database, heartbeat}
}

func component(name string, err error, took time.Duration) Component {
	p := Component{Name: name, Status: app.StatusOf(err), Took: took}
	switch {
	case err == nil:
	case errs.KindOf(err) == errs.Unavailable || errs.KindOf(err) == errs.Timeout:
		p.Message = "no answer: " + err.Error()
	default:
		p.Message = err.Error()
	}
	return p
}
