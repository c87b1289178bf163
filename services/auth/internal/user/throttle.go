package user

import "time"

// Throttle says what repeated failures of one account cost: from one address,
// or from all.
type Throttle struct {
	Failures int           // so many within Window lock the account
	Window   time.Duration // in which failures add up
	Lock     time.Duration // the first lock; each further one is twice as long
	MaxLock  time.Duration // and never longer than this
}

// Attempts is what is remembered of failed logins for one e-mail address, whether
// or not there is an account. The zero value is a clean record.
type Attempts struct {
	Failures    int       // within the running window
	WindowFrom  time.Time // when it began
	LockedUntil time.Time // zero when never
	Locks       int       // in a row, without a login between
}

// Wait returns how long the account stays locked at now; zero when it is open.
func (a Attempts) Wait(now time.Time) time.Duration { return max(a.LockedUntil.Sub(now), 0) }

// Fail returns the record after one more failure at now.
func (t Throttle) Fail(a Attempts, now time.Time) Attempts {
	if a.Failures == 0 || now.Sub(a.WindowFrom) >= t.Window {
		a.Failures, a.WindowFrom = 0, now
	}
	a.Failures++
	if a.Failures < t.Failures {
		return a
	}
	lock := t.Lock
	for range a.Locks {
		if lock *= 2; lock >= t.MaxLock {
			break
		}
	}
	a.LockedUntil = now.Add(min(lock, t.MaxLock))
	a.Locks++
	a.Failures = 0
	return a
}

// Forgets returns how long after its last failure a record still counts: as
// long as a window or a lock can last, twice, so that waiting out one lock
// does not begin the next series at the shortest.
func (t Throttle) Forgets() time.Duration { return 2 * max(t.Window, t.MaxLock) }
