package token

import (
	"context"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Rotator makes a new signing key before its time: because one may be known to
// somebody.
type Rotator struct {
	Keys  *Keys
	Store replacer
	Now   func() time.Time
}

type replacer interface {
	// ReplaceSigningKeys keeps next as the one key that signs from now on, and says
	// so. The others verify until the time, and with revoked they are gone. It calls
	// committed when that is so for good: it may be part of more. It refuses a caller
	// whose session, key or account has ended meanwhile, or who is no superuser any
	// more: by [session.ErrEnded], [key.ErrEnded], [user.ErrInactive], [user.ErrRank].
	ReplaceSigningKeys(ctx context.Context, by tenant.Identity, now, until time.Time, next Row, revoked bool, committed func()) error
}

// Rotate makes a new key, which signs at once. What the others have signed is
// good until it runs out, so that nobody is logged out; with revoke it is good for
// nothing, and whoever has a session trades a refresh token for a new pair. It
// returns the keys that verify then, newest first. This replica signs with the new
// one once it is committed, and not before: nobody else would know it.
func (r Rotator) Rotate(ctx context.Context, caller tenant.Identity, revoke bool) ([]Key, error) {
	now := r.Now()
	row, err := r.Keys.sealer.newRow(now, r.Keys.rotation.Every, r.Keys.rotation.Keep)
	if err != nil {
		return nil, err
	}
	var ring []Key
	committed := false
	err = r.Store.ReplaceSigningKeys(ctx, caller, now, now.Add(r.Keys.rotation.Keep), row, revoke, func() {
		committed = true
		if ring != nil {
			r.Keys.ring.Store(&ring)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("replace signing keys: %w", err)
	}
	if ring, err = r.Keys.read(ctx, now); err != nil {
		return nil, err
	}
	if committed { // there was nothing more to commit
		r.Keys.ring.Store(&ring)
	}
	return published(ring, now), nil
}
