package bus_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

type echoRequest struct {
	ProjectID int64  `json:"project_id"`
	Text      string `json:"text"`
}

type echoAnswer struct {
	Text      string `json:"text"`
	Principal string `json:"principal"`
	Project   int64  `json:"project"`
}

type created struct {
	ID int `json:"id"`
}

// StatusCode and Headers are what a service says beside the body.
func (created) StatusCode() int { return http.StatusCreated }

func (c created) Headers() map[string]string { return map[string]string{"ETag": `"1"`} }

// drawn is an answer that is no JSON.
type drawn struct{}

func (drawn) Text() (kind, text string) { return "image/svg+xml", "<svg/>" }

func (drawn) Headers() map[string]string { return map[string]string{"ETag": `"2"`} }

func echo(ctx context.Context, r echoRequest) (echoAnswer, error) {
	id := tenant.From(ctx)
	return echoAnswer{r.Text, id.Principal, int64(id.Project)}, nil
}

var (
	alice  = bustest.Person(7, 42, tenant.Member)
	target = bus.Target{Service: "auth", Operation: "echo", Project: 42}
)

// serve runs a server of auth with what register adds.
func serve(env *bustest.Env, c bus.ServerConfig, register func(s *bus.Server)) *bus.Server {
	s := bus.NewServer(env.Bus("auth"), c)
	register(s)
	env.Run(s)
	return s
}

func op(name string) bus.Target { return bus.Target{Service: "auth", Operation: name, Project: 42} }

func TestARequestIsAnsweredByTheServiceThatServesIt(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	s := serve(env, bus.ServerConfig{Version: "v1.2.3"}, func(s *bus.Server) {
		bus.Request(s, "echo", echo)
		bus.Request(s, "create", func(context.Context, struct{}) (created, error) { return created{5}, nil })
		bus.Request(s, "draw", func(context.Context, struct{}) (drawn, error) { return drawn{}, nil })
		bus.Request(s, "nothing", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	})
	edge := env.Bus(bustest.Edge)
	for _, c := range []struct {
		op, payload, body string
		status            int
		etag              string
	}{
		{"echo", `{"text":"hello","unknown":1}`, `{"text":"hello","principal":"user:7","project":42}`, 200, ""},
		{"create", `{}`, `{"id":5}`, 201, `"1"`},
		{"draw", `{}`, `<svg/>`, 200, `"2"`},
		{"nothing", ``, ``, 204, ""},
	} {
		a, err := edge.Request(t.Context(), op(c.op), alice, []byte(c.payload))
		if err != nil {
			t.Fatalf("%s: %v", c.op, err)
		}
		if string(a.Body) != c.body || a.Status != c.status || a.Header["ETag"] != c.etag {
			t.Errorf("%s: %d %s %v", c.op, a.Status, a.Body, a.Header)
		}
	}
	st := s.Stats()
	if len(st) < 3 || st[0].Operation != "echo" || st[0].Requests != 1 || st[0].Faults != 0 {
		t.Errorf("stats %+v", st)
	}
	if got := strings.Join(s.Operations(), " "); got != "echo create draw nothing" {
		t.Errorf("operations %s", got)
	}
}

func TestAFailureCrossesTheBusWithKindFieldsAndTimeToComeBack(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	field := errs.InvalidField("too_short", "the name is too short", "body", "name")
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Request(s, "invalid", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, field })
		bus.Request(s, "limited", func(context.Context, struct{}) (struct{}, error) {
			return struct{}{}, errs.New(errs.RateLimited, "too often").After(1500 * time.Millisecond)
		})
		bus.Request(s, "internal", func(context.Context, struct{}) (struct{}, error) {
			return struct{}{}, errors.New("password of the database is 123")
		})
		bus.Request(s, "panics", func(context.Context, struct{}) (struct{}, error) { panic("secret") })
		bus.Request(s, "unwritable", func(context.Context, struct{}) (any, error) { return make(chan int), nil })
		bus.Request(s, "strict", func(context.Context, struct{ N int }) (struct{}, error) { return struct{}{}, nil })
	})
	edge := env.Bus(bustest.Edge)
	ask := func(name, payload string) *errs.Error {
		t.Helper()
		_, err := edge.Request(t.Context(), op(name), alice, []byte(payload))
		var e *errs.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", name, err)
		}
		return e
	}
	if e := ask("invalid", `{}`); !errors.Is(e, field) || len(e.Fields) != 1 || e.Fields[0].Loc[1] != "name" {
		t.Errorf("invalid: %+v", e)
	}
	if e := ask("limited", `{}`); e.Kind != errs.RateLimited || e.RetryAfter != 1500*time.Millisecond {
		t.Errorf("limited: %+v", e)
	}
	for _, name := range []string{"internal", "panics", "unwritable"} {
		if e := ask(name, `{}`); e.Kind != errs.Internal || e.Error() != "internal error" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if e := ask("strict", `{"N":"x"}`); e.Kind != errs.Malformed {
		t.Errorf("strict: %+v", e)
	}
	if e := ask("nobody", `{}`); e.Kind != errs.Unavailable || e.RetryAfter == 0 {
		t.Errorf("an operation that nobody serves: %+v", e)
	}
	if e := ask("not a name", `{}`); e.Kind != errs.Internal {
		t.Errorf("a name with a space: %+v", e)
	}
}

