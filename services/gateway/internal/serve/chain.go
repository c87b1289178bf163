package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

// chain is the order in which every call is looked at, outermost first, also
// one that has no route. After it, an operation goes through answer in
// dispatch.go: rate limit, caller, project, input, delivery.
func (s *Edge) chain() []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{
		s.recovered,   // of the chain itself
		s.identified,  // request id
		s.observed,    // trace, access log, metrics; writes failures
		s.secured,     // security headers
		s.crossOrigin, // CORS
		s.admitted,    // load
		s.recovered,   // of the handler: outer links then see an error
	}
}

// call is what the links of the chain learn about one call.
type call struct {
	id      string // request id
	addr    netip.Addr
	op      *contract.Operation // nil without a route
	who     tenant.Identity
	err     error         // what the caller was refused with
	pending bool          // answered 202
	limits  access.Limits // of the project that it works in
	denied  denied        // for the audit log, should it be
	expires time.Time     // of the caller's token or key; zero: never
	long    bool          // an event stream: its duration is not a latency
}

// good is how long the caller's token or key is good from now on, 0 for ever.
func (k *call) good(now time.Time) time.Duration {
	if k.expires.IsZero() {
		return 0
	}
	return max(k.expires.Sub(now), time.Nanosecond)
}

const callKey = "call"

func callOf(c echo.Context) *call {
	if k, ok := c.Get(callKey).(*call); ok {
		return k
	}
	return &call{}
}

// recovered turns a panic into an internal failure. A handler that aborts on
// purpose is left alone.
func (s *Edge) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is, and net/http compares so too
				panic(p)
			}
			s.m.panics.Inc()
			s.log.ErrorContext(c.Request().Context(), "http.panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errs.Newf(errs.Internal, "panic: %v", p)
		}()
		return next(c)
	}
}

// identified gives the call its id: the caller's own when it is safe to repeat.
func (s *Edge) identified(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		k := &call{id: requestID(r.Header.Get("X-Request-ID")), addr: s.clientAddr(r)}
		if k.id == "" {
			k.id = uuid.NewString()
		}
		c.Set(callKey, k)
		c.Response().Header()["X-Request-Id"] = []string{k.id}
		return next(c)
	}
}

var serverSpan = trace.WithSpanKind(trace.SpanKindServer)

// observed traces, counts and logs the call, and writes its failure.
func (s *Edge) observed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		r := c.Request()
		route, k := s.routeOf(c), callOf(c)
		k.op = route.op
		ctx := s.propagator.Extract(obs.WithRequestID(r.Context(), k.id), propagation.HeaderCarrier(r.Header))
		ctx, span := s.tracer.Start(ctx, route.span, serverSpan)
		defer span.End()
		c.SetRequest(r.WithContext(ctx))
		s.m.inFlight.Inc()
		defer s.m.inFlight.Dec()

		if err := next(c); err != nil {
			err = s.translate(c, err) // once, since it counts
			k.err = err
			s.fail(c, k, err)
			s.noteDenial(c, k, err)
		}
		took, status := time.Since(began), c.Response().Status
		if span.IsRecording() {
			// All at once, at the end: a span grows with every call that adds to it.
			span.SetAttributes(route.method, route.path, route.operation, attribute.Int("http.response.status_code", status))
			if status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, http.StatusText(status))
			}
		}
		s.m.observe(route, r, status, c.Response().Size, took, k)
		s.logCall(ctx, c, k, status, took)
		return nil
	}
}

// fail writes the problem document of err, which is translated, unless an answer
// has begun.
func (s *Edge) fail(c echo.Context, k *call, err error) {
	if c.Response().Committed {
		return
	}
	path := c.Request().URL.Path
	if k.op != nil && k.op.Challenge != "" && errs.KindOf(err) == errs.Unauthenticated {
		c.Response().Header().Set("WWW-Authenticate", k.op.Challenge)
	}
	if w := problem.From(err, path, k.id).Write(c.Response()); w != nil {
		s.log.DebugContext(c.Request().Context(), "http.write", "err", w)
	}
}

