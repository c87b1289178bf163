package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// The causes for which a handler's context ends early.
var (
	ErrCancelled = errors.New("the job was cancelled")
	ErrStopping  = errors.New("the process is stopping; the job goes on later")
	ErrLost      = errors.New("another worker has the job")
)

// Config says how a [Manager] works. Zero values are the defaults.
type Config struct {
	Workers int                             // jobs at a time in this process, long ones at most all but one of them; 2
	Window  int                             // jobs of one project in flight in the cluster, in each lane; 2
	Ahead   int                             // released jobs that nobody has taken yet; 32
	Lease   time.Duration                   // how long a silent worker keeps a job; 15 s
	Turn    time.Duration                   // how long a job keeps its worker while others of its lane wait, see [Run.Yield]; 1 s
	Retake  time.Duration                   // after which a released job that nobody took is released again; 1 min
	Poll    time.Duration                   // how often the dispatcher looks without being rung; 500 ms
	Backoff func(attempt int) time.Duration // before the next try; 1 s, doubling to 10 min
	Keep    time.Duration                   // final jobs; 7 days
	Grace   time.Duration                   // for running steps when the process stops; 3 s

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	long := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Workers, 2)
	def(&c.Window, 2)
	def(&c.Ahead, 32)
	long(&c.Lease, 15*time.Second)
	long(&c.Turn, time.Second)
	long(&c.Retake, time.Minute)
	long(&c.Poll, 500*time.Millisecond)
	long(&c.Keep, 7*24*time.Hour)
	long(&c.Grace, 3*time.Second)
	if c.Backoff == nil {
		c.Backoff = func(attempt int) time.Duration { return min(time.Second<<min(attempt-1, 20), 10*time.Minute) }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Handler does the work of one kind of job. See the package on what its error
// means; its context carries the job's project and principal as identity.
type Handler func(ctx context.Context, r *Run) error

// Manager runs one service's jobs. It is a part of an application.
type Manager struct {
	db       *pg.DB
	bus      *bus.Bus
	conf     Config
	handlers map[string]Handler
	types    map[string]Type

	slots, long chan struct{} // hold a token per running job, and per running long one

	metrics    *metrics
	consumer   *bus.Consumer
	endLead    context.CancelFunc
	dispatcher sync.WaitGroup

	mu      sync.Mutex
	running map[uuid.UUID]context.CancelCauseFunc
	ending  chan struct{} // closed by Stop
	endOnce sync.Once
}

// New returns a manager without handlers.
func New(db *pg.DB, b *bus.Bus, c Config) *Manager {
	c = c.withDefaults()
	return &Manager{
		db: db, bus: b, conf: c, slots: make(chan struct{}, c.Workers), long: make(chan struct{}, max(1, c.Workers-1)),
		handlers: map[string]Handler{}, types: map[string]Type{}, running: map[uuid.UUID]context.CancelCauseFunc{}, ending: make(chan struct{}),
	}
}

// Handle names the handler of a kind. All are named before Start. Jobs of a
// kind that no replica handles wait.
func (m *Manager) Handle(kind string, h func(ctx context.Context, r *Run) error) {
	m.handlers[kind] = h
}

// Name is "jobs/<service>".
func (m *Manager) Name() string { return "jobs/" + m.db.Service() }

// Start returns when jobs can be taken.
func (m *Manager) Start(ctx context.Context) error {
	for kind := range m.handlers {
		if !kindForm.MatchString(kind) {
			return fmt.Errorf("job kind %q: want lower-case letters, digits, - and _", kind)
		}
	}
	var err error
	if m.metrics, err = newMetrics(m.db, m.conf.Registerer); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	// Some may hold long jobs that wait, and must not keep the others out.
	m.consumer = bus.NewConsumer(m.bus, bus.ConsumerConfig{
		Stream: bus.StreamJobs, Durable: bus.JobDurable(m.db.Service()), Workers: m.conf.Workers + longAhead, Line: "job.message",
	}, m.take)
	if err := m.consumer.Start(ctx); err != nil {
		m.metrics.close()
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	m.endLead = end
	if err := m.tellPeers(life); err != nil {
		end()
		m.metrics.close()
		return errors.Join(err, m.consumer.Stop(ctx))
	}
	m.dispatcher.Go(func() {
		m.db.Lead(life, topic, func(err error) { m.conf.Log.Warn("jobs.dispatch", "outcome", "lost the lead", "err", err) }, m.lead)
	})
	return nil
}

// tellPeers passes on to the dispatcher, wherever it is, that there is a job more
// or one less in flight: with its few jobs of a project at a time it would
// otherwise do nothing until it looks again. What is lost, it finds then.
func (m *Manager) tellPeers(life context.Context) error {
	self := uuid.NewString()
	peers := m.bus.Peers("jobs")
	stop, err := peers.Listen(self, func(from []byte) {
		if string(from) != self {
			m.db.Ring(fromPeers)
		}
	}, nil)
	if err != nil {
		return err
	}
	rung, deaf := m.db.Listen(topic)
	m.dispatcher.Go(func() {
		defer stop()
		defer deaf()
		for {
			select {
			case <-life.Done():
				return
			case <-rung:
			}
			if err := peers.Tell([]byte(self)); err != nil {
				m.conf.Log.Debug("jobs.tell", "err", err)
			}
		}
	})
	return nil
}

// Failed delivers an error when the consumer of tickets is gone.
func (m *Manager) Failed() <-chan error {
	if m.consumer == nil {
		return nil
	}
	return m.consumer.Failed()
}

// Stop releases nothing more, gives running handlers a moment to end a step,
// and interrupts them; their jobs go on later, here or elsewhere.
func (m *Manager) Stop(ctx context.Context) error {
	defer m.metrics.close()
	m.endLead()
	m.endOnce.Do(func() { close(m.ending) })
	timer := time.AfterFunc(m.conf.Grace, m.interrupt)
	defer timer.Stop()
	stop := context.AfterFunc(ctx, m.interrupt)
	defer stop()
	err := m.consumer.Stop(ctx)
	m.dispatcher.Wait()
	return err
}

func (m *Manager) interrupt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, cancel := range m.running {
		cancel(ErrStopping)
	}
}

// Get returns a job of the project, [ErrNotFound] when it has none of that id.
func (m *Manager) Get(ctx context.Context, p tenant.Project, id uuid.UUID) (Job, error) {
	var j Job
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		var err error
		const q = `SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND id = $2`
		j, err = scan(tx.QueryRowxContext(ctx, q, int64(p), id))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, ErrNotFound
	}
	if err != nil {
		return Job{}, fmt.Errorf("get job %s: %w", id, err)
	}
	return j, nil
}

