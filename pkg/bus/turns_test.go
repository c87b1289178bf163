package bus

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

func TestAProjectWaitsForItselfAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var x turns
		var ends []func()
		for range perProject {
			end, err := x.take(t.Context(), 1, false)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, end)
		}
		waiting := make(chan func(), 1)
		go func() {
			end, err := x.take(t.Context(), 1, false)
			if err != nil {
				t.Error(err)
			}
			waiting <- end
		}()
		synctest.Wait()
		if len(waiting) != 0 {
			t.Fatal("one more than may be under way")
		}
		end, err := x.take(t.Context(), 2, false)
		if err != nil {
			t.Fatalf("another project: %v", err)
		}
		end()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := x.take(gone, 1, true); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("nobody waits any more: %v", err)
		}
		ends[0]()
		ends[0]() // twice is once
		(<-waiting)()
		for _, end := range ends[1:] {
			end()
		}
		if len(x.now) != 0 {
			t.Errorf("kept %v", x.now)
		}
	})
}