// translate makes the router's own failures ours.
func (s *Edge) translate(c echo.Context, err error) error {
	var he *echo.HTTPError
	if !errors.As(err, &he) {
		return err
	}
	switch he.Code {
	case http.StatusNotFound:
		return s.noRoute(c, errNoRoute)
	case http.StatusMethodNotAllowed:
		if allow := s.allow[c.Path()]; allow != "" {
			c.Response().Header().Set("Allow", allow)
		}
		return s.noRoute(c, &problem.Of{Status: he.Code, Detail: "Method Not Allowed"})
	}
	return errs.Newf(errs.Internal, "%w", err)
}

var errNoRoute = errs.New(errs.NotFound, "Not Found")

// noRoute is the answer where there is no operation, which counts as well. What
// there is below /api is nothing for callers who do not say who they are: to them
// it is the same 401 as everywhere else there.
func (s *Edge) noRoute(c echo.Context, answer error) error {
	r, k, h := c.Request(), callOf(c), c.Response().Header()
	of, who := s.classes.pages, bucket(k.addr)
	if strings.HasPrefix(r.URL.Path, "/api/") {
		claims, err := s.claims(r.Context(), r)
		switch {
		case err == nil:
			of, who = s.classes.reads, principalOf(claims)
		case answer == errNoRoute: //nolint:errorlint // the very one
			return s.unknown(r.Context(), h, k, err)
		default:
			of = s.classes.unauthenticated
		}
	}
	if err := s.limit(r.Context(), h, who, of); err != nil {
		return err
	}
	return answer
}

func (s *Edge) logCall(ctx context.Context, c echo.Context, k *call, status int, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case status == http.StatusServiceUnavailable: // it has been foreseen, and passes
		level = slog.LevelWarn
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	case k.op != nil && k.op.Delivery == contract.Edge && status < 400 || !s.c.LogRequests:
		level = slog.LevelDebug // probes would drown the rest
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	r := c.Request()
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int64("bytes", c.Response().Size),
		slog.String("client", k.addr.String()), slog.String("user_agent", short(r.UserAgent(), 200)))
	if r.URL.RawQuery != "" {
		attrs = append(attrs, slog.String("query", redactQuery(r.URL.RawQuery)))
	}
	if k.op != nil {
		attrs = append(attrs, slog.String("operation", k.op.ID))
	}
	if !k.who.Anonymous() {
		attrs = append(attrs, slog.String("principal", k.who.Principal), slog.Int64("project_id", int64(k.who.Project)))
	}
	if k.who.Key != "" {
		attrs = append(attrs, slog.String("api_key_id", k.who.Key))
	}
	if k.pending {
		attrs = append(attrs, slog.Bool("pending", true))
	}
	if k.err != nil {
		attrs = append(attrs, slog.String("err", short(k.err.Error(), 1000)))
	}
	s.log.LogAttrs(ctx, level, "http.request", attrs...)
}

// redactQuery keeps the names and blanks the values that may be secrets. What
// is long is not a filter either.
func redactQuery(raw string) string {
	pairs := strings.Split(short(raw, 2000), "&")
	for i, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if ok && (obs.Secret(strings.ToLower(name)) || name == "code" || name == "state" || len(value) > 200) {
			pairs[i] = name + "=" + obs.Redacted
		}
	}
	return strings.Join(pairs, "&")
}

func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// admitted refuses what is more than this process can have in hand at once:
// late answers to everybody help nobody.
func (s *Edge) admitted(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := callOf(c).op
		if op != nil && (op.Delivery == contract.Live || op.Delivery == contract.Stream || op.Delivery == contract.Edge && health[op.ID]) {
			return next(c) // streams have their own limit
		}
		if s.busy.Add(1) > int64(s.c.MaxInFlight) {
			s.busy.Add(-1)
			return errBusy
		}
		defer s.busy.Add(-1)
		return next(c)
	}
}

// health has to be told of a gateway that has too much in hand, too.
var health = map[string]bool{"mainHealthCheck": true, "liveness": true, "readiness": true, "detailedHealthCheck": true}

var errBusy = errs.New(errs.Unavailable, "The gateway is busy").After(time.Second)
