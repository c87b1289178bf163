package serve

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// edgeOperations are the operations of the contract that nobody behind the
// gateway could answer, and who answers them.
func (s *Edge) edgeOperations() map[string]handler {
	return map[string]handler{
		"root":                s.root,
		"mainHealthCheck":     s.up,
		"liveness":            s.up,
		"readiness":           s.ready,
		"detailedHealthCheck": s.detailed,
		"docs":                s.docsPage,
		"docsAsset":           s.docsAsset,
		"ui":                  s.uiPage,
		"uiAsset":             s.uiAsset,
		"openapi":             s.openapi,
		"metrics":             s.metrics,
		"jwks":                s.jwks,
		"getOperation":        s.getOperation,
		"listOperations":      s.listOperations,
		"listLimits":          s.listLimits,
		"listEvents":          s.listEvents,
		"followEvents":        s.followEvents,
		"exportAudit":         s.exportAudit,
		"exportProject":       s.exportProject,
		"callTool":            s.callTool,
	}
}

func (s *Edge) root(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	return s.writeJSON(c, http.StatusOK, map[string]string{
		"app": s.c.App, "version": s.c.Version, "docs": "/docs", "ui": "/ui", "health": "/health",
	})
}

// metrics shows the figures of this process to those who may see them; to all
// others there is no such page.
func (s *Edge) metrics(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	r := c.Request()
	open := s.c.Metrics == MetricsPublic ||
		s.c.Metrics == MetricsLoopback && peer(r).IsLoopback() && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == ""
	if !open || s.d.Gatherer == nil {
		return errNoRoute
	}
	promhttp.HandlerFor(s.d.Gatherer, promhttp.HandlerOpts{}).ServeHTTP(c.Response(), r)
	return nil
}

// stamp is the form of times in answers.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
