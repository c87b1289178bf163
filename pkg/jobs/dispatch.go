package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// ticket is the message that lets a worker take a job. Release tells it from
// earlier ones for the same job.
type ticket struct {
	ID      uuid.UUID      `json:"id"`
	Project tenant.Project `json:"project"`
	Release int            `json:"release"`
	Long    bool           `json:"long"`
}

// due is a job whose turn it is.
type due struct {
	ID       uuid.UUID `db:"id"`
	Project  int64     `db:"project_id"`
	Kind     string    `db:"kind"`
	Releases int       `db:"releases"`
	Long     bool      `db:"long"`
	Headers  []byte    `db:"headers"`
}

// errSession says that the connection with the lock is gone.
var errSession = errors.New("the dispatcher's session is lost")

// dispatcher is one lead.
type dispatcher struct {
	*Manager
	s     *pg.Session
	kinds []string
	swept time.Time
}

func (m *Manager) lead(ctx context.Context, s *pg.Session) error {
	rung, deaf := m.db.Listen(topic)
	defer deaf()
	far, deafer := m.db.Listen(fromPeers)
	defer deafer()
	d := &dispatcher{Manager: m, s: s, kinds: m.kinds()}
	for {
		n, err := d.round(ctx)
		if errors.Is(err, errSession) {
			return err
		}
		pause := m.conf.Poll
		if err != nil && ctx.Err() == nil {
			pause = max(pause, time.Second)
			m.conf.Log.Warn("jobs.dispatch", "outcome", "waiting for the bus", "err", err)
		} else if n > 0 {
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-rung:
			t.Stop()
		case <-far:
			t.Stop()
		}
	}
}

// kinds are those that this version of the service can run.
func (m *Manager) kinds() []string { return slices.Collect(maps.Keys(m.handlers)) }

func (d *dispatcher) tx(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	if err := d.s.Tx(ctx, fn); err != nil {
		return fmt.Errorf("%w: %w", errSession, err)
	}
	return nil
}

// round puts back what was lost, releases what is due, and returns how many.
func (d *dispatcher) round(ctx context.Context) (int, error) {
	if err := d.recover(ctx); err != nil {
		return 0, err
	}
	batch, err := d.due(ctx)
	if err != nil || len(batch) == 0 {
		if err == nil {
			err = d.sweep(ctx)
		}
		return 0, err
	}
	released := make([]due, 0, len(batch))
	var failure error
	for _, j := range batch {
		if failure = d.release(ctx, j); failure != nil {
			break
		}
		released = append(released, j)
	}
	if err := d.mark(ctx, released); err != nil {
		return 0, err
	}
	return len(released), failure
}

// recover returns jobs to the queue whose worker has fallen silent, or whose
// message nobody has taken; the stream may have lost it. A job that takes its
// worker down every time is dead after its last try like any other.
func (d *dispatcher) recover(ctx context.Context) error {
	const q = `
		UPDATE jobs SET
		       state           = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
		       finished_at     = CASE WHEN attempts >= max_attempts THEN now() END,
		       error           = CASE WHEN attempts >= max_attempts THEN 'its worker died at every try' ELSE error END,
		       next_attempt_at = now(), run = NULL, lease_until = NULL
		WHERE  state = 'running' AND lease_until < now()
		RETURNING ` + columns
	const retake = `
		UPDATE jobs SET state = 'queued', released_at = NULL
		WHERE  state = 'released' AND released_at < now() - make_interval(secs => $1)`
	var silent []Job
	err := d.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, retake, d.conf.Retake.Seconds()); err != nil {
			return err
		}
		rows, err := tx.QueryxContext(ctx, q)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			j, err := scan(rows)
			if err != nil {
				return err
			}
			silent = append(silent, j)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	if err := d.let(ctx); err != nil {
		return err
	}
	for _, j := range silent {
		d.conf.Log.Warn("job.silent", "job", j.ID, "kind", j.Kind, "project", j.Project.Token(), "attempt", j.Attempts, "state", j.State)
		if j.Final() {
			d.metrics.finished.WithLabelValues(j.Kind, j.State).Inc()
			d.tell(j)
		}
	}
	return nil
}

// let queues the held jobs whose needs are done, and ends those that can have them no
// more. A need that is not there any more was not done, or was long ago; nobody can tell.
func (d *dispatcher) let(ctx context.Context) error {
	const q = `
		UPDATE jobs j SET
		       state       = CASE WHEN n.missed THEN 'cancelled' ELSE 'queued' END,
		       finished_at = CASE WHEN n.missed THEN now() END,
		       error       = CASE WHEN n.missed THEN 'a job that it needs was not done' ELSE j.error END
		FROM  (SELECT w.project_id, w.id, bool_or(x.id IS NULL OR x.finished_at IS NOT NULL AND x.state <> 'done') AS missed, bool_and(x.state IS NOT DISTINCT FROM 'done') AS met
		       FROM  (SELECT project_id, id, needs FROM jobs WHERE state = 'held' AND needs IS NOT NULL ORDER BY project_id, id LIMIT 1000) w
		       CROSS  JOIN LATERAL unnest(w.needs) need
		       LEFT   JOIN jobs x ON x.id = need AND x.project_id = w.project_id
		       GROUP  BY w.project_id, w.id) n
		WHERE  j.id = n.id AND j.project_id = n.project_id AND j.state = 'held' AND (n.missed OR n.met)`
	return d.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q)
		return err
	})
}