func TestTheHandlerSeesCallDeadlineTraceAndRequestID(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	got := make(chan context.Context, 1)
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Request(s, "echo", func(ctx context.Context, _ struct{}) (struct{}, error) { got <- ctx; return struct{}{}, nil })
	})
	ctx, cancel := context.WithTimeout(obs.WithRequestID(t.Context(), "req-1"), 5*time.Second)
	defer cancel()
	if _, err := env.Bus(bustest.Edge).Request(ctx, target, alice, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	h := bustest.Await(env, got)
	call := bus.CallFrom(h)
	if call.Service != "auth" || call.Operation != "echo" || call.RequestID != "req-1" || call.Caller != bustest.Edge || call.OperationID() != "" || call.AcceptedAt.IsZero() {
		t.Errorf("call %+v", call)
	}
	if id := tenant.From(h); id != alice {
		t.Errorf("identity %+v, want %+v", id, alice)
	}
	if obs.RequestID(h) != "req-1" {
		t.Errorf("request id %q", obs.RequestID(h))
	}
	if d, ok := h.Deadline(); !ok || time.Until(d) > 5*time.Second {
		t.Errorf("deadline %v", d)
	}
	if bus.CallFrom(t.Context()) != (bus.Call{}) {
		t.Error("a call outside of one")
	}
}

func TestAFullPoolRefusesAtOnce(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	running, release := make(chan struct{}), make(chan struct{})
	s := serve(env, bus.ServerConfig{Workers: 1, Queue: 1}, func(s *bus.Server) {
		bus.Request(s, "echo", func(context.Context, struct{}) (struct{}, error) {
			running <- struct{}{}
			<-release
			return struct{}{}, nil
		})
	})
	edge := env.Bus(bustest.Edge)
	answers := make(chan error, 8)
	ask := func() { _, err := edge.Request(t.Context(), target, alice, []byte(`{}`)); answers <- err }
	go ask()
	bustest.Await(env, running) // the worker is busy
	go ask()                    // one waits in the queue, or is refused when the other came first
	go ask()
	err := bustest.Await(env, answers)
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.Unavailable || e.RetryAfter == 0 {
		t.Errorf("refusal %v", err)
	}
	close(release)
	bustest.Await(env, running)
	for range 2 {
		if err := bustest.Await(env, answers); err != nil {
			t.Error(err)
		}
	}
	bustest.Eventually(env, func() bool { st := s.Stats()[0]; return st.Requests == 3 && st.Faults == 1 }) // counted behind the refusal
}

func TestARequestEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	ended := make(chan error, 2)
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Request(s, "echo", func(ctx context.Context, _ struct{}) (struct{}, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return struct{}{}, ctx.Err()
		})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := env.Bus(bustest.Edge).Request(ctx, target, alice, []byte(`{}`))
	if errs.KindOf(err) != errs.Timeout {
		t.Errorf("error %v", err)
	}
	if err := bustest.Await(env, ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the handler's context: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := env.Bus(bustest.Edge).Request(ctx, target, alice, []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
}

