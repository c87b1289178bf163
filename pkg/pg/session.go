package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jmoiron/sqlx"
)

// Session is one connection outside the pool, for as long as it lives. It sees
// all projects, like [DB.AcrossProjects]. It is not safe for concurrent use.
type Session struct {
	db     *DB
	reason string
	pool   *sql.DB
	conn   *sqlx.Conn
}

// Session opens a connection of its own that sees all projects; reason says
// why, in traces. The caller closes it.
func (db *DB) Session(ctx context.Context, reason string) (*Session, error) {
	if reason == "" {
		return nil, errors.New("a session across projects needs a reason")
	}
	pool := sql.OpenDB(db.connector)
	pool.SetMaxOpenConns(1)
	s := &Session{db: db, reason: reason, pool: pool}
	conn, err := sqlx.NewDb(pool, "postgres").Connx(ctx)
	if err == nil {
		s.conn = conn
		_, err = conn.ExecContext(ctx, `SET ROLE "`+roleAcross(db.service)+`"`)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a session: %w", classify(err)), s.Close())
	}
	return s, nil
}

// TryLock takes the advisory lock of name within the service, unless another
// session has it. The lock goes with the session.
func (s *Session) TryLock(ctx context.Context, name string) (bool, error) {
	var got bool
	err := s.conn.GetContext(ctx, &got, `SELECT pg_try_advisory_lock($1)`, lockKey(s.db.service+"/"+name))
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", name, classify(err))
	}
	return got, nil
}

// Tx runs fn in a transaction of the session. [OnCommit] works inside.
func (s *Session) Tx(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	v := visibility{across: true, reason: s.reason}
	ctx, span := s.db.span(ctx, v, false)
	defer span.End()
	tx, err := s.conn.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", classify(err))
	}
	t := &transaction{tx: tx, now: v}
	defer t.abandon()
	if err := fn(enter(Detached(ctx), &scope{db: s.db, t: t, seen: &v}), tx); err != nil {
		return classify(err)
	}
	return classify(t.commit())
}

// Close gives up the connection and its locks.
func (s *Session) Close() error {
	var err error
	if s.conn != nil {
		err = s.conn.Close()
	}
	return errors.Join(err, s.pool.Close())
}

// leadRetry is how long a process that does not lead waits before it asks
// again: the time that a crash of the leader costs at most, besides the
// server's notice of it.
const leadRetry = time.Second

// Lead runs fn in one process of the cluster at a time. It tries until it gets
// the lock of name, then calls fn with the session that holds it; fn must do
// its work through that session, so that whoever has lost the lock can change
// nothing. When fn returns, the lock is given up and Lead tries again after a
// pause, until ctx ends; it reports each error of fn to failed, which may be
// nil.
func (db *DB) Lead(ctx context.Context, name string, failed func(error), fn func(ctx context.Context, s *Session) error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := db.lead(ctx, name, fn); err != nil && ctx.Err() == nil && failed != nil {
			failed(err)
		}
		timer.Reset(leadRetry)
	}
}

func (db *DB) lead(ctx context.Context, name string, fn func(ctx context.Context, s *Session) error) (err error) {
	s, err := db.Session(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for {
		got, err := s.TryLock(ctx, name)
		if err != nil {
			return err
		}
		if got {
			return fn(ctx, s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(leadRetry):
		}
	}
}

// lockKey spreads names over the keys of advisory locks, which are one space
// per database.
func lockKey(name string) int64 {
	h := fnv.New64a()
	h.Write([]byte("commandcenter/" + name))
	return int64(h.Sum64())
}
