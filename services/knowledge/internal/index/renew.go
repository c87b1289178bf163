package index

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// renewal is the work on indexes that are made anew beside those that answer.
type renewal struct {
	turn    chan struct{} // one at a time: each is a second index in memory
	work    sync.WaitGroup
	stopped chan struct{}
	stop    func()
}

func newRenewal() renewal {
	stopped := make(chan struct{})
	return renewal{turn: make(chan struct{}, 1), stopped: stopped, stop: sync.OnceFunc(func() { close(stopped) })}
}

// renewing is what a book's own renewal is at.
type renewing struct {
	on    bool
	after time.Time // no other one before
}

// Times of a renewal.
const (
	renewDeadline = 30 * time.Minute
	renewRetry    = 10 * time.Second
)

// review has the index of a book made anew in the background when the project has
// set other languages. The one that is there answers meanwhile.
func (l *Library) review(ctx context.Context, p tenant.Project, b *book, x *Index) {
	if !x.stale() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shelf[p] != b || b.renew.on || time.Now().Before(b.renew.after) || l.closed() {
		return
	}
	b.renew.on = true
	ctx = context.WithoutCancel(ctx)
	l.renewal.work.Go(func() {
		began := time.Now()
		err := l.renew(ctx, p, b)
		l.mu.Lock()
		b.renew.on = false
		if err != nil {
			b.renew.after = time.Now().Add(renewRetry)
		}
		l.mu.Unlock()
		if l.Renewed != nil && !l.closed() {
			l.Renewed(p, time.Since(began), err)
		}
	})
}

func (l *Library) renew(ctx context.Context, p tenant.Project, b *book) error {
	ctx, cancel := context.WithTimeout(ctx, renewDeadline)
	defer cancel()
	go func() {
		select {
		case <-l.renewal.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	take := func(token chan struct{}) error {
		select {
		case token <- struct{}{}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := take(l.renewal.turn); err != nil {
		return err
	}
	defer func() { <-l.renewal.turn }()
	x, err := l.build(ctx, p)
	if err != nil {
		return fmt.Errorf("index of project %d: %w", p, err)
	}
	b.waiting.Add(1)
	err = take(b.load)
	b.waiting.Add(-1)
	if err != nil {
		x.Close()
		return err
	}
	defer func() { <-b.load }()
	// What changed meanwhile, so that searches never go back.
	if err := l.update(ctx, p, x); err != nil {
		x.Close()
		return fmt.Errorf("index of project %d: %w", p, err)
	}
	l.mu.Lock()
	gone := l.shelf[p] != b
	l.mu.Unlock()
	if gone {
		x.Close()
		return nil
	}
	b.torn = false
	l.weigh(b, x)
	return nil
}

func (l *Library) closed() bool {
	select {
	case <-l.renewal.stopped:
		return true
	default:
		return false
	}
}

// Close ends what is done in the background. The library can still be asked.
func (l *Library) Close() {
	l.mu.Lock() // nothing begins from here on
	l.renewal.stop()
	l.mu.Unlock()
	l.renewal.work.Wait()
}
