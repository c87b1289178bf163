package instance

import "context"

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

// Get returns one instance, or ErrNotFound.
func (c *Catalog) Get(ctx context.Context, slug string) (Entry, error) {
	i, found, err := c.store.Get(ctx, slug)
	if err != nil {
		return Entry{}, err
	}
	if !found {
		return Entry{}, ErrNotFound
	}
	i.Status = i.StatusAt(c.now())
	return Entry{i, i.Slug == c.self.Slug}, nil
}
