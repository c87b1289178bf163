package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

const (
	// heldLook is how often the rows are looked at for those that another process
	// has left, heldLease for how long a try is one process's.
	heldLook  = 5 * time.Second
	heldLease = 2 * time.Minute
	// heldLanes is how many lanes are tried at a time, heldRun how many facts of
	// one before the others have their turn.
	heldLanes = 4
	heldRun   = 64
)

// heldLane is who tries the facts of one kind that wait.
type heldLane struct {
	consumer *Consumer
	handle   func(ctx context.Context, d *Delivery) error
}

// errBehind says that an earlier fact of the project waits.
var errBehind = errors.New("an earlier fact of the project waits")

// aside takes a fact that cannot be handled now out of the way of the other
// projects: it waits in a row, and what comes later of its project and kind waits
// behind it, so that the order is kept. While that cannot be written the fact
// keeps its place in the stream.
func (in *Inbox) aside(ctx context.Context, c ConsumerConfig, d *Delivery, err error) error {
	if err == nil || errors.As(err, new(*dropped)) || errors.As(err, new(*buried)) || errors.Is(context.Cause(ctx), errStopped) {
		return err
	}
	a, perr := parseSubject(d.Subject)
	if perr != nil {
		return err
	}
	h := outbox.Held{Consumer: c.Durable, Seq: int64(d.Sequence), StoredNS: d.Time.UnixNano(), Subject: d.Subject, Data: d.Data} //nolint:gosec // G115: a stream does not count that far
	var wait time.Duration
	if !errors.Is(err, errBehind) {
		var again bool
		if wait, again = after(c, &h, err, 0); !again {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackWithin)
	defer cancel()
	herr := in.c.DB.InTenant(ctx, a.project, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Hold(ctx, tx, h, d.Header, wait, reason(err))
	})
	if herr != nil {
		in.b.log.WarnContext(ctx, "bus.hold", "consumer", c.Durable, "seq", d.Sequence, "err", herr)
	}
	switch {
	case errors.Is(herr, outbox.ErrManyHeld):
		return Bury(fmt.Errorf("%w: %w", herr, err))
	case herr != nil && errors.Is(err, errBehind):
		return errs.Wrap(errs.Unavailable, herr, "an earlier fact of the project waits")
	case herr != nil:
		return err
	}
	d.outcome = "held"
	d.Note(slog.String("why", reason(err)))
	select {
	case in.kick <- struct{}{}:
	default:
	}
	return nil
}

// after counts a try that failed, and says when the next one is; again is false
// when there is none.
func after(c ConsumerConfig, h *outbox.Held, err error, age time.Duration) (wait time.Duration, again bool) {
	var later *delayed
	if !errors.As(err, &later) && errs.KindOf(err) == errs.Unavailable {
		if h.Waits++; age >= c.Patience {
			return 0, false
		}
		return awayFor(c.Backoff, h.Waits, err), true
	}
	if h.Tries++; h.Tries >= c.Attempts {
		return 0, false
	}
	if later != nil {
		return later.d, true
	}
	return c.Backoff[min(h.Tries, len(c.Backoff))-1], true
}