// longAhead is how many released long jobs may wait for a worker: few, since a
// worker that holds one of them can take nothing else.
const longAhead = 4

// due picks the jobs to release in each lane: of every project the few that fit
// its window, first those that have waited longest, a project with nothing in
// flight before one with something, and no more than may wait in the stream.
func (d *dispatcher) due(ctx context.Context) ([]due, error) {
	const q = `
		WITH RECURSIVE project (id) AS (
		    (SELECT project_id FROM jobs WHERE state = 'queued' ORDER BY project_id LIMIT 1)
		    UNION ALL
		    SELECT (SELECT project_id FROM jobs WHERE state = 'queued' AND project_id > project.id ORDER BY project_id LIMIT 1)
		    FROM   project WHERE project.id IS NOT NULL
		),
		flight AS (
		    SELECT project_id AS id, long, count(*) AS n, count(*) FILTER (WHERE state = 'released') AS untaken
		    FROM   jobs WHERE state IN ('released', 'running') GROUP BY project_id, long
		),
		lane (long, room) AS (
		    SELECT l.long, greatest(0, l.ahead - (SELECT coalesce(sum(untaken), 0) FROM flight f WHERE f.long = l.long))
		    FROM  (VALUES (false, $3::bigint), (true, $4::bigint)) l (long, ahead)
		)
		SELECT d.id, d.project_id, d.kind, d.releases, d.headers, d.long
		FROM   lane l
		CROSS  JOIN LATERAL (
		    SELECT j.id, j.project_id, j.kind, j.releases, j.headers, j.long
		    FROM   project p
		    LEFT   JOIN flight f ON f.id = p.id AND f.long = l.long
		    CROSS  JOIN LATERAL (
		        SELECT first.*, row_number() OVER (ORDER BY priority DESC, next_attempt_at, created_at, id) AS place
		        FROM  (SELECT * FROM jobs
		               WHERE  state = 'queued' AND project_id = p.id AND long = l.long AND next_attempt_at <= now() AND kind = ANY ($2)
		               ORDER  BY priority DESC, next_attempt_at, created_at, id
		               LIMIT  greatest(0, $1 - coalesce(f.n, 0))) first
		    ) j
		    WHERE  p.id IS NOT NULL
		    ORDER  BY j.place + coalesce(f.n, 0), j.next_attempt_at, j.id
		    LIMIT  l.room
		) d`
	var batch []due
	err := d.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &batch, q, d.conf.Window, pq.Array(d.kinds), d.conf.Ahead, longAhead)
	})
	return batch, err
}

// release puts the ticket of a job on the stream. A second one for the same
// release is dropped there; a worker that takes it before it is marked is
// right.
func (d *dispatcher) release(ctx context.Context, j due) error {
	t := ticket{ID: j.ID, Project: tenant.Project(j.Project), Release: j.Releases + 1, Long: j.Long}
	data, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("ticket of job %s: %w", j.ID, err)
	}
	header := nats.Header{}
	cause := map[string]string{}
	if err := json.Unmarshal(j.Headers, &cause); err != nil {
		return fmt.Errorf("headers of job %s: %w", j.ID, err)
	}
	for k, v := range cause {
		header[k] = []string{v}
	}
	subject := bus.JobSubject(t.Project, d.db.Service(), j.Kind)
	if _, _, err := d.bus.Publish(ctx, subject, j.ID.String()+"."+strconv.Itoa(t.Release), header, data); err != nil {
		return fmt.Errorf("release job %s: %w", j.ID, err)
	}
	return nil
}

// mark writes down the releases, except of jobs that a worker was faster with.
func (d *dispatcher) mark(ctx context.Context, released []due) error {
	if len(released) == 0 {
		return nil
	}
	ids, counts := make([]string, len(released)), make([]int64, len(released))
	for i, j := range released {
		ids[i], counts[i] = j.ID.String(), int64(j.Releases)
	}
	const q = `
		UPDATE jobs j SET state = 'released', releases = r.count + 1, released_at = now()
		FROM   unnest($1::uuid[], $2::integer[]) AS r (id, count)
		WHERE  j.id = r.id AND j.state = 'queued' AND j.releases = r.count`
	return d.tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, pq.Array(ids), pq.Array(counts))
		return err
	})
}

// sweep deletes final jobs after their time, a bounded number at once.
func (d *dispatcher) sweep(ctx context.Context) error {
	if time.Since(d.swept) < 10*time.Minute {
		return nil
	}
	const q = `
		DELETE FROM jobs WHERE id IN (
			SELECT id FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT 1000)`
	var n int64
	err := d.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, q, time.Now().Add(-d.conf.Keep).UTC())
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if n < 1000 {
		d.swept = time.Now()
	}
	if n > 0 {
		d.conf.Log.Info("jobs.sweep", "rows", n)
	}
	return err
}
