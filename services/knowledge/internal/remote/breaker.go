package remote

import (
	"sync"
	"time"
)

// The breaker opens after patience failures in a row, for rest at first and twice
// as long each time that it does not help, up to longest.
const (
	patience = 5
	rest     = 30 * time.Second
	longest  = 5 * time.Minute
)

// breaker keeps calls from a service that fails. While it is open one call at a
// time tries, when the time has come.
type breaker struct {
	mu      sync.Mutex
	failed  int
	pause   time.Duration // that it is open for; 0: closed
	until   time.Time
	probing bool
}

// admit reports whether a call may be made; probe says that all depends on it.
func (b *breaker) admit(now time.Time) (ok, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.pause == 0:
		return true, false
	case b.probing || now.Before(b.until):
		return false, false
	}
	b.probing = true
	return true, true
}

// end is how an admitted call ended. One that the caller took back says nothing of
// the service.
func (b *breaker) end(now time.Time, probe, failed, taken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch {
	case taken:
	case !failed:
		b.failed, b.pause = 0, 0
	default:
		if b.failed++; b.failed >= patience || probe {
			b.pause = min(max(2*b.pause, rest), longest)
			b.until = now.Add(b.pause)
		}
	}
}
