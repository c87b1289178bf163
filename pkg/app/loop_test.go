package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/app"
)

func TestALoopRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	var l app.Loop
	if err := l.Stop(t.Context()); err != nil {
		t.Errorf("one that was not started: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stubborn, ended := make(chan struct{}), make(chan error, 1)
	l.Go(ctx, func(ctx context.Context) {
		<-ctx.Done()
		<-stubborn
		ended <- context.Cause(ctx)
	})
	cancel() // the start is over
	select {
	case err := <-ended:
		t.Fatalf("it ended with the start: %v", err)
	default:
	}
	gone, give := context.WithCancelCause(t.Context())
	late := errors.New("too late")
	give(late)
	if err := l.Stop(gone); !errors.Is(err, late) {
		t.Errorf("one that does not end in time: %v", err)
	}
	close(stubborn)
	if err := l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("its context: %v", err)
	}
}
