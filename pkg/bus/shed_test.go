package bus_test

import (
	"errors"
	"testing"

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
