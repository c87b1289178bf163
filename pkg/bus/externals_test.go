package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestATeamThatFloodsIsRefusedAndTakesNothingFromTheOthers(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{bustest.Taker}, bustest.OverTCP(), bustest.WithContract(bustest.Taker, bus.Contract{External: true}))
	loud := grantee(t, e, "loud", []string{">"}, nil)
	quiet := grantee(t, e, "quiet", []string{">"}, nil)
	said, err := jetstream.New(quiet.Conn)
	if err != nil {
		t.Fatal(err)
	}
	const facts = 20
	for i := range facts / 2 { // before the flood, in which they must not drown
		if _, err := said.Publish(t.Context(), "ext.p1.quiet.it.was.v1", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	// Under a subject of its own each, so that no bound of a subject would do.
	flood, err := jetstream.New(loud.Conn)
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 180<<10)
	accepted := 0
	for ; err == nil && accepted < 1000; accepted++ {
		_, err = flood.Publish(t.Context(), fmt.Sprintf("ext.p1.loud.it.was%d.v1", accepted), large)
	}
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || !strings.Contains(refused.Description, "maximum bytes exceeded") {
		t.Fatalf("after %d facts: %v", accepted, err)
	}
	for i := range facts / 2 { // and beside it
		if _, err := said.Publish(t.Context(), "ext.p1.quiet.it.was.v1", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	// The flood holds every worker that it can get.
	var heard atomic.Int64
	all, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	e.Run(bus.NewExternal(e.Bus(bustest.Taker), nil, func(ctx context.Context, x bus.External) error {
		if x.Team == "loud" {
			select {
			case <-over:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
		if heard.Add(1) == facts {
			close(all)
		}
		return nil
	}))
	bustest.Await(e, all)
}

func TestATeamThatComesLaterIsHeardAndItsStreamGoesWhenNothingIsLeft(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{bustest.Taker}, bustest.OverTCP(), bustest.WithContract(bustest.Taker, bus.Contract{External: true}))
	heard := make(chan bus.External, 10)
	admin := e.Conn(natsd.UserAdmin)
	e.Team(1, "late")
	if _, err := e.Bus("gateway").JetStream().Publish(t.Context(), "ext.p1.late.it.was.v1", []byte(`1`)); err != nil {
		t.Fatal(err)
	}
	if gone, err := bus.RemoveExternal(t.Context(), admin, 1, "late"); gone || err != nil {
		t.Fatalf("removed with a fact in it: %v %v", gone, err)
	}
	e.Run(bus.NewExternal(e.Bus(bustest.Taker), nil, func(_ context.Context, x bus.External) error {
		heard <- x
		return nil
	}))
	if x := bustest.Await(e, heard); x.Team != "late" {
		t.Errorf("heard %+v", x)
	}
	x := grantee(t, e, "later", []string{"it.was.v1"}, nil) // the service runs already
	if _, err := x.Request("ext.p1.later.it.was.v1", []byte(`2`), bustest.Patience); err != nil {
		t.Fatal(err)
	}
	if x := bustest.Await(e, heard); x.Team != "later" {
		t.Errorf("heard %+v", x)
	}
	eventually(t, func() bool { // the acknowledgement may be on its way
		gone, err := bus.RemoveExternal(t.Context(), admin, 1, "later")
		return gone && err == nil
	})
	if _, err := x.Request("ext.p1.later.it.was.v1", nil, bustest.Patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("said to nobody: %v", err)
	}
	e.Team(1, "later") // a stream of the name again
	if _, err := x.Request("ext.p1.later.it.was.v1", []byte(`3`), bustest.Patience); err != nil {
		t.Fatal(err)
	}
	if x := bustest.Await(e, heard); string(x.Data) != "3" {
		t.Errorf("heard %+v", x)
	}
}

func TestTheOneStreamOfBeforeIsHandledAndRemoved(t *testing.T) {
	t.Parallel()
	e := bustest.New(t, bustest.Taker)
	js, err := jetstream.New(e.Conn(natsd.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bus.StreamExt, Subjects: []string{"ext.>"}, Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), bus.StreamExt, jetstream.ConsumerConfig{Durable: bus.ExternalDurable(bustest.Taker), AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "ext.p1.old.it.was.v1", nil); err != nil {
		t.Fatal(err)
	}
	provision := func() {
		if err := bus.Provision(t.Context(), e.Conn(natsd.UserAdmin), bus.Specs{Services: []string{bustest.Taker}, Memory: true}); err != nil {
			t.Fatal(err)
		}
	}
	provision()
	e.Team(1, "old") // its subjects are free
	heard := make(chan bus.External, 1)
	e.Run(bus.NewExternal(e.Bus(bustest.Taker), nil, func(_ context.Context, x bus.External) error {
		heard <- x
		return nil
	}))
	bustest.Await(e, heard)
	eventually(t, func() bool {
		provision()
		_, err := js.Stream(t.Context(), bus.StreamExt)
		return errors.Is(err, jetstream.ErrStreamNotFound)
	})
}

func TestTheQueuesOfTeamsAreOneFigureOfTheirConsumer(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{bustest.Taker}, bustest.OverTCP(), bustest.WithContract(bustest.Taker, bus.Contract{External: true}))
	held, over := make(chan string, 10), make(chan struct{})
	e.Run(bus.NewExternal(e.Bus(bustest.Taker), nil, func(ctx context.Context, x bus.External) error {
		held <- x.Team
		select {
		case <-over:
		case <-ctx.Done():
		}
		return nil
	}))
	for _, team := range []string{"north", "south"} {
		js, err := jetstream.New(grantee(t, e, team, []string{">"}, nil).Conn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "ext.p1."+team+".it.was.v1", nil); err != nil {
			t.Fatal(err)
		}
		bustest.Await(e, held)
	}
	durable := bus.ExternalDurable(bustest.Taker)
	bustest.Eventually(e, func() bool { return queueOf(t, e.Registry, durable) == 2 })
	close(over)
	bustest.Eventually(e, func() bool { return queueOf(t, e.Registry, durable) == 0 })
}
