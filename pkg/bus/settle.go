package bus

import (
	"context"
	"errors"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// settle acknowledges, keeps, terminates or buries, and names the outcome.
func (c *Consumer) settle(ctx context.Context, e *entry, d *Delivery, err error) string {
	var drop *dropped
	var bury *buried
	var later *delayed
	report := func(step string, err error) {
		if err != nil { // the message comes again
			c.b.log.WarnContext(ctx, "bus."+step, "consumer", c.c.Durable, "seq", d.Sequence, "err", err)
		}
	}
	final := errors.As(err, &bury)
	switch {
	case err == nil:
		report("ack", c.acknowledge(ctx, e))
		c.hold.done(e)
		if d.outcome != "" {
			return d.outcome
		}
		return "ok"
	case errors.As(err, &drop):
		c.hold.done(e)
		report("term", e.m.TermWithReason(reason(err)))
		return "dropped"
	case errors.Is(context.Cause(ctx), errStopped):
		c.hold.done(e)
		report("nak", e.m.Nak())
		return "stopped"
	case final:
	case errors.As(err, &later):
		e.t.tries++
		final = e.t.tries >= c.c.Attempts
	case errs.KindOf(err) == errs.Unavailable && time.Since(e.t.first) < c.c.Patience:
		c.keep(e, c.away(e.t, err))
		return "waiting"
	default:
		e.t.tries++
		final = e.t.tries >= c.c.Attempts
	}
	if final {
		if c.c.Buried != nil {
			if berr := c.c.Buried(ctx, d, err); errs.KindOf(berr) == errs.Unavailable {
				report("bury", berr)
				c.keep(e, c.away(e.t, berr))
				return "waiting"
			} else if berr != nil {
				err = errors.Join(err, berr)
			}
		}
		if derr := c.b.bury(ctx, c.c, d, err); derr != nil {
			report("bury", derr)
			c.keep(e, 5*time.Second)
			return "retry"
		}
		c.hold.done(e)
		report("term", e.m.TermWithReason(reason(err)))
		return "dead"
	}
	wait := c.c.Backoff[min(e.t.tries, len(c.c.Backoff))-1]
	if later != nil {
		wait = later.d
	}
	c.keep(e, wait)
	return "retry"
}

// acknowledge returns when the server has taken the message off. Each removal
// from a stream that syncs costs as much as a message: a worker that did not wait
// for it would let them pile up, unseen by who gives more.
func (c *Consumer) acknowledge(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackWithin)
	defer cancel()
	return e.m.DoubleAck(ctx)
}

// keep holds a message for its next try, or gives it back when the part stops.
func (c *Consumer) keep(e *entry, wait time.Duration) {
	if !c.hold.again(e, wait) {
		c.giveBack(e.m, 0)
	}
}

// away is how long to wait for what a message needs.
func (c *Consumer) away(t *tally, err error) time.Duration {
	t.waits++
	return awayFor(c.c.Backoff, t.waits, err)
}

// awayFor is longer each time, and as long as the other side asks for, but not
// above a minute.
func awayFor(backoff []time.Duration, waits int, err error) time.Duration {
	n := len(backoff)
	wait := backoff[min(waits, n)-1]
	if over := waits - n; over > 0 {
		wait += wait * time.Duration(over) / 4
	}
	var e *errs.Error
	if errors.As(err, &e) {
		wait = max(wait, e.RetryAfter)
	}
	return min(wait, maxRetryAfter)
}

// reason is an error's text as the stream's advisories carry it.
func reason(err error) string {
	s := err.Error()
	if len(s) > 256 {
		s = s[:256]
	}
	return s
}
