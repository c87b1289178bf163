package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// take runs the job of one ticket. What becomes of the job is in its row, so
// the ticket is acknowledged unless the row could not be written.
func (m *Manager) take(ctx context.Context, d *bus.Delivery) error {
	var t ticket
	if err := json.Unmarshal(d.Data, &t); err != nil {
		return bus.Bury(fmt.Errorf("unreadable ticket: %w", err))
	}
	leave, err := m.enter(ctx, t.Long)
	if errors.Is(err, errCrowded) {
		return m.putBack(ctx, t)
	}
	if err != nil {
		return bus.RetryAfter(0, err)
	}
	defer leave()
	j, run, err := m.claim(ctx, t)
	if pg.NoRows(err) {
		d.Note(slog.String("job", t.ID.String()), slog.String("claim", "none"))
		return nil // done, cancelled, taken by another, or released again since
	}
	if err != nil {
		return fmt.Errorf("claim job %s: %w", t.ID, err)
	}
	d.Note(slog.String("job", j.ID.String()), slog.String("kind", j.Kind), slog.Int("try", j.Attempts))
	end, err := m.execute(ctx, j, run)
	d.Note(slog.String("state", end))
	return err
}

// errCrowded says that no place became free in time.
var errCrowded = errors.New("the lane is full")

// enter waits for a place in the lane. Long jobs leave one worker to the others,
// if there are several. The wait ends before the dispatcher believes the ticket
// lost and releases the job again: with two tickets of each long job in hand no
// worker would be left for short ones.
func (m *Manager) enter(ctx context.Context, long bool) (leave func(), err error) {
	var held []chan struct{}
	leave = func() {
		for _, c := range held {
			<-c
		}
	}
	patience := time.NewTimer(m.conf.Retake / 2)
	defer patience.Stop()
	for _, c := range []chan struct{}{m.long, m.slots} {
		if c == m.long && !long {
			continue
		}
		select {
		case c <- struct{}{}:
			held = append(held, c)
		case <-m.ending:
			leave()
			return nil, ErrStopping
		case <-patience.C:
			leave()
			return nil, errCrowded
		case <-ctx.Done():
			leave()
			return nil, context.Cause(ctx)
		}
	}
	select {
	case <-m.ending:
		leave()
		return nil, ErrStopping
	default:
		return leave, nil
	}
}

// putBack gives a ticket up that found no place: the job waits in the table
// again, where priority and fairness are decided.
func (m *Manager) putBack(ctx context.Context, t ticket) error {
	const q = `
		UPDATE jobs SET state = 'queued', released_at = NULL
		WHERE  project_id = $1 AND id = $2 AND state = 'released' AND releases = $3`
	err := m.db.InTenant(ctx, t.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, int64(t.Project), t.ID, t.Release)
		return err
	})
	if err != nil {
		return fmt.Errorf("put job %s back: %w", t.ID, err)
	}
	m.db.Ring(topic)
	return nil
}

// claim makes the job this worker's. run is the fence: every later write names
// it, so a worker that was given up can change nothing.
func (m *Manager) claim(ctx context.Context, t ticket) (j Job, run uuid.UUID, err error) {
	if run, err = uuid.NewRandom(); err != nil {
		return Job{}, uuid.Nil, err
	}
	const q = `
		UPDATE jobs SET state = 'running', attempts = attempts + 1, releases = $3, run = $4, released_at = NULL,
		       started_at = now(), begun_at = coalesce(begun_at, now()), lease_until = now() + make_interval(secs => $5)
		WHERE  project_id = $1 AND id = $2
		AND   (state = 'released' AND releases = $3
		       OR state = 'queued' AND releases = $3 - 1 AND next_attempt_at <= now()
		       OR state = 'running' AND releases = $3 AND lease_until < now() AND attempts < max_attempts)
		RETURNING ` + columns
	err = m.db.InTenant(ctx, t.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		j, err = scan(tx.QueryRowxContext(ctx, q, int64(t.Project), t.ID, t.Release, run, m.conf.Lease.Seconds()))
		return err
	})
	return j, run, err
}

