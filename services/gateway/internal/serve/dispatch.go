package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/access"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/problem"
)

// handler answers a call whose caller is known and allowed. params are the
// members of the payload that came from path, query and header.
type handler func(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte) error

// answer is the way of every operation: rate, caller, project, parameters,
// then the delivery.
func (s *Edge) answer(rt *route, deliver handler) echo.HandlerFunc {
	op := rt.op
	return func(c echo.Context) error {
		r, h, k := c.Request(), c.Response().Header(), callOf(c)
		for name, value := range rt.deprecated {
			h.Set(name, value)
		}
		path, err := pathValues(c)
		if err != nil {
			return s.noRoute(c, err)
		}
		if err := s.identify(c, k, rt, path); err != nil {
			if a := s.repeated(r, k, op, path, err); a != nil {
				h["Cc-Durability"] = valCommitted
				return s.write(c, op, a)
			}
			return err
		}
		if err := s.take(c, op, k.who, path, deliver); err != nil {
			s.spare(c, rt, err)
			return err
		}
		return nil
	}
}

// take reads what a caller who may asks for, and delivers it.
func (s *Edge) take(c echo.Context, op *contract.Operation, who tenant.Identity, path []string, deliver handler) error {
	r := c.Request()
	if !acceptable(r.Header["Accept"], op.Produces) {
		return &problem.Of{Status: http.StatusNotAcceptable, Detail: "This is answered as " + strings.Join(op.Produces, " or ")}
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	params, faults := op.Parameters(make([]byte, 0, 128), contract.Values{Path: path, Query: query, Header: r.Header, Secure: s.overTLS(r)})
	if len(faults) > 0 {
		return invalid(faults)
	}
	if len(op.Body.Types) == 0 && !op.OpenQuery {
		if err := bodiless(c); err != nil {
			return err
		}
	}
	return deliver(c, op, who, params)
}

// identify counts the call and finds out who is calling. A caller who cannot
// say who they are is counted by address, so that tokens cannot be guessed at;
// one who can is counted before anybody is asked what they may do, so that
// refusals are not free.
func (s *Edge) identify(c echo.Context, k *call, rt *route, path []string) error {
	r, h, op := c.Request(), c.Response().Header(), rt.op
	if op.Permission == contract.Public {
		if op.ID == loginBrowser {
			if err := s.sameOrigin.Check(r); err != nil { // a page elsewhere would log its visitor in as somebody
				return errOrigin.Because(err)
			}
		}
		k.who.Client = bucket(k.addr) // all that is known; failed logins are counted by it
		if op.Refusals != nil {       // not each is counted by its own limit
			if err := s.limit(r.Context(), h, k.who.Client, s.classes.anonymous); err != nil {
				return err
			}
		}
		return s.limit(r.Context(), h, k.who.Client, rt.class)
	}
	claims, err := s.claims(r.Context(), r)
	if err != nil {
		return s.unknown(r.Context(), h, k, err)
	}
	asked, faulty := projects(r, op, path)
	principal := principalOf(claims)
	k.expires = claims.GoodUntil()
	known := s.guard.Known(claims, asked.want)
	k.denied = denied{principal: principal, project: known.Project, want: cmp.Or(asked.want, asked.named)}
	if claims.Key != nil {
		k.denied.key, k.denied.project = claims.Key.ID, claims.Key.Project
	}
	if op.Project == contract.NoProject || asked.none {
		known.Limits = nil // those of the project where the caller happens to be at home
	}
	counted := s.classes.counters(rt.class, known)
	if err := s.limit(r.Context(), h, principal, counted...); err != nil {
		return err
	}
	if faulty != nil {
		return faulty
	}
	who, limits, err := s.caller(r.Context(), op, asked, claims, principal)
	if claims.Key == nil || who.Project != tenant.Instance {
		k.denied.project = who.Project
	}
	if err != nil {
		return s.unknown(r.Context(), h, k, err)
	}
	// Who was not remembered was counted by the limit of the instance alone.
	for _, own := range s.classes.counters(rt.class, access.Standing{Project: who.Project, Limits: limits}) {
		if slices.Contains(counted, own) {
			continue
		}
		if err := s.limit(r.Context(), h, principal, own); err != nil {
			return err
		}
	}
	k.who, k.limits = who, limits
	return nil
}

// unknown counts a call that failed with err by its address when it failed
// because nobody knows the caller, and returns what to refuse it with.
func (s *Edge) unknown(ctx context.Context, h http.Header, k *call, err error) error {
	if errs.KindOf(err) == errs.Unauthenticated {
		if limited := s.limit(ctx, h, bucket(k.addr), s.classes.unauthenticated); limited != nil {
			s.guesses.shut(bucket(k.addr), s.now(), errs.As(limited).RetryAfter)
			return limited
		}
	}
	return err
}

func invalid(fields []errs.Field) error {
	return &errs.Error{Kind: errs.Invalid, Msg: "the request is not valid", Fields: fields}
}

// pathValues returns the path parameters, unescaped. An empty one is no
// resource.
func pathValues(c echo.Context) ([]string, error) {
	values := c.ParamValues()
	for i, v := range values {
		if c.Request().URL.RawPath != "" {
			u, err := url.PathUnescape(v)
			if err != nil {
				return nil, errNoRoute
			}
			values[i] = u
			v = u
		}
		if v == "" {
			return nil, errNoRoute
		}
	}
	return values, nil
}

// maxQuery bounds the number of parameters: parsing is linear, answers about
// them are not.
const maxQuery = 200

func parseQuery(raw string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	if strings.Count(raw, "&") >= maxQuery {
		return nil, errs.New(errs.Malformed, "too many query parameters")
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "the query cannot be read")
	}
	return q, nil
}

