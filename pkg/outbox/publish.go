package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
)

// Pipeline is a [Publisher] over JetStream: the relay then sends a batch
// before it waits for the acks, instead of waiting for each.
type Pipeline interface {
	JetStream() jetstream.JetStream
	StreamState
}

// errSession says that the connection with the lock is gone.
var errSession = errors.New("the relay's session is lost")

// work is the lead of one relay.
type work struct {
	*Relay
	s          *pg.Session
	unsure     bool // the streams may have lost what they acknowledged
	reconnects uint64
	epochs     map[string]string
	doubted    map[int64]place // rows that wait on suspicion
	tidied     time.Time
	promised   time.Time // when promises that are due were looked for
	measured   time.Time
}

// waiting is a row to be published.
type waiting struct {
	ID        int64     `db:"id"`
	MessageID string    `db:"message_id"`
	Subject   string    `db:"subject"`
	Headers   []byte    `db:"headers"`
	Data      []byte    `db:"data"`
	CreatedAt time.Time `db:"created_at"`
}

// fate is what became of a row: acknowledged, refused for good, or neither.
type fate struct {
	epoch string
	seq   uint64
	err   error
}

// round publishes one batch and returns how many rows left the queue. The
// first failure that may pass is the error.
func (w *work) round(ctx context.Context) (int, error) {
	w.watch()
	if w.unsure {
		if err := w.compare(ctx); err != nil {
			return 0, err
		}
	}
	if err := w.measure(ctx); err != nil {
		return 0, err
	}
	batch, err := w.next(ctx)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	fates := w.publish(ctx, batch)
	if err := w.mark(ctx, batch, fates); err != nil {
		return 0, err
	}
	w.db.Ring(topicSaid)
	done := 0
	for i, f := range fates {
		switch {
		case f.err == nil:
			w.metrics.published.Inc()
			w.metrics.delay.Observe(time.Since(batch[i].CreatedAt).Seconds())
			done++
		case permanent(f.err):
			w.log.Error("outbox.parked", "subject", batch[i].Subject, "message_id", batch[i].MessageID, "err", f.err)
			done++
		default:
			return done, fmt.Errorf("publish %s: %w", batch[i].Subject, f.err)
		}
	}
	return done, nil
}

// next reads the oldest rows that wait. By their state, not from where the
// last batch ended: a row that commits late has a low id.
func (w *work) next(ctx context.Context) ([]waiting, error) {
	const q = `
		SELECT id, message_id, subject, headers, data, created_at
		FROM   outbox
		WHERE  published_at IS NULL AND parked_at IS NULL
		ORDER  BY id
		LIMIT  $1`
	var batch []waiting
	err := w.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &batch, q, w.conf.batch)
	})
	return batch, err
}

// tx runs fn on the session that holds the lock. Its failure means that the
// lock cannot be trusted.
func (w *work) tx(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := w.s.Tx(ctx, fn); err != nil {
		return fmt.Errorf("%w: %w", errSession, err)
	}
	return nil
}

func (w *work) publish(ctx context.Context, batch []waiting) []fate {
	ctx, cancel := context.WithTimeout(ctx, w.conf.ackWithin)
	defer cancel()
	if p, ok := w.pub.(Pipeline); ok {
		return w.publishAll(ctx, p, batch)
	}
	fates := make([]fate, len(batch))
	for i, m := range batch {
		h, err := headers(m)
		if err != nil {
			fates[i].err = err
			continue
		}
		fates[i].epoch, fates[i].seq, fates[i].err = w.pub.Publish(ctx, m.Subject, h.Get(jetstream.MsgIDHeader), h, m.Data)
		if err := fates[i].err; err != nil && !permanent(err) {
			// What comes after it must not overtake it.
			for j := i + 1; j < len(batch); j++ {
				fates[j].err = err
			}
			break
		}
	}
	return fates
}

