package instance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Reasons not to take a heartbeat in that was read.
var (
	// ErrFull says that there is no room for a further instance.
	ErrFull = errors.New("the catalog is full")
	// ErrOwn says that the heartbeat is our own, come back.
	ErrOwn = errors.New("our own heartbeat")
	// ErrCollision says that another instance uses our slug.
	ErrCollision = errors.New("another instance uses the slug of this one")
	// ErrUnknown says that nobody has registered the slug, and that the policy is
	// to ignore those.
	ErrUnknown = errors.New("an instance that nobody has registered")
	// ErrUnsigned says that the instance signs, and this was not.
	ErrUnsigned = errors.New("not signed, and the instance has a key")
	// ErrKey says that it is signed by another key than that of the instance.
	ErrKey = errors.New("signed by another key than that of the instance")
	// ErrOtherKey is the ErrKey that says so for the first time.
	ErrOtherKey = fmt.Errorf("%w, for the first time", ErrKey)
	// ErrReplay says that a later one was heard before.
	ErrReplay = errors.New("older than what was heard")
	// ErrAgain says that it is the one that was heard last.
	ErrAgain = errors.New("heard already")
)

// Policy is what becomes of a slug that nobody has registered.
type Policy string

// The policies.
const (
	Ignore Policy = "ignore" // its heartbeats are counted, no more
	List   Policy = "list"   // it is listed, until somebody admits it
	Admit  Policy = "admit"  // it is one of us
)

// Policies are all of them.
func Policies() []Policy { return []Policy{Ignore, List, Admit} }

// store keeps the rows. Atomically runs fn in one transaction, which the other
// methods join under fn's context.
type store interface {
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error
	// Find locks the row until the transaction ends.
	Find(ctx context.Context, slug string) (i Instance, found bool, err error)
	// FindAll is Find of several, in one order for all who call it.
	FindAll(ctx context.Context, slugs []string) (map[string]Instance, error)
	// Claim waits for whoever else claims the slug, until the transaction ends:
	// there is no row yet to lock.
	Claim(ctx context.Context, slug string) error
	Count(ctx context.Context) (Census, error)
	// CountKey counts the strangers for whom the key signs.
	CountKey(ctx context.Context, key string) (int, error)
	// LeastStranger locks the stranger that goes first: unsigned before signed,
	// and of those the one that is silent for longest. Rows in hand are passed
	// over.
	LeastStranger(ctx context.Context) (i Instance, found bool, err error)
	// Save writes the row and returns its new version.
	Save(ctx context.Context, i Instance) (version int, err error)
	Delete(ctx context.Context, slug string) error
}

// reader is what a list needs.
type reader interface {
	All(ctx context.Context) ([]Instance, error)
	// Get reads a row without locking it.
	Get(ctx context.Context, slug string) (i Instance, found bool, err error)
	// KeyOf returns the instance with the hash of an API key.
	KeyOf(ctx context.Context, hash []byte) (i Instance, found bool, err error)
}

// announcer says a fact in the transaction of its row.
type announcer interface {
	Announce(ctx context.Context, c Change) error
	// Registered says that an instance was admitted.
	Registered(ctx context.Context, i Instance) error
	// Removed says that one has left the catalog, and why.
	Removed(ctx context.Context, i Instance, reason string) error
}

// Self is who we are. The slug is chosen, and another instance may have chosen
// it too; id and key are not.
type Self struct{ Slug, ID, Key string }

// Rules are what can be chosen about the catalog.
type Rules struct {
	// Forget is how long an instance that was only heard stays when it is
	// offline.
	Forget time.Duration
	// Unknown is Admit when "".
	Unknown Policy
	// Met is called when an instance is heard that was not in the catalog; it
	// will not know us either. May be nil; must not block.
	Met func()
}

// Catalog applies the rules to the rows.
type Catalog struct {
	store Store
	self  Self
	rules Rules
	now   func() time.Time

	mu    sync.Mutex
	notes map[string]time.Time // when another key of a slug was taken down last
}

// Store is all that a catalog needs of its rows.
type Store interface {
	store
	reader
	announcer
}

// NewCatalog returns the catalog of the instance self.
func NewCatalog(s Store, self Self, r Rules, now func() time.Time) *Catalog {
	return &Catalog{store: s, self: self, rules: r, now: now, notes: map[string]time.Time{}}
}

// Hear takes in a heartbeat that came from outside, and whose signature, if it
// has one, was verified. None of them touches our own row, whatever it says:
// with our slug it is ErrOwn or ErrCollision.
//
// The first key that signs for a slug is its key from then on. A heartbeat that
// is not signed by it changes nothing: ErrUnsigned, ErrKey. Neither does one
// that is no news: ErrAgain, ErrReplay.
func (c *Catalog) Hear(ctx context.Context, hb Heartbeat) error {
	var refused error // the row may change all the same
	err := c.store.Atomically(ctx, func(ctx context.Context) (err error) {
		refused, err = c.hear(ctx, hb, c.store.Find)
		return err
	})
	if err != nil {
		return err
	}
	return refused
}

