package user

import (
	"testing"
	"time"
)

var (
	monday   = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	throttle = Throttle{Failures: 5, Window: 15 * time.Minute, Lock: 15 * time.Minute, MaxLock: 24 * time.Hour}
	ceiling  = Throttle{Failures: 20, Window: 15 * time.Minute, Lock: time.Minute, MaxLock: 24 * time.Hour}
)

func TestFifthFailureWithinTheWindowLocks(t *testing.T) {
	t.Parallel()
	var a Attempts
	for i := range 5 {
		if wait := a.Wait(monday); wait != 0 {
			t.Fatalf("locked for %v after %d failures", wait, i)
		}
		a = throttle.Fail(a, monday.Add(time.Duration(i)*time.Minute))
	}
	end := monday.Add(4*time.Minute + 15*time.Minute)
	if a.Wait(monday.Add(4*time.Minute)) != 15*time.Minute || a.Wait(end) != 0 {
		t.Fatalf("locked until %v, want %v", a.LockedUntil, end)
	}
}

func TestFailuresOutsideTheWindowDoNotAddUp(t *testing.T) {
	t.Parallel()
	var a Attempts
	at := monday
	for range 50 {
		a = throttle.Fail(a, at)
		at = at.Add(4 * time.Minute) // the window closes after the fourth
		if a.Wait(at) > 0 {
			t.Fatal("locked")
		}
	}
}

func TestEachLockIsTwiceAsLongUpToTheLongest(t *testing.T) {
	t.Parallel()
	var a Attempts
	at := monday
	for i, want := range []time.Duration{
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour,
	} {
		for range throttle.Failures {
			a = throttle.Fail(a, at)
		}
		if got := a.Wait(at); got != want {
			t.Fatalf("lock %d = %v, want %v", i+1, got, want)
		}
		at = a.LockedUntil
	}
	a.Locks = 1 << 30
	for range throttle.Failures {
		a = throttle.Fail(a, at)
	}
	if got := a.Wait(at); got != 24*time.Hour {
		t.Fatalf("lock after very many = %v, want 24h", got)
	}
}

func TestRecordOutlivesTheLongestLock(t *testing.T) {
	t.Parallel()
	if got := throttle.Forgets(); got <= throttle.MaxLock {
		t.Fatalf("forgotten after %v, a lock may last %v", got, throttle.MaxLock)
	}
}
