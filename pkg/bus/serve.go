package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// job is a request on its way to a worker.
type job struct {
	op      *operation
	subject string
	reply   string
	header  nats.Header
	data    []byte
	arrived time.Time
}

var (
	errBusy     = errs.New(errs.Unavailable, "every worker is busy").After(time.Second)
	errStopping = errs.New(errs.Unavailable, "the service is stopping").After(time.Second)
)

// accept hands a request to the pool. It runs on the subscription's only
// goroutine, so it never waits: a full pool is an answer.
func (s *Server) accept(run context.Context, op *operation, r micro.Request) {
	j := job{op: op, subject: r.Subject(), reply: r.Reply(), header: nats.Header(r.Headers()), data: r.Data(), arrived: time.Now()}
	if j.reply == "" {
		return // nobody to answer
	}
	s.inflight.Add(1)
	s.busy.Inc()
	if s.stopping.Load() { // asked after the count, so that Stop sees one or the other
		s.respond(context.Background(), j.reply, outcome{err: errStopping}, false)
		s.finished()
		return
	}
	if op.stream != nil {
		s.acceptStream(run, j)
		return
	}
	select {
	case s.queue <- j:
	default:
		s.full.Inc()
		s.respond(context.Background(), j.reply, outcome{err: errBusy}, false)
		s.count(op, outcome{err: errBusy}, time.Since(j.arrived))
		s.finished()
	}
}

// acceptStream gives a stream its own goroutine, or refuses it.
func (s *Server) acceptStream(run context.Context, j job) {
	select {
	case s.streams <- struct{}{}:
		s.workers.Go(func() {
			s.stream(run, j)
			<-s.streams
			s.finished()
		})
	default:
		s.full.Inc()
		s.respond(context.Background(), j.reply, outcome{err: errBusy}, false)
		s.count(j.op, outcome{err: errBusy}, time.Since(j.arrived))
		s.finished()
	}
}

