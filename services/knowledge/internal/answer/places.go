package answer

import (
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// places are how many answers are written at a time.
type places struct {
	mu           sync.Mutex
	all          int
	of           map[tenant.Project]int
	most, eachOf int
}

func newPlaces(most, each int) *places {
	return &places{of: map[tenant.Project]int{}, most: most, eachOf: each}
}

// again is when a place may have become free.
const again = 5 * time.Second

// enter takes a place, or refuses at once: who asked would wait long for an answer
// whose writing has not begun.
func (x *places) enter(p tenant.Project) (leave func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.of[p] >= x.eachOf:
		return nil, errs.Newf(errs.RateLimited, "%d answers of the project are being written, which is the limit", x.of[p]).After(again)
	case x.all >= x.most:
		return nil, errs.New(errs.Unavailable, "too many answers are being written").After(again)
	}
	x.all++
	x.of[p]++
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.all--
		if x.of[p]--; x.of[p] == 0 {
			delete(x.of, p)
		}
	}, nil
}
