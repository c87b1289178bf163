package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ServerConfig says who answers, and with how much at a time.
type ServerConfig struct {
	Service string // b's service when empty
	Version string // semantic version; "0.0.0" when it is not one
	// Workers is how many requests, and beside them how many commands, run at
	// the same time; 16 when 0. Queue is how many requests may wait for a
	// worker; 4 × Workers when 0. What is more is refused with 503 at once.
	Workers, Queue int
	// Share is how many commands of one project run at the same time; half of
	// Workers when 0. What a project gives beyond it waits, and others go on.
	Share int
	// Streams is how many streams may be open at the same time; 64 when 0.
	Streams int
	// DB is where commands run and their answers are kept. Without it there
	// can be no commands.
	DB *pg.DB
	// Recheck decides the rights of a command's caller again, when it did not
	// run within moments of its acceptance. The identity it returns is the one
	// that the handler sees; its error is the command's answer. nil takes the
	// bus's; without that one what the edge decided is kept.
	Recheck func(ctx context.Context, id tenant.Identity, operation string) (tenant.Identity, error)
	// Attempts, Patience and Backoff are those of [ConsumerConfig], for
	// commands.
	Attempts int
	Patience time.Duration
	Backoff  []time.Duration
	// Timeout bounds a command's handler; 30 s when 0. A request is bounded by
	// its caller.
	Timeout time.Duration
	// Checks are answered to [Bus.Health].
	Checks []app.Check
}

type delivery string

// The ways in which an operation can be delivered.
const (
	asRequest  delivery = "request"
	asCommand  delivery = "command"
	asInternal delivery = "internal"
	asStream   delivery = "stream"
)

// operation is one thing that a server answers.
type operation struct {
	name     string
	delivery delivery
	audience string
	span     string
	callers  []string // of an internal call; nil for anybody
	run      func(ctx context.Context, data []byte) outcome
	// stream is run's counterpart for an operation with many replies.
	stream func(ctx context.Context, data []byte, send func(body []byte) error) outcome

	requests, faults, refusals atomic.Int64
	work                       times
	observers                  sync.Map // outcome -> prometheus.Observer
}

// commandsAhead is how many commands a replica holds, so that the turn of each
// project comes among them: more than one project may give for several
// operations.
const commandsAhead = 4096

// Server answers the operations of one service. It is a part: Start returns
// when it can be asked; Stop ends the fetching, then waits for handlers.
type Server struct {
	b       *Bus
	c       ServerConfig
	ops     map[string]*operation
	order   []*operation
	err     error
	answers *outbox.Operations
	record  func(ctx context.Context, p tenant.Project, t attempt) proto.Message // of a command; nil for who measures what it costs

	micro    micro.Service
	commands *Consumer
	queue    chan job
	streams  chan struct{} // holds one token per open stream
	inflight atomic.Int64
	idle     chan struct{} // signalled when inflight falls to zero
	stopping atomic.Bool
	hard     context.CancelCauseFunc
	workers  sync.WaitGroup
	busy     prometheus.Gauge
	full     prometheus.Counter
	failed   chan error
}

