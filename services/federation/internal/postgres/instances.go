package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	federationv1 "github.com/commandcenter/commandcenter/proto-events/federation/v1"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
)

// Instances keeps the catalog.
type Instances struct{ db *pg.DB }

// NewInstances returns the store in db.
func NewInstances(db *pg.DB) *Instances { return &Instances{db} }

func (s *Instances) run(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	return s.db.InTenant(ctx, tenant.Instance, fn)
}

// Atomically runs fn in one transaction.
func (s *Instances) Atomically(ctx context.Context, fn func(ctx context.Context) error) error {
	return s.run(ctx, func(ctx context.Context, _ *sqlx.Tx) error { return fn(ctx) })
}

type row struct {
	Slug             string         `db:"slug"`
	Status           string         `db:"status"`
	HubURL           sql.NullString `db:"hub_url"`
	Namespace        sql.NullString `db:"mesh_namespace"`
	ProductVersion   sql.NullString `db:"product_version"`
	ReportedDegraded bool           `db:"reported_degraded"`
	LastHeartbeat    time.Time      `db:"last_heartbeat_at"`
	Sent             sql.NullTime   `db:"sent_at"`
	FirstSeen        time.Time      `db:"first_seen_at"`
	Version          int            `db:"version"`
}

func (r row) instance() instance.Instance {
	return instance.Instance{
		Slug: r.Slug, Status: instance.Status(r.Status), HubURL: r.HubURL.String, Namespace: r.Namespace.String,
		ProductVersion: r.ProductVersion.String, ReportedDegraded: r.ReportedDegraded, LastHeartbeat: r.LastHeartbeat,
		Sent: r.Sent.Time, FirstSeen: r.FirstSeen, Version: r.Version,
	}
}

// Find returns the row and locks it until the transaction ends.
func (s *Instances) Find(ctx context.Context, slug string) (i instance.Instance, found bool, err error) {
	const q = `
		SELECT slug, status, hub_url, mesh_namespace, product_version, reported_degraded, last_heartbeat_at, sent_at, first_seen_at, version
		FROM   instances
		WHERE  slug = $1
		FOR    UPDATE`
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var r row
		err := tx.GetContext(ctx, &r, q, slug)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		i, found = r.instance(), err == nil
		return err
	})
	if err != nil {
		return i, false, fmt.Errorf("find instance %s: %w", slug, err)
	}
	return i, found, nil
}

// Count returns how many instances there are.
func (s *Instances) Count(ctx context.Context) (n int, err error) {
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM instances`)
	})
	if err != nil {
		return 0, fmt.Errorf("count instances: %w", err)
	}
	return n, nil
}

// All returns every instance by slug.
func (s *Instances) All(ctx context.Context) ([]instance.Instance, error) {
	const q = `
		SELECT slug, status, hub_url, mesh_namespace, product_version, reported_degraded, last_heartbeat_at, sent_at, first_seen_at, version
		FROM   instances
		ORDER  BY slug`
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
		INSERT INTO instances AS old (slug, status, hub_url, mesh_namespace, product_version, reported_degraded, last_heartbeat_at, sent_at, first_seen_at)
		VALUES ($1, $2, nullif($3, ''), nullif($4, ''), nullif($5, ''), $6, $7, $8, $9)
		ON CONFLICT (slug) DO UPDATE SET
			status = excluded.status, hub_url = excluded.hub_url, mesh_namespace = excluded.mesh_namespace,
			product_version = excluded.product_version, reported_degraded = excluded.reported_degraded,
			last_heartbeat_at = excluded.last_heartbeat_at, sent_at = excluded.sent_at, version = old.version + 1
		RETURNING version`
	err = s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &version, q, i.Slug, string(i.Status), i.HubURL, i.Namespace, i.ProductVersion, i.ReportedDegraded,
			i.LastHeartbeat.UTC(), sql.NullTime{Time: i.Sent.UTC(), Valid: !i.Sent.IsZero()}, i.FirstSeen.UTC())
	})
	if err != nil {
		return 0, fmt.Errorf("save instance %s: %w", i.Slug, err)
	}
	return version, nil
}

// Delete removes the row, if it is there.
func (s *Instances) Delete(ctx context.Context, slug string) error {
	err := s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM instances WHERE slug = $1`, slug)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete instance %s: %w", slug, err)
	}
	return nil
}

// Announce adds status_changed to the outbox.
func (s *Instances) Announce(ctx context.Context, c instance.Change) error {
	return s.run(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return outbox.Add(ctx, tx, &federationv1.InstanceStatusChanged{
			InstanceId: c.Instance.Slug, Version: int32(c.Instance.Version), Status: string(c.Instance.Status), //nolint:gosec // a version is small
			PreviousStatus: string(c.Previous), HubUrl: c.Instance.HubURL, LastHeartbeatAt: timestamppb.New(c.Instance.LastHeartbeat),
		})
	})
}
