package pg

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// InTenant runs fn in a transaction that sees the rows of p and no others, and
// commits when fn returns nil. The setting dies with the transaction, so a
// connection never carries it into the next one.
//
// Under a context of another call of this DB, or of a [DB.Unit], it joins that
// transaction: fn's effects are undone alone when fn fails, committed with the
// rest otherwise. A joined call may name another project than the outer one;
// each sees only its own. fn must use the context and the tx that it is given.
func (db *DB) InTenant(ctx context.Context, p tenant.Project, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if p < 0 {
		return fmt.Errorf("project %d: want zero or more", p)
	}
	return db.run(ctx, visibility{project: p}, fn)
}

// InTenantSet is [DB.InTenant] in a transaction of its own, for which settings of
// PostgreSQL hold ("SET LOCAL enable_sort = off"), which go along with its beginning.
// They must be constants or numbers.
func (db *DB) InTenantSet(ctx context.Context, p tenant.Project, settings string, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if p < 0 {
		return fmt.Errorf("project %d: want zero or more", p)
	}
	return db.run(Detached(ctx), visibility{project: p, settings: settings}, fn)
}

// AcrossProjects runs fn in a transaction that sees the rows of every project,
// in the tables that allow it. reason says why in the trace, as in "login by
// e-mail"; it must not be empty and must be a constant. It joins like
// [DB.InTenant].
func (db *DB) AcrossProjects(ctx context.Context, reason string, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if reason == "" {
		return errors.New("a transaction across projects needs a reason")
	}
	return db.run(ctx, visibility{across: true, reason: reason}, fn)
}

// OnCommit runs fn after the transaction of ctx has committed, in order of
// registration, and never when it, or the joined call that registered it, is
// rolled back. ctx must be the one that the transaction's function was given;
// outside a transaction fn runs at once. fn must not block.
func OnCommit(ctx context.Context, fn func()) {
	switch s := scopeIn(ctx); {
	case s == nil:
		fn()
	case s.unit != nil:
		s.unit.onCommit(fn)
	default:
		s.t.hooks = append(s.t.hooks, fn)
	}
}

// Ring is [DB.Ring] of topic after the commit of ctx's transaction. Outside a
// transaction it does nothing.
func Ring(ctx context.Context, topic string) {
	if s := scopeIn(ctx); s != nil {
		OnCommit(ctx, func() { s.db.Ring(topic) })
	}
}

// Detached returns ctx outside of every transaction and unit: work under it
// has a connection and a fate of its own.
func Detached(ctx context.Context) context.Context {
	return context.WithValue(ctx, scopeKey{}, (*scope)(nil))
}

// visibility is what the statements of one call may see.
type visibility struct {
	project tenant.Project
	across  bool
	reason  string

	settings string // more of them, set along with it
}

// set is the statement that gives a transaction this visibility, whatever it
// had before. SET LOCAL ends with the transaction, and with the savepoint when
// that is rolled back.
func (v visibility) set(db *DB) string {
	if v.across {
		return `SET LOCAL ROLE "` + roleAcross(db.service) + `"; SET LOCAL app.project_id = ''`
	}
	set := `SET LOCAL ROLE NONE; SET LOCAL app.project_id = '` + strconv.FormatInt(int64(v.project), 10) + `'`
	if v.settings != "" {
		set += "; " + v.settings
	}
	return set
}

// same reports whether both see the same rows.
func (v visibility) same(other visibility) bool {
	return v.across == other.across && v.project == other.project
}

// transaction is one transaction of the database and what hangs on its end.
type transaction struct {
	tx     *sqlx.Tx
	hooks  []func()
	now    visibility // what its statements see
	points int        // savepoints so far, for their names
	broken error      // why it must not be committed
}

// scope is a place in a transaction from which calls may join: the function of
// a call, or a unit, whose transaction may not have begun.
type scope struct {
	db     *DB
	t      *transaction // nil while a unit has not begun
	seen   *visibility  // what to give back after a joined call; nil for a unit
	unit   *Unit        // nil unless the scope is a unit's
	turn   chan struct{}
	parent *scope
}

type scopeKey struct{}