// acceptable reports whether the caller takes one of what is produced.
func acceptable(accept []string, produces []string) bool {
	if len(accept) == 0 || len(produces) == 0 || accept[0] == "*/*" || accept[0] == "application/json" && produces[0] == accept[0] {
		return true
	}
	for _, line := range accept {
		for _, part := range strings.Split(line, ",") {
			kind, params, _ := strings.Cut(part, ";")
			kind = strings.ToLower(strings.TrimSpace(kind))
			if q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok && strings.Trim(q, "0.") == "" {
				continue
			}
			for _, p := range produces {
				major, _, _ := strings.Cut(p, "/")
				if kind == "*/*" || kind == p || p == "*/*" || kind == major+"/*" {
					return true
				}
			}
		}
	}
	return false
}

// deliver puts the call on the bus.
func (s *Edge) deliver(c echo.Context, op *contract.Operation, who tenant.Identity, params []byte) error {
	if op.Delivery == contract.Live {
		return s.watch(c, op, who, params)
	}
	form, options, err := s.form(c.Request(), op)
	if err != nil {
		return err
	}
	switch form {
	case contract.Multipart, contract.RawBody:
		return s.upload(c, op, who, params, form, options)
	case contract.NoBody:
		return s.ask(c, op, who, closed(open(params)))
	}
	payload, err := s.body(c, op, params, form)
	if err != nil {
		return err
	}
	if op.Delivery == contract.Stream {
		return s.pieces(c, op, who, payload)
	}
	if op.ID == setLimit {
		if err := s.classes.within(who, payload); err != nil {
			return err
		}
	}
	return s.ask(c, op, who, payload)
}

func open(params []byte) []byte {
	return append(append(make([]byte, 0, len(params)+512), '{'), params...)
}

// member begins another member after the parameters.
func member(payload, params []byte) []byte {
	if len(params) > 0 {
		return append(payload, ',')
	}
	return payload
}

func closed(payload []byte) []byte { return append(payload, '}') }

func (s *Edge) maxBody(op *contract.Operation) int64 {
	if op.MaxBody > 0 {
		return op.MaxBody
	}
	return s.c.MaxBody
}

func tooLarge(most int64) error {
	return errs.Newf(errs.TooLarge, "the body is larger than %d bytes", most)
}

// ask sends the payload and writes the answer.
func (s *Edge) ask(c echo.Context, op *contract.Operation, who tenant.Identity, payload []byte) error {
	a, err := s.call(c, op, who, payload)
	if err != nil {
		return err
	}
	return s.write(c, op, a)
}

// maxKey is the longest Idempotency-Key, as in the contract.
const maxKey = 255

// hungRetry is when to ask a service again that did not answer.
const hungRetry = 5 * time.Second

