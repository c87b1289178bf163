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
		if !d.OK || d.Remaining != 4-i || d.Limit != 5 || d.Reset != time.Duration(i+1)*12*time.Minute {
			t.Fatalf("call %d: %+v", i, d)
		}
	}
	d := l.Take(start.Add(time.Minute), key, 5, time.Hour)
	if d.OK || d.Wait != 11*time.Minute || d.Remaining != 0 || d.Reset > time.Hour {
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

func TestACallThatIsGivenBackCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	l, key := New(100), Key{"register", "10.0.0.1"}
	for range 5 {
		l.Take(start, key, 5, time.Hour)
	}
	if d := l.Give(start, key, 5, time.Hour); !d.OK || d.Remaining != 1 || d.Reset != 48*time.Minute || d.Limit != 5 {
		t.Errorf("given back: %+v", d)
	}
	for i, ok := range []bool{true, false} {
		if d := l.Take(start, key, 5, time.Hour); d.OK != ok {
			t.Errorf("after that, call %d: %+v", i, d)
		}
	}
	// More than there is cannot be given back: a bucket holds no more than it does.
	for range 9 {
		l.Give(start, key, 5, time.Hour)
	}
	if d := l.Take(start, key, 5, time.Hour); d.Remaining != 4 {
		t.Errorf("of a full bucket: %+v", d)
	}
}

func TestABucketNeverGivesMoreThanItHoldsAndWhatHasFlownIn(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 7, 10, 60, 601} {
		l, key := New(100), Key{"r", "w"}
		passed := 0
		for now := start; !now.After(start.Add(10 * time.Minute)); now = now.Add(37 * time.Millisecond) {
			if l.Take(now, key, n, time.Minute).OK {
				passed++
			}
			most := float64(n) + float64(n)*now.Sub(start).Minutes() + 1e-3
			if float64(passed) > most {
				t.Fatalf("limit %d: %d calls after %v, want at most %.1f", n, passed, now.Sub(start), most)
			}
		}
		if want := 11 * n; passed < want-want/50-1 {
			t.Errorf("limit %d: %d calls in ten minutes, want about %d", n, passed, want)
		}
	}
}

func TestAtTheStatedResetAllCallsAreBack(t *testing.T) {
	t.Parallel()
	for name, pauses := range map[string][]time.Duration{
		"one call":          {0},
		"all at once":       {0, 0, 0, 0, 0},
		"now and then":      {0, 20 * time.Second, 7 * time.Second, 31 * time.Second},
		"more than allowed": {0, time.Second, time.Second, time.Second, time.Second, time.Second, time.Second},
	} {
		l, key, now := New(100), Key{"r", "w"}, start
		var d Decision
		for _, pause := range pauses {
			now = now.Add(pause)
			d = l.Take(now, key, 5, time.Minute)
		}
		if d.Reset <= 0 || d.Reset > time.Minute {
			t.Errorf("%s: reset in %v, the period is a minute", name, d.Reset)
		}
		if back := l.Take(now.Add(d.Reset), key, 5, time.Minute); back.Remaining != 4 {
			t.Errorf("%s: at the stated time %d calls are left after one, want 4", name, back.Remaining)
		}
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
