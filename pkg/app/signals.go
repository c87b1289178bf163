package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// ErrSignal is in the cause of a context that a signal ended.
var ErrSignal = errors.New("asked to stop")

// Signals returns a context that ends at the first interrupt or termination
// signal. The second one calls force, which main makes an exit: a stop that
// hangs must not hold a terminal. release ends the watching.
func Signals(parent context.Context, force func()) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-ch:
			cancel(fmt.Errorf("%w by %s", ErrSignal, s))
		case <-done:
			return
		}
		select {
		case <-ch:
			force()
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel(nil)
	}
}