// call delivers the payload as the contract says.
func (s *Edge) call(c echo.Context, op *contract.Operation, who tenant.Identity, payload []byte) (*bus.Answer, error) {
	r := c.Request()
	timeout := s.c.RequestTimeout
	if op.Timeout > 0 {
		timeout = op.Timeout
	}
	target := bus.Target{Service: op.Service, Operation: op.ID, Project: who.Project}
	origin := bus.WithOrigin(r.Context(), s.origin(c, op))
	var a *bus.Answer
	var err error
	if op.Delivery == contract.Request {
		ctx, cancel := context.WithTimeout(origin, timeout)
		defer cancel()
		a, err = s.bus.Request(ctx, target, who, payload)
		if errs.KindOf(err) == errs.Timeout && ctx.Err() != nil && op.Reads() {
			// Nothing was changed, so that it can be asked again. What happened to
			// a write nobody knows: that stays a 504.
			err = errs.New(errs.Unavailable, op.Service+" does not answer").After(hungRetry).Because(err)
		}
	} else {
		a, err = s.command(origin, c, op, target, who, payload, timeout)
	}
	// The service has recorded what it refused, but for what nobody asked for.
	callOf(c).denied.told = err != nil && !op.Reads() && !who.Anonymous() && (op.Delivery == contract.Request || bus.Settled(err))
	callOf(c).denied.about = bus.AboutOf(err)
	if err == nil && (!a.Pending || a.Committed) && op.Service == authService && r.Method != http.MethodGet && !who.Anonymous() {
		// What the caller has just changed about itself holds for its next
		// call, before the event of it arrives. What waits has changed nothing
		// yet, and a caller that is forgotten while auth is away is locked out.
		s.guard.ForgetUser(who.UserID)
	}
	return a, err
}

// command delivers a write, and says where its answer is kept.
func (s *Edge) command(ctx context.Context, c echo.Context, op *contract.Operation, to bus.Target, who tenant.Identity, payload []byte, timeout time.Duration) (*bus.Answer, error) {
	r, h := c.Request(), c.Response().Header()
	key, err := keyOf(r.Header)
	if err != nil {
		return nil, err
	}
	prefer := preferencesOf(r.Header["Prefer"])
	wait := s.commandWait(prefer, op)
	if prefer.wait != nil && wait > s.c.CommandWait {
		if done, err := s.patient(c, who.Principal, wait); err == nil {
			defer done()
		} else { // a preference is no order
			prefer.wait, wait = nil, s.c.CommandWait
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wait+timeout)
	defer cancel()
	options := bus.CommandOptions{Key: key, Wait: wait}
	if wait == 0 {
		options.Wait = -1
	}
	a, err := s.bus.Command(ctx, to, who, payload, options)
	if err != nil {
		if bus.Settled(err) {
			h["Cc-Durability"] = valCommitted
		}
		return nil, err
	}
	h["Cc-Durability"] = valCommitted
	if !a.Committed {
		h["Cc-Durability"] = valStream
	}
	applied(h, prefer, wait, a.Pending)
	return a, nil
}

const authService = "auth"

// write writes an answer of a service.
func (s *Edge) write(c echo.Context, op *contract.Operation, a *bus.Answer) error {
	h := c.Response().Header()
	for name, value := range a.Header {
		if name == "Set-Cookie" {
			value = s.cookieTo(c.Request(), value)
		}
		h.Set(name, value)
	}
	if a.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if a.Pending {
		return s.writePending(c, op, a)
	}
	h["Cache-Control"] = valNoStore
	if a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		c.Response().WriteHeader(a.Status)
		return nil
	}
	if len(h["Content-Type"]) == 0 {
		h["Content-Type"] = valJSON
	}
	return s.send(c, a.Status, a.Body)
}

func (s *Edge) writePending(c echo.Context, op *contract.Operation, a *bus.Answer) error {
	k := callOf(c)
	k.pending = true
	id := operationID(k.who.Project, a.OperationID)
	c.Response().Header().Set("Location", "/api/v1/operations/"+url.PathEscape(id))
	return s.writeJSON(c, http.StatusAccepted, s.outcome(c, id, &bus.OperationState{Operation: op.ID, Principal: k.who.Principal, Pending: true, AcceptedAt: a.AcceptedAt}))
}

func (s *Edge) writeJSON(c echo.Context, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h["Content-Type"] = valJSON
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = valNoStore
	}
	return s.send(c, status, body)
}

// send writes the body and hands it to the connection at once: what is left to
// do for this process (log, metrics, trace) is not the caller's to wait for.
// That a caller has gone is nobody's failure.
func (s *Edge) send(c echo.Context, status int, body []byte) error {
	c.Response().Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.Response().WriteHeader(status)
	if _, err := c.Response().Write(body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		s.log.DebugContext(c.Request().Context(), "http.write", "err", err)
		return nil
	}
	if f, ok := c.Response().Writer.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}
