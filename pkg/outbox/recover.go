package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
)

// doubtful is how much of the latest work is published again after a doubt. A
// server that died may have lost the end of a stream and have written over it
// since, for another service, so its length alone proves nothing. What the
// stream still has it recognises by the message's id and does not store again.
const (
	doubtful    = 30 * time.Second
	doubtfulMax = 5000
)

// compare asks the stream how far it has got, and puts rows that it has lost
// back into the queue: those of an earlier epoch, those beyond its end, and the
// latest.
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
	asking, cancel := context.WithTimeout(ctx, w.conf.ackWithin)
	defer cancel()
	epoch, last, err := p.StreamState(asking, w.conf.stream)
	if err != nil {
		return err
	}
	w.epochs = map[string]string{w.conf.stream: epoch}
	const q = `
		UPDATE outbox SET published_at = NULL, stream_epoch = NULL, stream_seq = NULL
		WHERE  published_at IS NOT NULL AND (stream_epoch <> $1 OR stream_seq > $2)
		OR     id IN (SELECT id FROM outbox
		              WHERE  published_at > (SELECT max(published_at) FROM outbox) - make_interval(secs => $3)
		              ORDER  BY published_at DESC LIMIT $4)`
	var lost int64
	err = w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		const count = `SELECT count(*) FROM outbox WHERE published_at IS NOT NULL AND (stream_epoch <> $1 OR stream_seq > $2)`
		if err := tx.GetContext(ctx, &lost, count, epoch, int64(last)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, q, epoch, int64(last), doubtful.Seconds(), doubtfulMax)
		return err
	})
	if err != nil {
		return err
	}
	if lost > 0 {
		w.log.Warn("outbox.rebuild", "stream", w.conf.stream, "epoch", epoch, "last", last, "lost", lost)
	}
	w.unsure = false
	return nil
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

// Unpark puts parked messages back into the queue, all of them, and returns
// how many: after whatever refused them was mended.
func (r *Relay) Unpark(ctx context.Context) (int64, error) {
	var n int64
	err := r.db.AcrossProjects(ctx, "retry parked events", func(ctx context.Context, tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE outbox SET parked_at = NULL, error = NULL WHERE parked_at IS NOT NULL`)
		if err != nil {
			return fmt.Errorf("unpark: %w", err)
		}
		n, err = res.RowsAffected()
		return err
	})
	r.db.Ring(topic)
	return n, err
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
