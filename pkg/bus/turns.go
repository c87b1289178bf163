package bus

import (
	"context"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

const (
	// perProject is how many writes of one project to the streams of commands
	// are under way at a time. The stream syncs one after another, so that more
	// of them would not be faster, only in front of everybody else's.
	perProject = 2
	// mostCallers is how many calls of one project may have or want a place;
	// what is more is refused at once.
	mostCallers = 256
)

var errCrowded = errs.New(errs.RateLimited, "the project gives too many commands at once").After(time.Second)

// turns let the callers of one project wait for each other.
type turns struct {
	mu  sync.Mutex
	now map[tenant.Project]*queue
}

type queue struct {
	places  chan struct{}
	callers int // that have or want a place
}

// take waits for a place. end gives it back; twice is fine. Who has begun what
// it writes is not refused.
func (t *turns) take(ctx context.Context, p tenant.Project, begun bool) (end func(), err error) {
	t.mu.Lock()
	if t.now == nil {
		t.now = map[tenant.Project]*queue{}
	}
	q := t.now[p]
	if q == nil {
		q = &queue{places: make(chan struct{}, perProject)}
		t.now[p] = q
	}
	if q.callers >= mostCallers && !begun {
		t.mu.Unlock()
		return nil, errCrowded
	}
	q.callers++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if q.callers--; q.callers == 0 {
			delete(t.now, p)
		}
	}
	select {
	case q.places <- struct{}{}:
		return sync.OnceFunc(func() {
			<-q.places
			leave()
		}), nil
	case <-ctx.Done():
		leave()
		return nil, errs.Wrap(errs.Unavailable, context.Cause(ctx), "the project gives more commands than can be stored")
	}
}
