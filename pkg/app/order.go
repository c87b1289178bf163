package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// InOrder makes one part of several that start one after another and stop in
// reverse. When one fails to start, those before it are stopped again.
func InOrder(name string, parts ...Part) Part {
	return &inOrder{name: name, parts: parts, failed: make(chan error, 1), done: make(chan struct{})}
}

type inOrder struct {
	name    string
	parts   []Part
	started []Part
	failed  chan error
	done    chan struct{}
	watch   sync.WaitGroup
}

func (o *inOrder) Name() string { return o.name }

func (o *inOrder) Start(ctx context.Context) error {
	for _, p := range o.parts {
		err := ctx.Err()
		if err != nil {
			err = context.Cause(ctx)
		} else {
			err = p.Start(ctx)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.Name(), err), o.Stop(context.WithoutCancel(ctx)))
		}
		o.started = append(o.started, p)
		o.follow(p)
	}
	return nil
}

func (o *inOrder) follow(p Part) {
	f, ok := p.(Failer)
	if !ok || f.Failed() == nil {
		return
	}
	o.watch.Go(func() {
		select {
		case err := <-f.Failed():
			if err == nil {
				return
			}
			select {
			case o.failed <- fmt.Errorf("%s: %w", p.Name(), err):
			default:
			}
		case <-o.done:
		}
	})
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
