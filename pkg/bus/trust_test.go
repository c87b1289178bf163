package bus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func past() time.Time { return time.Now().Add(-2 * time.Minute) }

func TestARequestWithAnExpiredForeignOrMissingIdentityIsRefused(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth", "knowledge")
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Request(s, "echo", echo)
		bus.Request(s, "other", echo)
	})
	edge := env.Bus(bustest.Edge)
	late := env.Connect(env.Config(bustest.Edge))
	late.SignAt(past)
	if _, err := late.Request(t.Context(), target, alice, nil); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("an expired identity: %v", err)
	}
	if _, err := env.Bus("knowledge").Request(t.Context(), target, alice, nil); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("a service for a person: %v", err)
	}
	unsigned := env.Config(bustest.Edge)
	unsigned.SigningSeed = nil
	if _, err := env.Connect(unsigned).Request(t.Context(), target, alice, nil); errs.KindOf(err) != errs.Internal {
		t.Errorf("without a key: %v", err)
	}
	// A good token that is used for something else, as a thief on the bus would.
	admin := env.Conn(natsd.UserAdmin)
	seen, err := admin.SubscribeSync("req.p42.auth.echo")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := edge.Request(t.Context(), target, alice, nil); err != nil {
		t.Fatal(err)
	}
	m, err := seen.NextMsg(bustest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]string{"req.p42.auth.other": "unauthenticated", "req.p43.auth.echo": "forbidden", "req.pX.auth.echo": "malformed"} {
		stolen := &nats.Msg{Subject: subject, Header: maps.Clone(m.Header)}
		r, err := admin.RequestMsg(stolen, bustest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Header["Cc-Error"]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v %s", subject, got, r.Data)
		}
	}
	if r, err := admin.Request("req.p42.auth.echo", nil, bustest.Patience); err != nil || r.Header["Cc-Error"][0] != "unauthenticated" {
		t.Errorf("without a token: %v, %v", r, err)
	}
}

func TestAForgedCommandIsAnsweredAndLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{}, nil))
	late := w.Connect(w.Config(bustest.Edge))
	late.SignAt(past)
	if _, err := late.Command(t.Context(), count, alice, []byte(`{}`), bus.CommandOptions{}); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("an expired identity: %v", err)
	}
	admin := w.Conn(natsd.UserAdmin)
	js := jetStream(t, admin)
	for name, m := range map[string]*nats.Msg{
		"no id":               {Subject: "cmd.p42.auth.count", Header: nats.Header{}},
		"an unreadable place": {Subject: "cmd.nowhere.auth.count", Header: nats.Header{}},
	} {
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	w.deadLetters(t, 2)
	if n := w.counted(t); n != 0 || w.runs.Load() != 0 {
		t.Errorf("%d changes, %d runs", n, w.runs.Load())
	}
}

func TestARedrivenCommandRunsThoughItsIdentityHasExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.Conn(natsd.UserAdmin)
	js := jetStream(t, admin)
	// A command that was accepted two minutes ago and given up since.
	late := w.Connect(w.Config(bustest.Edge))
	late.SignAt(past)
	if _, err := late.Command(t.Context(), count, alice, []byte(`{"text":"a"}`), bus.CommandOptions{Wait: -1}); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), bus.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	letter := func(redrive string) uint64 {
		t.Helper()
		h := maps.Clone(m.Header)
		delete(h, "Nats-Msg-Id")
		h["Cc-Dead-Stream"], h["Cc-Dead-Subject"], h["Cc-Dead-Consumer"] = []string{bus.StreamCommands}, []string{m.Subject}, []string{"cmd-auth"}
		if redrive != "" {
			h["Cc-Redrive"] = []string{redrive}
		}
		ack, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "dead.auth." + m.Subject, Header: h, Data: m.Data})
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence
	}
	var rechecks atomic.Int32
	w.Run(w.serve(bus.ServerConfig{Recheck: func(_ context.Context, id tenant.Identity, _ string) (tenant.Identity, error) {
		rechecks.Add(1)
		return id, nil
	}}, nil))
	// Somebody who may put a command, and nothing more, claims a redrive.
	forged := nats.NewMsg(m.Subject)
	forged.Header = maps.Clone(m.Header)
	delete(forged.Header, "Nats-Msg-Id")
	forged.Header["Cc-Redrive"] = m.Header["Cc-Identity"]
	forged.Header["Cc-Reply"] = []string{"forged.reply"}
	reply, err := admin.SubscribeSync("forged.reply")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	if r, err := reply.NextMsg(bustest.Patience); err != nil || r.Header["Cc-Error"][0] != "unauthenticated" {
		t.Errorf("forged: %v, %v", r, err)
	}
	if err := w.Bus(bustest.Edge).Redrive(t.Context(), letter("")); err != nil {
		t.Fatal(err)
	}
	opID := "auth." + m.Header["Cc-Command"][0]
	w.eventually(t, func() bool {
		st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, opID)
		return err == nil && st.Answer != nil
	})
	if n := w.counted(t); n != 1 {
		t.Errorf("%d changes", n)
	}
	if rechecks.Load() == 0 {
		t.Error("it ran with the rights of the day when it was given")
	}
	if err := w.Bus(bustest.Edge).Discard(t.Context(), letter("x")); err != nil {
		t.Errorf("discard: %v", err)
	}
}

