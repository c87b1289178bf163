package bus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Target is one operation of one service, in one project.
type Target struct {
	Service, Operation string
	Project            tenant.Project
}

// Request asks the target and waits for its answer, until ctx ends or the
// configured timeout. payload is one JSON object. identity is who asks, in
// t.Project. The error is an [errs.Error] for every refusal and fault,
// Unavailable when nobody serves the target, Timeout when no answer came.
func (b *Bus) Request(ctx context.Context, t Target, identity tenant.Identity, payload []byte) (*Answer, error) {
	o, err := b.ask(ctx, t, identity, payload, "")
	if err != nil {
		return nil, err
	}
	return o.answer(), nil
}

// CallInternal asks another service a question of the contract, as this
// service itself.
func CallInternal[Res proto.Message](ctx context.Context, b *Bus, service, call string, req proto.Message) (Res, error) {
	var none Res
	data, err := proto.Marshal(req)
	if err != nil {
		return none, fmt.Errorf("call %s.%s: %w", service, call, err)
	}
	o, err := b.ask(ctx, Target{Service: service, Operation: call}, AsService(b.service, tenant.Instance), data, events.Protobuf)
	if err != nil {
		return none, fmt.Errorf("call %s.%s: %w", service, call, err)
	}
	res, ok := none.ProtoReflect().New().Interface().(Res)
	if !ok {
		return none, fmt.Errorf("call %s.%s: cannot make a %T", service, call, none)
	}
	if err := proto.Unmarshal(o.body, res); err != nil {
		return none, errs.Newf(errs.Upstream, "call %s.%s: %w", service, call, err)
	}
	return res, nil
}

// route is what is known about a target from its first use on.
type route struct {
	audience string
	span     string
	attrs    trace.SpanStartEventOption
	observe  sync.Map // outcome -> prometheus.Observer
	vec      *prometheus.HistogramVec
	service  string
	op       string
}

type routeKey struct{ service, operation string }

func (b *Bus) route(service, operation string) (*route, error) {
	if r, ok := b.routes.Load(routeKey{service, operation}); ok {
		return r.(*route), nil
	}
	if !validToken(service) || !validToken(operation) {
		return nil, errs.Newf(errs.Internal, "%q of %q is not an operation", operation, service)
	}
	r, _ := b.routes.LoadOrStore(routeKey{service, operation}, &route{
		audience: service + "." + operation, span: "bus.request " + service + "." + operation, vec: b.m.called, service: service, op: operation,
		attrs: trace.WithAttributes(attribute.String("messaging.system", "nats"), attribute.String("rpc.service", service), attribute.String("rpc.method", operation)),
	})
	return r.(*route), nil
}

func (r *route) done(outcome string, took time.Duration) {
	o, ok := r.observe.Load(outcome)
	if !ok {
		o, _ = r.observe.LoadOrStore(outcome, r.vec.WithLabelValues(r.service, r.op, outcome))
	}
	o.(prometheus.Observer).Observe(took.Seconds())
}

// ask is one request and its reply.
func (b *Bus) ask(ctx context.Context, t Target, identity tenant.Identity, payload []byte, contentType string) (outcome, error) {
	r, err := b.route(t.Service, t.Operation)
	if err != nil {
		return outcome{}, err
	}
	began := time.Now()
	ctx, span := b.tracer.Start(ctx, r.span, trace.WithSpanKind(trace.SpanKindClient), r.attrs)
	defer span.End()
	o, err := b.exchange(ctx, r, t, identity, payload, contentType)
	if err == nil {
		err = o.err
	}
	class := statusClass(outcome{status: o.status, err: err})
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, class)
	}
	r.done(class, time.Since(began))
	return o, err
}

func (b *Bus) exchange(ctx context.Context, r *route, t Target, identity tenant.Identity, payload []byte, contentType string) (outcome, error) {
	if err := ctx.Err(); err != nil { // nobody waits: nobody needs to work
		return outcome{}, fmt.Errorf("ask %s: %w", r.audience, context.Cause(ctx))
	}
	m, err := b.message(ctx, r, requestSubject(t.Project, t.Service, t.Operation), t.Project, identity, payload, b.spillFor(t))
	if err != nil {
		return outcome{}, err
	}
	if contentType != "" { // JSON goes without saying
		m.Header[headerKind] = []string{contentType}
	}
	timeout := b.timeout
	if d, ok := ctx.Deadline(); ok {
		timeout = time.Until(d)
	}
	m.Header[headerTimeout] = []string{strconv.FormatInt(timeout.Milliseconds(), 10)}
	w := b.mux.open(1)
	defer b.mux.close(w)
	m.Reply = w.subject
	if err := b.nc.PublishMsg(m); err != nil {
		return outcome{}, publishError(err, m.Subject)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case reply := <-w.ch:
		return b.read(ctx, reply, t)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return outcome{}, fmt.Errorf("ask %s: %w", r.audience, context.Cause(ctx))
		}
	case <-timer.C:
	}
	return outcome{}, errs.New(errs.Timeout, t.Service+" did not answer in time")
}

