package serve

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

// callTool answers a message of the Model Context Protocol. What the message
// calls is asked and checked as a call of its own.
func (s *Edge) callTool(c echo.Context, op *contract.Operation, _ tenant.Identity, _ []byte) error {
	if _, _, err := s.form(c.Request(), op); err != nil {
		return err
	}
	body, err := readAll(c, s.maxBody(op))
	if err != nil {
		return err
	}
	a := s.mcp.Answer(c.Request(), body)
	if kind := a.Header.Get("Content-Type"); a.Status >= http.StatusBadRequest && !strings.HasPrefix(kind, "application/json") {
		return &problem.Of{Status: a.Status, Detail: strings.TrimSpace(string(a.Body))}
	}
	h := c.Response().Header()
	for _, name := range []string{"Content-Type", "Mcp-Session-Id", "Mcp-Protocol-Version"} {
		if v := a.Header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	c.Response().WriteHeader(a.Status)
	_, err = c.Response().Write(a.Body)
	return err
}