// NewServer returns a server that answers nothing yet; see [Request],
// [Command] and [Internal].
func NewServer(b *Bus, c ServerConfig) *Server {
	if c.Service == "" {
		c.Service = b.service
	}
	if c.Recheck == nil && b != nil && b.recheck != nil {
		c.Recheck = func(ctx context.Context, id tenant.Identity, operation string) (tenant.Identity, error) {
			return b.recheck(ctx, b, id, operation)
		}
	}
	if c.Workers <= 0 {
		c.Workers = 16
	}
	if c.Queue <= 0 {
		c.Queue = 4 * c.Workers
	}
	if c.Share <= 0 {
		c.Share = max(1, c.Workers/2)
	}
	if c.Streams <= 0 {
		c.Streams = 64
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	s := &Server{b: b, c: c, ops: map[string]*operation{}, idle: make(chan struct{}, 1), failed: make(chan error, 1)}
	if c.DB != nil {
		s.answers = outbox.NewOperations(c.DB)
		s.record = func(ctx context.Context, p tenant.Project, t attempt) proto.Message { return s.recordOf(ctx, p, t) }
	}
	return s
}

// Request registers an operation that is asked and answered, and not stored.
// The payload is decoded into Req; the answer is Res as JSON, with status 200,
// or 204 when Res is struct{}, or what its method StatusCode() int says; a
// method Headers() map[string]string adds headers. A method Text() (kind, text
// string) gives the answer in place of JSON, with its Content-Type.
func Request[Req, Res any](s *Server, name string, h func(ctx context.Context, req Req) (Res, error)) {
	s.add(&operation{name: name, delivery: asRequest, run: jsonHandler(h)})
}

// Command registers an operation that is durable before it runs. h runs in a
// unit of work of the server's DB: what it changes, the facts that it adds to
// the outbox and its answer commit together. When h refuses, its changes are
// undone and the refusal is its answer for good; when it fails, it runs again.
// h may run several times; all but one of them leave nothing behind.
//
// An answer with status 202 says that the work goes on elsewhere, in a job. Its
// body is provisional; [Server.Finish] gives the final answer.
func Command[Req, Res any](s *Server, name string, h func(ctx context.Context, req Req) (Res, error)) {
	s.add(&operation{name: name, delivery: asCommand, run: jsonHandler(h)})
}

// Finish gives the final answer of a command of this service that was answered
// 202: res as a handler would return it, or failure. It joins the unit of work
// of ctx. A command that has its final answer, or is forgotten, stays as it is,
// so that whoever is not sure may finish it again. The facts are said together with
// the final answer, once.
func (s *Server) Finish(ctx context.Context, p tenant.Project, id uuid.UUID, res any, failure error, facts ...proto.Message) error {
	o := outcome{err: failure}
	if failure == nil {
		o = answerOf(res)
	}
	if o.status == outbox.Unfinished {
		return errs.Newf(errs.Internal, "the final answer of command %s is none", id)
	}
	return s.c.DB.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		finished, err := s.answers.Finish(ctx, tx, record(&incoming{id: id, project: p, op: &operation{}}, tenant.Identity{}, o))
		if err != nil || !finished {
			return err
		}
		for _, m := range facts {
			if err := outbox.Add(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// Advance notes how far the work of a command is that was answered 202, and whose
// [Server.Finish] is to come. It joins the transaction of ctx, if there is one.
func (s *Server) Advance(ctx context.Context, p tenant.Project, id uuid.UUID, at outbox.Progress) error {
	return s.c.DB.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error { return s.answers.Advance(ctx, tx, p, id, at) })
}

// Internal registers an answer to other services. Nobody else can ask it: the
// caller must be a service that speaks for itself and, when Req declares
// callers, one of them.
func Internal[Req, Res proto.Message](s *Server, call string, h func(ctx context.Context, req Req) (Res, error)) {
	var none Req
	op := &operation{name: call, delivery: asInternal}
	if d, err := events.DescribeCall(none); err == nil {
		op.callers = d.Callers
		if d.Service != s.c.Service && d.Service != events.Any || d.Call != call {
			s.err = errors.Join(s.err, fmt.Errorf("internal call %s: %T is %s of %s", call, none, d.Call, d.Service))
		}
	}
	op.run = func(ctx context.Context, data []byte) outcome {
		req, ok := none.ProtoReflect().New().Interface().(Req)
		if !ok {
			return outcome{err: errs.Newf(errs.Internal, "cannot make a %T", none)}
		}
		if err := proto.Unmarshal(data, req); err != nil {
			return outcome{err: errs.Newf(errs.Malformed, "request of %s: %w", call, err)}
		}
		res, err := h(ctx, req)
		if err != nil {
			return outcome{err: err}
		}
		body, err := proto.Marshal(res)
		if err != nil {
			return outcome{err: errs.Newf(errs.Internal, "answer of %s: %w", call, err)}
		}
		return outcome{status: http.StatusOK, body: body}
	}
	s.add(op)
}

func jsonHandler[Req, Res any](h func(ctx context.Context, req Req) (Res, error)) func(ctx context.Context, data []byte) outcome {
	return func(ctx context.Context, data []byte) outcome {
		var req Req
		if len(data) > 0 {
			if err := json.Unmarshal(data, &req); err != nil {
				// The edge has validated it against the contract already.
				return outcome{err: errs.Wrap(errs.Malformed, err, "the request cannot be read")}
			}
		}
		res, err := h(ctx, req)
		if err != nil {
			return outcome{err: err}
		}
		return answerOf(res)
	}
}

func answerOf(res any) outcome {
	o := outcome{status: http.StatusOK}
	if _, empty := res.(struct{}); empty {
		o.status = http.StatusNoContent
	}
	if s, ok := res.(interface{ StatusCode() int }); ok {
		o.status = s.StatusCode()
	}
	if h, ok := res.(interface{ Headers() map[string]string }); ok {
		o.header = h.Headers()
	}
	if o.status == http.StatusNoContent {
		return o
	}
	if t, ok := res.(interface{ Text() (kind, text string) }); ok {
		kind, text := t.Text()
		o.header = maps.Clone(o.header)
		if o.header == nil {
			o.header = map[string]string{}
		}
		o.header[headerKind], o.body = kind, []byte(text)
		return o
	}
	var err error
	if o.body, err = json.Marshal(res); err != nil {
		return outcome{err: errs.Newf(errs.Internal, "the answer cannot be written: %w", err)}
	}
	return o
}

func (s *Server) add(op *operation) {
	switch {
	case !validToken(op.name):
		s.err = errors.Join(s.err, fmt.Errorf("operation %q is not a name", op.name))
		return
	case s.ops[op.name] != nil:
		s.err = errors.Join(s.err, fmt.Errorf("operation %s is registered twice", op.name))
		return
	case op.delivery == asCommand && s.c.DB == nil:
		s.err = errors.Join(s.err, fmt.Errorf("command %s needs a database", op.name))
		return
	}
	op.audience = s.c.Service + "." + op.name
	op.span = "bus.serve " + op.audience
	s.ops[op.name] = op
	s.order = append(s.order, op)
}

// Name is the service's name.
func (s *Server) Name() string { return s.c.Service + ".serve" }

// Operations lists what was registered, in order, without what the server adds.
func (s *Server) Operations() []string {
	names := make([]string, 0, len(s.order))
	for _, op := range s.order {
		if !added(op.name) {
			names = append(names, op.name)
		}
	}
	return names
}

// Failed delivers an error when commands cannot be taken any more.
func (s *Server) Failed() <-chan error { return s.failed }

// Start registers every operation with the services framework, so that
// $SRV.PING, INFO and STATS tell of it, and begins to take commands.
func (s *Server) Start(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("server of %s: %w", s.c.Service, s.err)
	}
	s.add(&operation{name: askHealth, delivery: asInternal, run: s.health})
	s.add(&operation{name: askRedrive, delivery: asInternal, run: s.take})
	if s.hasCommands() {
		s.add(&operation{name: getOperation, delivery: asRequest, run: jsonHandler(s.operationState)})
		s.add(&operation{name: listOperations, delivery: asRequest, run: jsonHandler(s.operationList)})
	}
	s.busy = s.b.m.busy.WithLabelValues(s.c.Service, "requests")
	s.full = s.b.m.refused.WithLabelValues(s.c.Service)
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s.hard = cancel
	s.streams = make(chan struct{}, s.c.Streams)
	s.queue = make(chan job, s.c.Queue)
	for range s.c.Workers {
		s.workers.Go(func() { s.work(run) })
	}
	if err := s.register(run); err != nil {
		return errors.Join(fmt.Errorf("server of %s: %w", s.c.Service, err), s.Stop(ctx))
	}
	// After one round trip the server knows every subscription.
	flush, done := s.b.bounded(ctx)
	defer done()
	if err := s.b.nc.FlushWithContext(flush); err != nil {
		return errors.Join(fmt.Errorf("server of %s: %w", s.c.Service, err), s.Stop(ctx))
	}
	if !s.hasCommands() {
		return nil
	}
	tries := unended{s.c.DB, CommandDurable(s.c.Service)}
	s.commands = NewConsumer(s.b, ConsumerConfig{
		Stream: StreamCommands, Durable: CommandDurable(s.c.Service), Workers: s.c.Workers, Attempts: s.c.Attempts, Patience: s.c.Patience, Backoff: s.c.Backoff, Line: "command.handled",
		Share: s.c.Share, Ahead: commandsAhead, Began: tries.began, Ended: tries.ended, Buried: s.giveUp,
	}, s.command)
	if err := s.commands.Start(ctx); err != nil {
		s.commands = nil
		return errors.Join(fmt.Errorf("server of %s: %w", s.c.Service, err), s.Stop(ctx))
	}
	go func(c *Consumer) {
		select {
		case err := <-c.failed:
			s.failed <- err
		case <-c.stopping:
		}
	}(s.commands)
	return nil
}

func (s *Server) hasCommands() bool {
	for _, op := range s.order {
		if op.delivery == asCommand {
			return true
		}
	}
	return false
}

func (s *Server) register(run context.Context) error {
	var commands []string
	for _, op := range s.order {
		if op.delivery == asCommand {
			commands = append(commands, op.name)
		}
	}
	var err error
	s.micro, err = micro.AddService(s.b.nc, micro.Config{
		Name: s.c.Service, Version: semver(s.c.Version), Description: "service " + s.c.Service,
		Metadata:     map[string]string{"commands": strings.Join(commands, ","), "commands_subject": "cmd.*." + s.c.Service + ".*"},
		StatsHandler: s.endpointStats,
	})
	if err != nil {
		return err
	}
	for _, op := range s.order {
		if op.delivery == asCommand {
			continue
		}
		project := "*"
		if op.delivery == asInternal {
			project = tenant.Instance.Token()
		}
		err := s.micro.AddEndpoint(op.name, micro.HandlerFunc(func(r micro.Request) { s.accept(run, op, r) }),
			micro.WithEndpointSubject("req."+project+"."+s.c.Service+"."+op.name),
			micro.WithEndpointMetadata(map[string]string{"delivery": string(op.delivery)}))
		if err != nil {
			return fmt.Errorf("operation %s: %w", op.name, err)
		}
	}
	return nil
}

// semver returns v when the framework takes it.
func semver(v string) string {
	v = strings.TrimPrefix(v, "v")
	core, _, _ := strings.Cut(v, "-")
	core, _, _ = strings.Cut(core, "+")
	if parts := strings.Split(core, "."); len(parts) == 3 {
		ok := true
		for _, p := range parts {
			ok = ok && p != "" && strings.Trim(p, "0123456789") == "" && (p == "0" || p[0] != '0')
		}
		if ok {
			return v
		}
	}
	return "0.0.0"
}
