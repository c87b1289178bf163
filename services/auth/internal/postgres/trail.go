package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/trail"
)

// Trail keeps the audit logs.
type Trail struct{ *Store }

// Append locks the project, so that it cannot go meanwhile, and then the head of
// its log: entries of one log are added one after another.
func (s Trail) Append(ctx context.Context, p tenant.Project, e audit.Entry) error {
	if p != tenant.Instance {
		var there bool
		err := s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
			const q = `SELECT 1 FROM projects WHERE project_id = $1 FOR KEY SHARE`
			var one int
			if err := tx.GetContext(ctx, &one, q, int64(p)); err != nil && !pg.NoRows(err) {
				return fmt.Errorf("look for the project of an entry: %w", err)
			}
			if there = one == 1; there {
				return appendEntry(ctx, tx, p, e)
			}
			return nil
		})
		if there || err != nil {
			return err
		}
		e.Target = append(e.Target, audit.Named{Name: "project_id", Value: strconv.FormatInt(int64(p), 10)})
	}
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		return appendEntry(ctx, tx, tenant.Instance, e)
	})
}

// appendEntry adds e to the log of p, in a transaction of p.
func appendEntry(ctx context.Context, tx *sqlx.Tx, p tenant.Project, e audit.Entry) error {
	const begin = `INSERT INTO audit_heads (project_id) VALUES ($1) ON CONFLICT DO NOTHING`
	if _, err := tx.ExecContext(ctx, begin, int64(p)); err != nil {
		return fmt.Errorf("begin the audit log: %w", err)
	}
	const lock = `SELECT seq, hash FROM audit_heads WHERE project_id = $1 FOR UPDATE`
	var head struct {
		Seq  int64  `db:"seq"`
		Hash string `db:"hash"`
	}
	if err := tx.GetContext(ctx, &head, lock, int64(p)); err != nil {
		return fmt.Errorf("lock the audit log: %w", err)
	}
	e.Chain, e.Seq, e.Prev = int64(p), head.Seq+1, head.Hash
	if e.Target == nil {
		e.Target = []audit.Named{}
	}
	e.Hash = e.Sum()
	target, err := json.Marshal(e.Target)
	if err != nil {
		return fmt.Errorf("target of an entry: %w", err)
	}
	const add = `
		INSERT INTO audit_entries (project_id, seq, call_id, recorded_at, accepted_at, last_at, count, service, operation, actor, key_id,
		                           status, reason, address, request_id, trace_id, target, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`
	_, err = tx.ExecContext(ctx, add, e.Chain, e.Seq, e.ID, e.RecordedAt, e.AcceptedAt, e.LastAt, e.Count, e.Service, e.Operation, e.Actor, e.KeyID,
		e.Status, e.Reason, e.Address, e.RequestID, e.TraceID, string(target), e.Prev, e.Hash)
	if err != nil {
		return fmt.Errorf("add to the audit log: %w", err)
	}
	const move = `UPDATE audit_heads SET seq = $2, hash = $3 WHERE project_id = $1`
	if _, err := tx.ExecContext(ctx, move, int64(p), e.Seq, e.Hash); err != nil {
		return fmt.Errorf("move the head of the audit log: %w", err)
	}
	return nil
}

// entryRow is an entry with its targets as JSON.
type entryRow struct {
	Chain      int64     `db:"project_id"`
	Seq        int64     `db:"seq"`
	ID         string    `db:"call_id"`
	RecordedAt time.Time `db:"recorded_at"`
	AcceptedAt time.Time `db:"accepted_at"`
	LastAt     time.Time `db:"last_at"`
	Count      int       `db:"count"`
	Service    string    `db:"service"`
	Operation  string    `db:"operation"`
	Actor      string    `db:"actor"`
	KeyID      string    `db:"key_id"`
	Status     int       `db:"status"`
	Reason     string    `db:"reason"`
	Address    string    `db:"address"`
	RequestID  string    `db:"request_id"`
	TraceID    string    `db:"trace_id"`
	Target     []byte    `db:"target"`
	Prev       string    `db:"prev"`
	Hash       string    `db:"hash"`
}

func (r entryRow) entry() (audit.Entry, error) {
	e := audit.Entry{
		Chain: r.Chain, Seq: r.Seq, ID: r.ID, RecordedAt: r.RecordedAt.UTC(), AcceptedAt: r.AcceptedAt.UTC(), LastAt: r.LastAt.UTC(), Count: r.Count,
		Service: r.Service, Operation: r.Operation, Actor: r.Actor, KeyID: r.KeyID, Status: r.Status, Reason: r.Reason,
		Address: r.Address, RequestID: r.RequestID, TraceID: r.TraceID, Target: []audit.Named{}, Prev: r.Prev, Hash: r.Hash,
	}
	if err := json.Unmarshal(r.Target, &e.Target); err != nil {
		return e, fmt.Errorf("target of entry %d: %w", r.Seq, err)
	}
	return e, nil
}

