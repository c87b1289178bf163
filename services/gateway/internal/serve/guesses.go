package serve

import (
	"net/http"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// guesses are the addresses from which too many came whom nobody knows. Until it
// is their turn again nobody is asked whose an unseen key or cookie from there is:
// a made-up one would cost a question of the database each. Callers who are known
// go on.
type guesses struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// mostGuessing is how many addresses are remembered.
const mostGuessing = 10_000

func (g *guesses) shut(address string, now time.Time, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until == nil || len(g.until) >= mostGuessing {
		open := map[string]time.Time{}
		for a, until := range g.until {
			if now.Before(until) && len(open) < mostGuessing/2 {
				open[a] = until
			}
		}
		g.until = open
	}
	g.until[address] = now.Add(wait)
}

// wait is how long the address has to wait.
func (g *guesses) wait(address string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until[address].Sub(now)
}

// guessed refuses a key or cookie about which somebody would have to be asked, from
// where too many were nobody's.
func (s *Edge) guessed(r *http.Request, credential string) error {
	if !s.guard.Asks(credential) {
		return nil
	}
	wait := s.guesses.wait(bucket(s.clientAddr(r)), s.now())
	if wait <= 0 {
		return nil
	}
	s.m.limited.WithLabelValues(s.classes.unauthenticated.name).Inc()
	return errs.New(errs.RateLimited, "Too many calls from this address by nobody who is known").After(wait)
}
