package app

import (
	"context"
	"fmt"
	"sync"
)

// failure is the first failure of parts that had started: the one that counts.
type failure struct {
	mu    sync.Mutex
	err   error
	abort context.CancelCauseFunc // ends what is starting; nil when nothing is
	done  chan struct{}           // closed by the failure
}

func newFailure() *failure { return &failure{done: make(chan struct{})} }

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = err
	close(f.done)
	if f.abort != nil {
		f.abort(err)
	}
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// abortWith has a failure call abort until started is called, which returns
// the failure that there was.
func (f *failure) abortWith(abort context.CancelCauseFunc) (started func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		abort(f.err)
	}
	f.abort = abort
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.abort = nil
		return f.err
	}
}

// follow takes the first error of a part that can fail after its start, until
// done is closed.
func follow(p Part, to *failure, done <-chan struct{}, watchers *sync.WaitGroup) {
	f, ok := p.(Failer)
	if !ok || f.Failed() == nil {
		return
	}
	watchers.Go(func() {
		select {
		case err := <-f.Failed():
			if err != nil {
				to.set(fmt.Errorf("%s: %w", p.Name(), err))
			}
		case <-done:
		}
	})
}