// execute runs the handler under the lease and writes the outcome.
func (m *Manager) execute(ctx context.Context, j Job, run uuid.UUID) (state string, err error) {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(tenant.With(ctx, identityOf(j, m.db.Service())))
	defer cancel(nil)
	m.begin(j.ID, cancel)
	defer m.end(j.ID)
	if j.CancelRequested {
		cancel(ErrCancelled)
	}
	m.metrics.running.Inc()
	defer m.metrics.running.Dec()
	m.tell(j)

	r := &Run{Job: j, m: m, run: run, turn: began}
	beat := make(chan struct{})
	go func() {
		defer close(beat)
		m.heartbeat(ctx, cancel, r)
	}()
	failure := m.call(ctx, r)
	cause := context.Cause(ctx)
	cancel(nil)
	<-beat

	j.Attempts = r.attempts()
	end := m.outcome(j, failure, cause)
	end.result = r.result
	if end.state == "" {
		return "lost", nil
	}
	// The outcome must be written even when the process is being stopped.
	writing, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	final, err := m.settle(writing, r, end)
	if errors.Is(err, ErrLost) {
		return "lost", nil
	}
	if err != nil {
		return "", fmt.Errorf("write the outcome of job %s: %w", j.ID, err)
	}
	m.metrics.took.WithLabelValues(j.Kind).Observe(time.Since(began).Seconds())
	if final.Final() {
		m.metrics.finished.WithLabelValues(j.Kind, final.State).Inc()
	}
	m.tell(final)
	m.db.Ring(topic)
	return final.State, nil
}

func identityOf(j Job, service string) tenant.Identity {
	id := tenant.Identity{Project: j.Project, Principal: j.Principal}
	if id.Principal == "" {
		id.Principal = "service:" + service
	}
	return id
}

func (m *Manager) begin(id uuid.UUID, cancel context.CancelCauseFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[id] = cancel
}

func (m *Manager) end(id uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running, id)
}

// call runs the handler and turns a panic into a fault of this job.
func (m *Manager) call(ctx context.Context, r *Run) (err error) {
	h := m.handlers[r.Job.Kind]
	if h == nil {
		return errNoHandler
	}
	defer func() {
		if p := recover(); p != nil {
			m.conf.Log.ErrorContext(ctx, "job.panic", "job", r.Job.ID, "kind", r.Job.Kind, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errs.New(errs.Internal, "internal error")
		}
	}()
	return h(ctx, r)
}

// errNoHandler sends a job back that this version of the service cannot run.
var errNoHandler = errors.New("no handler for this kind")

// heartbeat renews the lease until ctx ends, and ends ctx when the job was
// cancelled or given to another worker. A database that is away for a moment
// is no reason to stop; one that stays away ends the lease.
func (m *Manager) heartbeat(ctx context.Context, cancel context.CancelCauseFunc, r *Run) {
	every := m.conf.Lease / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		beat, done := context.WithTimeout(ctx, every)
		cancelled, err := m.renew(beat, r)
		done()
		switch {
		case errors.Is(err, ErrLost):
			cancel(ErrLost)
		case err != nil && time.Since(renewed) > m.conf.Lease:
			cancel(ErrLost)
		case err == nil && cancelled:
			cancel(ErrCancelled)
		case err == nil:
			renewed = asked
		}
	}
}

func (m *Manager) renew(ctx context.Context, r *Run) (cancelled bool, err error) {
	const q = `
		UPDATE jobs SET lease_until = now() + make_interval(secs => $4)
		WHERE  project_id = $1 AND id = $2 AND run = $3 AND state = 'running'
		RETURNING cancel_requested`
	err = m.db.InTenant(pg.Detached(ctx), r.Job.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &cancelled, q, int64(r.Job.Project), r.Job.ID, r.run, m.conf.Lease.Seconds())
	})
	if pg.NoRows(err) {
		return false, ErrLost
	}
	return cancelled, err
}

