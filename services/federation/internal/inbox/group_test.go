package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

func TestHeartbeatsOfAMomentAreTakenInTogetherAndEachHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var rounds []int
		g := &group{moment: 250 * time.Millisecond, most: 4, all: func(_ context.Context, beats []instance.Heartbeat) []error {
			mu.Lock()
			defer mu.Unlock()
			rounds = append(rounds, len(beats))
			var out []error
			for _, hb := range beats {
				out = append(out, errors.New(hb.Slug))
			}
			return out
		}}
		hear := func(n int) *sync.WaitGroup {
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					slug := fmt.Sprint("i", i)
					if err := g.Hear(t.Context(), instance.Heartbeat{Slug: slug}); err == nil || err.Error() != slug {
						t.Errorf("%s: %v", slug, err)
					}
				})
			}
			return &wg
		}
		began := time.Now()
		hear(6).Wait() // four at once, and two that wait for more
		if d := time.Since(began); d != 250*time.Millisecond {
			t.Errorf("took %s", d)
		}
		hear(1).Wait()
		slices.Sort(rounds[:2])
		if !slices.Equal(rounds, []int{2, 4, 1}) {
			t.Errorf("rounds of %v", rounds)
		}
		// One that is cancelled does not wait, and does not keep the others.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Hear(ctx, instance.Heartbeat{Slug: "x"}); err == nil {
			t.Error("no error")
		}
	})
}