func TestAHandlerThatTakesLongKeepsItsMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	c, err := js.Consumer(t.Context(), bus.StreamCommands, bus.CommandDurable("auth"))
	if err != nil {
		t.Fatal(err)
	}
	short := c.CachedInfo().Config
	short.AckWait = 300 * time.Millisecond
	if _, err := js.UpdateConsumer(t.Context(), bus.StreamCommands, short); err != nil {
		t.Fatal(err)
	}
	w.Run(w.serve(bus.ServerConfig{}, func(context.Context, echoRequest) error {
		long := time.NewTimer(time.Second)
		defer long.Stop()
		<-long.C
		return nil
	}))
	a, err := w.give(t, `{}`, bus.CommandOptions{})
	if err != nil || a.Pending {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := w.runs.Load(); n != 1 {
		t.Errorf("%d runs", n)
	}
}

func TestATraceGoesThroughRequestsCommandsAndFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := make(chan trace.TraceID, 4)
	s := w.serve(bus.ServerConfig{}, func(ctx context.Context, _ echoRequest) error {
		seen <- trace.SpanContextFromContext(ctx).TraceID()
		return nil
	})
	bus.Request(s, "echo", func(ctx context.Context, _ struct{}) (struct{}, error) {
		seen <- trace.SpanContextFromContext(ctx).TraceID()
		return struct{}{}, nil
	})
	w.Run(s)
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), sc)
	if _, err := w.Bus(bustest.Edge).Request(ctx, target, alice, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Bus(bustest.Edge).Command(ctx, count, alice, nil, bus.CommandOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := bustest.Await(w.Env, seen); got != sc.TraceID() {
			t.Errorf("trace %s", got)
		}
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) with(s string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, s) {
			n++
		}
	}
	return n
}

func TestEveryUnitOfWorkIsOneLine(t *testing.T) {
	t.Parallel()
	log := &lines{}
	w := newWorld(t, bustest.WithLog(log))
	s := w.serve(bus.ServerConfig{}, nil)
	bus.Request(s, "echo", echo)
	bus.Request(s, "fails", func(context.Context, struct{}) (struct{}, error) {
		return struct{}{}, errs.New(errs.Upstream, "hung up")
	})
	heard := make(chan struct{}, 1)
	in := bus.NewInbox(w.Bus("auth"), bus.InboxConfig{Service: "knowledge"})
	bus.Handle(in, func(context.Context, bus.Meta, *authv1.ProjectDeleting) error { heard <- struct{}{}; return nil })
	w.Run(s, in)
	edge := w.Bus(bustest.Edge)
	if _, err := edge.Request(t.Context(), target, alice, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := edge.Request(t.Context(), op("fails"), alice, nil); err == nil {
		t.Fatal("no error")
	}
	if _, err := w.give(t, `{}`, bus.CommandOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Say(deleting(42, 1))
	bustest.Await(w.Env, heard)
	for _, want := range []string{
		`level=INFO msg=request.handled service=auth operation=echo outcome=2xx`, `level=ERROR msg=request.handled service=auth operation=fails outcome=upstream`,
		`msg=command.handled service=auth consumer=cmd-auth`, `msg=event.handled`,
	} {
		eventually(t, func() bool { return log.with(want) > 0 })
		if n := log.with(want); n != 1 {
			t.Errorf("%d lines with %q", n, want)
		}
	}
}

func TestOperationsOfAServiceThatIsAwayAreUnavailableUnlessNoted(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	id := "auth.01a2144d-1e91-7c8a-bef4-1ab8b5300742"
	if _, err := env.Bus(bustest.Edge).Operation(t.Context(), alice, id); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
	note, err := json.Marshal(map[string]any{"operation": "count", "principal": "user:7", "accepted_at": time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	kv, err := jetStream(t, env.Conn(natsd.UserAdmin)).KeyValue(t.Context(), bus.BucketOperations)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "p42."+id, note); err != nil {
		t.Fatal(err)
	}
	st, err := env.Bus(bustest.Edge).Operation(t.Context(), alice, id)
	if err != nil || !st.Pending || st.ID != id {
		t.Errorf("%+v, %v", st, err)
	}
	if st, err := env.Bus(bustest.Edge).Operation(t.Context(), bustest.Person(7, 43, tenant.Owner), id); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("from another project, where nothing is known of it: %+v, %v", st, err)
	}
}
