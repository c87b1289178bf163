package bench

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// paced calls once per interval for a while, from as many goroutines as there
// are calls under way, at most limit. It returns how long each call took from
// its sending. A call whose time has come while limit are under way is left
// out and counted: an open loop does not wait for answers.
func paced(tb testing.TB, interval, during time.Duration, limit int, call func() error) (took []time.Duration, left int, failed error) {
	tb.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, limit)
	jobs := make(chan struct{}, limit)
	for range limit {
		group.Go(func() {
			mine := make([]time.Duration, 0, 1024)
			var err error
			for range jobs {
				began := time.Now()
				if e := call(); e != nil {
					err = e
				}
				mine = append(mine, time.Since(began))
				<-slots
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if failed == nil {
				failed = err
			}
		})
	}
	beat := newTicker(tb, interval)
	defer beat.stop()
	for began := time.Now(); time.Since(began) < during; {
		for range beat.wait(tb) {
			select {
			case slots <- struct{}{}:
				jobs <- struct{}{}
			default:
				left++
			}
		}
	}
	close(jobs)
	group.Wait()
	return took, left, failed
}

// quantile is the value below which the share q lies.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// cpu is the processor time that this process has used. Per call it says what
// waiting for a busy machine cannot blur.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, name string, took []time.Duration, used time.Duration) (p50, p99 time.Duration) {
	slices.Sort(took)
	p50, p99 = quantile(took, 0.50), quantile(took, 0.99)
	b.Logf("%-22s %7d calls   p50 %8s   p90 %8s   p99 %8s   processor %6s a call", name, len(took), p50.Round(time.Microsecond),
		quantile(took, 0.90).Round(time.Microsecond), p99.Round(time.Microsecond), (used / time.Duration(max(len(took), 1))).Round(time.Microsecond))
	return p50, p99
}
