package instance

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// The refusals of this package.
var (
	ErrNotFound   = errs.New(errs.NotFound, "there is no such instance")
	ErrRegistered = errs.New(errs.Conflict, "the instance is registered already")
	ErrSelf       = errs.New(errs.Conflict, "that is this instance itself")
	ErrAPIKey     = errs.New(errs.Forbidden, "the API key is not valid")
	errNoRoom     = errs.New(errs.Conflict, "the catalog is full: remove instances that are gone")
)

func invalid(field, msg string) error { return errs.InvalidField("value_error", msg, "body", field) }

// Registration is what somebody says of an instance that is to be known, heard
// or not.
type Registration struct {
	Slug, Name, HubURL string
	Tags               []string
	Key                string // public nkey that signs its heartbeats; "" takes the first one seen
	Source             string
}

// Validate reports a field that cannot be kept.
func (r Registration) Validate() error {
	switch {
	case !slugPattern.MatchString(r.Slug) || slices.Contains(reserved, r.Slug):
		return invalid("slug", "want 1 to 100 of a-z, 0-9, - and _, not global or presence")
	case printable(r.Name, 200) != r.Name:
		return invalid("name", "want at most 200 bytes that can be printed")
	case r.HubURL != "" && !usableURL(r.HubURL):
		return invalid("hub_url", "want http(s)://host")
	case r.Key != "" && !keyPattern.MatchString(r.Key):
		return invalid("key", "want a public nkey")
	case len(r.Tags) > 20 || slices.ContainsFunc(r.Tags, func(t string) bool { return t == "" || printable(t, 50) != t }):
		return invalid("tags", "want at most 20, each of at most 50 bytes")
	}
	return nil
}

// apply writes the registration into a row.
func (r Registration) apply(i Instance) Instance {
	i.Slug, i.Source, i.Admitted = r.Slug, r.Source, true
	if r.Name != "" {
		i.Name = r.Name
	}
	if r.HubURL != "" {
		i.HubURL = r.HubURL
	}
	if r.Tags != nil {
		i.Tags = r.Tags
	}
	if r.Key != "" && r.Key != i.Key {
		i.Key, i.Sequence, i.OtherKey = r.Key, 0, ""
	}
	return i
}

// keyPrefix tells what a key is for, to whoever finds one.
const keyPrefix = "ccf_"

// newKey makes an API key, and what is kept of it. It is random and long, so
// that a plain digest is enough.
func newKey() (key string, hash []byte) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	key = keyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return key, hashKey(key)
}

func hashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// Register admits an instance and returns the key with which it uses the API,
// which is not kept. One that has a key is ErrRegistered.
func (c *Catalog) Register(ctx context.Context, r Registration) (e Entry, key string, err error) {
	if err := r.Validate(); err != nil {
		return Entry{}, "", err
	}
	if r.Slug == c.self.Slug {
		return Entry{}, "", ErrSelf
	}
	key, hash := newKey()
	e, err = c.enter(ctx, r.Slug, func(i Instance) (Instance, error) {
		if i.KeyHash != nil {
			return i, ErrRegistered
		}
		i = r.apply(i)
		i.KeyHash = hash
		return i, nil
	})
	return e, key, err
}

// Update writes what a registration says of an instance, known or not: that of
// the catalog file, or of an instance of itself. created tells a new one.
func (c *Catalog) Update(ctx context.Context, r Registration) (e Entry, created bool, err error) {
	if err := r.Validate(); err != nil {
		return Entry{}, false, err
	}
	if r.Slug == c.self.Slug {
		return Entry{}, false, ErrSelf
	}
	e, err = c.enter(ctx, r.Slug, func(i Instance) (Instance, error) {
		created = i.Version == 0
		if i.Source == FromAPI {
			r.Source = FromAPI
		}
		return r.apply(i), nil
	})
	return e, created, err
}

// Admit admits an instance that is listed. key, unless it is "", is its key
// from now on: that is how one that has changed its key gets back.
func (c *Catalog) Admit(ctx context.Context, slug, key string) (Entry, error) {
	if key != "" && !keyPattern.MatchString(key) {
		return Entry{}, invalid("key", "want a public nkey")
	}
	return c.enter(ctx, slug, func(i Instance) (Instance, error) {
		if i.Version == 0 {
			return i, ErrNotFound
		}
		if i.Source == FromHeartbeat || i.Source == "" { // no stranger any more
			i.Source = FromAPI
		}
		return Registration{Slug: slug, Key: key, Source: i.Source}.apply(i), nil
	})
}

