package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Instances keeps the catalog.
type Instances struct{ db *pg.DB }

// NewInstances returns the store in db.
func NewInstances(db *pg.DB) *Instances { return &Instances{db} }

type txKey struct{}

// run gives fn a transaction: that of [Instances.Atomically] itself, without a
// savepoint of its own. A heartbeat is two statements, and the savepoints would
// cost more than they; when one fails, all of it is undone anyway.
func (s *Instances) run(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if tx, ok := ctx.Value(txKey{}).(*sqlx.Tx); ok {
		return fn(ctx, tx)
	}
	return s.db.InTenant(ctx, tenant.Instance, fn)
}

// Atomically runs fn in one transaction.
func (s *Instances) Atomically(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return fn(context.WithValue(ctx, txKey{}, tx)) })
}

type row struct {
	Number           int64           `db:"id"`
	Updated          time.Time       `db:"updated_at"`
	Slug             string          `db:"slug"`
	Name             sql.NullString  `db:"name"`
	Tags             pq.StringArray  `db:"tags"`
	Source           string          `db:"source"`
	Admitted         bool            `db:"admitted"`
	KeyHash          []byte          `db:"api_key_hash"`
	Status           string          `db:"status"`
	HubURL           sql.NullString  `db:"hub_url"`
	Namespace        sql.NullString  `db:"mesh_namespace"`
	ProductVersion   sql.NullString  `db:"product_version"`
	Contract         sql.NullString  `db:"contract"`
	Capabilities     pq.StringArray  `db:"capabilities"`
	ReportedDegraded bool            `db:"reported_degraded"`
	Load             sql.NullFloat64 `db:"load"`
	LastHeartbeat    time.Time       `db:"last_heartbeat_at"`
	Sent             sql.NullTime    `db:"sent_at"`
	FirstSeen        time.Time       `db:"first_seen_at"`
	Version          int             `db:"version"`
	Key              sql.NullString  `db:"sign_key"`
	SealKey          sql.NullString  `db:"seal_key"`
	OtherKey         sql.NullString  `db:"other_key"`
	Sequence         int64           `db:"sequence"`
	Beats            int             `db:"beats"`
	Missed           int             `db:"missed"`
	Interval         float64         `db:"interval_ms"`
	Jitter           float64         `db:"jitter_ms"`
	Skew             float64         `db:"skew_ms"`
}

func (r row) instance() instance.Instance {
	i := instance.Instance{
		Number: r.Number, Updated: r.Updated, Slug: r.Slug, Name: r.Name.String, Tags: list(r.Tags), Source: r.Source, Admitted: r.Admitted, KeyHash: r.KeyHash,
		Status: instance.Status(r.Status), HubURL: r.HubURL.String, Namespace: r.Namespace.String, ProductVersion: r.ProductVersion.String,
		Contract: r.Contract.String, Capabilities: list(r.Capabilities), ReportedDegraded: r.ReportedDegraded,
		LastHeartbeat: r.LastHeartbeat, Sent: r.Sent.Time, FirstSeen: r.FirstSeen, Version: r.Version,
		Key: r.Key.String, SealKey: r.SealKey.String, OtherKey: r.OtherKey.String, Sequence: r.Sequence,
		Beats: r.Beats, Missed: r.Missed, Interval: span(r.Interval), Jitter: span(r.Jitter), Skew: span(r.Skew),
	}
	if r.Load.Valid {
		i.Load = &r.Load.Float64
	}
	return i
}

// list is nil when empty, as rows that were never written are.
func list(a pq.StringArray) []string {
	if len(a) == 0 {
		return nil
	}
	return a
}

