package serve

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
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
		"openapi":             s.openapi,
		"metrics":             s.metrics,
		"getOperation":        s.getOperation,
		"listEvents":          s.listEvents,
		"followEvents":        s.followEvents,
	}
}

func (s *Edge) root(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	return s.writeJSON(c, http.StatusOK, map[string]string{
		"app": s.c.App, "version": s.c.Version, "docs": "/docs", "health": "/health",
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

var errNoOperation = errs.New(errs.NotFound, "Operation not found")

// operationID names a command to its caller: the project comes before what the
// bus calls it, so that its state can be asked for without any other header.
func operationID(p tenant.Project, id string) string { return p.Token() + "." + id }

// operations is what the edge asks of the bus about commands.
type operations interface {
	Operation(ctx context.Context, who tenant.Identity, operationID string) (*bus.OperationState, error)
}

// getOperation tells how a command went, to everybody in its project; one of
// the instance, to its caller. To all others there is none.
func (s *Edge) getOperation(c echo.Context, _ *contract.Operation, who tenant.Identity, _ []byte) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.c.RequestTimeout)
	defer cancel()
	full := c.ParamValues()[0]
	token, id, ok := strings.Cut(full, ".")
	p, err := tenant.ParseToken(token)
	// What is not a service of ours is not asked: callers would name routes and
	// metrics of their own.
	if service, _, _ := strings.Cut(id, "."); !ok || err != nil || !s.durable[service] {
		return errNoOperation
	}
	if p != tenant.Instance {
		claims, err := s.claims(ctx, c.Request())
		if err != nil {
			return err
		}
		standing, err := s.guard.Standing(ctx, claims, p)
		if err != nil {
			return err
		}
		if standing.Project != p {
			return errNoOperation
		}
		who.Project, who.Role = p, standing.Role
	}
	state, err := s.bus.Operation(ctx, who, id)
	if err == nil && state.Pending {
		state, err = s.awaitOperation(c, who, id, state)
	}
	if errs.KindOf(err) == errs.NotFound {
		return errNoOperation
	}
	if err != nil {
		return err
	}
	return s.writeJSON(c, http.StatusOK, s.outcome(c, full, state))
}

// Pauses between two askings for an operation that somebody waits for.
const (
	soonest = 20 * time.Millisecond
	latest  = time.Second
)

// awaitOperation asks for a pending operation until it has ended, or for as
// long as the caller wants to wait.
func (s *Edge) awaitOperation(c echo.Context, who tenant.Identity, id string, state *bus.OperationState) (*bus.OperationState, error) {
	r := c.Request()
	prefer := preferencesOf(r.Header["Prefer"])
	wait, asked := seconds(c.QueryParam("wait"))
	if !asked && prefer.wait != nil {
		wait = *prefer.wait
	}
	wait = min(wait, s.c.MaxWait)
	if !asked {
		applied(c.Response().Header(), prefer, wait, false)
	}
	if wait <= 0 {
		return state, nil
	}
	done, err := s.patient(c, who.Principal, wait)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	for pause := soonest; state.Pending; pause = min(pause*3/2, latest) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.drain:
			timer.Stop()
			return state, nil
		case <-ctx.Done():
			timer.Stop()
			return state, nil
		}
		now, err := s.bus.Operation(ctx, who, id)
		if ctx.Err() != nil {
			return state, nil // as it was known last
		}
		if err != nil {
			return nil, err
		}
		state = now
	}
	return state, nil
}

// outcome is the state of a command in the words of the contract: what the
// call would have answered, failure or not. While it is pending there is none:
// what its service has said so far may read like success.
func (s *Edge) outcome(c echo.Context, id string, st *bus.OperationState) operation {
	o := operation{ID: id, Operation: st.Operation, Status: "pending", CreatedBy: st.Principal, AcceptedAt: st.AcceptedAt.UTC()}
	if !st.StartedAt.IsZero() {
		started := st.StartedAt.UTC()
		o.StartedAt = &started
	}
	if st.Pending {
		return o
	}
	if st.Answer != nil && len(st.Answer.Body) > 0 {
		o.Answer = st.Answer.Body
	}
	finished := st.FinishedAt.UTC()
	o.FinishedAt = &finished
	var status int
	if st.Err != nil {
		p := problem.From(st.Err, c.Request().URL.Path, callOf(c).id)
		o.Status, status, o.Answer = "failed", p.Status, p.Body
	} else if st.Answer != nil {
		o.Status, status = "succeeded", st.Answer.Status
	}
	o.HTTPStatus = &status
	return o
}

// stamp is the form of times in answers.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
