package key

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/apikey"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Keeper makes, shows and ends keys.
type Keeper struct {
	Keys  store
	Rules Rules
	Now   func() time.Time
}

// Rules are those of the instance.
type Rules struct {
	MaxLife time.Duration // of a key; 0 for no limit
	Areas   []string      // that scopes may name; none for every well-formed one
}

// store keeps keys. Every write is refused to a caller whose session or account has
// ended meanwhile: by [session.ErrEnded], [ErrEnded], [user.ErrInactive].
type store interface {
	// Add keeps a new key with its hash and says so. It returns [ErrUnknownAccount]
	// for a service account that is not there, [ErrNamed] and [ErrTooMany]; and
	// [ErrAdmin] when it is one's and its maker is no admin any more,
	// [project.ErrNotFound] when the maker does not belong to the project any more.
	Add(ctx context.Context, by tenant.Identity, k Key, hash []byte) error
	// List returns the live keys of the project, newest first: those of a user,
	// or with 0 all.
	List(ctx context.Context, p tenant.Project, user int64, now time.Time) ([]Key, error)
	// End finds a live key, asks judge, locks the key, asks again, and does what judge
	// says: it revokes the key or lets it live until a time, keeps the next one, and says
	// so. It returns [ErrUnknown] when there is no such key, or it is another's and by is
	// no admin any more, and for the next one what Add does; it has the name of the one
	// that it replaces.
	End(ctx context.Context, p tenant.Project, by tenant.Identity, id uuid.UUID, now time.Time, judge func(Key) (Ending, error)) error
}

// Ending is what becomes of a key.
type Ending struct {
	Until  time.Time // when it ends; now is at once
	Reason string
	Next   *Key // in its place
	Hash   []byte
}

// Secret is a key with what is shown once.
type Secret struct {
	Key
	Plain apikey.Key
}

// Create makes a key of the caller, or with an account of that service account,
// which takes an admin.
func (s Keeper) Create(ctx context.Context, caller tenant.Identity, account int64, d Draft) (Secret, error) {
	holder := Holder{User: caller.UserID}
	if account != 0 {
		if !caller.Allows(tenant.Admin) {
			return Secret{}, ErrAdmin
		}
		holder = Holder{Account: account}
	}
	now := s.Now()
	d, err := d.check(s.Rules.Areas, now, s.Rules.MaxLife)
	if err != nil {
		return Secret{}, err
	}
	k := Key{Project: caller.Project, Holder: holder, Name: d.Name, Scopes: d.Scopes, CreatedBy: caller.UserID, CreatedAt: now, Expires: d.Expires}
	made, err := fresh(k)
	if err != nil {
		return Secret{}, err
	}
	hash := made.Plain.Hash()
	if err := s.Keys.Add(ctx, caller, made.Key, hash[:]); err != nil {
		return Secret{}, fmt.Errorf("create key: %w", err)
	}
	return made, nil
}

// fresh gives k an id and a secret.
func fresh(k Key) (Secret, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return Secret{}, fmt.Errorf("make key id: %w", err)
	}
	plain, err := apikey.New(Brand)
	if err != nil {
		return Secret{}, err
	}
	k.ID, k.Prefix, k.LastUsed = id, plain.Prefix(), nil
	return Secret{Key: k, Plain: plain}, nil
}

// List returns the caller's live keys, or for an admin all of the project.
func (s Keeper) List(ctx context.Context, caller tenant.Identity, all bool) ([]Key, error) {
	of := caller.UserID
	if all {
		if !caller.Allows(tenant.Admin) {
			return nil, ErrAdmin
		}
		of = 0
	}
	keys, err := s.Keys.List(ctx, caller.Project, of, s.Now())
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return keys, nil
}

// Revoke ends a key of the caller, or for an admin any of the project.
func (s Keeper) Revoke(ctx context.Context, caller tenant.Identity, id string) error {
	now := s.Now()
	return s.end(ctx, caller, id, now, func(k Key) (Ending, error) {
		if k.Holder.User != caller.UserID && !caller.Allows(tenant.Admin) {
			return Ending{}, ErrUnknown
		}
		return Ending{Until: now, Reason: Revoked}, nil
	})
}

// Rotate gives a new key for one of the caller, or for an admin one of a service
// account. The old one lives for overlap more. Nobody gets a key that acts as
// another person.
func (s Keeper) Rotate(ctx context.Context, caller tenant.Identity, id string, overlap time.Duration) (Secret, error) {
	now := s.Now()
	var made Secret
	err := s.end(ctx, caller, id, now, func(old Key) (Ending, error) {
		if old.Holder.User != caller.UserID && (old.Holder.Account == 0 || !caller.Allows(tenant.Admin)) {
			return Ending{}, ErrUnknown
		}
		next := old
		next.CreatedAt, next.CreatedBy = now, caller.UserID
		if life := old.life(); life != nil {
			until := now.Add(*life)
			next.Expires = &until
		}
		if most := s.Rules.MaxLife; most > 0 && (next.Expires == nil || next.Expires.After(now.Add(most))) {
			until := now.Add(most)
			next.Expires = &until
		}
		var err error
		if made, err = fresh(next); err != nil {
			return Ending{}, err
		}
		hash := made.Plain.Hash()
		return Ending{Until: now.Add(overlap), Reason: Rotated, Next: &made.Key, Hash: hash[:]}, nil
	})
	return made, err
}

func (s Keeper) end(ctx context.Context, caller tenant.Identity, id string, now time.Time, judge func(Key) (Ending, error)) error {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ErrUnknown
	}
	if err := s.Keys.End(ctx, caller.Project, caller, parsed, now, judge); err != nil {
		return fmt.Errorf("end key: %w", err)
	}
	return nil
}
