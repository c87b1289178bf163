package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// A stream is one request with many replies. The service may be ahead of the
// caller by so many frames as the caller has given it credit for; each end
// tells the other now and then that it is there, and whoever hears nothing for
// a while gives up.
const (
	streamCredit = 64
	streamBeat   = 10 * time.Second
	streamGone   = 3 * streamBeat

	headerCredit  = "Cc-Credit"  // of the request: frames that the caller can take
	headerControl = "Cc-Control" // of the first reply: where credit and cancel go
	headerFrame   = "Cc-Frame"   // number of a frame, from 1
	headerBeat    = "Cc-Beat"    // of a reply that says only: still there
	headerEnd     = "Cc-End"     // of the last reply: how many frames there were

	controlCancel = "x"
	controlBeat   = "."
)

// Frames are the replies of one stream. Close them.
type Frames struct {
	b       *Bus
	t       Target
	w       *waiter
	control string
	got     uint64 // frames
	owed    int    // taken, and not yet given back as credit
	end     error  // set when the stream is over: io.EOF or why
	quiet   *time.Timer
	once    sync.Once
}

// Stream asks the target for a stream of replies. It returns when the service
// has accepted: a refusal before the first frame is the error here.
func (b *Bus) Stream(ctx context.Context, t Target, identity tenant.Identity, payload []byte) (*Frames, error) {
	r, err := b.route(t.Service, t.Operation)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	ctx, span := b.tracer.Start(ctx, "bus.stream "+r.audience, trace.WithSpanKind(trace.SpanKindClient), r.attrs)
	defer span.End()
	f, err := b.openStream(ctx, r, t, identity, payload)
	r.done(statusClass(outcome{status: 200, err: err}), time.Since(began))
	return f, err
}

func (b *Bus) openStream(ctx context.Context, r *route, t Target, identity tenant.Identity, payload []byte) (*Frames, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("stream %s: %w", r.audience, context.Cause(ctx))
	}
	m, err := b.message(ctx, r, requestSubject(t.Project, t.Service, t.Operation), t.Project, identity, payload, b.spillFor(t))
	if err != nil {
		return nil, err
	}
	m.Header[headerCredit] = []string{strconv.Itoa(streamCredit)}
	// Room for all that can be on its way: frames, beats, the end.
	f := &Frames{b: b, t: t, w: b.mux.open(streamCredit + 16), quiet: time.NewTimer(b.timeout)}
	m.Reply = f.w.subject
	if err := b.nc.PublishMsg(m); err != nil {
		f.Close()
		return nil, publishError(err, m.Subject)
	}
	select {
	case first := <-f.w.ch:
		if f.control = get(first.Header, headerControl); f.control != "" {
			return f, nil
		}
		f.Close()
		o, err := b.read(ctx, first, t)
		if err == nil {
			err = o.err
		}
		if err == nil {
			err = errs.Newf(errs.Upstream, "%s does not answer %s with a stream", t.Service, t.Operation)
		}
		return nil, err
	case <-f.quiet.C:
		f.Close()
		return nil, errs.New(errs.Timeout, t.Service+" did not answer in time")
	case <-ctx.Done():
		f.Close()
		return nil, fmt.Errorf("stream %s: %w", r.audience, context.Cause(ctx))
	}
}

// Next returns the next frame, a JSON value; io.EOF after the last one, and the
// service's failure if it ended with one. It must not be called concurrently.
func (f *Frames) Next(ctx context.Context) ([]byte, error) {
	for f.end == nil {
		f.quiet.Reset(streamGone)
		select {
		case m := <-f.w.ch:
			if data, ok := f.take(ctx, m); ok {
				return data, nil
			}
		case <-f.quiet.C:
			f.end = errs.Newf(errs.Unavailable, "%s fell silent", f.t.Service)
		case <-ctx.Done():
			return nil, fmt.Errorf("stream: %w", context.Cause(ctx))
		}
	}
	return nil, f.end
}

// take handles one reply and reports whether it is a frame.
func (f *Frames) take(ctx context.Context, m *nats.Msg) ([]byte, bool) {
	if get(m.Header, headerBeat) != "" {
		f.tell(controlBeat)
		return nil, false
	}
	if n := get(m.Header, headerEnd); n != "" {
		o, err := f.b.read(ctx, m, f.t)
		switch {
		case err != nil:
			f.end = err
		case o.err != nil:
			f.end = o.err
		case n != strconv.FormatUint(f.got, 10):
			f.end = errs.Newf(errs.Upstream, "%d of %s frames arrived", f.got, n)
		default:
			f.end = io.EOF
		}
		return nil, false
	}
	f.got++
	if get(m.Header, headerFrame) != strconv.FormatUint(f.got, 10) {
		f.end = errs.Newf(errs.Upstream, "frame %d of %s is missing", f.got, f.t.Service)
		return nil, false
	}
	if f.owed++; f.owed >= streamCredit/2 {
		f.tell("+" + strconv.Itoa(f.owed))
		f.owed = 0
	}
	return m.Data, true
}

func (f *Frames) tell(s string) {
	if err := f.b.nc.Publish(f.control, []byte(s)); err != nil {
		f.b.log.Warn("bus.stream", "service", f.t.Service, "err", err)
	}
}

