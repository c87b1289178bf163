package serve

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
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
	r := c.Request()
	a, err := s.mcp.Answer(r, body, func(tool *contract.Operation) (bool, error) { return s.may(r.Context(), r, tool) })
	if err != nil {
		return err
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

// may reports whether the caller of r may call an operation: in the project of the
// header, else in its default one. It is the check that the call itself meets.
func (s *Edge) may(ctx context.Context, r *http.Request, op *contract.Operation) (bool, error) {
	if op.Permission == contract.Public {
		return true, nil
	}
	claims, err := s.claims(ctx, r)
	if err != nil {
		return false, err
	}
	asked, err := projects(r, &contract.Operation{Project: contract.CurrentProject}, nil)
	if err != nil {
		return false, err
	}
	if op.Project == contract.NoProject {
		asked.want = tenant.Instance
	}
	_, _, err = s.caller(ctx, op, asked, claims, principalOf(claims))
	switch errs.KindOf(err) {
	case errs.Forbidden, errs.NotFound:
		return false, nil
	}
	return err == nil, err
}