// message is a message with everything that each kind of call carries. A
// payload above the limit goes ahead.
func (b *Bus) message(ctx context.Context, r *route, subject string, p tenant.Project, identity tenant.Identity, payload []byte,
	keep func(ctx context.Context, body []byte) (string, error)) (*nats.Msg, error) {
	obo, err := behalf(ctx, identity, b.signer.now())
	if err != nil {
		return nil, err
	}
	identity.Project = p
	token, err := b.signer.token(identity, r.audience, obo)
	if err != nil {
		return nil, err
	}
	h := make(nats.Header, 8)
	h[headerIdentity] = []string{token}
	if id := obs.RequestID(ctx); id != "" {
		h[headerRequestID] = []string{id}
	}
	b.prop.Inject(ctx, headerCarrier(h))
	if err := setOrigin(ctx, h); err != nil {
		return nil, err
	}
	if len(payload) > MaxJSON {
		name, err := keep(ctx, payload)
		if err != nil {
			return nil, err
		}
		h[headerSpill] = []string{name}
		payload = nil
	}
	return &nats.Msg{Subject: subject, Header: h, Data: payload}, nil
}

// read turns a reply into an outcome, fetching the body when it was too large
// for the message.
func (b *Bus) read(ctx context.Context, m *nats.Msg, t Target) (outcome, error) {
	if len(m.Data) == 0 && get(m.Header, "Status") == "503" {
		return outcome{}, errs.New(errs.Unavailable, t.Service+" is not running").After(time.Second)
	}
	o := decodeReply(m)
	if name := get(m.Header, headerSpill); name != "" {
		body, err := b.receive(ctx, name)
		if err != nil {
			return outcome{}, errs.Newf(errs.Upstream, "answer of %s: %w", t.Service, err)
		}
		o.body = body
	}
	if o.err == nil && (o.status < 200 || o.status > 599) {
		return outcome{}, errs.Newf(errs.Upstream, "%s answered with status %d", t.Service, o.status)
	}
	if o.status == http.StatusNoContent {
		o.body = nil
	}
	return o, nil
}

// mux hears every reply to this bus on one subscription.
type mux struct {
	nc      *nats.Conn
	prefix  string
	sub     *nats.Subscription
	mu      sync.Mutex
	next    uint64
	waiting map[string]*waiter
}

type waiter struct {
	subject, token string
	ch             chan *nats.Msg
}

func (x *mux) start(nc *nats.Conn, prefix string) error {
	x.nc, x.prefix, x.waiting = nc, prefix, map[string]*waiter{}
	var err error
	x.sub, err = nc.Subscribe(prefix+"*", x.deliver)
	if err != nil {
		return err
	}
	return x.sub.SetPendingLimits(-1, -1) // every reply has a waiter, or is dropped in deliver
}

func (x *mux) deliver(m *nats.Msg) {
	token, ok := strings.CutPrefix(m.Subject, x.prefix)
	if !ok {
		return
	}
	x.mu.Lock()
	w := x.waiting[token]
	x.mu.Unlock()
	if w == nil { // too late: the caller has gone
		if control := get(m.Header, headerControl); control != "" {
			// A stream would go on until it has heard nothing for a while. If
			// this does not reach it, it does.
			_ = x.nc.Publish(control, []byte(controlCancel))
		}
		return
	}
	select {
	case w.ch <- m:
	default: // answered before
	}
}

// open makes a place for n replies.
func (x *mux) open(n int) *waiter {
	w := &waiter{ch: make(chan *nats.Msg, n)}
	x.mu.Lock()
	x.next++
	w.token = strconv.FormatUint(x.next, 36)
	x.waiting[w.token] = w
	x.mu.Unlock()
	w.subject = x.prefix + w.token
	return w
}

func (x *mux) close(w *waiter) {
	x.mu.Lock()
	delete(x.waiting, w.token)
	x.mu.Unlock()
}

func (x *mux) stop() {
	if x.sub != nil {
		_ = x.sub.Unsubscribe() // the connection is closed already, and the subscription with it
	}
}