func TestLargeBodiesAndAnswersTravelWhole(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	serve(env, bus.ServerConfig{}, func(s *bus.Server) { bus.Request(s, "echo", echo) })
	text := strings.Repeat("x", 3*bus.MaxJSON)
	a, err := env.Bus(bustest.Edge).Request(t.Context(), target, alice, []byte(`{"text":"`+text+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(a.Body), text) {
		t.Errorf("%d bytes", len(a.Body))
	}
}

func TestDrainLetsRunningRequestsFinishAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	running, release := make(chan struct{}), make(chan struct{})
	s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	bus.Request(s, "echo", func(context.Context, struct{}) (struct{}, error) {
		close(running)
		<-release
		return struct{}{}, nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	edge := env.Bus(bustest.Edge)
	answer, stopped := make(chan error, 1), make(chan error, 1)
	go func() { _, err := edge.Request(t.Context(), target, alice, []byte(`{}`)); answer <- err }()
	bustest.Await(env, running)
	go func() { stopped <- s.Stop(t.Context()) }()
	// Until it is seen to have stopped listening, somebody may be let in.
	for {
		_, err := edge.Request(t.Context(), bus.Target{Service: "auth", Operation: "other", Project: 42}, alice, nil)
		if errs.KindOf(err) != errs.Unavailable {
			t.Fatalf("while it stops: %v", err)
		}
		if m, err := env.Conn("admin").Request("$SRV.PING.auth", nil, 5*time.Second); errors.Is(err, nats.ErrNoResponders) {
			break
		} else if err != nil {
			t.Fatalf("%v, %v", m, err)
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped before the request was done: %v", err)
	default:
	}
	close(release)
	if err := bustest.Await(env, answer); err != nil {
		t.Errorf("the running request: %v", err)
	}
	if err := bustest.Await(env, stopped); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestAHandlerThatNeverEndsIsCutOffAtTheDeadline(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	running := make(chan struct{})
	s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	bus.Request(s, "echo", func(ctx context.Context, _ struct{}) (struct{}, error) {
		close(running)
		<-ctx.Done()
		return struct{}{}, ctx.Err()
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := env.Bus(bustest.Edge).Request(t.Context(), target, alice, []byte(`{}`))
		answer <- err
	}()
	bustest.Await(env, running)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	if err := bustest.Await(env, answer); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("the request: %v", err)
	}
}

func TestInternalCallsAreForServicesAlone(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth", "knowledge")
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Internal(s, "resolveAccess", func(ctx context.Context, r *authv1.ResolveAccessRequest) (*authv1.ResolveAccessResponse, error) {
			if r.GetUserId() == 0 {
				return nil, errs.New(errs.NotFound, "nobody")
			}
			return &authv1.ResolveAccessResponse{UserId: r.GetUserId(), Email: tenant.From(ctx).Principal}, nil
		})
		bus.Internal(s, "signingKeys", func(context.Context, *authv1.SigningKeysRequest) (*authv1.SigningKeysResponse, error) {
			return &authv1.SigningKeysResponse{}, nil
		})
	})
	ctx, k := t.Context(), env.Bus("knowledge")
	res, err := bus.CallInternal[*authv1.ResolveAccessResponse](ctx, k, "auth", "resolveAccess", &authv1.ResolveAccessRequest{UserId: 7})
	if err != nil || res.GetUserId() != 7 || res.GetEmail() != "service:knowledge" {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := bus.CallInternal[*authv1.ResolveAccessResponse](ctx, k, "auth", "resolveAccess", &authv1.ResolveAccessRequest{}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a refusal: %v", err)
	}
	if _, err := bus.CallInternal[*authv1.SigningKeysResponse](ctx, k, "auth", "signingKeys", &authv1.SigningKeysRequest{}); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("a service that the contract does not name: %v", err)
	}
	if _, err := bus.CallInternal[*authv1.SigningKeysResponse](ctx, env.Bus(bustest.Edge), "auth", "signingKeys", &authv1.SigningKeysRequest{}); err != nil {
		t.Errorf("the service that the contract names: %v", err)
	}
	person := alice
	person.Project = tenant.Instance
	_, err = env.Bus(bustest.Edge).Request(ctx, bus.Target{Service: "auth", Operation: "resolveAccess"}, person, nil)
	if errs.KindOf(err) != errs.Forbidden {
		t.Errorf("a person: %v", err)
	}
}

func TestAServerSaysWhatIsWrongWithItsRegistrations(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	s := bus.NewServer(env.Bus("auth"), bus.ServerConfig{})
	nothing := func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }
	bus.Request(s, "twice", nothing)
	bus.Request(s, "twice", nothing)
	bus.Request(s, "no.name", nothing)
	bus.Command(s, "homeless", nothing)
	bus.Internal(s, "other", func(context.Context, *authv1.SigningKeysRequest) (*authv1.SigningKeysResponse, error) {
		return nil, nil
	})
	err := s.Start(t.Context())
	for _, want := range []string{"twice", "no.name", "homeless needs a database", "signingKeys of auth"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