func span(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
func ms(d time.Duration) float64    { return float64(d) / float64(time.Millisecond) }

// orNone is never NULL: the columns are not.
func orNone(s []string) pq.StringArray {
	if s == nil {
		return pq.StringArray{}
	}
	return s
}

const columns = `id, updated_at, slug, name, tags, source, admitted, api_key_hash, status, hub_url, mesh_namespace, product_version, contract, capabilities,
		       reported_degraded, load, last_heartbeat_at, sent_at, first_seen_at, version, sign_key, seal_key, other_key, sequence,
		       beats, missed, interval_ms, jitter_ms, skew_ms`

func (s *Instances) one(ctx context.Context, q string, arg any) (i instance.Instance, found bool, err error) {
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var r row
		err := tx.GetContext(ctx, &r, q, arg)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		i, found = r.instance(), err == nil
		return err
	})
	return i, found, err
}

// Find returns the row and locks it until the transaction ends.
func (s *Instances) Find(ctx context.Context, slug string) (i instance.Instance, found bool, err error) {
	const q = `SELECT ` + columns + ` FROM instances WHERE slug = $1 FOR UPDATE`
	if i, found, err = s.one(ctx, q, slug); err != nil {
		return i, false, fmt.Errorf("find instance %s: %w", slug, err)
	}
	return i, found, nil
}

// FindAll returns the rows by slug and locks them, in the order of their slugs.
func (s *Instances) FindAll(ctx context.Context, slugs []string) (map[string]instance.Instance, error) {
	const q = `SELECT ` + columns + ` FROM instances WHERE slug = ANY ($1) ORDER BY slug FOR UPDATE`
	var rows []row
	err := s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, pq.StringArray(slugs))
	})
	if err != nil {
		return nil, fmt.Errorf("find instances: %w", err)
	}
	out := make(map[string]instance.Instance, len(rows))
	for _, r := range rows {
		out[r.Slug] = r.instance()
	}
	return out, nil
}

// Get returns the row.
func (s *Instances) Get(ctx context.Context, slug string) (i instance.Instance, found bool, err error) {
	const q = `SELECT ` + columns + ` FROM instances WHERE slug = $1`
	if i, found, err = s.one(ctx, q, slug); err != nil {
		return i, false, fmt.Errorf("read instance %s: %w", slug, err)
	}
	return i, found, nil
}

// KeyOf returns the row with the digest of an API key.
func (s *Instances) KeyOf(ctx context.Context, hash []byte) (i instance.Instance, found bool, err error) {
	const q = `SELECT ` + columns + ` FROM instances WHERE api_key_hash = $1`
	if i, found, err = s.one(ctx, q, hash); err != nil {
		return i, false, fmt.Errorf("find the instance of a key: %w", err)
	}
	return i, found, nil
}

// Claim waits for whoever else claims the slug, until the transaction ends.
func (s *Instances) Claim(ctx context.Context, slug string) error {
	const q = `SELECT pg_advisory_xact_lock(hashtextextended('federation.instances.' || $1, 0))`
	err := s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, slug)
		return err
	})
	if err != nil {
		return fmt.Errorf("claim instance %s: %w", slug, err)
	}
	return nil
}

// Count returns how many instances there are.
func (s *Instances) Count(ctx context.Context) (n instance.Census, err error) {
	const q = `
		SELECT count(*) AS "all", count(*) FILTER (WHERE source = 'heartbeat') AS strangers,
		       count(*) FILTER (WHERE source = 'heartbeat' AND sign_key IS NULL) AS unsigned
		FROM instances`
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, q) })
	if err != nil {
		return instance.Census{}, fmt.Errorf("count instances: %w", err)
	}
	return n, nil
}

// CountKey returns how many strangers the key signs for.
func (s *Instances) CountKey(ctx context.Context, key string) (n int, err error) {
	const q = `SELECT count(*) FROM instances WHERE source = $1 AND sign_key = $2`
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, q, instance.FromHeartbeat, key)
	})
	if err != nil {
		return 0, fmt.Errorf("count instances of a key: %w", err)
	}
	return n, nil
}

