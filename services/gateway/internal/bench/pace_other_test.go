//go:build !linux

package bench

import (
	"testing"
	"time"
)

// ticker beats every interval, as well as Go's timers can.
type ticker struct {
	interval time.Duration
	next     time.Time
}

func newTicker(_ testing.TB, interval time.Duration) *ticker {
	return &ticker{interval, time.Now().Add(interval)}
}

// wait returns how many beats are due, at least one.
func (t *ticker) wait(testing.TB) int {
	time.Sleep(time.Until(t.next)) // the pace itself; nothing is waited for
	n := 1 + int(time.Since(t.next)/t.interval)
	t.next = t.next.Add(time.Duration(n) * t.interval)
	return n
}

func (t *ticker) stop() {}
