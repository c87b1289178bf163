package limit

import (
	"fmt"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestCallsAboveTheLimitAreRefusedUntilTheStatedTime(t *testing.T) {
	t.Parallel()
	l := New(100)
	key := Key{"login", "10.0.0.1"}
	for i := range 5 {
		d := l.Take(start, key, 5, time.Hour)
		if !d.OK || d.Remaining != 4-i || d.Limit != 5 {
			t.Fatalf("call %d: %+v", i, d)
		}
	}
	d := l.Take(start.Add(time.Minute), key, 5, time.Hour)
	if d.OK || d.Wait <= 0 || d.Remaining != 0 {
		t.Fatalf("sixth call: %+v", d)
	}
	again := start.Add(time.Minute).Add(d.Wait)
	if early := l.Take(again.Add(-time.Second), key, 5, time.Hour); early.OK {
		t.Error("passed before the stated time")
	}
	if d := l.Take(again, key, 5, time.Hour); !d.OK {
		t.Errorf("at the stated time: %+v", d)
	}
}

func TestNoWindowHoldsMoreThanTheLimitAndASlack(t *testing.T) {
	t.Parallel()
	l := New(100)
	key := Key{"r", "w"}
	var passed []time.Time
	for now := start; now.Before(start.Add(10 * time.Minute)); now = now.Add(700 * time.Millisecond) {
		if l.Take(now, key, 10, time.Minute).OK {
			passed = append(passed, now)
		}
	}
	for i := range passed {
		n := 0
		for _, at := range passed[i:] {
			if at.Sub(passed[i]) < time.Minute {
				n++
			}
		}
		if n > 15 {
			t.Fatalf("%d calls within a minute of %v, the limit is 10", n, passed[i])
		}
	}
	if len(passed) < 90 {
		t.Errorf("%d calls in ten minutes, want about 100", len(passed))
	}
}

func TestCallersDoNotShareACounter(t *testing.T) {
	t.Parallel()
	l := New(100)
	l.Take(start, Key{"r", "a"}, 1, time.Minute)
	if d := l.Take(start, Key{"r", "b"}, 1, time.Minute); !d.OK {
		t.Errorf("%+v", d)
	}
	if d := l.Take(start, Key{"r2", "a"}, 1, time.Minute); !d.OK {
		t.Errorf("%+v", d)
	}
}

func TestAnIdleCallerStartsAfresh(t *testing.T) {
	t.Parallel()
	l := New(100)
	key := Key{"r", "a"}
	for range 3 {
		l.Take(start, key, 3, time.Minute)
	}
	if d := l.Take(start.Add(3*time.Minute), key, 3, time.Minute); !d.OK || d.Remaining != 2 {
		t.Errorf("%+v", d)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l := New(64)
	for i := range 10_000 {
		l.Take(start.Add(time.Duration(i)*time.Millisecond), Key{"r", fmt.Sprint(i)}, 3, time.Second)
	}
	n := 0
	for i := range l.shards {
		n += len(l.shards[i].at)
	}
	if n > 64+shards {
		t.Errorf("%d counters kept", n)
	}
	full := New(1)
	for i := range 100 {
		full.Take(start, Key{"r", fmt.Sprint(i)}, 3, time.Hour)
	}
}

func BenchmarkTake(b *testing.B) {
	l := New(1000)
	for i := 0; b.Loop(); i++ {
		l.Take(start.Add(time.Duration(i)*time.Microsecond), Key{"r", "user:7"}, 1_000_000, time.Minute)
	}
}