// LeastStranger returns the stranger that goes first, and locks it. One that
// another transaction has in hand is not waited for.
func (s *Instances) LeastStranger(ctx context.Context) (i instance.Instance, found bool, err error) {
	const q = `SELECT ` + columns + ` FROM instances WHERE source = $1
		ORDER BY sign_key IS NOT NULL, last_heartbeat_at, slug LIMIT 1 FOR UPDATE SKIP LOCKED`
	if i, found, err = s.one(ctx, q, instance.FromHeartbeat); err != nil {
		return i, false, fmt.Errorf("find a stranger: %w", err)
	}
	return i, found, nil
}

// All returns every instance by slug.
func (s *Instances) All(ctx context.Context) ([]instance.Instance, error) {
	const q = `SELECT ` + columns + ` FROM instances ORDER BY slug`
	var rows []row
	err := s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return tx.SelectContext(ctx, &rows, q) })
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	out := make([]instance.Instance, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.instance())
	}
	return out, nil
}

// Save writes the row and returns its new version.
func (s *Instances) Save(ctx context.Context, i instance.Instance) (version int, err error) {
	const q = `
		INSERT INTO instances AS old (
			slug, status, hub_url, mesh_namespace, product_version, reported_degraded, last_heartbeat_at, sent_at, first_seen_at,
			name, tags, source, admitted, api_key_hash, contract, capabilities, load, sign_key, seal_key, other_key, sequence,
			beats, missed, interval_ms, jitter_ms, skew_ms)
		VALUES ($1, $2, nullif($3, ''), nullif($4, ''), nullif($5, ''), $6, $7, $8, $9,
			nullif($10, ''), $11, $12, $13, $14, nullif($15, ''), $16, $17, nullif($18, ''), nullif($19, ''), nullif($20, ''), $21,
			$22, $23, $24, $25, $26)
		ON CONFLICT (slug) DO UPDATE SET
			status = excluded.status, hub_url = excluded.hub_url, mesh_namespace = excluded.mesh_namespace,
			product_version = excluded.product_version, reported_degraded = excluded.reported_degraded,
			last_heartbeat_at = excluded.last_heartbeat_at, sent_at = excluded.sent_at,
			name = excluded.name, tags = excluded.tags, source = excluded.source, admitted = excluded.admitted, api_key_hash = excluded.api_key_hash,
			contract = excluded.contract, capabilities = excluded.capabilities, load = excluded.load, sign_key = excluded.sign_key,
			seal_key = excluded.seal_key, other_key = excluded.other_key, sequence = excluded.sequence, beats = excluded.beats,
			missed = excluded.missed, interval_ms = excluded.interval_ms, jitter_ms = excluded.jitter_ms, skew_ms = excluded.skew_ms,
			version = old.version + 1, updated_at = now()
		RETURNING version`
	source := i.Source
	if source == "" {
		source = instance.FromHeartbeat
	}
	var load sql.NullFloat64
	if i.Load != nil {
		load = sql.NullFloat64{Float64: *i.Load, Valid: true}
	}
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &version, q, i.Slug, string(i.Status), i.HubURL, i.Namespace, i.ProductVersion, i.ReportedDegraded,
			i.LastHeartbeat.UTC(), sql.NullTime{Time: i.Sent.UTC(), Valid: !i.Sent.IsZero()}, i.FirstSeen.UTC(),
			i.Name, orNone(i.Tags), source, i.Admitted, i.KeyHash, i.Contract, orNone(i.Capabilities), load, i.Key, i.SealKey, i.OtherKey, i.Sequence,
			i.Beats, i.Missed, ms(i.Interval), ms(i.Jitter), ms(i.Skew))
	})
	if err != nil {
		return 0, fmt.Errorf("save instance %s: %w", i.Slug, err)
	}
	return version, nil
}

// Delete removes the row, if it is there, and what was shared with it.
func (s *Instances) Delete(ctx context.Context, slug string) error {
	err := s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM instances WHERE slug = $1`, slug); err != nil {
			return err
		}
		return s.db.AcrossProjects(ctx, "an instance leaves the catalog", func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM shares WHERE instance = $1`, slug)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("delete instance %s: %w", slug, err)
	}
	return nil
}
