package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Externals takes the facts of every team, each from a stream of its own, as the
// streams come and go. It is a part.
type Externals struct {
	b       *Bus
	handle  func(ctx context.Context, d *Delivery) error
	began   unended
	places  chan struct{} // of handlers that run, of all teams
	kick    chan struct{}
	stop    context.CancelFunc
	ended   chan struct{}
	heard   *nats.Subscription
	mu      sync.Mutex
	running map[string]*Consumer // by stream
}

const (
	// perTeam is how many facts of one team of one project are handled at a time,
	// perTeams how many of all. Who waits for a place gets one in the order of
	// asking, so that a team that floods has its share and no more.
	perTeam  = 2
	perTeams = 4
	// lookAgain is how often the streams are listed: the server tells of a new one,
	// but what it tells may be lost.
	lookAgain = 10 * time.Second
)

func newExternals(b *Bus, tries unended, handle func(ctx context.Context, d *Delivery) error) *Externals {
	x := &Externals{b: b, began: tries, places: make(chan struct{}, perTeams), kick: make(chan struct{}, 1), running: map[string]*Consumer{}}
	x.handle = func(ctx context.Context, d *Delivery) error {
		select {
		case x.places <- struct{}{}:
			defer func() { <-x.places }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return handle(ctx, d)
	}
	return x
}

// Name is the durable's name.
func (x *Externals) Name() string { return x.began.durable }

// Start returns when the facts of every team that is known can arrive.
func (x *Externals) Start(ctx context.Context) error {
	var err error
	// Of the consumer and not of the stream, which is there a moment earlier.
	x.heard, err = x.b.nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.*."+x.began.durable, func(*nats.Msg) {
		select {
		case x.kick <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("facts from outside: %w", err)
	}
	if err := x.look(ctx); err != nil {
		return errors.Join(err, x.heard.Unsubscribe(), x.stopAll(ctx))
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	x.stop, x.ended = stop, make(chan struct{})
	go x.run(run)
	return nil
}

// Stop stops to fetch and waits for running handlers until ctx ends.
func (x *Externals) Stop(ctx context.Context) error {
	if x.stop == nil {
		return nil
	}
	x.stop()
	<-x.ended
	err := x.stopAll(ctx)
	if x.b.nc.IsClosed() {
		return err
	}
	return errors.Join(err, x.heard.Unsubscribe())
}

func (x *Externals) stopAll(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []*Consumer
	for _, c := range x.running {
		all = append(all, c)
	}
	return stopAll(ctx, all)
}

func (x *Externals) run(ctx context.Context) {
	defer close(x.ended)
	t := time.NewTicker(lookAgain)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-x.kick:
		case <-ctx.Done():
			return
		}
		if err := x.look(ctx); err != nil && ctx.Err() == nil {
			x.b.log.WarnContext(ctx, "bus.externals", "err", err)
		}
	}
}

// look begins to take from the streams that are new.
func (x *Externals) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*leaderWait)
	defer cancel()
	var faulty []error
	names, err := x.streams(ctx)
	if err != nil {
		faulty = append(faulty, fmt.Errorf("facts from outside: %w", err))
	}
	for _, name := range names {
		if name != StreamExt && !strings.HasPrefix(name, StreamExt+"_") {
			continue
		}
		x.mu.Lock()
		known := x.running[name] != nil
		x.mu.Unlock()
		if known {
			continue
		}
		if err := x.begin(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			faulty = append(faulty, err) // a stream whose consumer is about to be made says so when it is
		}
	}
	return errors.Join(faulty...)
}

// streams are the names of all streams, also where a cluster takes its time to
// say so.
func (x *Externals) streams(ctx context.Context) (all []string, err error) {
	list := func(ctx context.Context) error {
		all = nil
		names := x.b.js.StreamNames(ctx)
		for name := range names.Name() {
			all = append(all, name)
		}
		return names.Err()
	}
	if x.b.nc.ConnectedClusterName() == "" {
		err = list(ctx)
	} else {
		err = untilLed(ctx, x.b.log.With("consumer", x.began.durable), list)
	}
	return all, err
}

func (x *Externals) begin(ctx context.Context, stream string) error {
	c := NewConsumer(x.b, ConsumerConfig{
		Stream: stream, Durable: x.began.durable, Workers: perTeam, Line: "external.handled", Began: x.began.began, Ended: x.began.ended,
	}, x.handle)
	if err := c.Start(ctx); err != nil {
		return err
	}
	x.mu.Lock()
	x.running[stream] = c
	x.mu.Unlock()
	ctx = context.WithoutCancel(ctx) // the consumer outlives the looking
	go func() {
		select {
		case <-c.stopping:
			return
		case err := <-c.failed: // the team's stream was removed
			x.b.log.Info("bus.external_ended", "stream", stream, "err", err)
		}
		x.mu.Lock()
		delete(x.running, stream)
		x.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, ackWithin)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			x.b.log.Warn("bus.external_ended", "stream", stream, "err", err)
		}
	}()
	return nil
}