func scopeIn(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

func enter(ctx context.Context, s *scope) context.Context {
	s.parent = scopeIn(ctx)
	s.turn = make(chan struct{}, 1)
	return context.WithValue(ctx, scopeKey{}, s)
}

func (db *DB) run(ctx context.Context, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	s := scopeIn(ctx)
	for s != nil && s.db != db {
		s = s.parent
	}
	ctx, span := db.span(ctx, v, s != nil)
	defer span.End()
	var err error
	if s == nil {
		err = db.alone(ctx, v, fn)
	} else {
		err = s.join(ctx, v, fn)
	}
	if err = classify(err); err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

// alone runs fn in a transaction of its own.
func (db *DB) alone(ctx context.Context, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	t, err := db.begin(ctx, v)
	if err != nil {
		return err
	}
	defer t.abandon()
	if err := t.call(ctx, db, v, fn); err != nil {
		return err
	}
	if err := t.seen(ctx, db); err != nil {
		return err
	}
	return t.commit()
}

// begin begins a transaction that sees v.
func (db *DB) begin(ctx context.Context, v visibility) (*transaction, error) {
	tx, err := db.pool.BeginTxx(opening(ctx, v.set(db)), nil)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return &transaction{tx: tx, now: v}, nil
}

// call runs fn inside the transaction, with the visibility v.
func (t *transaction) call(ctx context.Context, db *DB, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if !t.now.same(v) {
		if err := t.set(ctx, v, v.set(db)); err != nil {
			return err
		}
	}
	return fn(enter(ctx, &scope{db: db, t: t, seen: &v}), t.tx)
}

// set runs statements after which the transaction sees v.
func (t *transaction) set(ctx context.Context, v visibility, statements string) error {
	if _, err := t.tx.ExecContext(ctx, statements); err != nil {
		return fmt.Errorf("set the project: %w", err)
	}
	t.now = v
	return nil
}

func (t *transaction) commit() error {
	if t.broken != nil {
		return errors.Join(fmt.Errorf("not committed: %w", t.broken), t.tx.Rollback())
	}
	if err := t.tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, hook := range t.hooks {
		hook()
	}
	return nil
}

// abandon rolls back what is not finished; a panic on the way is one reason.
// Its own failure means that the connection is gone, and the work with it.
func (t *transaction) abandon() { _ = t.tx.Rollback() }

// join runs fn inside the transaction of s.
func (s *scope) join(ctx context.Context, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.unit != nil {
		begun, err := s.unit.enlist(s, v)
		if err != nil {
			return err
		}
		if begun {
			return s.first(ctx, v, fn)
		}
	}
	if s.t.broken != nil {
		return fmt.Errorf("join a transaction that failed: %w", s.t.broken)
	}
	return s.nested(ctx, v, fn)
}

// first is the call that began the unit's transaction: when it fails, the
// transaction goes, and the next call begins another.
func (s *scope) first(ctx context.Context, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	ok := false
	defer func() {
		if !ok {
			s.unit.forget()
		}
	}()
	if err := s.t.call(ctx, s.db, v, fn); err != nil {
		return err
	}
	ok = true
	return nil
}

// nested runs fn under a savepoint, so that its failure undoes its effects and
// its hooks and nothing else.
func (s *scope) nested(ctx context.Context, v visibility, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	t := s.t
	t.points++
	point := "cc" + strconv.Itoa(t.points)
	hooks, before := len(t.hooks), t.now
	ok := false
	defer func() {
		if ok {
			return
		}
		t.hooks = t.hooks[:hooks]
		// The caller's context may have ended; the savepoint must go all the same.
		err := t.set(context.WithoutCancel(ctx), before, "ROLLBACK TO SAVEPOINT "+point+"; RELEASE SAVEPOINT "+point)
		if err != nil && t.broken == nil {
			t.broken = fmt.Errorf("undo a part of the transaction: %w", err)
		}
	}()
	if err := t.set(ctx, v, "SAVEPOINT "+point+"; "+v.set(s.db)); err != nil {
		return err
	}
	if err := t.call(ctx, s.db, v, fn); err != nil {
		return err
	}
	back, seen := "RELEASE SAVEPOINT "+point, v
	if s.seen != nil {
		back, seen = back+"; "+s.seen.set(s.db), *s.seen
	}
	if err := t.set(ctx, seen, back); err != nil {
		return fmt.Errorf("end a part of the transaction: %w", err)
	}
	ok = true
	return nil
}

const tracerName = "github.com/commandcenter/commandcenter/pkg/pg"

// span opens the span of one call; its name and attributes are bounded sets.
func (db *DB) span(ctx context.Context, v visibility, joined bool) (context.Context, trace.Span) {
	name := "pg.InTenant"
	if v.across {
		name = "pg.AcrossProjects"
	}
	ctx, span := otel.Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("db.system.name", "postgresql"),
			attribute.String("db.namespace", db.service),
			attribute.Bool("pg.joined", joined))
		if v.across {
			span.SetAttributes(attribute.String("pg.reason", v.reason))
		} else {
			span.SetAttributes(attribute.Int64("project", int64(v.project)))
		}
	}
	return ctx, span
}
