package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Rotation says how long keys live.
type Rotation struct {
	Every    time.Duration // a key signs for so long
	Announce time.Duration // and is published so long before
	Keep     time.Duration // and so long after: at least the life of an access token
}

func (r Rotation) validate() error {
	switch {
	case r.Announce <= 0 || r.Keep <= 0:
		return errors.New("key rotation: announce and keep must be above zero")
	case r.Every <= 2*r.Announce:
		return errors.New("key rotation: every must be more than twice announce")
	}
	return nil
}

// next decides whether a key has to be made at now, and from when it signs. The
// first one signs at once; any other one is announced before.
func (r Rotation) next(rows []Row, now time.Time) (from time.Time, due bool) {
	var last time.Time
	for _, row := range rows {
		if row.SignUntil.After(last) {
			last = row.SignUntil
		}
	}
	switch {
	case !last.After(now):
		return now, true // none signs: better an unannounced one than none
	case last.Sub(now) <= 2*r.Announce:
		// Begins before the old one ends, so that no replica that has not yet
		// noticed is left without.
		return last.Add(-r.Announce / 2), true
	}
	return time.Time{}, false
}

// Keys is the ring of a replica. It is safe for concurrent use.
type Keys struct {
	store    keyStore
	sealer   *Sealer
	rotation Rotation
	ring     atomic.Pointer[[]Key] // newest first
}

type keyStore interface {
	// SigningKeys returns the keys that verify at now.
	SigningKeys(ctx context.Context, now time.Time) ([]Row, error)
	// ChangeSigningKeys calls next with the keys that verify at now, under a lock
	// that replicas share. It keeps the rows that next returns, new ones and such
	// as are sealed anew; if there are any it drops the keys that no longer verify.
	ChangeSigningKeys(ctx context.Context, now time.Time, next func([]Row) ([]Row, error)) error
}

// NewKeys returns an empty ring; [Keys.Refresh] fills it.
func NewKeys(store keyStore, sealer *Sealer, r Rotation) (*Keys, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	return &Keys{store: store, sealer: sealer, rotation: r}, nil
}

// Refresh makes the next key if it is time, brings keys of before into the store
// of secrets, and reads the ring anew. It returns [ErrSecret] when the rows
// cannot be opened; the ring then stays as it was.
func (k *Keys) Refresh(ctx context.Context, now time.Time) error {
	err := k.store.ChangeSigningKeys(ctx, now, func(rows []Row) ([]Row, error) {
		from, due := k.rotation.next(rows, now)
		changed, err := k.sealer.moved(rows)
		if err != nil || !due {
			return changed, err
		}
		// A ring that cannot be opened is not papered over with a new key.
		if _, err := k.openAll(rows); err != nil {
			return nil, err
		}
		row, err := k.sealer.newRow(from, k.rotation.Every, k.rotation.Keep)
		return append(changed, row), err
	})
	if err != nil {
		return fmt.Errorf("rotate signing keys: %w", err)
	}
	return k.Read(ctx, now)
}

// Read reads the ring anew. It returns [ErrSecret] like [Keys.Refresh].
func (k *Keys) Read(ctx context.Context, now time.Time) error {
	keys, err := k.read(ctx, now)
	if err != nil {
		return err
	}
	k.ring.Store(&keys)
	return nil
}

// read leaves the ring as it is.
func (k *Keys) read(ctx context.Context, now time.Time) ([]Key, error) {
	rows, err := k.store.SigningKeys(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return k.openAll(rows)
}

func (k *Keys) openAll(rows []Row) ([]Key, error) {
	keys := make([]Key, 0, len(rows))
	for _, row := range rows {
		key, err := k.sealer.open(row)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b Key) int { return b.SignFrom.Compare(a.SignFrom) })
	return keys, nil
}

// Published returns the keys with which tokens are verified at now, newest
// first.
func (k *Keys) Published(now time.Time) []Key { return published(k.all(), now) }

func published(ring []Key, now time.Time) (out []Key) {
	for _, key := range ring {
		if now.Before(key.VerifyUntil) {
			out = append(out, key)
		}
	}
	return out
}

// signer returns the newest key that signs at now. When the ring holds none (the
// replica slept through a rotation) it is read anew once.
func (k *Keys) signer(ctx context.Context, now time.Time) (Key, error) {
	for fresh := false; ; fresh = true {
		for _, key := range k.all() {
			if key.signs(now) {
				return key, nil
			}
		}
		if fresh {
			return Key{}, errors.New("no key signs at this time")
		}
		if err := k.Refresh(ctx, now); err != nil {
			return Key{}, err
		}
	}
}

// verifier returns the key with that id, if it verifies at now.
func (k *Keys) verifier(id string, now time.Time) (Key, bool) {
	for _, key := range k.all() {
		if key.ID == id && now.Before(key.VerifyUntil) {
			return key, true
		}
	}
	return Key{}, false
}

func (k *Keys) all() []Key {
	if ring := k.ring.Load(); ring != nil {
		return *ring
	}
	return nil
}

// Ready reports an error when no key signs at now.
func (k *Keys) Ready(now time.Time) error {
	for _, key := range k.all() {
		if key.signs(now) {
			return nil
		}
	}
	return errors.New("no key signs access tokens at this time")
}
