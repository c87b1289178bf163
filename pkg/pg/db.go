package pg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Config says which database, as which service, with how many connections.
type Config struct {
	DSN      string // of the service's own role, see [ServiceDSN]
	Service  string // name of the service and of its schema
	MaxConns int    // of the pool; 0 means 8. Leaders use one more each, see [DB.Lead]

	StatementTimeout time.Duration         // longest single statement; 0 means 30 s
	Registerer       prometheus.Registerer // gets the pool's metrics; nil for none
}

// ErrPrivileged says that the role of a DSN is not bound by row security, so
// that the service must not run as it.
var ErrPrivileged = errors.New("row security does not bind this role")

// ErrNotMigrated says that the schema of the service is not there.
var ErrNotMigrated = errors.New("the schema is missing: run the migrations first")

// DB is a pool of connections for one service. It is safe for concurrent use.
type DB struct {
	service   string
	pool      *sqlx.DB
	connector driver.Connector // for connections beside the pool
	metrics   prometheus.Collector
	registry  prometheus.Registerer
	bells     bells
}

// Open connects as the service's own role. It fails with [ErrPrivileged] for a
// superuser, a role with BYPASSRLS, or one that owns the schema, and with
// [ErrNotMigrated] when there is no such schema.
func Open(ctx context.Context, c Config) (*DB, error) {
	if !validName(c.Service) {
		return nil, fmt.Errorf("open database: service %q: want a lower-case name", c.Service)
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 8
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 30 * time.Second
	}
	direct, err := connectorFor(c.DSN, map[string]string{
		"search_path":                         c.Service + ", extensions",
		"statement_timeout":                   millis(c.StatementTimeout),
		"lock_timeout":                        millis(c.StatementTimeout / 2),
		"idle_in_transaction_session_timeout": millis(4 * c.StatementTimeout),
		// A machine that vanished must not hold a leader's lock for the two
		// hours that the kernel would give it. Unix sockets ignore these.
		"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3",
	}, "commandcenter "+c.Service)
	if err != nil {
		return nil, fmt.Errorf("open database of %s: %w", c.Service, err)
	}
	connector := preparing{direct}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(c.MaxConns)
	pool.SetMaxIdleConns(c.MaxConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db := &DB{service: c.Service, pool: sqlx.NewDb(pool, "postgres"), connector: connector}
	if err := db.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database of %s: %w", c.Service, err), pool.Close())
	}
	if c.Registerer != nil {
		db.registry = c.Registerer
		db.metrics = collectors.NewDBStatsCollector(pool, c.Service)
		if err := c.Registerer.Register(db.metrics); err != nil {
			return nil, errors.Join(fmt.Errorf("open database of %s: %w", c.Service, err), pool.Close())
		}
	}
	return db, nil
}

// check refuses roles that could see more than the policies allow.
func (db *DB) check(ctx context.Context) error {
	const q = `
		SELECT r.rolname, r.rolsuper, r.rolbypassrls,
		       n.oid IS NOT NULL                                              AS present,
		       coalesce(pg_has_role(current_user, n.nspowner, 'MEMBER'), false) AS owns,
		       coalesce(pg_has_role(current_user, a.oid, 'USAGE'), false)       AS inherits
		FROM   pg_roles r
		LEFT   JOIN pg_namespace n ON n.nspname = $1
		LEFT   JOIN pg_roles a     ON a.rolname = $2
		WHERE  r.rolname = current_user`
	var row struct {
		Name     string `db:"rolname"`
		Super    bool   `db:"rolsuper"`
		Bypass   bool   `db:"rolbypassrls"`
		Present  bool   `db:"present"`
		Owns     bool   `db:"owns"`
		Inherits bool   `db:"inherits"`
	}
	if err := db.pool.GetContext(ctx, &row, q, db.service, roleAcross(db.service)); err != nil {
		return classify(err)
	}
	switch {
	case row.Super:
		return fmt.Errorf("role %s is a superuser: %w", row.Name, ErrPrivileged)
	case row.Bypass:
		return fmt.Errorf("role %s has BYPASSRLS: %w", row.Name, ErrPrivileged)
	case !row.Present:
		return fmt.Errorf("schema %s: %w", db.service, ErrNotMigrated)
	case row.Owns:
		return fmt.Errorf("role %s owns schema %s: %w", row.Name, db.service, ErrPrivileged)
	case row.Inherits:
		return fmt.Errorf("role %s inherits from %s: %w", row.Name, roleAcross(db.service), ErrPrivileged)
	}
	return nil
}

// Service is the name of the service, and of its schema.
func (db *DB) Service() string { return db.service }

// Ping reports whether the database answers, within ctx. Connections of the pool
// that a restart of the server has ended are not an answer: database/sql drops
// one at each ping, and does not try the next.
func (db *DB) Ping(ctx context.Context) error {
	err := db.pool.PingContext(ctx)
	for left := db.pool.Stats().MaxOpenConnections; errors.Is(err, driver.ErrBadConn) && left > 0 && ctx.Err() == nil; left-- {
		err = db.pool.PingContext(ctx)
	}
	return classify(err)
}

// Stats are the pool's figures.
func (db *DB) Stats() sql.DBStats { return db.pool.Stats() }

// Close waits for running statements and closes the pool.
func (db *DB) Close() error {
	if db.registry != nil {
		db.registry.Unregister(db.metrics)
	}
	return db.pool.Close()
}

// Ring wakes those who [DB.Listen] to topic in this process. It never blocks;
// rings that nobody has heard yet are one.
func (db *DB) Ring(topic string) { db.bells.ring(topic) }

// Listen returns a channel that receives after a [DB.Ring] of topic, until stop
// is called. It does not cross processes: poll as well.
func (db *DB) Listen(topic string) (rung <-chan struct{}, stop func()) {
	return db.bells.listen(topic)
}

type bells struct {
	mu     sync.Mutex
	topics map[string]map[chan struct{}]struct{}
}

func (b *bells) ring(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.topics[topic] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (b *bells) listen(topic string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == nil {
		b.topics = map[string]map[chan struct{}]struct{}{}
	}
	if b.topics[topic] == nil {
		b.topics[topic] = map[chan struct{}]struct{}{}
	}
	b.topics[topic][ch] = struct{}{}
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.topics[topic], ch)
	}
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
