package instance

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// net is a stream that keeps what the test lets it.
type net struct {
	said, kept []string
	at         []time.Duration
	told       map[string]int
}

// beat runs one for so long; keeps decides about the nth announcement.
func (n *net) beat(t *testing.T, long time.Duration, keeps func(n int) bool) {
	t.Helper()
	began := time.Now()
	n.told = map[string]int{}
	b := &Beat{
		Always: Heartbeat{Slug: "us", ID: "1f", HubURL: "http://us", Version: "1"}, Interval: 30 * time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Degraded: func(context.Context) bool { return false },
		Next:     func(context.Context) (int64, error) { return 0, errors.New("no database") },
		Told:     func(outcome string) { n.told[outcome]++ },
		Announce: func(_ context.Context, slug string, data []byte) error {
			if hb, err := Decode(slug, data, time.Now()); err != nil || hb.ID != "1f" || hb.Interval != 30*time.Second {
				t.Error(hb, err)
			}
			n.said, n.at = append(n.said, string(data)), append(n.at, time.Since(began))
			if !keeps(len(n.said)) {
				return errors.New("no acknowledgement")
			}
			return nil
		},
		Sent: func(_ context.Context, hb Heartbeat) error {
			data, err := hb.Encode(nil)
			n.kept = append(n.kept, string(data))
			return err
		},
	}
	if err := b.Start(t.Context()); err != nil || len(n.said) != 1 {
		t.Fatalf("after the start: %d said, %v", len(n.said), err)
	}
	time.Sleep(long)
	synctest.Wait()
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAHeartbeatIsSaidAtOnceAndEveryInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n net
		n.beat(t, 95*time.Second, func(int) bool { return true })
		if want := []time.Duration{0, 30 * time.Second, 60 * time.Second, 90 * time.Second}; !slices.Equal(n.at, want) || !slices.Equal(n.said, n.kept) {
			t.Errorf("at %v, want %v; kept %d", n.at, want, len(n.kept))
		}
		if !maps.Equal(n.told, map[string]int{Acknowledged: 4}) {
			t.Errorf("told %v", n.told)
		}
	})
}

func TestAHeartbeatWithoutAnAcknowledgementIsRepeatedWithinTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n net
		n.beat(t, 65*time.Second, func(n int) bool { return n > 3 })
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second, 9 * time.Second, 30 * time.Second, 60 * time.Second}; !slices.Equal(n.at, want) {
			t.Errorf("at %v, want %v", n.at, want)
		}
		if n.said[0] != n.said[3] || n.said[3] == n.said[4] || len(n.kept) != 3 {
			t.Errorf("a repetition is the same heartbeat, the next is another:\n%v", n.said)
		}
		if !maps.Equal(n.told, map[string]int{Acknowledged: 3, Repeated: 3}) {
			t.Errorf("told %v", n.told)
		}
	})
}

func TestAHeartbeatThatIsNeverAcknowledgedGivesWayToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n net
		n.beat(t, 31*time.Second, func(int) bool { return false })
		if first, last := n.said[0], n.said[len(n.said)-1]; first == last || n.told[Lost] != 1 || len(n.kept) != 0 {
			t.Errorf("%d said, told %v", len(n.said), n.told)
		}
		if n.at[len(n.at)-1] != 30*time.Second {
			t.Errorf("at %v", n.at)
		}
	})
}

func TestASequenceRisesThoughTheClockGoesBack(t *testing.T) {
	t.Parallel()
	now := noon
	known := int64(0)
	b := &Beat{Always: Heartbeat{Slug: "us"}, Interval: 30 * time.Second, Now: func() time.Time { return now }, Degraded: func(context.Context) bool { return false },
		Next: func(context.Context) (int64, error) { return known, nil }}
	var last int64
	for _, c := range []struct {
		jump  time.Duration
		known int64
	}{{0, 0}, {30 * time.Second, 0}, {-time.Hour, 0}, {0, 1 << 50}, {time.Second, 0}} {
		now, known = now.Add(c.jump), c.known
		hb, _ := b.next(t.Context())
		if hb.Sequence <= last {
			t.Errorf("%d after %d", hb.Sequence, last)
		}
		last = hb.Sequence
	}
}
