package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// suspect buries a message that takes the process down with it, before it does
// so again.
func (c *Consumer) suspect(ctx context.Context, d *Delivery) (err error) {
	if d.Delivered <= crashes {
		return nil
	}
	unended := d.Delivered - crashes
	if c.c.Began != nil {
		if unended, err = c.c.Began(ctx, d); err != nil {
			return err
		}
	}
	if unended > c.c.Attempts {
		return Bury(fmt.Errorf("it began %d times, and came %d times, without an end", unended, d.Delivered))
	}
	return nil
}

// cleared takes the suspicion back when the process has outlived the try. After
// the last one it may stay.
func (c *Consumer) cleared(ctx context.Context, d *Delivery, err error) {
	if d.Delivered <= crashes || c.c.Ended == nil || err == nil {
		return
	}
	if err := c.c.Ended(ctx, d); err != nil {
		c.b.log.WarnContext(ctx, "bus.cleared", "consumer", c.c.Durable, "seq", d.Sequence, "err", err)
	}
}

// unended keeps the tries of a consumer's messages that have not ended. A
// consumer without a database has none, and deliveries are what counts.
type unended struct {
	db      *pg.DB
	durable string
}

func (u unended) began(ctx context.Context, d *Delivery) (n int, err error) {
	if u.db == nil {
		return d.Delivered - crashes, nil
	}
	err = u.in(ctx, d, func(ctx context.Context, tx *sqlx.Tx) error {
		n, err = outbox.Began(ctx, tx, u.durable, u.message(d), d.Delivered)
		return err
	})
	return n, err
}

func (u unended) ended(ctx context.Context, d *Delivery) error {
	if u.db == nil {
		return nil
	}
	return u.in(context.WithoutCancel(ctx), d, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Ended(ctx, tx, u.durable, u.message(d), d.Delivered)
	})
}

func (unended) message(d *Delivery) string {
	return fmt.Sprintf("%d-%d", d.Sequence, d.Time.UnixNano())
}

func (u unended) in(ctx context.Context, d *Delivery, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	p := tenant.Instance
	if a, err := parseSubject(d.Subject); err == nil {
		p = a.project
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return u.db.InTenant(ctx, p, fn)
}