// List returns the project's latest jobs, of one kind unless kind is "", at
// most limit.
func (m *Manager) List(ctx context.Context, p tenant.Project, kind string, limit int) ([]Job, error) {
	var all []Job
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			SELECT ` + columns + ` FROM jobs
			WHERE  project_id = $1 AND ($2 = '' OR kind = $2)
			ORDER  BY created_at DESC, id LIMIT $3`
		rows, err := tx.QueryxContext(ctx, q, int64(p), kind, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			j, err := scan(rows)
			if err != nil {
				return err
			}
			all = append(all, j)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return all, nil
}

// Cancel ends a job that waits at once, and asks one that runs to end: its
// worker notices within a third of the lease, or at once in this process. It
// returns the job as it is then; a final one stays as it is.
func (m *Manager) Cancel(ctx context.Context, p tenant.Project, id uuid.UUID) (Job, error) {
	var j Job
	err := m.db.InTenant(ctx, p, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `
			UPDATE jobs SET
			       cancel_requested = true,
			       state       = CASE WHEN state IN ('held', 'queued', 'released') THEN 'cancelled' ELSE state END,
			       finished_at = CASE WHEN state IN ('held', 'queued', 'released') THEN now() ELSE finished_at END
			WHERE  project_id = $1 AND id = $2 AND state IN ('held', 'queued', 'released', 'running')`
		res, err := tx.ExecContext(ctx, q, int64(p), id)
		if err != nil {
			return err
		}
		changed, err := res.RowsAffected()
		if err != nil {
			return err
		}
		const get = `SELECT ` + columns + ` FROM jobs WHERE project_id = $1 AND id = $2`
		if j, err = scan(tx.QueryRowxContext(ctx, get, int64(p), id)); err != nil {
			return err
		}
		if changed > 0 {
			pg.OnCommit(ctx, func() { m.cancelled(j) })
		}
		return nil
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, ErrNotFound
	}
	if err != nil {
		return Job{}, fmt.Errorf("cancel job %s: %w", id, err)
	}
	return j, nil
}

// cancelled tells whoever runs or watches the job.
func (m *Manager) cancelled(j Job) {
	m.mu.Lock()
	if cancel := m.running[j.ID]; cancel != nil {
		cancel(ErrCancelled)
	}
	m.mu.Unlock()
	if j.Final() {
		m.tell(j)
	}
	m.db.Ring(topic) // there is room in the window
}

// tell sends the job's state to its live subject, where it may be lost.
func (m *Manager) tell(j Job) {
	if err := m.bus.Live(j.Project, j.ID.String(), j.update(time.Now())); err != nil {
		m.conf.Log.Debug("job.live", "job", j.ID, "err", err)
	}
}
