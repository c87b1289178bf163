package pg

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// witness sees the end of every transaction under a context.
type witness struct {
	db      *DB
	project tenant.Project
	see     func(ctx context.Context, tx *sqlx.Tx) error
}

type witnessKey struct{}

// BeforeCommit returns a context under which every transaction of this DB ends
// with fn, in the project p, whatever the transaction was about: what fn writes
// is committed with the rest or not at all, and when fn fails nothing is. Calls
// that join a transaction have no end of their own. fn may be called by several
// transactions at once, also by those that have changed nothing.
func (db *DB) BeforeCommit(ctx context.Context, p tenant.Project, fn func(ctx context.Context, tx *sqlx.Tx) error) context.Context {
	return context.WithValue(ctx, witnessKey{}, &witness{db: db, project: p, see: fn})
}

// seen lets the witness of ctx, if there is one, add to the transaction.
func (t *transaction) seen(ctx context.Context, db *DB) error {
	w, ok := ctx.Value(witnessKey{}).(*witness)
	if ok && w.db == db && t.broken == nil {
		if err := t.call(ctx, db, visibility{project: w.project}, w.see); err != nil {
			return fmt.Errorf("before the commit: %w", err)
		}
	}
	return nil
}
