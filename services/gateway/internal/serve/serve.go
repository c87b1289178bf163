package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/limit"
	"github.com/commandcenter/commandcenter/services/gateway/internal/mcp"
)

// Bus is what the edge asks of the bus; *bus.Bus is one.
type Bus interface {
	Request(ctx context.Context, t bus.Target, who tenant.Identity, payload []byte) (*bus.Answer, error)
	Command(ctx context.Context, t bus.Target, who tenant.Identity, payload []byte, o bus.CommandOptions) (*bus.Answer, error)
	Answered(ctx context.Context, t bus.Target, who tenant.Identity, payload []byte, key string) (*bus.Answer, error)
	PutObjectFor(ctx context.Context, owner string, p tenant.Project, filename, contentType string, r io.Reader, max int64) (bus.ObjectRef, error)
	DeleteObject(ctx context.Context, ref bus.ObjectRef) error
	Backlog(service string) error
	FollowLive(ctx context.Context, p tenant.Project, job string, fn func([]byte)) (stop func(), err error)
	Ready(ctx context.Context) error
	operations
	facts
}

// Edge answers HTTP. Make one with [New].
type Edge struct {
	c          Config
	contract   *contract.Contract
	bus        Bus
	guard      *access.Guard
	guesses    guesses
	log        *slog.Logger
	now        func() time.Time
	m          *metrics
	d          Deps
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator

	echo    *echo.Echo
	routes  map[string]map[string]*route // by path as the router spells it, then method
	nowhere *route
	durable map[string]bool // services that take commands, and so know operations
	allow   map[string]string
	origins map[string]bool

	sameOrigin *http.CrossOriginProtection

	limits  Limits
	classes classes

	busy     atomic.Int64
	drain    chan struct{}
	streams  *streams
	rights   rights
	readings *readings
	health   healthCache
	docs, ui map[string]asset // by name
	mcp      *mcp.Server

	document asset // the contract as JSON
}

// route is an operation with what is computed once for it.
type route struct {
	op         *contract.Operation
	class      *class // by which its calls are limited
	span       string
	deprecated map[string]string
	series

	method, path, operation attribute.KeyValue // of its spans
}