// release tries what waits in rows, lane by lane, until ctx ends.
func (in *Inbox) release(ctx context.Context) {
	durables := make([]string, 0, len(in.lanes))
	for d := range in.lanes {
		durables = append(durables, d)
	}
	for {
		next := heldLook
		var all []outbox.Lane
		err := in.c.DB.AcrossProjects(ctx, "facts that wait", func(ctx context.Context, tx *sqlx.Tx) (err error) {
			all, err = outbox.Lanes(ctx, tx, durables, 256)
			return err
		})
		if err != nil && ctx.Err() == nil {
			in.b.log.WarnContext(ctx, "bus.held", "err", err)
		}
		var wg sync.WaitGroup
		var failed atomic.Bool
		places := make(chan struct{}, heldLanes)
		for _, l := range all {
			if l.Due > 0 {
				next = min(next, time.Duration(l.Due*float64(time.Second))+time.Millisecond)
				continue
			}
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				if !in.lane(ctx, l) {
					failed.Store(true)
				}
			})
			next = 0
		}
		wg.Wait()
		if failed.Load() {
			next = time.Second
		}
		if next == 0 && ctx.Err() == nil {
			continue
		}
		t := time.NewTimer(next)
		select {
		case <-t.C:
		case <-in.kick:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// lane tries what is due of one lane, in order. It is false when the database did
// not let it.
func (in *Inbox) lane(ctx context.Context, l outbox.Lane) bool {
	for range heldRun {
		var h outbox.Held
		var found bool
		err := in.c.DB.InTenant(ctx, l.Project, func(ctx context.Context, tx *sqlx.Tx) (err error) {
			h, found, err = outbox.NextHeld(ctx, tx, l.Consumer, heldLease)
			return err
		})
		if err == nil && found {
			err = in.try(ctx, l.Project, h)
		}
		if err != nil && ctx.Err() == nil {
			in.b.log.WarnContext(ctx, "bus.held", "consumer", l.Consumer, "project", l.Project.Token(), "err", err)
		}
		if err != nil || !found || ctx.Err() != nil {
			return err == nil
		}
	}
	return true
}

// try handles one fact that waited. What is returned is that it could not be
// written down how that went.
func (in *Inbox) try(run context.Context, p tenant.Project, h outbox.Held) error {
	began := time.Now()
	c := in.lanes[h.Consumer]
	d := &Delivery{
		Subject: h.Subject, Data: h.Data, Sequence: uint64(h.Seq), Time: time.Unix(0, h.StoredNS), //nolint:gosec // G115: it was one
		Attempt: h.Tries + 1, Delivered: h.Begun, waited: h.Waits,
	}
	if err := json.Unmarshal(h.Headers, &d.Header); err != nil {
		return err
	}
	ctx := in.b.prop.Extract(run, headerCarrier(d.Header))
	var err error
	if h.Begun > h.Tries+h.Waits+crashes {
		err = Bury(fmt.Errorf("it began %d times without an end", h.Begun-h.Tries-h.Waits))
	} else {
		err = guarded(context.WithValue(ctx, heldKey{}, h), d, c.handle)
	}
	outcome, kept := "ok", error(nil)
	write := func(fn func(ctx context.Context, tx *sqlx.Tx) error) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackWithin)
		defer cancel()
		return in.c.DB.InTenant(ctx, p, fn)
	}
	wait, again := time.Duration(0), false
	switch {
	case err == nil: // what was handled has left with its effect
		if d.outcome != "" {
			outcome = d.outcome
		}
	case errors.Is(context.Cause(run), errStopped):
		h.Begun--
		outcome, again = "stopped", true
	case errors.As(err, new(*dropped)):
		outcome = "dropped"
		kept = write(func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Unhold(ctx, tx, h) })
	default:
		if !errors.As(err, new(*buried)) {
			wait, again = after(c.consumer.c, &h, err, time.Duration(h.Age*float64(time.Second)))
		}
		outcome = "held"
		if !again {
			outcome = "dead"
			if kept = in.b.bury(ctx, c.consumer.c, d, err); kept == nil {
				kept = write(func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Unhold(ctx, tx, h) })
			}
		}
	}
	if again {
		kept = write(func(ctx context.Context, tx *sqlx.Tx) error { return outbox.KeepHeld(ctx, tx, h, wait, reason(err)) })
	}
	in.b.m.consumed.WithLabelValues(h.Consumer, outcome).Observe(time.Since(began).Seconds())
	attrs := append([]slog.Attr{slog.String("consumer", h.Consumer), slog.String("subject", d.Subject), slog.Uint64("seq", d.Sequence),
		slog.Int("attempt", d.Attempt), slog.String("outcome", outcome)}, d.attrs...)
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	in.b.log.LogAttrs(ctx, level, c.consumer.c.Line, attrs...)
	return kept
}

// heldKey is under what a try carries the row that it is of.
type heldKey struct{}

// unhold removes the row of a fact that waited, in the transaction of its effect.
// What did not wait is held back while an earlier one does.
func unhold(ctx context.Context, tx *sqlx.Tx, durable string, ordered bool) error {
	if h, ok := ctx.Value(heldKey{}).(outbox.Held); ok {
		return outbox.Unhold(ctx, tx, h)
	}
	if !ordered {
		return nil
	}
	held, err := outbox.Holding(ctx, tx, durable)
	if err == nil && held {
		err = errBehind
	}
	return err
}
