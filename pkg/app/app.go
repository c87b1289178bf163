package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Part is something that runs between a start and a stop.
//
// Start returns when the part is ready, or with the reason why it is not. Stop
// returns when nothing of the part runs any more or ctx has ended; it is called
// once, and only after a Start that succeeded.
type Part interface {
	Name() string
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Failer is a part that can fail after its start. The first error received
// ends the process; a closed channel without an error means nothing.
type Failer interface {
	Failed() <-chan error
}

// Func makes a part of two functions. Either may be nil.
func Func(name string, start, stop func(context.Context) error) Part {
	return &funcPart{name: name, start: start, stop: stop}
}

type funcPart struct {
	name        string
	start, stop func(context.Context) error
}

func (p *funcPart) Name() string { return p.name }

func (p *funcPart) Start(ctx context.Context) error {
	if p.start == nil {
		return nil
	}
	return p.start(ctx)
}

func (p *funcPart) Stop(ctx context.Context) error {
	if p.stop == nil {
		return nil
	}
	return p.stop(ctx)
}

// Run starts the groups, waits until ctx ends or a part fails, and stops all
// in reverse within stopWithin. The first failure while a group starts, of a
// Start or of a part that runs already, ends the context of the group's other
// Starts. Run returns nil when it was asked to stop and everything stopped;
// otherwise the failures, joined. When a part failed after its start, that
// alone is returned, and what came of it is logged.
func Run(ctx context.Context, log *slog.Logger, stopWithin time.Duration, groups ...[]Part) error {
	r := &runner{log: log, failure: newFailure(), done: make(chan struct{})}
	// Work must outlive the request to stop, so that stopping has an order.
	life, endLife := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endLife(nil)
	detach := context.AfterFunc(ctx, func() { endLife(context.Cause(ctx)) })

	err := r.startAll(ctx, life, groups)
	var failure error
	if detach() && err == nil {
		select {
		case <-ctx.Done():
		case <-r.failure.done:
		}
		failure = r.failure.get()
	} else if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled)) {
		err = nil // asked to stop while starting: not a failure
	}
	close(r.done)
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	stopping := r.stopAll(stopCtx)
	r.watchers.Wait()
	if failure == nil && err != nil && errors.Is(err, r.failure.get()) { // while others started
		failure = err
	}
	if failure != nil {
		if stopping != nil { // most likely a consequence
			log.WarnContext(stopCtx, "part.stop", "err", stopping)
		}
		return failure
	}
	return errors.Join(err, stopping)
}

type runner struct {
	log      *slog.Logger
	started  [][]Part      // by group, in order of start
	failure  *failure      // of a part that had started
	done     chan struct{} // closed when stopping begins
	watchers sync.WaitGroup
}

func (r *runner) startAll(asked, life context.Context, groups [][]Part) error {
	for _, group := range groups {
		if asked.Err() != nil {
			return context.Cause(asked)
		}
		if err := r.startGroup(life, group); err != nil {
			return err
		}
	}
	return nil
}

// startGroup starts the parts of one group at the same time and remembers
// those that started, whether or not another failed. The context is the
// group's own: the parts of earlier groups work until it is their turn to stop.
func (r *runner) startGroup(ctx context.Context, group []Part) error {
	ctx, abort := context.WithCancelCause(ctx)
	started := r.failure.abortWith(abort)
	errs := make([]error, len(group))
	var wg sync.WaitGroup
	for i, p := range group {
		wg.Go(func() {
			began := time.Now()
			if err := p.Start(ctx); err != nil {
				errs[i] = fmt.Errorf("start %s: %w", p.Name(), err)
				abort(errs[i])
				return
			}
			r.log.DebugContext(ctx, "part.started", "part", p.Name(), "ms", time.Since(began).Milliseconds())
			follow(p, r.failure, r.done, &r.watchers)
		})
	}
	wg.Wait()
	failed := started()
	var up []Part
	for i, p := range group {
		if errs[i] == nil {
			up = append(up, p)
		}
	}
	r.started = append(r.started, up)
	first := context.Cause(ctx)
	if failed == nil || first != failed { //nolint:errorlint // the very error: what failed after the first is a consequence
		return reasons(first, errs)
	}
	if err := errors.Join(errs...); err != nil { // most likely consequences
		r.log.WarnContext(ctx, "part.start", "err", err)
	}
	return failed
}

// reasons joins the errors, without those that only say that the first of them
// cut a Start short.
func reasons(first error, errs []error) error {
	var out []error
	for _, err := range errs {
		if err == nil || err != first && (errors.Is(err, first) || errors.Is(err, context.Canceled)) { //nolint:errorlint // the very error, not one that wraps it
			continue
		}
		out = append(out, err)
	}
	if len(out) == 0 { // cut short from outside
		return errors.Join(errs...)
	}
	return errors.Join(out...)
}

func (r *runner) stopAll(ctx context.Context) error {
	var errs []error
	for i := len(r.started) - 1; i >= 0; i-- {
		errs = append(errs, stopGroup(ctx, r.log, r.started[i]))
	}
	return errors.Join(errs...)
}

func stopGroup(ctx context.Context, log *slog.Logger, group []Part) error {
	errs := make([]error, len(group))
	var wg sync.WaitGroup
	for i, p := range group {
		wg.Go(func() {
			began := time.Now()
			if err := stopOne(ctx, p); err != nil {
				errs[i] = fmt.Errorf("stop %s: %w", p.Name(), err)
				return
			}
			log.DebugContext(ctx, "part.stopped", "part", p.Name(), "ms", time.Since(began).Milliseconds())
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stopOne gives up on a part that ignores the deadline: its goroutine ends
// with the process.
func stopOne(ctx context.Context, p Part) error {
	done := make(chan error, 1)
	go func() { done <- p.Stop(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // it noticed the deadline too
		return err
	case <-time.After(grace):
		return errors.New("did not stop in time")
	}
}

// grace is what a part gets after the deadline to return from Stop.
const grace = 250 * time.Millisecond
