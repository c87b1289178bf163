package bus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestTheFiguresAreThoseOfTheWorkAndNotOfTheWait(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth")
	const long = 100 * time.Millisecond
	first := make(chan struct{}, 1)
	first <- struct{}{}
	serve(env, bus.ServerConfig{Workers: 1}, func(s *bus.Server) {
		bus.Request(s, "echo", func(context.Context, struct{}) (struct{}, error) {
			select {
			case <-first:
				<-time.After(long)
			default:
			}
			return struct{}{}, nil
		})
	})
	answered := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := env.Bus(bustest.Edge).Request(t.Context(), target, alice, nil)
			answered <- err
		}()
	}
	for range 3 {
		if err := bustest.Await(env, answered); err != nil {
			t.Fatal(err)
		}
	}
	var stats micro.Stats
	ask(t, env.Conn(natsd.UserAdmin), "$SRV.STATS.auth", &stats)
	at := slices.IndexFunc(stats.Endpoints, func(e *micro.EndpointStats) bool { return e.Name == "echo" })
	all, err := bus.StatsOf(stats.Endpoints[at])
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	// Two of the three have waited for the first and done nothing.
	if st := all[0]; st.AverageSeconds < .033 || st.AverageSeconds > .066 || st.P50Seconds > .05 || st.P99Seconds < .08 || st.P99Seconds > 1 {
		t.Errorf("%+v", st)
	}
	if _, err := bus.StatsOf(&micro.EndpointStats{Name: "other", Data: []byte("x")}); err == nil {
		t.Error("figures of somebody else are read")
	}
}

func TestAQuantileIsRightWithinAnEighth(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, 3 * time.Microsecond, 4 * time.Microsecond, 7 * time.Microsecond, 333 * time.Microsecond, 5 * time.Millisecond, 90 * time.Second, 50 * time.Minute} {
		got := bus.Quantile(d)
		if diff := (got - d).Abs(); diff > d/8+time.Microsecond {
			t.Errorf("%v is shown as %v", d, got)
		}
	}
	if got := bus.Quantile(100 * time.Hour); got < time.Hour/2 {
		t.Errorf("longer than any is shown as %v", got)
	}
}

func TestAServerOfNothingTellsOfItselfAndItsHealth(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"auth"}, bustest.WithContract(bustest.Edge, bus.Contract{Serves: []string{"health"}}))
	s := bus.NewServer(env.Bus(bustest.Edge), bus.ServerConfig{Version: "1.2.3", Workers: 1, Checks: []app.Check{
		{Name: "away", Check: func(context.Context) error { return errors.New("it is away") }},
	}})
	env.Run(s)
	var ping micro.Ping
	ask(t, env.Conn(natsd.UserAdmin), "$SRV.PING."+bustest.Edge, &ping)
	if ping.Name != bustest.Edge || ping.Version != "1.2.3" {
		t.Errorf("%+v", ping)
	}
	if health, err := env.Bus("auth").Health(t.Context(), bustest.Edge); err != nil || len(health) != 1 || health[0].Message != "it is away" {
		t.Errorf("%+v, %v", health, err)
	}
}