// ending is what is to be written when a handler has returned.
type ending struct {
	state  string // "" when the job is somebody else's
	text   string
	wait   time.Duration // of a queued one
	refund bool          // the try does not count
	long   bool          // it is known now to take long
	result json.RawMessage
}

// outcome decides what a handler's error means.
func (m *Manager) outcome(j Job, failure, cause error) ending {
	switch {
	case failure == nil:
		return ending{state: Done}
	case errors.Is(failure, errNoHandler):
		return ending{state: Queued, wait: m.conf.Retake, refund: true}
	case errors.Is(failure, ErrLost), errors.Is(cause, ErrLost):
		return ending{}
	case errors.Is(cause, ErrCancelled):
		return ending{state: Cancelled, text: ErrCancelled.Error()}
	case cause != nil: // the process stops
		return ending{state: Queued, refund: true}
	}
	var later *waited
	if errors.As(failure, &later) {
		return ending{state: Queued, wait: later.d, refund: true, long: later.long}
	}
	e := errs.As(failure)
	text := e.Msg
	switch {
	case e.Kind.Refusal() && e.Kind != errs.RateLimited:
		return ending{state: Failed, text: text}
	case j.Attempts >= j.MaxAttempts:
		return ending{state: Dead, text: text}
	}
	wait := m.conf.Backoff(j.Attempts)
	if e.RetryAfter > 0 {
		wait = e.RetryAfter
	}
	m.conf.Log.Warn("job.retry", "job", j.ID, "kind", j.Kind, "attempt", j.Attempts, "retry_in", wait, "err", failure)
	return ending{state: Queued, text: text, wait: wait}
}

// settle writes the end of a run and returns the job as it is then. A cancel
// that came while the handler returned an error counts; one that came after
// its success is too late.
func (m *Manager) settle(ctx context.Context, r *Run, e ending) (Job, error) {
	const q = `
		UPDATE jobs SET
		       state           = n.next, error = $5, run = NULL, lease_until = NULL,
		       finished_at     = CASE WHEN n.next <> 'queued' THEN now() END,
		       next_attempt_at = CASE WHEN n.next =  'queued' THEN now() + make_interval(secs => $6) ELSE next_attempt_at END,
		       attempts        = attempts - $7,
		       busy_ms         = busy_ms + greatest(0, extract(epoch FROM now() - started_at) * 1000)::bigint,
		       spent           = $10::jsonb,
		       long            = long OR $9,
		       progress        = CASE WHEN n.next = 'done' AND total > 0 THEN total ELSE progress END,
		       result          = coalesce($8::jsonb, result)
		FROM  (SELECT CASE WHEN $4::text = 'queued' AND cancel_requested THEN 'cancelled' ELSE $4 END AS next
		       FROM jobs WHERE project_id = $1 AND id = $2) n
		WHERE  project_id = $1 AND id = $2 AND run = $3
		RETURNING ` + columns
	var result any
	if e.result != nil {
		result = string(e.result)
	}
	refund := 0
	if e.refund {
		refund = 1
	}
	var j Job
	err := m.db.InTenant(pg.Detached(ctx), r.Job.Project, func(ctx context.Context, tx *sqlx.Tx) error {
		var err error
		j, err = scan(tx.QueryRowxContext(ctx, q, int64(r.Job.Project), r.Job.ID, r.run, e.state, e.text, e.wait.Seconds(), refund, result, e.long, string(r.spent())))
		if err != nil || e.text == "" {
			return err
		}
		return noteLog(ctx, tx, r.Job, levelOf(j), e.text)
	})
	if pg.NoRows(err) {
		return Job{}, ErrLost
	}
	return j, err
}