// HearAll is [Catalog.Hear] of several in one transaction, which costs less. An
// error is at the place of its heartbeat; a fault of one does not take the
// others along.
func (c *Catalog) HearAll(ctx context.Context, beats []Heartbeat) []error {
	out := make([]error, len(beats))
	slugs := make([]string, 0, len(beats))
	for _, hb := range beats {
		if hb.Slug != c.self.Slug && !slices.Contains(slugs, hb.Slug) {
			slugs = append(slugs, hb.Slug)
		}
	}
	slices.Sort(slugs)
	err := c.store.Atomically(ctx, func(ctx context.Context) error {
		rows, err := c.store.FindAll(ctx, slugs)
		if err != nil {
			return err
		}
		if c.rules.Unknown != Ignore {
			for _, slug := range slugs { // in one order for all replicas
				if _, found := rows[slug]; found {
					continue
				}
				if err := c.store.Claim(ctx, slug); err != nil {
					return err
				}
			}
		}
		seen, changed := map[string]bool{}, false
		find := func(ctx context.Context, slug string) (Instance, bool, error) {
			if changed || seen[slug] { // it has changed since
				return c.store.Find(ctx, slug)
			}
			seen[slug] = true
			i, found := rows[slug]
			changed = !found // one who is new may take the place of another
			return i, found, nil
		}
		for n, hb := range beats {
			if out[n], err = c.hear(ctx, hb, find); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return out
	}
	for n, hb := range beats {
		out[n] = c.Hear(ctx, hb)
	}
	return out
}

// hear takes one in within a transaction, where find locks its row. A refusal is
// no fault.
func (c *Catalog) hear(ctx context.Context, hb Heartbeat, find func(context.Context, string) (Instance, bool, error)) (refused, fault error) {
	if hb.Slug == c.self.Slug {
		if hb.ID == c.self.ID && (hb.Key == "" || hb.Key == c.self.Key) {
			return ErrOwn, nil
		}
		return ErrCollision, nil
	}
	was, found, err := find(ctx, hb.Slug)
	if err == nil && !found && c.rules.Unknown != Ignore {
		// Another replica may hear it for the first time too: one of them waits
		// here, and finds the row.
		if err = c.store.Claim(ctx, hb.Slug); err == nil {
			was, found, err = c.store.Find(ctx, hb.Slug)
		}
	}
	if err != nil {
		return nil, err
	}
	if !found {
		if was, err = c.stranger(ctx, hb.Key); errors.Is(err, ErrUnknown) || errors.Is(err, ErrFull) {
			return err, nil
		} else if err != nil {
			return nil, err
		}
	}
	if was.Key != "" && was.Key != hb.Key {
		return c.mistrust(ctx, was, hb)
	}
	switch was.news(hb, c.now()) {
	case again:
		return ErrAgain, nil
	case stale:
		return ErrReplay, nil
	case fresh:
	}
	return nil, c.take(ctx, was, hb)
}

// noteEvery is how often another key of a slug is taken down, by each replica:
// whoever alternates two of them would cost a row and a line each time.
const noteEvery = time.Minute

// mistrust refuses what is not signed by the key of the instance. Another key
// is taken down once: it comes every 30 s.
func (c *Catalog) mistrust(ctx context.Context, was Instance, hb Heartbeat) (refused, fault error) {
	if hb.Key == "" {
		return ErrUnsigned, nil
	}
	if hb.Key == was.OtherKey || !c.noted(was.Slug) {
		return ErrKey, nil
	}
	was.OtherKey = hb.Key
	_, err := c.store.Save(ctx, was)
	return ErrOtherKey, err
}

// noted reports whether another key of the slug may be taken down now.
func (c *Catalog) noted(slug string) bool {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	// The slugs are those of rows: there are as many at most, and those that left.
	maps.DeleteFunc(c.notes, func(_ string, at time.Time) bool { return now.Sub(at).Abs() >= noteEvery })
	if _, lately := c.notes[slug]; lately {
		return false
	}
	c.notes[slug] = now
	return true
}

// stranger is the row of a slug that is heard for the first time.
func (c *Catalog) stranger(ctx context.Context, key string) (Instance, error) {
	if c.rules.Unknown == Ignore {
		return Instance{}, ErrUnknown
	}
	return Instance{Source: FromHeartbeat, Admitted: c.rules.Unknown != List}, c.admitStranger(ctx, key)
}

// Next is the sequence of our next heartbeat: above what any replica has sent,
// and above what was sent by a database that is lost, unless the clock was put
// back as well.
func (c *Catalog) Next(ctx context.Context) (int64, error) {
	i, _, err := c.store.Get(ctx, c.self.Slug)
	return max(i.Sequence+1, c.now().UnixMilli()), err
}

// Sent takes down a heartbeat that we have sent, now. It counts whatever is
// known: a clock that was put back must not take us offline.
func (c *Catalog) Sent(ctx context.Context, hb Heartbeat) error {
	if hb.Slug != c.self.Slug {
		return fmt.Errorf("%w: %q was not sent by %q", ErrForeign, hb.Slug, c.self.Slug)
	}
	hb.Heard, hb.Key = c.now(), c.self.Key
	return c.store.Atomically(ctx, func(ctx context.Context) error {
		was, _, err := c.store.Find(ctx, hb.Slug)
		if err != nil {
			return err
		}
		// What has our slug is ours, whoever had it before.
		was.Source, was.Admitted, was.Key, was.OtherKey = FromSelf, true, hb.Key, ""
		return c.take(ctx, was, hb)
	})
}

// take applies a heartbeat to the row. The first one of an instance that is
// admitted as it is heard says that too.
func (c *Catalog) take(ctx context.Context, was Instance, hb Heartbeat) error {
	next := was.hear(hb, c.now())
	if was.Version == 0 && hb.Slug != c.self.Slug && c.rules.Met != nil {
		c.rules.Met()
	}
	if was.Version == 0 && was.Admitted {
		if err := c.store.Registered(ctx, next); err != nil {
			return err
		}
	}
	return c.save(ctx, was.Status, next)
}

// save writes the row, and says so when the status of one that is admitted is
// another.
func (c *Catalog) save(ctx context.Context, was Status, next Instance) error {
	version, err := c.store.Save(ctx, next)
	if err != nil || was == next.Status || !next.Admitted {
		return err
	}
	next.Version = version
	return c.store.Announce(ctx, Change{Instance: next, Previous: was})
}

// forgotten reports whether there is nothing left to say of the instance. Of
// ourselves, and of those that somebody has registered, there always is.
func (c *Catalog) forgotten(i Instance, now time.Time) bool {
	return i.Slug != c.self.Slug && i.Source == FromHeartbeat && i.Status == Offline && now.Sub(i.LastHeartbeat) >= OfflineAfter+c.rules.Forget
}

// Swept is what a sweep found.
type Swept struct {
	Changed  int            // statuses
	Offline  int            // of those, to offline
	Statuses map[Status]int // how many have each of them
}

// Sweep decides again about everybody. Those that have been offline for long
// enough are forgotten.
func (c *Catalog) Sweep(ctx context.Context) (Swept, error) {
	swept := Swept{Statuses: map[Status]int{}}
	all, err := c.store.All(ctx)
	if err != nil {
		return swept, err
	}
	var late []string
	for _, i := range all {
		now := c.now()
		if swept.Statuses[i.StatusAt(now)]++; i.Status != i.StatusAt(now) || c.forgotten(i, now) {
			late = append(late, i.Slug)
		}
	}
	for slugs := range slices.Chunk(late, sweepTogether) {
		changed, err := c.again(ctx, slugs)
		if err != nil {
			return swept, fmt.Errorf("sweep %s and %d others: %w", slugs[0], len(slugs)-1, err)
		}
		for _, status := range changed {
			if swept.Changed++; status == Offline {
				swept.Offline++
			}
		}
	}
	return swept, nil
}

// sweepTogether is how many instances share a transaction of a sweep: a hub that
// goes takes all of its instances at once, and heartbeats of others wait for the
// rows in hand.
const sweepTogether = 100

// again decides about some, on the rows as they are now: a heartbeat may have
// come since. It returns the statuses that are other ones.
func (c *Catalog) again(ctx context.Context, slugs []string) (changed []Status, err error) {
	err = c.store.Atomically(ctx, func(ctx context.Context) error {
		changed = nil
		rows, err := c.store.FindAll(ctx, slugs)
		if err != nil {
			return err
		}
		for _, slug := range slugs {
			i, found := rows[slug]
			if !found {
				continue
			}
			was, now := i.Status, c.now()
			if c.forgotten(i, now) {
				if err := c.drop(ctx, i, "forgotten"); err != nil {
					return err
				}
				continue
			}
			if i.Status = i.StatusAt(now); i.Status == was {
				continue
			}
			if err := c.save(ctx, was, i); err != nil {
				return err
			}
			changed = append(changed, i.Status)
		}
		return nil
	})
	return changed, err
}