// New builds the edge of a contract. It fails when contract and edge
// operations do not fit each other.
func New(d Deps, c Config) (*Edge, error) {
	if d.Contract == nil || d.Bus == nil || d.Guard == nil || d.Health == nil || d.Log == nil || d.Ring == nil {
		return nil, errors.New("edge: contract, bus, guard, health, ring and log are needed")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Limits == nil {
		d.Limits = alone{limit.New(1000), d.Now}
	}
	m, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Edge{
		c: c, contract: d.Contract, bus: d.Bus, guard: d.Guard, log: d.Log, now: d.Now, m: m, d: d,
		tracer:     otel.GetTracerProvider().Tracer("github.com/commandcenter/commandcenter/services/gateway"),
		propagator: propagation.TraceContext{},
		routes:     map[string]map[string]*route{}, allow: map[string]string{}, origins: map[string]bool{},
		nowhere: &route{span: "HTTP"}, durable: map[string]bool{},
		limits: d.Limits, classes: newClasses(c),
		drain:    make(chan struct{}),
		readings: newReadings(),
		streams:  newStreams(c.MaxStreams, c.MaxPerUser), document: newAsset("application/json", "", d.Contract.JSON),
	}
	for _, o := range c.Origins {
		s.origins[o] = true
	}
	if s.sameOrigin, err = newSameOrigin(c.Origins); err != nil {
		return nil, fmt.Errorf("edge: allowed origins: %w", err)
	}
	if s.docs, err = docAssets(c.App); err != nil {
		return nil, err
	}
	if s.ui, err = uiAssets(); err != nil {
		return nil, err
	}
	if s.mcp, err = mcp.New(d.Contract, c.App, c.Version, s, d.Log); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return s, s.mount()
}

// mount registers a route per operation.
func (s *Edge) mount() error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Use(s.chain()...)
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.fail(c, callOf(c), err) } // only a panic in the chain itself comes here
	s.echo = e
	edge := s.edgeOperations()
	var faulty []error
	for _, op := range s.contract.Operations {
		rt := &route{
			op: op, class: s.classes.of(op), span: op.Method + " " + op.Path, deprecated: deprecation(op), series: s.m.series(op.Method, op.Path, op.Success),
			method: attribute.String("http.request.method", op.Method), path: attribute.String("http.route", op.Path),
			operation: attribute.String("cc.operation", op.ID),
		}
		if op.Delivery == contract.Command || op.Delivery == contract.Upload {
			s.durable[op.Service] = true
		}
		handler := s.answer(rt, s.deliver)
		if op.Own() {
			own := edge[op.ID]
			if own == nil {
				faulty = append(faulty, fmt.Errorf("edge operation %s: nobody answers it", op.ID))
				continue
			}
			delete(edge, op.ID)
			handler = s.answer(rt, own)
		}
		methods := append([]string{op.Method}, op.Aliases...)
		if op.Method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		faulty = append(faulty, s.register(op, rt, methods, handler))
	}
	for id := range s.c.Operations {
		if op := s.contract.Operation(id); op == nil || op.Rate == nil {
			faulty = append(faulty, fmt.Errorf("operation_limits: %q is no operation with a limit of its own", id))
		}
	}
	for id := range edge {
		faulty = append(faulty, fmt.Errorf("edge operation %s: not in the contract", id))
	}
	for path, byMethod := range s.routes {
		methods := []string{http.MethodOptions}
		for m := range byMethod {
			methods = append(methods, m)
		}
		slices.Sort(methods)
		allow := strings.Join(methods, ", ")
		s.allow[path] = allow
		e.OPTIONS(path, func(c echo.Context) error {
			c.Response().Header().Set("Allow", allow)
			return c.NoContent(http.StatusNoContent)
		})
	}
	return errors.Join(faulty...)
}

func (s *Edge) register(op *contract.Operation, rt *route, methods []string, h echo.HandlerFunc) error {
	path := strings.NewReplacer("{", ":", "}", "").Replace(op.Path)
	if s.routes[path] == nil {
		s.routes[path] = map[string]*route{}
	}
	for _, m := range methods {
		if other := s.routes[path][m]; other != nil {
			return fmt.Errorf("%s %s: both %s and %s", m, op.Path, other.op.ID, op.ID)
		}
		s.routes[path][m] = rt
		s.echo.Add(m, path, h)
	}
	return nil
}

// routeOf returns the route of a call, nowhere when it has none.
func (s *Edge) routeOf(c echo.Context) *route {
	if rt := s.routes[c.Path()][c.Request().Method]; rt != nil {
		return rt
	}
	return s.nowhere
}

// ServeHTTP answers one call. A final slash means nothing: the contract's
// collections are asked for in both forms.
func (s *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		// A length may have stood beside it, which net/http forgets. Who went by
		// that in front of us takes the end of this body for the next request, or
		// the next request for its end; so there is none (RFC 9112, 6.1).
		w.Header()["Connection"] = valClose
	}
	if p := r.URL.Path; len(p) > 1 && p[len(p)-1] == '/' {
		u := *r.URL
		u.Path, u.RawPath = p[:len(p)-1], strings.TrimSuffix(u.RawPath, "/")
		r2 := *r
		r2.URL = &u
		r = &r2
	}
	s.echo.ServeHTTP(w, r)
}

// Drain ends the event streams and makes the readiness probe fail. Calls in
// hand go on. It may be called once.
func (s *Edge) Drain() { close(s.drain) }

func (s *Edge) draining() bool {
	select {
	case <-s.drain:
		return true
	default:
		return false
	}
}