func (s *Server) finished() {
	s.busy.Dec()
	if s.inflight.Add(-1) == 0 {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

func (s *Server) work(run context.Context) {
	for {
		select {
		case j := <-s.queue:
			s.serve(run, j)
			s.finished()
		case <-run.Done():
			return
		}
	}
}

// serve runs one request and answers it.
func (s *Server) serve(run context.Context, j job) {
	timeout := s.c.Timeout
	if ms, err := strconv.ParseInt(get(j.header, headerTimeout), 10, 64); err == nil && ms > 0 {
		timeout = min(timeout, time.Duration(ms)*time.Millisecond)
	}
	ctx, cancel := context.WithDeadline(run, j.arrived.Add(timeout))
	defer cancel()
	ctx = s.b.prop.Extract(ctx, headerCarrier(j.header))
	ctx, span := s.b.tracer.Start(ctx, j.op.span, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	var o outcome
	var who *claims
	if ctx.Err() != nil {
		o = outcome{err: errs.New(errs.Timeout, "it waited too long for a worker")}
	} else {
		began := time.Now()
		o, who = s.request(ctx, j)
		j.op.work.add(time.Since(began))
	}
	if o.err != nil {
		span.SetStatus(codes.Error, statusClass(o))
	}
	if who != nil {
		o.project = tenant.Project(who.Project)
	}
	s.respond(ctx, j.reply, o, false)
	took := time.Since(j.arrived)
	s.count(j.op, o, took)
	s.line(ctx, j, who, o, took)
}

func (s *Server) request(ctx context.Context, j job) (outcome, *claims) {
	who, err := s.caller(j.op, j.subject, j.header, j.arrived)
	if err != nil {
		return outcome{err: err}, nil
	}
	data, err := s.payload(ctx, j.header, j.data)
	if err != nil {
		return outcome{err: err}, who
	}
	ctx = s.enter(ctx, who, j.header, who.identity(), Call{
		Service: s.c.Service, Operation: j.op.name, AcceptedAt: j.arrived, RequestID: get(j.header, headerRequestID), Attempt: 1, Caller: who.Issuer,
	})
	within, open, err := s.open(ctx, j, who)
	if err != nil {
		return outcome{err: err}, who
	}
	within, awaited := outbox.Await(within)
	o := s.guarded(within, j.op.run, data)
	if open != nil {
		o = open.end(ctx, o)
	}
	s.said(ctx, awaited, j.op)
	return o, who
}

// saidWithin bounds how long an answer waits for the facts that are to be heard
// before it. They are committed, and said by the relay as soon as it can.
const saidWithin = 2 * time.Second

// said waits until the end of a right is known everywhere, before the answer says
// that it has ended.
func (s *Server) said(ctx context.Context, a *outbox.Awaited, op *operation) {
	if s.c.DB == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saidWithin)
	defer cancel()
	if err := a.Published(ctx, s.c.DB); err != nil {
		s.b.log.WarnContext(ctx, "call.unsaid", "operation", op.name, "err", err, "advice", "what it ended is heard of when the relay reaches the bus again")
	}
}

// caller verifies who is asking, and that the subject says the same.
func (s *Server) caller(op *operation, subject string, h nats.Header, at time.Time) (*claims, error) {
	a, err := parseSubject(subject)
	if err != nil {
		return nil, errs.Newf(errs.Malformed, "%w", err)
	}
	who, err := s.b.checker.verify(get(h, headerIdentity), op.audience, at)
	if err != nil {
		return nil, err
	}
	if tenant.Project(who.Project) != a.project {
		return nil, errs.New(errs.Forbidden, "the identity is of another project")
	}
	if op.delivery != asInternal {
		return who, nil
	}
	if who.Principal != servicePrefix+who.Issuer {
		return nil, errs.New(errs.Forbidden, "only a service may ask this")
	}
	if op.callers != nil && !slices.Contains(op.callers, "*") && !slices.Contains(op.callers, who.Issuer) {
		return nil, errs.Newf(errs.Forbidden, "service %s may not ask this", who.Issuer)
	}
	return who, nil
}

// payload is the message's data, or what was too large for it.
func (s *Server) payload(ctx context.Context, h nats.Header, data []byte) ([]byte, error) {
	name := get(h, headerSpill)
	if name == "" {
		return data, nil
	}
	return s.b.receive(ctx, name)
}

// enter gives the handler's context everything that a handler may ask it.
func (s *Server) enter(ctx context.Context, who *claims, h nats.Header, id tenant.Identity, call Call) context.Context {
	st := &callState{call: call, header: h, token: get(h, headerIdentity), id: id}
	if !strings.HasPrefix(who.Principal, servicePrefix) {
		st.edge, st.said = st.token, who
		if who.Behalf != "" {
			st.edge = who.Behalf
			if said, err := s.b.checker.check(who.Behalf); err == nil { // it was good as part of the token
				st.said = said
			}
		}
	}
	ctx = context.WithValue(ctx, callKey{}, st)
	if call.RequestID != "" {
		ctx = obs.WithRequestID(ctx, call.RequestID)
	}
	return tenant.With(ctx, id)
}

// guarded runs the handler; a panic is a fault of this call alone.
func (s *Server) guarded(ctx context.Context, run func(ctx context.Context, data []byte) outcome, data []byte) (o outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = outcome{err: panicked(r)}
		}
	}()
	return run(ctx, data)
}

