package pg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ErrUnitOver says that a call came to a unit after its Commit or Rollback.
var ErrUnitOver = errors.New("the unit of work is over")

// Unit is one transaction around several calls. Nothing is begun until the
// first call joins, so a unit that only computes costs no connection.
type Unit struct {
	// The transaction lives as long as the unit, not as long as the call that
	// happens to begin it, hence a context in a field.
	ctx   context.Context
	scope *scope

	mu    sync.Mutex
	over  bool
	hooks []func() // of OnCommit outside the calls
}

// Unit returns a context under which every call of this DB joins one
// transaction, and the handle that ends it. The caller must end it: Commit, or
// Rollback, which may be deferred. When ctx ends, the transaction is rolled
// back. Units of several DBs nest without touching each other.
func (db *DB) Unit(ctx context.Context) (context.Context, *Unit) {
	u := &Unit{ctx: Detached(ctx), scope: &scope{db: db}}
	u.scope.unit = u
	return enter(ctx, u.scope), u
}

// enlist makes sure that the unit's transaction has begun, and reports whether
// this call, which sees v, began it. The caller holds the scope's turn.
func (u *Unit) enlist(s *scope, v visibility) (begun bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return false, ErrUnitOver
	}
	if s.t != nil {
		return false, nil
	}
	t, err := s.db.begin(u.ctx, v)
	if err != nil {
		return false, err
	}
	s.t = t
	return true, nil
}

// forget rolls back a transaction whose first call failed; the next call begins
// another.
func (u *Unit) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scope.t.abandon()
	u.scope.t = nil
}

func (u *Unit) onCommit(fn func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hooks = append(u.hooks, fn)
}

// Begun reports whether a call has joined and its effects are still to be
// committed.
func (u *Unit) Begun() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.over && u.scope.t != nil
}

// Commit makes all effects durable and then runs the functions of [OnCommit].
// When no call joined there is nothing to commit. After an error nothing was committed,
// unless the connection broke during the commit itself.
func (u *Unit) Commit(ctx context.Context) error {
	if !u.end() {
		return ErrUnitOver
	}
	if t := u.scope.t; t != nil {
		if ctx.Err() != nil {
			t.abandon()
			return context.Cause(ctx)
		}
		if err := t.seen(u.ctx, u.scope.db); err != nil {
			t.abandon()
			return classify(err)
		}
		if err := t.commit(); err != nil {
			return classify(err)
		}
	}
	for _, hook := range u.hooks {
		hook()
	}
	return nil
}

// CommitIn is [Unit.Commit] after a last call in the project p, which is no part
// to be undone alone: when fn fails, the unit is rolled back.
func (u *Unit) CommitIn(ctx context.Context, p tenant.Project, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if err := u.last(ctx, visibility{project: p}, fn); err != nil {
		u.Rollback()
		return classify(err)
	}
	return u.Commit(ctx)
}

func (u *Unit) last(ctx context.Context, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	s := u.scope
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if _, err := u.enlist(s, v); err != nil {
		return err
	}
	if s.t.broken != nil {
		return fmt.Errorf("end a transaction that failed: %w", s.t.broken)
	}
	ctx, span := s.db.span(ctx, v, true)
	defer span.End()
	return s.t.call(ctx, s.db, v, fn)
}

// Rollback undoes all effects. After Commit it does nothing.
func (u *Unit) Rollback() {
	if u.end() && u.scope.t != nil {
		u.scope.t.abandon()
	}
}

// end closes the unit to further calls, once a running one is done.
func (u *Unit) end() bool {
	u.scope.turn <- struct{}{}
	defer func() { <-u.scope.turn }()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return false
	}
	u.over = true
	return true
}
