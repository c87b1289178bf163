package source

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Filter chooses among the sources of a project.
type Filter struct {
	Kind    Kind  // "": all
	Enabled *bool // nil: all
	Skip    int
	Limit   int
}

// Keeper keeps the sources of projects. It says what changed, in the same
// transaction.
type Keeper interface {
	// Insert gives x an id, and refuses with [ErrMany] and [ErrExists].
	Insert(ctx context.Context, p tenant.Project, x Source, seal Sealing) (Source, error)
	// Update hands a source to change while nobody else may change it, and keeps what
	// comes back.
	Update(ctx context.Context, p tenant.Project, id int64, now time.Time, change func(Source) (Source, error)) (Source, error)
	// Delete removes one with its history, or returns [ErrNotFound]. Its documents stay,
	// unless they go too: those that no other source has seen.
	Delete(ctx context.Context, p tenant.Project, id int64, documents bool) error
	// Get returns one, or [ErrNotFound].
	Get(ctx context.Context, p tenant.Project, id int64) (Source, error)
	// List returns a page by priority, the highest first, and how many there are in all.
	List(ctx context.Context, p tenant.Project, f Filter) (page []Source, total int, err error)
	// Runs are the latest ones of a source, or of all when id is 0.
	Runs(ctx context.Context, p tenant.Project, id int64, skip, limit int) ([]Run, int, error)
	// Enqueue makes a run of a source that has none under way; of one that has, it
	// returns that.
	Enqueue(ctx context.Context, p tenant.Project, id int64, trigger, by string, now time.Time) (Source, uuid.UUID, error)
}

// Sealing hides the credentials of a source that has its id by now.
type Sealing func(x Source) ([]byte, error)

// Safe seals and opens credentials.
type Safe interface {
	Seal(p tenant.Project, source int64, plain []byte) ([]byte, error)
	Open(p tenant.Project, source int64, sealed []byte) ([]byte, error)
}

// Book holds the sources of every project.
type Book struct {
	Keeper
	Kinds Kinds
	Safe  Safe
	// Check refuses drafts of a kind further; a kind may be without.
	Check map[Kind]func(Draft) error
	Now   func() time.Time
}

// normalise is [Draft.Normalise] with what the kind asks for.
func (b Book) normalise(d *Draft) error {
	if err := d.Normalise(b.Known); err != nil {
		return err
	}
	if check := b.Check[d.Kind]; check != nil {
		return check(*d)
	}
	return nil
}

// Known reports whether there are sources of a kind.
func (b Book) Known(k Kind) bool { return b.Kinds[k] != nil }

// Names are the kinds that there are.
func (b Book) Names() []Kind {
	out := make([]Kind, 0, len(b.Kinds))
	for k := range b.Kinds {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Add keeps a new source, which is run at once.
func (b Book) Add(ctx context.Context, p tenant.Project, d Draft, c Credentials, by string) (Source, error) {
	if err := b.normalise(&d); err != nil {
		return Source{}, err
	}
	if err := c.Check(); err != nil {
		return Source{}, err
	}
	now := b.Now()
	x := Source{Project: p, Draft: d, Status: Pending, Version: 1, CreatedBy: by, CreatedAt: now, UpdatedAt: now}
	if !x.Enabled {
		x.Status = Disabled
	}
	x.NextRun = x.First(now)
	return b.Insert(ctx, p, x, func(x Source) ([]byte, error) { return b.seal(x, c) })
}

func (b Book) seal(x Source, c Credentials) ([]byte, error) {
	if c.None() {
		return nil, nil
	}
	plain, err := json.Marshal(c) //nolint:gosec // G117: to be sealed
	if err != nil {
		return nil, err
	}
	return b.Safe.Seal(x.Project, x.ID, plain)
}

// Opened are the credentials of a source.
func (b Book) Opened(x Source) (c Credentials, err error) {
	if x.Sealed == nil {
		return c, nil
	}
	plain, err := b.Safe.Open(x.Project, x.ID, x.Sealed)
	if err != nil {
		return c, errs.Newf(errs.Internal, "open the credentials of source %d: %w", x.ID, err)
	}
	return c, json.Unmarshal(plain, &c)
}

var errOtherHost = errs.InvalidField("missing", "give the credentials again, or null: those that are kept are for another host", "body", "credentials")

// Change has edit change what is said of a source. creds nil leaves the credentials
// as they are. What is asked for changes the run: a source that was left alone is
// asked again.
func (b Book) Change(ctx context.Context, p tenant.Project, id int64, edit func(*Draft) error, creds *Credentials) (Source, error) {
	if creds != nil {
		if err := creds.Check(); err != nil {
			return Source{}, err
		}
	}
	now := b.Now()
	return b.Update(ctx, p, id, now, func(x Source) (Source, error) {
		was := x.Draft
		if err := edit(&x.Draft); err != nil {
			return x, err
		}
		if err := b.normalise(&x.Draft); err != nil {
			return x, err
		}
		if creds == nil && x.Sealed != nil && hostOf(was.URL) != hostOf(x.URL) {
			return x, errOtherHost
		}
		if creds != nil {
			var err error
			if x.Sealed, err = b.seal(x, *creds); err != nil {
				return x, err
			}
		}
		if was.URL != x.URL || was.Path != x.Path || !reflect.DeepEqual(was.Config, x.Config) {
			x.State = nil // it is read anew
		}
		x.Faults, x.Parked, x.NextRun = 0, time.Time{}, x.First(now)
		switch {
		case !x.Enabled:
			x.Status = Disabled
		case x.Status == Disabled:
			x.Status = Pending
		}
		return x, nil
	})
}

// Run asks a source now, or returns the run that is under way. A source that was
// left alone is no longer.
func (b Book) Run(ctx context.Context, p tenant.Project, id int64, by string) (Source, uuid.UUID, error) {
	return b.Enqueue(ctx, p, id, ByHand, by, b.Now())
}