// publishAll sends the whole batch on one connection, which keeps its order,
// and then collects the acks.
func (w *work) publishAll(ctx context.Context, p Pipeline, batch []waiting) []fate {
	fates := make([]fate, len(batch))
	acks := make([]jetstream.PubAckFuture, len(batch))
	js := p.JetStream()
	var stop error
	for i, m := range batch {
		if stop != nil {
			fates[i].err = stop
			continue
		}
		h, err := headers(m)
		if err != nil {
			fates[i].err = err
			continue
		}
		acks[i], err = js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Header: h, Data: m.Data})
		if err != nil {
			fates[i].err = kind(err)
			if !permanent(fates[i].err) {
				stop = fates[i].err
			}
		}
	}
	heard := func() {}
	if elected(js) {
		var silent context.CancelFunc
		ctx, silent = context.WithCancel(ctx)
		defer silent()
		t := time.AfterFunc(w.conf.silence, silent)
		defer t.Stop()
		heard = func() { t.Reset(w.conf.silence) }
	}
	for i, ack := range acks {
		if ack == nil {
			continue
		}
		select {
		case got := <-ack.Ok():
			heard()
			fates[i].seq = got.Sequence
			fates[i].epoch, fates[i].err = w.epoch(ctx, p, got.Stream)
		case err := <-ack.Err():
			fates[i].err = kind(err)
		case <-ctx.Done():
			fates[i].err = errs.Wrap(errs.Unavailable, context.Cause(ctx), "the stream does not answer")
		}
	}
	return fates
}

// elected reports whether the stream's server is one of several that elect a
// leader: one that is lost says nothing of what it was given, and another has
// its place long before a slow one were given up.
func elected(js jetstream.JetStream) bool { return js.Conn().ConnectedClusterName() != "" }

// epoch asks for a stream's epoch once; it is asked again after every doubt.
func (w *work) epoch(ctx context.Context, p Pipeline, stream string) (string, error) {
	if e, ok := w.epochs[stream]; ok {
		return e, nil
	}
	e, _, err := p.StreamState(ctx, stream)
	if err != nil {
		return "", err
	}
	if w.epochs == nil {
		w.epochs = map[string]string{}
	}
	w.epochs[stream] = e
	return e, nil
}

// headers are those of the row. Unless it was published before and lost, its
// Nats-Msg-Id is the id of the event.
func headers(m waiting) (nats.Header, error) {
	h := nats.Header{}
	if err := json.Unmarshal(m.Headers, &h); err != nil {
		return nil, errs.Newf(errs.Malformed, "headers of the row: %w", err)
	}
	if h.Get(jetstream.MsgIDHeader) == "" {
		h.Set(jetstream.MsgIDHeader, m.MessageID)
	}
	return h, nil
}

// kind gives NATS's refusals of one message a kind that says so.
func kind(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return errs.Wrap(errs.TooLarge, err, "the bus will not take the message")
	}
	return err
}

// permanent reports whether trying again is of no use.
func permanent(err error) bool {
	return errs.KindOf(err).Refusal() && errs.KindOf(err) != errs.RateLimited
}

// mark writes down what happened, in one transaction. Rows that may succeed
// later are left alone.
func (w *work) mark(ctx context.Context, batch []waiting, fates []fate) error {
	var (
		done, seqs, parked []int64
		epochs, reasons    []string
		times              []sql.NullTime
	)
	for i, f := range fates {
		switch {
		case f.err == nil:
			done = append(done, batch[i].ID)
			seqs = append(seqs, int64(f.seq)) //nolint:gosec // G115: a stream does not count that far
			epochs = append(epochs, f.epoch)
			at := w.firstAt(batch[i].ID, f)
			times = append(times, sql.NullTime{Time: at, Valid: !at.IsZero()})
		case permanent(f.err):
			parked = append(parked, batch[i].ID)
			reasons = append(reasons, f.err.Error())
		}
	}
	if len(done)+len(parked) == 0 {
		return nil
	}
	// An ack that we have must be written even when we are being stopped.
	return w.tx(context.WithoutCancel(ctx), func(ctx context.Context, tx *sqlx.Tx) error {
		const published = `
			UPDATE outbox o SET published_at = coalesce(m.at, now()), stream_epoch = m.epoch, stream_seq = m.seq
			FROM   unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[]) AS m (id, epoch, seq, at)
			WHERE  o.id = m.id`
		if len(done) > 0 {
			if _, err := tx.ExecContext(ctx, published, pq.Array(done), pq.Array(epochs), pq.Array(seqs), pq.Array(times)); err != nil {
				return err
			}
		}
		const park = `
			UPDATE outbox o SET parked_at = now(), error = m.error
			FROM   unnest($1::bigint[], $2::text[]) AS m (id, error)
			WHERE  o.id = m.id`
		if len(parked) > 0 {
			if _, err := tx.ExecContext(ctx, park, pq.Array(parked), pq.Array(reasons)); err != nil {
				return err
			}
		}
		return nil
	})
}
