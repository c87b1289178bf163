package bus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

type countTo struct{ N int }

func openStream(t *testing.T, env *bustest.Env, operation, payload string) *bus.Frames {
	t.Helper()
	f, err := env.Bus(bustest.Edge).Stream(t.Context(), op(operation), alice, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestAStreamBringsEveryFrameInOrderAndItsEnd(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"auth"}, append(contracts(), bustest.WithContract("auth", bus.Contract{Serves: []string{"tokens"}}))...)
	failure := errs.New(errs.Conflict, "out of tokens")
	s := serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Stream(s, "tokens", func(ctx context.Context, r countTo, send func(int) error) error {
			if tenant.From(ctx) != alice {
				t.Errorf("identity %+v", tenant.From(ctx))
			}
			for i := range r.N {
				if err := send(i); err != nil {
					return err
				}
			}
			if r.N == 3 {
				return failure
			}
			return nil
		})
	})
	for _, n := range []int{0, 1, 500} { // the last one needs credit several times
		f := openStream(t, env, "tokens", fmt.Sprintf(`{"N":%d}`, n))
		for i := range n {
			data, err := f.Next(t.Context())
			if err != nil || string(data) != fmt.Sprint(i) {
				t.Fatalf("frame %d of %d: %s, %v", i, n, data, err)
			}
		}
		for range 2 {
			if _, err := f.Next(t.Context()); !errors.Is(err, io.EOF) {
				t.Errorf("after %d frames: %v", n, err)
			}
		}
	}
	f := openStream(t, env, "tokens", `{"N":3}`)
	for range 3 {
		if _, err := f.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Next(t.Context()); !errors.Is(err, failure) {
		t.Errorf("its failure: %v", err)
	}
	if st := s.Stats()[0]; st.Delivery != "stream" || st.Requests != 4 || st.Refusals != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestAStreamWaitsForItsCallerAndEndsWithIt(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	sent := make(chan int, 1000)
	ended := make(chan error, 1)
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Stream(s, "tokens", func(ctx context.Context, _ struct{}, send func(int) error) error {
			for i := 0; ; i++ {
				if err := send(i); err != nil {
					if ctx.Err() == nil {
						t.Error("send failed under a live context")
					}
					ended <- err
					return err
				}
				sent <- i
			}
		})
	})
	f := openStream(t, env, "tokens", `{}`)
	for i := range 64 {
		if got := bustest.Await(env, sent); got != i {
			t.Fatalf("sent %d, want %d", got, i)
		}
	}
	select {
	case i := <-sent: // without credit
		t.Errorf("frame %d was sent to a caller that took none", i)
	default:
	}
	if data, err := f.Next(t.Context()); err != nil || string(data) != "0" {
		t.Errorf("%s, %v", data, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Close()
	if err := bustest.Await(env, ended); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("ended with %v", err)
	}
	if _, err := env.Bus(bustest.Edge).Stream(ctx, op("tokens"), alice, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
}

func TestAStreamWhoseCallerLeftBeforeItBeganEnds(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	began, ended := make(chan struct{}), make(chan error, 1)
	blocked := make(chan struct{})
	serve(env, bus.ServerConfig{}, func(s *bus.Server) {
		bus.Stream(s, "tokens", func(ctx context.Context, _ struct{}, _ func(int) error) error {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return ctx.Err()
		})
		bus.Request(s, "block", func(context.Context, struct{}) (struct{}, error) {
			close(began)
			<-blocked
			return struct{}{}, nil
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f, err := env.Bus(bustest.Edge).Stream(ctx, op("tokens"), alice, nil)
		if err == nil {
			f.Close()
		}
	}()
	cancel() // before, while or after it is accepted
	close(blocked)
	if _, err := env.Bus(bustest.Edge).Request(t.Context(), op("block"), alice, nil); err != nil {
		t.Fatal(err)
	}
	bustest.Await(env, began)
	select {
	case <-ended:
	default: // it was never asked, or is about to end: the stop of the server waits for it
	}
}

func TestAStreamIsRefusedBeforeItsFirstFrame(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	holding := make(chan struct{})
	serve(env, bus.ServerConfig{Streams: 1}, func(s *bus.Server) {
		bus.Request(s, "echo", echo)
		bus.Stream(s, "hold", func(ctx context.Context, _ struct{}, _ func(int) error) error {
			close(holding)
			<-ctx.Done()
			return ctx.Err()
		})
		bus.Stream(s, "huge", func(_ context.Context, _ struct{}, send func(string) error) error {
			return send(strings.Repeat("x", bus.MaxJSON))
		})
	})
	edge := env.Bus(bustest.Edge)
	if _, err := edge.Stream(t.Context(), op("nobody"), alice, nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("nobody serves it: %v", err)
	}
	if _, err := edge.Stream(t.Context(), op("echo"), alice, []byte(`{}`)); errs.KindOf(err) != errs.Upstream {
		t.Errorf("no stream: %v", err)
	}
	if _, err := edge.Request(t.Context(), op("hold"), alice, nil); errs.KindOf(err) != errs.Malformed {
		t.Errorf("a stream asked as a request: %v", err)
	}
	if _, err := edge.Stream(t.Context(), bus.Target{Service: "a b"}, alice, nil); errs.KindOf(err) != errs.Internal {
		t.Errorf("no name: %v", err)
	}
	// The one slot is free a moment after the end, or the refusal, of the one before.
	opened := func(name string) (f *bus.Frames) {
		t.Helper()
		eventually(t, func() bool {
			var err error
			if f, err = edge.Stream(t.Context(), op(name), alice, []byte(`{}`)); err != nil && errs.KindOf(err) != errs.Unavailable {
				t.Fatalf("%s: %v", name, err)
			}
			return err == nil
		})
		return f
	}
	f := opened("huge")
	if _, err := f.Next(t.Context()); errs.KindOf(err) != errs.TooLarge {
		t.Errorf("a frame that is too large: %v", err)
	}
	f.Close()
	first := opened("hold")
	bustest.Await(env, holding)
	if _, err := edge.Stream(t.Context(), op("hold"), alice, nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	first.Close()
}
