package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// undoWithin bounds the stop of what had started before a part that could not.
const undoWithin = 10 * time.Second

// InOrder makes one part of several that start one after another and stop in
// reverse. When one fails to start, or one before it fails meanwhile, those
// before it are stopped again, within ten seconds.
func InOrder(name string, parts ...Part) Part {
	return &inOrder{name: name, parts: parts, failure: newFailure(), failed: make(chan error, 1), done: make(chan struct{})}
}

type inOrder struct {
	name    string
	parts   []Part
	started []Part
	failure *failure
	failed  chan error
	done    chan struct{}
	watch   sync.WaitGroup
}

func (o *inOrder) Name() string { return o.name }

func (o *inOrder) Start(ctx context.Context) error {
	start, abort := context.WithCancelCause(ctx)
	started := o.failure.abortWith(abort)
	err := o.startAll(start)
	if failed := started(); failed != nil && context.Cause(start) == failed { //nolint:errorlint // the very error: what failed after the first is a consequence
		err = failed
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
		defer cancel()
		return errors.Join(err, o.Stop(undo))
	}
	o.watch.Go(func() {
		select {
		case <-o.failure.done:
			o.failed <- o.failure.get()
		case <-o.done:
		}
	})
	return nil
}

func (o *inOrder) startAll(ctx context.Context) error {
	for _, p := range o.parts {
		err := ctx.Err()
		if err != nil {
			err = context.Cause(ctx)
		} else {
			err = p.Start(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name(), err)
		}
		o.started = append(o.started, p)
		follow(p, o.failure, o.done, &o.watch)
	}
	return nil
}

func (o *inOrder) Stop(ctx context.Context) error {
	close(o.done)
	var errs []error
	for i := len(o.started) - 1; i >= 0; i-- {
		if err := stopOne(ctx, o.started[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.started[i].Name(), err))
		}
	}
	o.watch.Wait()
	return errors.Join(errs...)
}

func (o *inOrder) Failed() <-chan error { return o.failed }
