package app

import "context"

// Loop is what a part embeds that works in a goroutine of its own until it is
// stopped. The zero value is ready for use; it is started once.
type Loop struct {
	stop context.CancelFunc
	done chan struct{}
}

// Go has run work beside the caller. Its context ends with [Loop.Stop], and not with
// the start of the process.
func (l *Loop) Go(ctx context.Context, run func(ctx context.Context)) {
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		run(ctx)
	}()
}

// Stop cuts the work short and waits until it has ended, or returns why ctx has. A
// loop that was not started has ended.
func (l *Loop) Stop(ctx context.Context) error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