// Tell has the log of the instance told of what no call was, by the outbox.
func (s Trail) Tell(ctx context.Context, m *platformv1.CallRecorded) error {
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error { return outbox.Add(ctx, tx, m) })
}

// Person returns the principal of an account that has to do with a log. It looks for the
// same things whether the address is somebody's or nobody's: the time tells nothing.
func (s Trail) Person(ctx context.Context, chain tenant.Project, email string) (who string, err error) {
	const q = `
		SELECT CASE WHEN ($1 = 0 OR EXISTS (SELECT FROM memberships m WHERE m.project_id = $1 AND m.user_id = coalesce(u.id, 0))
		                  OR EXISTS (SELECT FROM audit_entries e WHERE e.project_id = $1 AND e.actor = 'user:' || coalesce(u.id, 0)))
		            AND u.id IS NOT NULL THEN 'user:' || u.id ELSE '' END
		FROM   (SELECT $2::text AS email) a LEFT JOIN users u ON u.email = a.email`
	err = s.db.InTenant(ctx, chain, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &who, q, int64(chain), email); err != nil && !pg.NoRows(err) {
			return fmt.Errorf("look for the person of an audit log: %w", err)
		}
		return nil
	})
	return who, err
}

// List reads entries and the head behind them in one snapshot's order: the head
// first, so that no entry is newer than it says.
func (s Trail) List(ctx context.Context, q trail.Query) (list []audit.Entry, head audit.Anchor, err error) {
	head.Chain = int64(q.Chain)
	err = s.db.InTenant(ctx, q.Chain, func(ctx context.Context, tx *sqlx.Tx) error {
		const last = `SELECT seq, hash FROM audit_heads WHERE project_id = $1`
		if err := tx.QueryRowxContext(ctx, last, int64(q.Chain)).Scan(&head.Seq, &head.Hash); err != nil && !pg.NoRows(err) {
			return fmt.Errorf("head of the audit log: %w", err)
		}
		if q.Limit == 0 {
			return nil
		}
		const find = `
			SELECT project_id, seq, call_id, recorded_at, accepted_at, last_at, count, service, operation, actor, key_id,
			       status, reason, address, request_id, trace_id, target, prev, hash
			FROM   audit_entries
			WHERE  project_id = $1 AND seq <= $2
			AND    ($3::bigint IS NULL OR seq > $3) AND ($4::bigint IS NULL OR seq < $4)
			AND    ($5 = '' OR actor = $5) AND ($6 = '' OR operation = $6)
			AND    CASE $7 WHEN '' THEN true WHEN 'ok' THEN reason = ''
			       WHEN 'refused' THEN reason <> '' AND NOT reason = ANY ($8) ELSE reason = ANY ($8) END
			AND    ($9::timestamptz IS NULL OR accepted_at >= $9) AND ($10::timestamptz IS NULL OR accepted_at < $10)
			AND    ($11 = '' OR strpos(lower(concat_ws(' ', call_id, operation, actor, key_id, reason, address, request_id, trace_id, target::text)), lower($11)) > 0)
			AND    ($13 = '' OR EXISTS (SELECT FROM jsonb_array_elements(target) t WHERE t ->> 'value' = $13 OR concat(t ->> 'name', '=', t ->> 'value') = $13
			        OR t ->> 'name' = 'user_id' AND concat('user:', t ->> 'value') = $13))
			ORDER  BY seq `
		const newest, oldest = find + `DESC LIMIT $12`, find + `LIMIT $12`
		ordered := newest
		if q.After != nil {
			ordered = oldest
		}
		reasons := q.Reasons
		if q.Outcome == audit.Refused {
			reasons = append(audit.Denied.Reasons(), audit.Failed.Reasons()...)
		}
		var rows []entryRow
		err := tx.SelectContext(ctx, &rows, ordered, int64(q.Chain), head.Seq, q.After, q.Before, q.Actor, q.Operation,
			string(q.Outcome), pq.StringArray(reasons), q.From, q.Until, q.Text, q.Limit, q.Target)
		if err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		list = make([]audit.Entry, 0, len(rows))
		for _, r := range rows {
			e, err := r.entry()
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		return nil
	})
	return list, head, err
}

// anchorsAtOnce is how many logs are announced in one transaction.
const anchorsAtOnce = 200

// Anchor announces the logs that have moved.
func (s Trail) Anchor(ctx context.Context) (n int, err error) {
	err = s.db.AcrossProjects(ctx, "announce audit logs", func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE audit_heads SET anchored_seq = seq
			WHERE  project_id IN (SELECT project_id FROM audit_heads WHERE seq > anchored_seq ORDER BY project_id LIMIT $1 FOR UPDATE SKIP LOCKED)
			RETURNING project_id, seq, hash`
		var rows []struct {
			Chain int64  `db:"project_id"`
			Seq   int64  `db:"seq"`
			Hash  string `db:"hash"`
		}
		if err := tx.SelectContext(ctx, &rows, q, anchorsAtOnce); err != nil {
			return fmt.Errorf("announce audit logs: %w", err)
		}
		for _, r := range rows {
			if err := outbox.Add(ctx, tx, &authv1.AuditAnchored{ProjectId: id32(r.Chain), Version: id32(r.Seq), Hash: r.Hash}); err != nil {
				return err
			}
		}
		n = len(rows)
		return nil
	})
	return n, err
}

// bury removes the log of a project whose row is gone, and returns how it ended;
// nil when it was empty.
func (s Trail) bury(ctx context.Context, p tenant.Project) (end *audit.Anchor, err error) {
	err = s.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `SELECT last_seq, last_hash FROM audit_purge($1)`
		var ended []struct {
			Seq  int64  `db:"last_seq"`
			Hash string `db:"last_hash"`
		}
		if err := tx.SelectContext(ctx, &ended, q, int64(p)); err != nil {
			return fmt.Errorf("purge the audit log: %w", err)
		}
		for _, e := range ended {
			end = &audit.Anchor{Seq: e.Seq, Hash: e.Hash}
		}
		return nil
	})
	return end, err
}

// deletedBy is the entry of the call that asked for the deletion of a project, as its
// log has it. Without one it is what is known otherwise: who, and when.
func deletedBy(ctx context.Context, tx *sqlx.Tx, p tenant.Project, by int64, at time.Time) (audit.Entry, error) {
	const q = `
		SELECT project_id, seq, call_id, recorded_at, accepted_at, last_at, count, service, operation, actor, key_id,
		       status, reason, address, request_id, trace_id, target, prev, hash
		FROM   audit_entries
		WHERE  project_id = $1 AND operation = 'deleteProject' AND service = $2 AND reason = ''
		ORDER  BY seq DESC LIMIT 1`
	var row entryRow
	if err := tx.GetContext(ctx, &row, q, int64(p), service); err == nil {
		return row.entry()
	} else if !pg.NoRows(err) {
		return audit.Entry{}, fmt.Errorf("look for who deleted the project: %w", err)
	}
	e := audit.Entry{ID: fmt.Sprintf("project-%d-deletion", p), AcceptedAt: at.UTC(), LastAt: at.UTC(), Count: 1, Service: service, Operation: "deleteProject", Status: 204}
	if by != 0 {
		e.Actor = "user:" + strconv.FormatInt(by, 10)
	}
	return e, nil
}

// tombstone writes down in the instance's log who had a project deleted, that it is
// gone, how its own log ended, and what was counted.
func (s Trail) tombstone(ctx context.Context, p tenant.Project, call audit.Entry, end *audit.Anchor, proof []project.Purge, now time.Time) error {
	e := audit.Entry{
		ID: fmt.Sprintf("project-%d", p), RecordedAt: now, AcceptedAt: now, LastAt: now, Count: 1,
		Service: service, Operation: "purgeAudit", Actor: "service:auth", Status: 204,
		Target: []audit.Named{{Name: "project_id", Value: strconv.FormatInt(int64(p), 10)}},
	}
	if end != nil {
		e.Target = append(e.Target, audit.Named{Name: "last_seq", Value: strconv.FormatInt(end.Seq, 10)}, audit.Named{Name: "last_hash", Value: end.Hash})
	}
	for _, x := range proof {
		sum := purge.Sum(x.Parts)
		e.Target = append(e.Target, audit.Named{Name: x.Service, Value: fmt.Sprintf("removed %d, left %d, kept %d", sum.Removed, sum.Left, sum.Kept)})
	}
	return s.db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := appendEntry(ctx, tx, tenant.Instance, call); err != nil {
			return err
		}
		return appendEntry(ctx, tx, tenant.Instance, e)
	})
}
