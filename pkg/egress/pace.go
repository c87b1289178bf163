package egress

import (
	"context"
	"sync"
	"time"
)

// mostHosts are remembered at a time.
const mostHosts = 10_000

// pace leaves a pause between two calls of a host.
type pace struct {
	mu   sync.Mutex
	next map[string]time.Time // when a host may be called again
}

func newPace() *pace { return &pace{next: map[string]time.Time{}} }

// wait returns when the host may be called, behind those that wait already.
func (p *pace) wait(ctx context.Context, host string, pause time.Duration) error {
	if pause <= 0 {
		return ctx.Err()
	}
	d := p.reserve(host, pause, time.Now())
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *pace) reserve(host string, pause time.Duration, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.next) >= mostHosts {
		for h, at := range p.next {
			if at.Before(now) {
				delete(p.next, h)
			}
		}
		if len(p.next) >= mostHosts {
			p.next = map[string]time.Time{}
		}
	}
	at := p.next[host]
	if at.Before(now) {
		at = now
	}
	p.next[host] = at.Add(pause)
	return at.Sub(now)
}

// Pause lets the next call of a host wait at least d, such as a host asks for.
func (x *Client) Pause(host string, d time.Duration) {
	x.pace.mu.Lock()
	defer x.pace.mu.Unlock()
	if at := time.Now().Add(min(d, time.Minute)); at.After(x.pace.next[host]) {
		x.pace.next[host] = at
	}
}