// Reconcile makes the catalog hold what the catalog file says: all of it is
// registered, and what came from the file before and is no longer in it leaves.
func (c *Catalog) Reconcile(ctx context.Context, file []Registration) error {
	listed := map[string]bool{}
	for _, r := range file {
		r.Source = FromFile
		listed[r.Slug] = true
		if _, _, err := c.Update(ctx, r); err != nil && !errors.Is(err, ErrSelf) { // all instances may share one file
			return fmt.Errorf("register %s: %w", r.Slug, err)
		}
	}
	all, err := c.store.All(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Source != FromFile || listed[i.Slug] {
			continue
		}
		if err := c.Remove(ctx, i.Slug); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("remove %s: %w", i.Slug, err)
		}
	}
	return nil
}

// enter changes a row under its lock, and says what became of it.
func (c *Catalog) enter(ctx context.Context, slug string, change func(Instance) (Instance, error)) (e Entry, err error) {
	err = c.store.Atomically(ctx, func(ctx context.Context) error {
		was, found, err := c.store.Find(ctx, slug)
		if err == nil && !found { // it may be heard at this moment
			if err = c.store.Claim(ctx, slug); err == nil {
				was, found, err = c.store.Find(ctx, slug)
			}
		}
		if err != nil {
			return err
		}
		next, err := change(was)
		if err != nil {
			return err
		}
		now := c.now()
		if !found {
			if err := c.admitKnown(ctx); err != nil {
				return err
			}
			next.FirstSeen, next.LastHeartbeat = now, now
		}
		next.Status = next.StatusAt(now)
		e = Entry{Instance: next, Self: slug == c.self.Slug}
		if same(was, next) {
			return nil
		}
		if !was.Admitted && next.Admitted {
			if err := c.store.Registered(ctx, next); err != nil {
				return err
			}
			if found {
				was.Status = "" // nobody was told
			}
		}
		if !found {
			was.Status = next.Status // there is nothing to tell yet
		}
		if err := c.save(ctx, was.Status, next); err != nil {
			return err
		}
		e.Instance, _, err = c.store.Get(ctx, slug) // with what the row was given
		return err
	})
	return e, err
}

// same reports whether a registration says nothing new.
func same(a, b Instance) bool {
	return a.Version > 0 && a.Admitted == b.Admitted && a.Source == b.Source && a.Name == b.Name && a.HubURL == b.HubURL && a.Key == b.Key &&
		a.OtherKey == b.OtherKey && slices.Equal(a.Tags, b.Tags) && bytes.Equal(a.KeyHash, b.KeyHash)
}

// Remove takes an instance out, with its keys. When it is heard again it is as
// one never heard of.
func (c *Catalog) Remove(ctx context.Context, slug string) error {
	if slug == c.self.Slug {
		return ErrSelf
	}
	return c.store.Atomically(ctx, func(ctx context.Context) error {
		i, found, err := c.store.Find(ctx, slug)
		if err != nil {
			return err
		}
		if !found {
			return ErrNotFound
		}
		return c.drop(ctx, i, "removed")
	})
}

func (c *Catalog) drop(ctx context.Context, i Instance, reason string) error {
	if err := c.store.Delete(ctx, i.Slug); err != nil || !i.Admitted {
		return err
	}
	return c.store.Removed(ctx, i, reason)
}

// Holder returns the instance that the API key was given to, or ErrAPIKey.
func (c *Catalog) Holder(ctx context.Context, key string) (Instance, error) {
	if !strings.HasPrefix(key, keyPrefix) || len(key) > 100 {
		return Instance{}, ErrAPIKey
	}
	hash := hashKey(key)
	i, found, err := c.store.KeyOf(ctx, hash)
	if err != nil {
		return Instance{}, err
	}
	// The digest is looked up by an index; that tells nothing of the key.
	if !found || subtle.ConstantTimeCompare(hash, i.KeyHash) != 1 {
		return Instance{}, ErrAPIKey
	}
	return i, nil
}
