package instance

import (
	"context"
	"fmt"
)

// The bounds of the catalog. Whoever may publish heartbeats can invent slugs, so
// that those whom nobody has registered or admitted, the strangers, have a part
// of it, and those of them who do not sign a part of that.
const (
	maxInstances = 2000
	maxStrangers = 1500
	maxUnsigned  = 1000
	// maxOfKey is how many strangers one key may sign for. An instance has a key of
	// its own, and may have had other names; with it alone nobody fills the places
	// of others.
	maxOfKey = 8
)

// Census counts the rows.
type Census struct {
	All       int
	Strangers int // heard, and neither registered nor admitted by anybody
	Unsigned  int // of the strangers
}

// full names the bound that has been reached for a stranger, "" for none.
func (n Census) full(signs bool) string {
	switch {
	case n.All >= maxInstances:
		return fmt.Sprintf("%d instances", n.All)
	case n.Strangers >= maxStrangers:
		return fmt.Sprintf("%d instances that nobody has registered", n.Strangers)
	case !signs && n.Unsigned >= maxUnsigned:
		return fmt.Sprintf("%d instances that nobody has registered and that do not sign", n.Unsigned)
	}
	return ""
}

// Room returns ErrFull when no further stranger would be taken in without
// another one leaving.
func (c *Catalog) Room(ctx context.Context) error {
	n, err := c.store.Count(ctx)
	if err != nil {
		return err
	}
	if full := n.full(false); full != "" {
		return fmt.Errorf("%w: %s", ErrFull, full)
	}
	return nil
}

// admitStranger makes sure that there is room for a stranger: it may take the
// place of one that is offline and has never signed. A key that was pinned stays,
// or anybody could take the slug over.
func (c *Catalog) admitStranger(ctx context.Context, key string) error {
	if key != "" {
		switch n, err := c.store.CountKey(ctx, key); {
		case err != nil:
			return err
		case n >= maxOfKey:
			return fmt.Errorf("%w: %d instances that nobody has registered, with one key", ErrFull, n)
		}
	}
	n, err := c.store.Count(ctx)
	if err != nil {
		return err
	}
	full := n.full(key != "")
	if full == "" {
		return nil
	}
	i, found, err := c.store.LeastStranger(ctx)
	switch {
	case err != nil:
		return err
	case !found || i.Key != "" || i.StatusAt(c.now()) != Offline:
		return fmt.Errorf("%w: %s", ErrFull, full)
	}
	return c.drop(ctx, i, "forgotten")
}

// admitKnown makes sure that there is room for one that somebody registers: any
// stranger makes place for it.
func (c *Catalog) admitKnown(ctx context.Context) error {
	n, err := c.store.Count(ctx)
	if err != nil || n.All < maxInstances {
		return err
	}
	i, found, err := c.store.LeastStranger(ctx)
	switch {
	case err != nil:
		return err
	case !found:
		return errNoRoom
	}
	return c.drop(ctx, i, "forgotten")
}
