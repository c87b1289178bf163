package bus_test

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestAServiceThatIsAwayTakesNoMoreCommandsThanItsQueueMayHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := w.Config(bustest.Edge)
	conf.MaxBacklog = 5
	edge := w.Connect(conf)
	give := func(b *bus.Bus, service string) error {
		_, err := b.Command(t.Context(), bus.Target{Service: service, Operation: "count", Project: 42}, alice, []byte(`{}`), bus.CommandOptions{Wait: -1})
		return err
	}
	shed := func(err error) bool {
		var e *errs.Error
		return errors.As(err, &e) && e.Kind == errs.Unavailable && e.RetryAfter > 0 && bus.Unsent(err)
	}
	edge.LookUp("auth") // a look-up beside what follows would count some of it twice, for a second
	for range 5 {
		if err := give(edge, "auth"); err != nil {
			t.Fatal(err)
		}
	}
	if err := give(edge, "auth"); !shed(err) {
		t.Errorf("the sixth: %v", err)
	}
	if err := give(edge, bustest.Edge); err != nil { // any other service that takes commands
		t.Errorf("another service: %v", err)
	}
	// Another replica has given none of them, and finds out.
	other := w.Connect(conf)
	w.eventually(t, func() bool { return errs.KindOf(other.Backlog("auth")) == errs.Unavailable })
	if err := give(other, "auth"); !shed(err) {
		t.Errorf("another replica: %v", err)
	}
	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, func() bool { return give(edge, "auth") == nil && give(other, "auth") == nil })
}

func TestWhatWasGivenStaysCountedWhenTheQueueCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := w.Config(bustest.Edge)
	conf.MaxBacklog = 5
	edge := w.Connect(conf)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	if err := js.DeleteConsumer(t.Context(), bus.StreamCommands, bus.CommandDurable("auth")); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := edge.Command(t.Context(), bus.Target{Service: "auth", Operation: "count", Project: 42}, alice, []byte(`{}`), bus.CommandOptions{Wait: -1}); err != nil {
			t.Fatal(err)
		}
	}
	edge.LookUp("auth")
	if err := edge.Backlog("auth"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("after a look-up that failed: %v", err)
	}
}

// queueOf scrapes what a process says waits for a consumer; -1 when it says
// nothing.
func queueOf(t *testing.T, r prometheus.Gatherer, consumer string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "cc_bus_queue" && l.GetName() == "consumer" && l.GetValue() == consumer {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	return -1
}

func TestTheQueueOfAServiceIsMeasuredWhereverItIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	callers, workers := prometheus.NewRegistry(), prometheus.NewRegistry()
	conf := w.Config(bustest.Edge)
	conf.MaxBacklog, conf.Registerer = 100, callers
	edge := w.Connect(conf)
	durable := bus.CommandDurable("auth")
	if got := queueOf(t, callers, durable); got != -1 {
		t.Errorf("before a command was given: %v", got)
	}
	for range 5 {
		if _, err := edge.Command(t.Context(), bus.Target{Service: "auth", Operation: "count", Project: 42}, alice, []byte(`{}`), bus.CommandOptions{Wait: -1}); err != nil {
			t.Fatal(err)
		}
	}
	// What was measured while the last was given may be one behind.
	w.eventually(t, func() bool { return queueOf(t, callers, durable) == 5 }) // while the service itself cannot tell
	worker := w.Config("auth")
	worker.Registerer = workers
	w.Run(w.serveOn(w.Connect(worker), bus.ServerConfig{}, nil))
	// It falls, too, when nobody gives another command.
	w.eventually(t, func() bool { return queueOf(t, callers, durable) == 0 && queueOf(t, workers, durable) == 0 })
	edge.Close()
	if got := queueOf(t, callers, durable); got != -1 {
		t.Errorf("a bus that was closed says %v", got)
	}
}
