package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var countElsewhere = bus.Target{Service: "auth", Operation: "count", Project: 43}

func TestACommandThatFindsANeighbourAwayHoldsNoWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Run(w.serve(bus.ServerConfig{Workers: 1, Backoff: []time.Duration{time.Hour}}, func(ctx context.Context, _ echoRequest) error {
		if tenant.From(ctx).Project == 42 {
			return errs.New(errs.Unavailable, "the neighbour is away")
		}
		return nil
	}))
	for range 3 {
		if a, err := w.give(t, `{}`, bus.CommandOptions{Wait: -1}); err != nil || !a.Pending {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	w.eventually(t, func() bool { return w.runs.Load() >= 1 })
	a, err := w.Bus(bustest.Edge).Command(t.Context(), countElsewhere, bustest.Person(8, 43, tenant.Member), []byte(`{}`), bus.CommandOptions{Wait: bustest.Patience})
	if err != nil || a.Pending {
		t.Errorf("another project: %+v, %v", a, err)
	}
}

func TestOneProjectCannotHoldEveryWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	defer close(release)
	w.Run(w.serve(bus.ServerConfig{Workers: 4}, func(ctx context.Context, _ echoRequest) error {
		if tenant.From(ctx).Project == 42 {
			<-release
		}
		return nil
	}))
	for range 20 {
		if _, err := w.give(t, `{}`, bus.CommandOptions{Wait: -1}); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually(t, func() bool { return w.runs.Load() == 2 })
	for range 3 {
		a, err := w.Bus(bustest.Edge).Command(t.Context(), countElsewhere, bustest.Person(8, 43, tenant.Member), []byte(`{}`), bus.CommandOptions{Wait: bustest.Patience})
		if err != nil || a.Pending {
			t.Errorf("another project: %+v, %v", a, err)
		}
	}
	if n := w.runs.Load(); n != 2+3 {
		t.Errorf("%d runs: the flood has more than its share", n)
	}
}

func TestTheQueueOfAProjectIsBoundedAndNobodyElseIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	s, err := js.Stream(t.Context(), bus.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.MaxMsgsPerSubject == 0 || !c.DiscardNewPerSubject {
		t.Fatalf("stream %+v", c)
	}
	c.MaxMsgsPerSubject = 1
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := w.give(t, `{}`, bus.CommandOptions{Wait: -1}); err != nil {
		t.Fatal(err)
	}
	_, err = w.give(t, `{}`, bus.CommandOptions{Wait: -1})
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != errs.RateLimited || e.RetryAfter == 0 || !bus.Unsent(err) {
		t.Errorf("error %v", err)
	}
	a, err := w.Bus(bustest.Edge).Command(t.Context(), countElsewhere, bustest.Person(8, 43, tenant.Member), []byte(`{}`), bus.CommandOptions{Wait: -1})
	if err != nil || !a.Pending {
		t.Errorf("another project: %+v, %v", a, err)
	}
}

// buried waits until the one dead letter is there, for the reason, and its
// operation has failed.
func (w *world) buried(t *testing.T, a *bus.Answer, reason string) {
	t.Helper()
	if d := w.deadLetters(t, 1)[0]; !strings.Contains(d.Error, reason) {
		t.Errorf("dead letter %+v", d)
	}
	w.eventually(t, func() bool {
		st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, a.OperationID)
		if err != nil {
			t.Fatal(err)
		}
		return !st.Pending && st.Err != nil && !errs.KindOf(st.Err).Refusal()
	})
}

func TestACommandThatThisVersionDoesNotKnowEndsAsFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.Bus(bustest.Edge).Command(t.Context(), op("fromTheFuture"), alice, []byte(`{}`), bus.CommandOptions{Wait: -1})
	if err != nil || !a.Pending {
		t.Fatalf("%+v, %v", a, err)
	}
	w.Run(w.serve(bus.ServerConfig{Attempts: 1}, nil))
	w.buried(t, a, "fromTheFuture")
}

// hands takes the waiting command n times from the stream without running it,
// as processes do that end before its turn.
func (w *world) hands(t *testing.T, n int) jetstream.Msg {
	t.Helper()
	c, err := jetStream(t, w.Conn(natsd.UserAdmin)).Consumer(t.Context(), bus.StreamCommands, bus.CommandDurable("auth"))
	if err != nil {
		t.Fatal(err)
	}
	var m jetstream.Msg
	for range n {
		if m, err = c.Next(jetstream.FetchMaxWait(bustest.Patience)); err != nil {
			t.Fatal(err)
		}
		if err := m.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestRestartsAreNoTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.give(t, `{}`, bus.CommandOptions{Wait: -1})
	if err != nil {
		t.Fatal(err)
	}
	w.hands(t, 40)
	w.Run(w.serve(bus.ServerConfig{Attempts: 2}, func(ctx context.Context, _ echoRequest) error {
		if bus.CallFrom(ctx).Attempt < 2 {
			return errors.New("a first try that fails")
		}
		return nil
	}))
	w.eventually(t, func() bool {
		st, err := w.Bus(bustest.Edge).Operation(t.Context(), alice, a.OperationID)
		return err == nil && st.Answer != nil && !st.Pending
	})
	w.deadLetters(t, 0)
}

func TestACommandThatTakesItsProcessDownEndsAsFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.give(t, `{}`, bus.CommandOptions{Wait: -1})
	if err != nil {
		t.Fatal(err)
	}
	m := w.hands(t, 30)
	md, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	for n := 28; n <= 30; n++ { // what three processes had written when they ended
		err := w.db.InTenant(t.Context(), 42, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := outbox.Began(ctx, tx, bus.CommandDurable("auth"), fmt.Sprintf("%d-%d", md.Sequence.Stream, md.Timestamp.UnixNano()), n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Run(w.serve(bus.ServerConfig{Attempts: 3}, nil))
	w.buried(t, a, "without an end")
	if n := w.runs.Load(); n != 0 {
		t.Errorf("%d runs", n)
	}
}
