package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// locked is memory for many at once, with statuses by the time that they came.
type locked struct {
	memory
	turn sync.Mutex
	came map[string]map[Status]time.Time
}

func (l *locked) Atomically(ctx context.Context, fn func(context.Context) error) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	return fn(ctx)
}

func (l *locked) All(ctx context.Context) ([]Instance, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	return l.memory.All(ctx)
}

func (l *locked) Announce(ctx context.Context, c Change) error {
	if l.came[c.Instance.Slug] == nil {
		l.came[c.Instance.Slug] = map[Status]time.Time{}
	}
	l.came[c.Instance.Slug][c.Instance.Status] = time.Now()
	return l.memory.Announce(ctx, c)
}

// Registered keeps nothing: there is nobody to hear it.
func (l *locked) Registered(context.Context, Instance) error { return nil }

// weather is what a network does to messages.
type weather struct {
	loss   float64
	jitter time.Duration
	// silent keeps acknowledgements from being waited for: who says it once is
	// done.
	silent bool
}

// fleet is so many instances, which one catalog hears through the weather.
type fleet struct {
	store *locked
	stop  []func()
}

func launch(t *testing.T, n int, w weather) *fleet {
	t.Helper()
	f := &fleet{store: &locked{memory: memory{rows: map[string]Instance{}}, came: map[string]map[Status]time.Time{}}}
	c := NewCatalog(f.store, self, Rules{Forget: month}, time.Now)
	log := slog.New(slog.DiscardHandler)
	part := func(start, stop func(context.Context) error) {
		if err := start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.stop = append(f.stop, sync.OnceFunc(func() { _ = stop(context.Background()) }))
	}
	s := &Sweeper{Catalog: c, Every: 5 * time.Second, Log: log}
	part(s.Start, s.Stop)
	for i := range n {
		slug, chance := fmt.Sprintf("i%d", i), rand.New(rand.NewPCG(uint64(i), 7)) // chance that can be repeated
		key := digest(fmt.Sprintf("%s%03d", keyA[:len(keyA)-3], i))                // each its own
		var last int64
		travel := func(ctx context.Context) error {
			way := time.NewTimer(time.Duration(chance.Int64N(int64(w.jitter) + 1)))
			defer way.Stop()
			if chance.Float64() < w.loss {
				if w.silent {
					return errLost
				}
				<-ctx.Done() // nobody tells that it is lost
				return ctx.Err()
			}
			select {
			case <-way.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		b := &Beat{
			Always: Heartbeat{Slug: slug, ID: slug}, Key: key, Interval: 30 * time.Second, Now: time.Now, Log: log,
			Degraded: func(context.Context) bool { return false },
			Next:     func(context.Context) (int64, error) { last++; return last, nil },
			Sent:     func(context.Context, Heartbeat) error { return nil },
			Announce: func(ctx context.Context, slug string, data []byte) error {
				if err := travel(ctx); errors.Is(err, errLost) {
					return nil
				} else if err != nil {
					return err
				}
				hb, err := Decode(slug, data, time.Now())
				if err == nil {
					err = hb.Verify(check)
				}
				if err == nil {
					err = c.Hear(ctx, hb)
				}
				if err != nil && !errors.Is(err, ErrAgain) {
					t.Error(err)
				}
				if w.silent {
					return nil
				}
				return travel(ctx) // the acknowledgement
			},
		}
		part(b.Start, b.Stop)
	}
	return f
}

var errLost = errors.New("lost")

// offline counts how often somebody was taken for offline.
func (f *fleet) offline() (n int) {
	f.store.turn.Lock()
	defer f.store.turn.Unlock()
	for _, c := range f.store.said {
		if c.Instance.Status == Offline {
			n++
		}
	}
	return n
}

// beats counts the heartbeats that were taken in.
func (f *fleet) beats() (n int) {
	f.store.turn.Lock()
	defer f.store.turn.Unlock()
	for _, i := range f.store.rows {
		n += i.Beats
	}
	return n
}

func (f *fleet) end() {
	for _, stop := range f.stop {
		stop()
	}
}

// instanceDays is how long the test below runs, in days of one instance; with
// CC_TEST_INSTANCE_DAYS=100 it takes most of a minute.
func instanceDays(t *testing.T) int {
	t.Helper()
	days := 10
	if s := os.Getenv("CC_TEST_INSTANCE_DAYS"); s != "" {
		var err error
		if days, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return days
}

// The network loses one message in twenty and delays the others by up to half a
// second.
func TestNobodyIsTakenForOfflineByABadNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		days := instanceDays(t)
		f := launch(t, days, weather{loss: 0.05, jitter: 500 * time.Millisecond})
		time.Sleep(24 * time.Hour)
		n := f.offline()
		if n > days/100 {
			t.Errorf("%d false alarms in %d instance-days, want at most 1 in 100", n, days)
		}
		t.Logf("%d false alarms in %d instance-days, %d heartbeats", n, days, f.beats())
		f.end()
	})
}

// The same network, without acknowledgements: what the test above can see.
func TestWithoutAcknowledgementsABadNetworkIsTakenForSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := launch(t, 10, weather{loss: 0.05, jitter: 500 * time.Millisecond, silent: true})
		time.Sleep(24 * time.Hour)
		n := f.offline()
		if n < 2 {
			t.Errorf("%d false alarms in 10 instance-days: the simulation is too kind", n)
		}
		t.Logf("%d false alarms in 10 instance-days, %d heartbeats", n, f.beats())
		f.end()
	})
}

func TestWhoIsLostIsDegradedWithinTwoIntervalsAndOfflineWithinFour(t *testing.T) {
	t.Parallel()
	for _, into := range []time.Duration{time.Millisecond, 10 * time.Second, 29 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := launch(t, 1, weather{jitter: 500 * time.Millisecond})
			time.Sleep(10*time.Minute + into)
			lost := time.Now()
			f.stop[1]()
			time.Sleep(5 * time.Minute)
			f.end()
			came := f.store.came["i0"]
			if d := came[Degraded].Sub(lost); d <= 0 || d > 60*time.Second {
				t.Errorf("%s after a heartbeat: degraded after %s, want at most two intervals", into, d)
			}
			if d := came[Offline].Sub(lost); d <= 0 || d > 120*time.Second {
				t.Errorf("%s after a heartbeat: offline after %s, want at most four intervals", into, d)
			}
		})
	}
}