// Close ends the stream; a service that is not done yet is told to stop.
func (f *Frames) Close() {
	f.once.Do(func() {
		f.quiet.Stop()
		f.b.mux.close(f.w)
		if f.control != "" && f.end == nil {
			f.tell(controlCancel)
		}
	})
}

// Stream registers an operation with many replies. send waits while the caller
// is behind, and fails when the caller has gone; then ctx has ended too. What h
// returns ends the stream.
func Stream[Req, Frame any](s *Server, name string, h func(ctx context.Context, req Req, send func(Frame) error) error) {
	op := &operation{name: name, delivery: asStream}
	op.stream = func(ctx context.Context, data []byte, send func(body []byte) error) outcome {
		return jsonHandler(func(ctx context.Context, req Req) (struct{}, error) {
			return struct{}{}, h(ctx, req, func(f Frame) error {
				o := answerOf(f)
				if o.err != nil {
					return o.err
				}
				return send(o.body)
			})
		})(ctx, data)
	}
	s.add(op)
}

var errCallerGone = errors.New("the caller of the stream has gone")

// sender is the service's end of one stream.
type sender struct {
	s      *Server
	w      *waiter
	reply  string
	mu     sync.Mutex // one message at a time
	sent   uint64
	credit chan int
	left   int
}

// stream runs one stream on a goroutine of its own: it may take minutes, and
// must not hold a worker.
func (s *Server) stream(run context.Context, j job) {
	ctx := s.b.prop.Extract(run, headerCarrier(j.header))
	ctx, span := s.b.tracer.Start(ctx, j.op.span, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o, who := s.streamed(ctx, cancel, j)
	took := time.Since(j.arrived)
	j.op.work.add(took)
	s.count(j.op, o, took)
	s.line(ctx, j, who, o, took)
}

func (s *Server) streamed(ctx context.Context, cancel context.CancelCauseFunc, j job) (outcome, *claims) {
	refuse := func(err error, who *claims) (outcome, *claims) {
		o := outcome{err: err}
		s.respond(ctx, j.reply, o, false)
		return o, who
	}
	credit, err := strconv.Atoi(get(j.header, headerCredit))
	if err != nil || credit <= 0 {
		return refuse(errs.New(errs.Malformed, "this operation answers with a stream"), nil)
	}
	who, err := s.caller(j.op, j.subject, j.header, j.arrived)
	if err != nil {
		return refuse(err, nil)
	}
	data, err := s.payload(ctx, j.header, j.data)
	if err != nil {
		return refuse(err, who)
	}
	ctx = s.enter(ctx, who, j.header, who.identity(), Call{
		Service: s.c.Service, Operation: j.op.name, AcceptedAt: j.arrived, RequestID: get(j.header, headerRequestID), Attempt: 1, Caller: who.Issuer,
	})
	x := &sender{s: s, w: s.b.mux.open(64), reply: j.reply, credit: make(chan int, 64), left: min(credit, streamCredit)}
	defer s.b.mux.close(x.w)
	x.publish(nats.Header{headerControl: {x.w.subject}}, nil)
	over := make(chan struct{})
	var listening sync.WaitGroup
	listening.Go(func() { x.listen(over, cancel) })
	o := s.guarded(ctx, func(ctx context.Context, data []byte) outcome {
		return j.op.stream(ctx, data, func(body []byte) error { return x.send(ctx, body) })
	}, data)
	close(over)
	listening.Wait()
	if errors.Is(context.Cause(ctx), errCallerGone) {
		o.err = errs.Wrap(errs.Unavailable, errCallerGone, errCallerGone.Error())
		return o, who // nobody hears the end
	}
	h := nats.Header{headerEnd: {strconv.FormatUint(x.sent, 10)}, headerStatus: {"204"}}
	var body []byte
	if o.err != nil {
		kind, b := encodeError(o.err)
		h[headerError], body = []string{string(kind)}, b
	}
	x.publish(h, body)
	return o, who
}

// listen takes credit and cancellation, and says now and then that the service
// is there.
func (x *sender) listen(over <-chan struct{}, cancel context.CancelCauseFunc) {
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	heard := time.Now()
	for {
		select {
		case m := <-x.w.ch:
			heard = time.Now()
			s := string(m.Data)
			if s == controlCancel {
				cancel(errCallerGone)
				return
			}
			if n, err := strconv.Atoi(strings.TrimPrefix(s, "+")); err == nil && n > 0 && n <= streamCredit {
				select {
				case x.credit <- n:
				default: // more than it can owe: not our caller
				}
			}
		case <-beat.C:
			if time.Since(heard) > streamGone {
				cancel(errCallerGone)
				return
			}
			x.publish(nats.Header{headerBeat: {"1"}}, nil)
		case <-over:
			return
		}
	}
}

// send passes one frame on when the caller can take it.
func (x *sender) send(ctx context.Context, body []byte) error {
	if len(body) > MaxJSON {
		return errs.New(errs.TooLarge, "a frame is too large")
	}
	for x.left == 0 {
		select {
		case n := <-x.credit:
			x.left += n
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	x.left--
	x.sent++
	x.publish(nats.Header{headerFrame: {strconv.FormatUint(x.sent, 10)}}, body)
	return nil
}

func (x *sender) publish(h nats.Header, body []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.s.b.nc.PublishMsg(&nats.Msg{Subject: x.reply, Header: h, Data: body}); err != nil {
		x.s.b.log.Warn("bus.stream", "reply", x.reply, "err", err)
	}
}
