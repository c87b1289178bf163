package bus

import (
	"context"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// depthEvery is how often the depth of a service's queue is looked up, at most,
// while commands for it are given.
const depthEvery = time.Second

var errBacklog = errs.New(errs.Unavailable, "too many commands wait for the service").After(5 * time.Second)

// depth is what is known of the commands that wait for one service.
type depth struct {
	mu      sync.Mutex
	asked   time.Time // and answered
	asking  bool
	waiting uint64 // when it was looked up
	since   uint64 // given here after that
}

// Backlog reports whether so many commands wait for the service that it takes
// no more: errs.Unavailable, with a time to come back. It costs nothing: the
// depth is looked up beside it, about once a second, and what is given meanwhile
// is counted. Who has a file to store first asks before it does.
func (b *Bus) Backlog(service string) error {
	if b.maxBacklog <= 0 {
		return nil
	}
	d := b.depth(service)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.asking && time.Since(d.asked) > depthEvery && !b.closed.Load() {
		d.asking = true
		before := d.since
		b.asking.Go(func() { b.lookUp(service, d, before) })
	}
	if d.waiting+d.since >= uint64(b.maxBacklog) { //nolint:gosec // G115: above zero
		return errBacklog
	}
	return nil
}

// given counts a command that is about to be put on the stream.
func (b *Bus) given(service string) {
	if b.maxBacklog <= 0 {
		return
	}
	d := b.depth(service)
	d.mu.Lock()
	d.since++
	d.mu.Unlock()
}

func (b *Bus) depth(service string) *depth {
	if d, ok := b.depths.Load(service); ok {
		return d.(*depth)
	}
	d, _ := b.depths.LoadOrStore(service, &depth{})
	b.m.queues.add(b, StreamCommands, CommandDurable(service), service)
	return d.(*depth)
}

// lookUp asks the stream. What was given before is in its answer; what is given
// meanwhile may be, and is counted for another second.
func (b *Bus) lookUp(service string, d *depth, before uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	waiting, err := b.waiting(ctx, StreamCommands, CommandDurable(service))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked, d.asking = time.Now(), false
	if err != nil { // what was known stands, and so does what was counted; where the stream is away, putting fails
		if !b.closed.Load() {
			b.log.Warn("bus.backlog", "of", service, "err", err)
		}
		return
	}
	d.since -= before
	d.waiting = waiting
}
