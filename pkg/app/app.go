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
// in reverse within stopWithin. It returns nil when it was asked to stop and
// everything stopped; otherwise the failures, joined. When a part failed after
// its start, that alone is returned, and what could not be stopped is logged.
func Run(ctx context.Context, log *slog.Logger, stopWithin time.Duration, groups ...[]Part) error {
	r := &runner{log: log, failed: make(chan error, 1), done: make(chan struct{})}
	// Work must outlive the request to stop, so that stopping has an order.
	life, endLife := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endLife(nil)
	detach := context.AfterFunc(ctx, func() { endLife(context.Cause(ctx)) })

	err := r.startAll(ctx, life, groups)
	var failure error
	if detach() && err == nil {
		select {
		case <-ctx.Done():
		case failure = <-r.failed:
		}
	} else if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled)) {
		err = nil // asked to stop while starting: not a failure
	}
	close(r.done)
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	stopping := r.stopAll(stopCtx)
	r.watchers.Wait()
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
	started  [][]Part // by group, in order of start
	failed   chan error
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
// those that started, whether or not another failed.
func (r *runner) startGroup(ctx context.Context, group []Part) error {
	errs := make([]error, len(group))
	var wg sync.WaitGroup
	for i, p := range group {
		wg.Go(func() {
			began := time.Now()
			if err := p.Start(ctx); err != nil {
				errs[i] = fmt.Errorf("start %s: %w", p.Name(), err)
				return
			}
			r.log.DebugContext(ctx, "part.started", "part", p.Name(), "ms", time.Since(began).Milliseconds())
		})
	}
	wg.Wait()
	var up []Part
	for i, p := range group {
		if errs[i] == nil {
			up = append(up, p)
			r.watch(p)
		}
	}
	r.started = append(r.started, up)
	return errors.Join(errs...)
}

func (r *runner) watch(p Part) {
	f, ok := p.(Failer)
	if !ok || f.Failed() == nil {
		return
	}
	r.watchers.Go(func() {
		select {
		case err := <-f.Failed():
			if err == nil {
				return
			}
			select {
			case r.failed <- fmt.Errorf("%s: %w", p.Name(), err):
			default: // the first failure is the one that counts
			}
		case <-r.done:
		}
	})
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
