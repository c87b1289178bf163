package outbox

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
)

// doubtful is how much of the latest work is published again after a doubt,
// counted back from now on the database's clock. A server that died may have
// lost the end of a stream and have written over it since, for another service,
// so its length alone proves nothing. What the stream still has it recognises by
// the message's id and does not store again, for as long as its window for
// duplicates, two minutes (pkg/bus): doubtful is that, less what a batch takes to
// be acknowledged and marked.
//
// What is older is published again only if the stream verifiably lacks it. So an
// event is lost to the stream, though not to its row, when the server stayed away
// for longer than this after a crash that lost it, and another service had
// written over its sequence before the relay compared.
const (
	doubtful    = 90 * time.Second
	doubtfulMax = 5000
)

// place is where and when the stream took a message.
type place struct {
	ID    int64     `db:"id"`
	At    time.Time `db:"published_at"`
	Epoch string    `db:"stream_epoch"`
	Seq   int64     `db:"stream_seq"`
}

// lack takes the marks of what the stream of that epoch, which ends there, lacks.
// Each part is a range of the index outbox_streamed: there are days of rows.
const lack = `
	UPDATE outbox SET published_at = NULL, stream_epoch = NULL, stream_seq = NULL
	WHERE  published_at IS NOT NULL AND (stream_epoch < $1 OR stream_epoch > $1 OR stream_epoch = $1 AND stream_seq > $2)`

// compare asks the stream how far it has got, and puts rows that it lacks back
// into the queue: those of another epoch and those beyond its end, however old,
// and on suspicion the latest.
func (w *work) compare(ctx context.Context) error {
	p, ok := w.pub.(StreamState)
	if !ok {
		w.unsure = false
		return nil
	}
	var any bool
	err := w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &any, `SELECT EXISTS (SELECT 1 FROM outbox)`)
	})
	if err != nil || !any { // a service that says nothing need not be allowed to ask
		w.unsure = err != nil
		return err
	}
	within := w.conf.ackWithin
	if l, ok := w.pub.(Pipeline); ok && elected(l.JetStream()) {
		within = w.conf.silence
	}
	asking, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	epoch, last, err := p.StreamState(asking, w.conf.stream)
	if err != nil {
		return err
	}
	w.epochs = map[string]string{w.conf.stream: epoch}
	var (
		lost   int64
		recent []place
	)
	err = w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, lack, epoch, int64(last)) //nolint:gosec // G115: a stream does not count that far
		if err != nil {
			return err
		}
		if lost, err = res.RowsAffected(); err != nil {
			return err
		}
		const doubt = `
			WITH latest AS (
				SELECT id, published_at, stream_epoch, stream_seq FROM outbox
				WHERE  published_at > now() - make_interval(secs => $1)
				ORDER  BY published_at DESC LIMIT $2)
			UPDATE outbox o SET published_at = NULL, stream_epoch = NULL, stream_seq = NULL
			FROM   latest l WHERE o.id = l.id
			RETURNING l.id, l.published_at, coalesce(l.stream_epoch, '') AS stream_epoch, coalesce(l.stream_seq, 0) AS stream_seq`
		return tx.SelectContext(ctx, &recent, doubt, doubtful.Seconds(), doubtfulMax)
	})
	if err != nil {
		return err
	}
	if lost > 0 {
		w.log.Warn("outbox.rebuild", "stream", w.conf.stream, "epoch", epoch, "last", last, "lost", lost)
	}
	for _, p := range recent {
		w.doubted[p.ID] = p
	}
	w.unsure = false
	return nil
}

// firstAt is when the stream first took a message that was published again and
// was still there; zero for any other. The mark keeps that time: with a new one
// the row would be doubted again when the stream has forgotten the message's id.
func (w *work) firstAt(id int64, f fate) time.Time {
	p, ok := w.doubted[id]
	delete(w.doubted, id)
	if !ok || p.Epoch != f.epoch || p.Seq != int64(f.seq) { //nolint:gosec // G115: a stream does not count that far
		return time.Time{}
	}
	return p.At
}

// connected is a [Publisher] over one connection, whose loss is a doubt even
// when nothing was being published: the server may have died and come back.
type connected interface{ Conn() *nats.Conn }

// watch becomes unsure after the connection was lost and made again.
func (w *work) watch() {
	c, ok := w.pub.(connected)
	if !ok {
		return
	}
	if n := c.Conn().Stats().Reconnects; n != w.reconnects {
		w.reconnects = n
		w.unsure = true
	}
}

// unpark puts parked messages back into the queue, all of them. Every lead does
// it once, so whoever has mended what refused them restarts the service; what is
// refused again is parked again.
func (w *work) unpark(ctx context.Context) error {
	var n int64
	err := w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE outbox SET parked_at = NULL, error = NULL WHERE parked_at IS NOT NULL`)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return err
	}
	if n > 0 {
		w.log.Info("outbox.unpark", "rows", n)
	}
	return nil
}

// tidy deletes old rows, when nothing waits.
func (w *work) tidy(ctx context.Context) error {
	now := time.Now()
	if now.Sub(w.tidied) < w.conf.sweepEvery {
		return nil
	}
	w.tidied = now
	for _, s := range []struct {
		what string
		q    string
		keep time.Duration
	}{
		{"published", sweepPublished, w.conf.keep},
		{"heard", sweepInbox, w.conf.keepHeard},
		{"answers", sweepOperations, w.conf.keepAnswer},
		{"unfinished", sweepUnfinished, w.conf.keepOpen},
	} {
		n, err := w.sweep(ctx, s.q, now.Add(-s.keep))
		if err != nil {
			return err
		}
		if n > 0 {
			w.log.Info("outbox.sweep", "what", s.what, "rows", n)
		}
	}
	return nil
}

// sweep deletes at most ten chunks at a time; the next round goes on.
func (w *work) sweep(ctx context.Context, q string, before time.Time) (total int64, err error) {
	for range 10 {
		var n int64
		err = w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			n, err = deleteChunk(ctx, tx, q, before)
			return err
		})
		total += n
		if err != nil || n < sweepChunk {
			return total, err
		}
	}
	w.tidied = time.Time{}
	return total, nil
}

// measure counts the queue, now and then. Each subquery has an index of just
// the rows that it wants.
func (w *work) measure(ctx context.Context) error {
	if time.Since(w.measured) < 5*time.Second {
		return nil
	}
	w.measured = time.Now()
	const q = `
		SELECT q.waiting, q.age, (SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL) AS parked
		FROM  (SELECT count(*) AS waiting,
		              coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age
		       FROM   outbox WHERE published_at IS NULL AND parked_at IS NULL) q`
	var row struct {
		Waiting float64 `db:"waiting"`
		Age     float64 `db:"age"`
		Parked  float64 `db:"parked"`
	}
	err := w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &row, q) })
	if err != nil {
		return err
	}
	w.metrics.waiting.Set(row.Waiting)
	w.metrics.parked.Set(row.Parked)
	w.metrics.lag.Set(row.Age)
	return nil
}
