package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	followBeat    = 5 * time.Second  // how often a silent consumer says that it is there
	followIdle    = 30 * time.Second // after which the server drops a consumer that nobody hears
	followRetry   = 250 * time.Millisecond
	followPatient = 2 * time.Second
)

// ordered hears one filter of a stream in order, from a sequence on, without
// gaps and repetitions as long as it lives: after a lost connection, a missed
// beat or a gap it makes a new consumer that starts behind what it had.
//
// The client library has such a thing, but starts over at the stream's first
// message when it had nothing yet, notices a restart of the server only when
// beats stay away, and ends silently on errors that pass. Its pull form needs
// the right to take from any consumer.
type ordered struct {
	b              *Bus
	stream, filter string
	handle         func(m *nats.Msg, seq uint64, at time.Time)

	// turn is held while a message is handled, so that the consumer that
	// follows another one never runs beside it.
	turn  sync.Mutex
	gen   int    // of the consumer; messages of an older one are dropped
	epoch string // of the stream
	next  uint64 // in the stream
	last  uint64 // delivery of this consumer
	over  bool
	alive bool // heard of since the last look
	sub   *nats.Subscription

	kick   chan struct{}
	cancel context.CancelFunc
	forget func() // the hook on reconnections
	done   chan struct{}
}

// follow begins to hear: from the stream's first message when all is set, else
// from the next one on. It returns when the consumer is there.
func (b *Bus) follow(ctx context.Context, stream, filter string, all bool, handle func(m *nats.Msg, seq uint64, at time.Time)) (*ordered, error) {
	o := &ordered{b: b, stream: stream, filter: filter, handle: handle, kick: make(chan struct{}, 1), done: make(chan struct{})}
	back := uint64(0)
	if all {
		back = math.MaxUint64
	}
	if err := o.begin(ctx, back); err != nil {
		return nil, err
	}
	return o, nil
}

// begin starts to hear, back messages before the next one.
func (o *ordered) begin(ctx context.Context, back uint64) error {
	ctx, cancel := o.b.bounded(ctx)
	defer cancel()
	epoch, last, err := o.b.StreamState(ctx, o.stream)
	if err != nil {
		return err
	}
	o.epoch, o.next = epoch, last-min(back, last)+1
	if err := o.attach(ctx); err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = stop
	o.forget = o.b.onReconnect(o.reset)
	go o.watch(run)
	return nil
}

// reset asks for a new consumer.
func (o *ordered) reset() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// watch makes a new consumer whenever the one there is is in doubt.
func (o *ordered) watch(ctx context.Context) {
	defer close(o.done)
	look := time.NewTicker(2*followBeat + followBeat/2)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			o.turn.Lock()
			alive := o.alive
			o.alive = false
			o.turn.Unlock()
			if alive {
				continue
			}
		case <-o.kick:
		}
		for wait := followRetry; ; wait = min(2*wait, followPatient) {
			err := o.again(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			o.b.log.Warn("bus.follow", "stream", o.stream, "filter", o.filter, "err", err)
			pause := time.NewTimer(wait)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return
			}
		}
	}
}

func (o *ordered) again(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	epoch, last, err := o.b.StreamState(ctx, o.stream)
	if err != nil {
		return err
	}
	o.place(epoch, last)
	return o.attach(ctx)
}

// place moves next to where the stream of that epoch, whose last message is
// last, goes on for this follower.
func (o *ordered) place(epoch string, last uint64) {
	o.turn.Lock()
	defer o.turn.Unlock()
	if epoch != o.epoch { // another stream: everything in it is new
		o.epoch, o.next = epoch, 1
	} else if last+1 < o.next { // the same one, which has lost its end in a crash
		o.next = last + 1
	}
}

// attach makes a consumer that starts at next and listens to it in place of
// the one before.
func (o *ordered) attach(ctx context.Context) error {
	o.turn.Lock()
	o.gen++
	gen, next, old := o.gen, o.next, o.sub
	o.last, o.alive, o.sub = 0, true, nil
	o.turn.Unlock()
	if old != nil {
		// The server drops its consumer when nobody hears it.
		if err := old.Unsubscribe(); err != nil && o.b.nc.IsClosed() {
			return err
		}
	}
	inbox := o.b.nc.NewInbox()
	sub, err := o.b.nc.Subscribe(inbox, func(m *nats.Msg) { o.deliver(gen, m) })
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil { // flow control bounds what is on the way
		return fmt.Errorf("follow: %w", err)
	}
	_, err = o.b.js.CreatePushConsumer(ctx, o.stream, jetstream.ConsumerConfig{
		Name: nuid.Next(), FilterSubject: o.filter, DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next,
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1, IdleHeartbeat: followBeat, FlowControl: true, InactiveThreshold: followIdle,
		MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		// Of a consumer that was made all the same nobody will hear.
		return fmt.Errorf("follow: %w", errors.Join(err, sub.Unsubscribe()))
	}
	o.turn.Lock()
	defer o.turn.Unlock()
	if o.gen == gen && !o.over {
		o.sub = sub
		return nil
	}
	return sub.Unsubscribe()
}

// deliver takes one message of the consumer of the generation.
func (o *ordered) deliver(gen int, m *nats.Msg) {
	o.turn.Lock()
	defer o.turn.Unlock()
	if gen != o.gen || o.over {
		return
	}
	o.alive = true
	if len(m.Data) == 0 && get(m.Header, "Status") == "100" {
		o.control(m)
		return
	}
	md, err := m.Metadata()
	if err != nil {
		o.b.log.Warn("bus.follow", "stream", o.stream, "filter", o.filter, "err", err)
		return
	}
	if md.Sequence.Consumer != o.last+1 {
		o.reset()
		return
	}
	o.last, o.next = md.Sequence.Consumer, md.Sequence.Stream+1
	o.handle(m, md.Sequence.Stream, md.Timestamp)
}

// control answers flow control and compares what a beat says was delivered
// with what arrived.
func (o *ordered) control(m *nats.Msg) {
	if m.Reply != "" {
		if err := o.b.nc.Publish(m.Reply, nil); err != nil {
			o.b.log.Warn("bus.follow", "stream", o.stream, "filter", o.filter, "err", err)
		}
		return
	}
	if stalled := get(m.Header, "Nats-Consumer-Stalled"); stalled != "" {
		if err := o.b.nc.Publish(stalled, nil); err != nil {
			o.b.log.Warn("bus.follow", "stream", o.stream, "filter", o.filter, "err", err)
		}
	}
	if said := get(m.Header, "Nats-Last-Consumer"); said != "" && said != itoa(int64(o.last)) { //nolint:gosec // G115: a count of messages
		o.reset()
	}
}

// stop ends it and returns when the handler will not be called any more, or
// when ctx ends.
func (o *ordered) stop(ctx context.Context) error {
	o.forget()
	o.cancel()
	ended := make(chan error, 1)
	go func() {
		<-o.done
		o.turn.Lock()
		defer o.turn.Unlock()
		o.over = true
		if o.sub == nil {
			ended <- nil
			return
		}
		err := o.sub.Unsubscribe()
		o.sub = nil
		if o.b.nc.IsClosed() {
			err = nil
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("follow %s: a handler did not finish: %w", o.filter, context.Cause(ctx))
	}
}