// respond publishes the outcome to the caller's reply subject. An answer that
// cannot be sent is a caller that waits in vain, and is logged.
func (s *Server) respond(ctx context.Context, reply string, o outcome, replayed bool) {
	if reply == "" {
		return
	}
	m := &nats.Msg{Subject: reply, Header: make(nats.Header, 4)}
	if o.err != nil {
		var kind errs.Kind
		kind, m.Data = encodeError(o.err)
		m.Header[headerError] = []string{string(kind)}
		setAbout(m.Header, o.about)
	} else {
		m.Header[headerStatus] = []string{strconv.Itoa(o.status)}
		if !o.accepted.IsZero() {
			m.Header[headerAccepted] = []string{o.accepted.UTC().Format(time.RFC3339Nano)}
		}
		m.Data = o.body
		for k, v := range o.header {
			m.Header[headerAnswer+k] = []string{v}
		}
	}
	if replayed {
		m.Header[headerReplayed] = []string{"1"}
	}
	if len(m.Data) > MaxJSON {
		name, err := s.b.send(context.WithoutCancel(ctx), kindSpill, asker(reply), o.project, m.Data)
		if err != nil {
			s.respond(ctx, reply, outcome{err: err}, false)
			return
		}
		m.Header[headerSpill] = []string{name}
		m.Data = nil
	}
	if err := s.b.nc.PublishMsg(m); err != nil {
		s.b.log.WarnContext(ctx, "bus.respond", "reply", reply, "err", err)
	}
}

// line writes the one log line of a request.
func (s *Server) line(ctx context.Context, j job, who *claims, o outcome, took time.Duration) {
	level := slog.LevelInfo
	if o.err != nil && !errs.KindOf(o.err).Refusal() {
		level = slog.LevelError
	}
	if !s.b.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("operation", j.op.name), slog.String("outcome", statusClass(o)), slog.Float64("ms", float64(took.Microseconds())/1000))
	if who != nil {
		attrs = append(attrs, slog.String("caller", who.Issuer), slog.String("principal", who.Principal), slog.String("project", tenant.Project(who.Project).Token()))
	}
	if id := get(j.header, headerRequestID); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	if o.err != nil {
		attrs = append(attrs, slog.String("err", o.err.Error()))
	}
	s.b.log.LogAttrs(ctx, level, "request.handled", attrs...)
}

// Stop refuses new requests, stops to fetch commands, and waits for running
// handlers. When ctx ends first they are cancelled: commands come again,
// requests are answered with a failure.
func (s *Server) Stop(ctx context.Context) error {
	if s.hard == nil {
		return nil
	}
	defer s.hard(errStopped)
	var err error
	done := make(chan error, 1)
	go func() {
		if s.commands == nil {
			done <- nil
			return
		}
		done <- s.commands.Stop(ctx)
	}()
	if s.micro != nil && !s.micro.Stopped() {
		// Others of the queue group get what comes from now on. What the server
		// had sent before arrives until the flush is answered.
		if serr := s.micro.Stop(); serr != nil && !errors.Is(serr, nats.ErrConnectionClosed) {
			err = errors.Join(err, fmt.Errorf("server of %s: %w", s.c.Service, serr))
		}
		flush, cancel := s.b.bounded(ctx)
		defer cancel()
		if ferr := s.b.nc.FlushWithContext(flush); ferr != nil && !s.b.nc.IsClosed() && ctx.Err() == nil {
			err = errors.Join(err, fmt.Errorf("server of %s: %w", s.c.Service, ferr))
		}
	}
	s.stopping.Store(true)
	for s.inflight.Load() > 0 {
		select {
		case <-s.idle:
			continue
		case <-ctx.Done():
		}
		err = errors.Join(err, fmt.Errorf("server of %s: %d requests did not finish: %w", s.c.Service, s.inflight.Load(), context.Cause(ctx)))
		break
	}
	err = errors.Join(err, <-done)
	s.hard(errStopped)
	s.turnAway()
	return err
}

// turnAway answers what no worker will take any more, and gives cancelled
// handlers a moment to end: what they use is closed next.
func (s *Server) turnAway() {
	for {
		select {
		case j := <-s.queue:
			s.respond(context.Background(), j.reply, outcome{err: errStopping}, false)
			s.finished()
			continue
		default:
		}
		break
	}
	ended := make(chan struct{})
	go func() {
		s.workers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Second):
		s.b.log.Warn("bus.stop", "service", s.c.Service, "err", "a handler does not end though it was cancelled")
	}
}
