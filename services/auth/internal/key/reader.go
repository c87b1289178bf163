package key

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Reader tells whose a key is, and remembers that it was used.
type Reader struct {
	Keys finder
	Uses *Uses
	Now  func() time.Time
}

type finder interface {
	// Find returns the live key with this hash, or [ErrUnknown]. A key of a project
	// that is being deleted is none.
	Find(ctx context.Context, hash []byte, now time.Time) (Key, error)
	// BoundTo returns the project of a live key, or [ErrUnknown].
	BoundTo(ctx context.Context, id uuid.UUID, now time.Time) (tenant.Project, error)
}

// Resolve returns the live key with this hash, or [ErrUnknown].
func (r Reader) Resolve(ctx context.Context, hash []byte) (Key, error) {
	now := r.Now()
	k, err := r.Keys.Find(ctx, hash, now)
	if err != nil {
		return Key{}, fmt.Errorf("resolve key: %w", err)
	}
	r.Uses.Mark(k.ID, now)
	return k, nil
}

// Project returns the one project in which the caller's key is good.
func (r Reader) Project(ctx context.Context, caller tenant.Identity) (tenant.Project, error) {
	id, err := uuid.Parse(caller.Key)
	if err != nil {
		return 0, ErrUnknown
	}
	p, err := r.Keys.BoundTo(ctx, id, r.Now())
	if err != nil {
		return 0, fmt.Errorf("find the project of key %s: %w", id, err)
	}
	return p, nil
}

// Uses collects when keys were used, so that a call costs no write.
type Uses struct {
	mu   sync.Mutex
	last map[uuid.UUID]time.Time
}

// Mark notes a use.
func (u *Uses) Mark(id uuid.UUID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[uuid.UUID]time.Time{}
	}
	u.last[id] = at
}

// Take returns what was noted since the last time.
func (u *Uses) Take() map[uuid.UUID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}
