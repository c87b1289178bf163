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
	// ByID returns a live key, or [ErrUnknown].
	ByID(ctx context.Context, id uuid.UUID, now time.Time) (Key, error)
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
	k, err := r.ByID(ctx, caller.Key)
	return k.Project, err
}

// ByID returns the live key of this id, or [ErrUnknown].
func (r Reader) ByID(ctx context.Context, text string) (Key, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return Key{}, ErrUnknown
	}
	k, err := r.Keys.ByID(ctx, id, r.Now())
	if err != nil {
		return Key{}, fmt.Errorf("find key %s: %w", id, err)
	}
	return k, nil
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
