package bus_test

import (
	"context"
	"errors"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

func TestAServiceTellsOthersHowItsChecksGo(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "things")
	server := bus.NewServer(env.Bus("things"), bus.ServerConfig{Checks: []app.Check{
		{Name: "fine", Check: func(context.Context) error { return nil }},
		{Name: "slow", Check: func(context.Context) error { return app.Degraded("half speed") }},
		{Name: "gone", Check: func(context.Context) error { return errors.New("no such file") }},
	}})
	env.Run(server)
	if ops := server.Operations(); len(ops) != 0 {
		t.Errorf("operations = %v: what every server adds is not the service's", ops)
	}
	got, err := env.Bus(bustest.Edge).Health(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	want := []bus.CheckResult{
		{Name: "fine", Status: app.StatusHealthy},
		{Name: "slow", Status: app.StatusDegraded, Message: "half speed"},
		{Name: "gone", Status: app.StatusUnhealthy, Message: "no such file"},
	}
	if len(got) != len(want) {
		t.Fatalf("health = %+v", got)
	}
	for i, w := range want {
		got[i].Millis = 0
		if got[i] != w {
			t.Errorf("check %d = %+v, want %+v", i, got[i], w)
		}
	}
}

func TestTheHealthOfAServiceThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	env := bustest.New(t)
	if _, err := env.Bus(bustest.Edge).Health(t.Context(), "things"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("err = %v", err)
	}
}
