package pg

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/lib/pq"
)

// maxPrepared is how many statements a connection keeps prepared. A service
// has some dozens.
const maxPrepared = 256

// preparing is a connector whose connections prepare each statement with
// parameters once and keep it: the second time it costs one round trip instead
// of two, and neither parsing nor, for most, planning. Statements live as long
// as their connection, in the server too, which is why a pooler between must
// keep sessions together; advisory locks ask for that already.
type preparing struct{ driver.Connector }

// fullConn is what the driver's connections offer to database/sql.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// fullStmt is what its statements offer.
type fullStmt interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
}

// Connect opens a connection of the driver and gives it a memory.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(fullConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("driver: %T cannot do what is needed of a connection", c), c.Close())
	}
	return &preparedConn{fullConn: full, stmts: map[string]*list.Element{}, recent: list.New()}, nil
}

// preparedConn is one connection. database/sql uses it from one goroutine at a
// time.
type preparedConn struct {
	fullConn
	stmts  map[string]*list.Element
	recent *list.List // of *preparedStmt, the latest used first
	unsure bool       // it may be inside a transaction that nobody ends
}

type preparedStmt struct {
	query string
	stmt  fullStmt
}

type openingKey struct{}

// opening returns ctx for the beginning of a transaction whose first statements,
// without parameters, go along with its BEGIN: one round trip for both.
func opening(ctx context.Context, statements string) context.Context {
	return context.WithValue(ctx, openingKey{}, statements)
}

// BeginTx begins a transaction, with its opening when ctx has one.
func (c *preparedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	first, ok := ctx.Value(openingKey{}).(string)
	end, can := c.fullConn.(driver.Tx)
	if !ok || !can || opts != (driver.TxOptions{}) {
		return c.fullConn.BeginTx(ctx, opts)
	}
	if _, err := c.fullConn.ExecContext(ctx, "BEGIN; "+first, nil); err != nil {
		c.unsure = true
		return nil, err
	}
	return openedTx{end, ctx, c}, nil
}

// openedTx is the end of a transaction that began with its opening.
type openedTx struct {
	driver.Tx
	ctx context.Context // of the transaction
	c   *preparedConn
}

// Rollback gives up the connection of a transaction whose context has ended: the
// server may be the reason, and would not hear it.
func (t openedTx) Rollback() error {
	if t.ctx.Err() != nil {
		t.c.unsure = true
		return driver.ErrBadConn
	}
	return t.Tx.Rollback()
}

// IsValid reports whether the connection may be used again.
func (c *preparedConn) IsValid() bool { return !c.unsure && c.fullConn.IsValid() }

// QueryContext runs a query. Without parameters there is nothing to prepare:
// such texts may hold several statements.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return c.fullConn.QueryContext(ctx, query, args)
	}
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	return rows, c.outdated(query, err)
}

// ExecContext runs a statement.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.fullConn.ExecContext(ctx, query, args)
	}
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := s.ExecContext(ctx, args)
	return res, c.outdated(query, err)
}

// statement returns the prepared one, and makes it at its first use.
func (c *preparedConn) statement(ctx context.Context, query string) (fullStmt, error) {
	if e, ok := c.stmts[query]; ok {
		c.recent.MoveToFront(e)
		return e.Value.(*preparedStmt).stmt, nil
	}
	made, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := made.(fullStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("driver: %T cannot do what is needed of a statement", made), made.Close())
	}
	c.stmts[query] = c.recent.PushFront(&preparedStmt{query, s})
	if c.recent.Len() > maxPrepared {
		if err := c.forget(c.recent.Back()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (c *preparedConn) forget(e *list.Element) error {
	p := c.recent.Remove(e).(*preparedStmt)
	delete(c.stmts, p.query)
	return p.stmt.Close()
}

// outdated forgets a statement whose tables have changed their shape under it,
// or that the server does not have any more: the next try prepares it anew.
func (c *preparedConn) outdated(query string, err error) error {
	var e *pq.Error
	if !errors.As(err, &e) || e.Code != "0A000" && e.Code != "26000" {
		return err
	}
	if el, ok := c.stmts[query]; ok {
		// The failed transaction refuses to close it; the server drops it with
		// the session.
		p := c.recent.Remove(el).(*preparedStmt)
		delete(c.stmts, p.query)
	}
	return err
}
