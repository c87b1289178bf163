package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrSignal is in the cause of a context that a signal ended.
var ErrSignal = errors.New("asked to stop")

// sameRequest is how long after a signal another one is taken for the same.
const sameRequest = 500 * time.Millisecond

// Signals returns a context that ends at the first interrupt or termination
// signal. The second one calls force, which main makes an exit: a stop that
// hangs must not hold a terminal. What follows the first within half a second
// is the same request once more: a terminal, make and timeout(1) each tell the
// process and its group. release ends the watching.
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
		first := time.Now()
		for {
			select {
			case <-ch:
				if time.Since(first) > sameRequest {
					force()
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		close(done)
		cancel(nil)
	}
}
