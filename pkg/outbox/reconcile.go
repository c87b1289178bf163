package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/pg"
)

// Reconciliation says what a stream has of what a service has said.
type Reconciliation struct {
	Stream  string
	Kept    int       // events of the service that the stream holds
	Rows    int       // published rows that the stream has to hold
	Missing int       // of those, rows that it does not
	Oldest  time.Time // when the oldest missing event was added; zero without one
	Queued  bool      // whether they wait to be published again
}

const (
	reconcileBatch = 5000
	reconcileIdle  = 10 * time.Second // of a stream that falls silent in the middle
)

// Reconcile compares the published rows of db's schema with what the stream
// holds, and lets the relay publish again what it lacks, unless look is set. What
// the stream has dropped because of its age or size is no loss: it is older than
// the first message. Nothing depends on marks of sequence and epoch, which are
// what the relay itself compares: each message id is looked for. It may run while
// the service does.
func Reconcile(ctx context.Context, db *pg.DB, js jetstream.JetStream, stream string, look bool) (Reconciliation, error) {
	r := Reconciliation{Stream: stream}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return r, fmt.Errorf("reconcile %s: %w", stream, err)
	}
	info := s.CachedInfo()
	held, err := heldBy(ctx, js, info, "evt.*."+db.Service()+".>")
	if err != nil {
		return r, fmt.Errorf("reconcile %s: %w", stream, err)
	}
	r.Kept = len(held)
	x := reconciling{db: db, held: held, epoch: info.Created.UTC().Format(time.RFC3339Nano), first: int64(info.State.FirstSeq), last: int64(info.State.LastSeq)} //nolint:gosec // G115: sequences
	if age := info.Config.MaxAge; age > 0 {
		x.since = time.Now().Add(-age)
	}
	for {
		n, err := x.batch(ctx, &r)
		if err != nil {
			return r, fmt.Errorf("reconcile %s: %w", db.Service(), err)
		}
		if n < reconcileBatch {
			break
		}
	}
	if look || len(x.missing) == 0 {
		return r, nil
	}
	if err := x.queue(ctx); err != nil {
		return r, fmt.Errorf("reconcile %s: %w", db.Service(), err)
	}
	r.Queued = true
	return r, nil
}

// heldBy reads the ids of the messages on the subjects up to the stream's end.
func heldBy(ctx context.Context, js jetstream.JetStream, info *jetstream.StreamInfo, subjects string) (map[uuid.UUID]struct{}, error) {
	held := map[uuid.UUID]struct{}{}
	if info.State.Msgs == 0 {
		return held, nil
	}
	c, err := js.OrderedConsumer(ctx, info.Config.Name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects}, DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true,
	})
	if err != nil {
		return nil, err
	}
	left := c.CachedInfo().NumPending
	// One iteration for all: it repairs itself where a single fetch fails, as on a
	// cluster whose other servers do not know of the consumer yet.
	all, err := c.Messages()
	if err != nil {
		return nil, err
	}
	defer all.Stop()
	for left > 0 {
		m, err := all.Next(jetstream.NextMaxWait(reconcileIdle))
		if err != nil {
			return nil, err
		}
		md, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		if id, err := uuid.Parse(eventID(m.Headers())); err == nil {
			held[id] = struct{}{}
		}
		left = md.NumPending
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return held, nil
}

// eventID is the id of the event itself: what was published again has another
// Nats-Msg-Id.
func eventID(h nats.Header) string {
	if v := h[events.HeaderID]; len(v) > 0 {
		return v[0]
	}
	return h.Get(jetstream.MsgIDHeader)
}

type reconciling struct {
	db          *pg.DB
	held        map[uuid.UUID]struct{}
	epoch       string
	first, last int64
	since       time.Time // the stream keeps nothing older
	after       int64     // id of the last row that was looked at
	missing     []int64
}

// batch looks at the next rows that the stream has to hold: those that it took
// and did not drop since, and those that a stream before it took.
func (x *reconciling) batch(ctx context.Context, r *Reconciliation) (n int, err error) {
	const q = `
		SELECT id, message_id, created_at FROM outbox
		WHERE  id > $1 AND published_at > $2
		AND   (stream_epoch <> $3 OR stream_seq >= $4 AND stream_seq <= $5)
		ORDER  BY id
		LIMIT  $6`
	var rows []struct {
		ID        int64     `db:"id"`
		MessageID uuid.UUID `db:"message_id"`
		CreatedAt time.Time `db:"created_at"`
	}
	err = x.db.AcrossProjects(ctx, "compare what was said with the stream", func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, q, x.after, x.since.UTC(), x.epoch, x.first, x.last, reconcileBatch)
	})
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		x.after = row.ID
		r.Rows++
		if _, ok := x.held[row.MessageID]; ok {
			continue
		}
		r.Missing++
		if r.Oldest.IsZero() || row.CreatedAt.Before(r.Oldest) {
			r.Oldest = row.CreatedAt
		}
		x.missing = append(x.missing, row.ID)
	}
	return len(rows), nil
}

// queue puts the rows that are missing back into the relay's queue. The stream
// remembers the ids of messages for a while, also of those that it has lost, and
// would take these for the same: so they get another Nats-Msg-Id, which stays
// with the row. Consumers know an event by its own id, which is the old one.
func (x *reconciling) queue(ctx context.Context) error {
	const q = `
		UPDATE outbox SET published_at = NULL, stream_epoch = NULL, stream_seq = NULL,
		       headers = headers || jsonb_build_object('Nats-Msg-Id', jsonb_build_array(message_id || '-' || gen_random_uuid()))
		WHERE  id = ANY ($1) AND published_at IS NOT NULL`
	err := x.db.AcrossProjects(ctx, "publish again what the stream lacks", func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, pq.Array(x.missing))
		return err
	})
	if err == nil {
		x.db.Ring(topic)
	}
	if errors.Is(err, context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}
