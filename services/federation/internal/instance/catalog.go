package instance

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxInstances bounds the catalog: whoever may publish heartbeats must not be
// able to fill the table.
const maxInstances = 1000

// Reasons not to take a heartbeat in that was read.
var (
	// ErrFull says that there is no room for a further instance.
	ErrFull = errors.New("the catalog is full")
	// ErrOwn says that the heartbeat is our own, come back.
	ErrOwn = errors.New("our own heartbeat")
	// ErrCollision says that another instance uses our slug.
	ErrCollision = errors.New("another instance uses the slug of this one")
)

// store keeps the rows. Atomically runs fn in one transaction, which the other
// methods join under fn's context.
type store interface {
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error
	// Find locks the row until the transaction ends.
	Find(ctx context.Context, slug string) (i Instance, found bool, err error)
	Count(ctx context.Context) (int, error)
	// Save writes the row and returns its new version.
	Save(ctx context.Context, i Instance) (version int, err error)
	Delete(ctx context.Context, slug string) error
}

// reader is what a list needs.
type reader interface {
	All(ctx context.Context) ([]Instance, error)
}

// announcer says a change in the transaction of its row.
type announcer interface {
	Announce(ctx context.Context, c Change) error
}

// Self is who we are. The slug is chosen, and another instance may have chosen
// it too; the id is not.
type Self struct{ Slug, ID string }

// Catalog applies the rules to the rows.
type Catalog struct {
	store  Store
	self   Self
	forget time.Duration
	now    func() time.Time
}

// Store is all that a catalog needs of its rows.
type Store interface {
	store
	reader
	announcer
}

// NewCatalog returns the catalog of the instance self. An instance that has been
// offline for the time forget is no longer in it after the next sweep.
func NewCatalog(s Store, self Self, forget time.Duration, now func() time.Time) *Catalog {
	return &Catalog{store: s, self: self, forget: forget, now: now}
}

// Room returns ErrFull when no further instance would be taken in.
func (c *Catalog) Room(ctx context.Context) error {
	n, err := c.store.Count(ctx)
	if err != nil {
		return err
	}
	if n >= maxInstances {
		return fmt.Errorf("%w: %d instances", ErrFull, n)
	}
	return nil
}

// Hear takes in a heartbeat that came from outside. None of them touches our
// own row, whatever it says: with our slug it is ErrOwn or ErrCollision. It
// returns ErrFull for a new instance that there is no room for; one that is old
// news changes nothing.
func (c *Catalog) Hear(ctx context.Context, hb Heartbeat) error {
	if hb.Slug == c.self.Slug {
		if hb.ID == c.self.ID {
			return ErrOwn
		}
		return ErrCollision
	}
	return c.take(ctx, hb)
}

// Sent takes down a heartbeat that we have sent, now. It counts whatever is
// known: a clock that was put back must not take us offline.
func (c *Catalog) Sent(ctx context.Context, hb Heartbeat) error {
	if hb.Slug != c.self.Slug {
		return fmt.Errorf("%w: %q was not sent by %q", ErrForeign, hb.Slug, c.self.Slug)
	}
	hb.Heard = c.now()
	return c.take(ctx, hb)
}

func (c *Catalog) take(ctx context.Context, hb Heartbeat) error {
	return c.store.Atomically(ctx, func(ctx context.Context) error {
		was, found, err := c.store.Find(ctx, hb.Slug)
		if err != nil {
			return err
		}
		if hb.Slug != c.self.Slug {
			if !found {
				if err := c.Room(ctx); err != nil {
					return err
				}
			}
			if was.knows(hb, c.now()) {
				return nil
			}
		}
		return c.save(ctx, was.Status, was.hear(hb, c.now()))
	})
}

// save writes the row, and says so when the status is another.
func (c *Catalog) save(ctx context.Context, was Status, next Instance) error {
	version, err := c.store.Save(ctx, next)
	if err != nil || was == next.Status {
		return err
	}
	next.Version = version
	return c.store.Announce(ctx, Change{Instance: next, Previous: was})
}

// forgotten reports whether there is nothing left to say of the instance. Of
// ourselves there always is.
func (c *Catalog) forgotten(i Instance, now time.Time) bool {
	return i.Slug != c.self.Slug && i.Status == Offline && now.Sub(i.LastHeartbeat) >= OfflineAfter+c.forget
}

// Sweep decides again about everybody, and returns how many changed. Those that
// have been offline for long enough are forgotten, without a word: that they
// went offline was said.
func (c *Catalog) Sweep(ctx context.Context) (changed int, err error) {
	all, err := c.store.All(ctx)
	if err != nil {
		return 0, err
	}
	for _, i := range all {
		if now := c.now(); i.Status == i.StatusAt(now) && !c.forgotten(i, now) {
			continue
		}
		err := c.store.Atomically(ctx, func(ctx context.Context) error {
			// A heartbeat may have come since: decide on the row as it is now.
			i, found, err := c.store.Find(ctx, i.Slug)
			if err != nil || !found {
				return err
			}
			was, now := i.Status, c.now()
			if c.forgotten(i, now) {
				return c.store.Delete(ctx, i.Slug)
			}
			if i.Status = i.StatusAt(now); i.Status == was {
				return nil
			}
			changed++
			return c.save(ctx, was, i)
		})
		if err != nil {
			return changed, fmt.Errorf("sweep %s: %w", i.Slug, err)
		}
	}
	return changed, nil
}

// Entry is an instance as it stands now.
type Entry struct {
	Instance
	Self bool
}

// List returns this instance first, then the others by slug; status "" means
// all. A status is as of now, even when the sweep has not come by yet.
func (c *Catalog) List(ctx context.Context, status Status) ([]Entry, error) {
	all, err := c.store.All(ctx)
	if err != nil {
		return nil, err
	}
	now := c.now()
	var own, others []Entry
	for _, i := range all {
		i.Status = i.StatusAt(now)
		if status != "" && i.Status != status {
			continue
		}
		if i.Slug == c.self.Slug {
			own = append(own, Entry{i, true})
			continue
		}
		others = append(others, Entry{i, false})
	}
	return append(own, others...), nil
}
