package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// MaxData is the largest event in bytes. An event is a fact and a reference,
// not a document.
const MaxData = 256 << 10

// Ring topics by which the writers in this process wake the relay.
const topic = "outbox"

// headerRequestID carries the id of the HTTP call that caused an event.
const headerRequestID = "Cc-Request-Id"

// Option changes how [Add] writes an event.
type Option func(*addition)

type addition struct {
	id       uuid.UUID
	at       time.Time
	instance string
	heard    bool
	settles  uuid.UUID
}

// WithID sets the id of the event, and with it the Nats-Msg-Id: the same id
// twice within the stream's window is one event. By default it is random.
func WithID(id uuid.UUID) Option { return func(a *addition) { a.id = id } }

// At sets when the fact happened; by default now.
func At(t time.Time) Option { return func(a *addition) { a.at = t } }

// FromInstance names this instance in the CloudEvents source.
func FromInstance(name string) Option { return func(a *addition) { a.instance = name } }

// Add writes the event msg in the transaction tx; it is published after the
// commit, and never when tx is rolled back. The project is that of msg's field
// project_id and must be the transaction's, unless tx is across projects. ctx
// must be the one that the transaction's function was given: by it the relay
// of this process learns of the commit.
//
// Add the event after the change that it tells of, while the transaction holds
// the lock of the row: that is what orders the events of one aggregate.
func Add(ctx context.Context, tx *sqlx.Tx, msg proto.Message, opts ...Option) error {
	r, err := rowOf(ctx, msg, opts...)
	if err != nil {
		return err
	}
	id, err := insert(ctx, tx, r)
	if err != nil {
		return err
	}
	if r.heard {
		await(ctx, id)
	}
	return nil
}

// rowOf is msg as it is kept.
func rowOf(ctx context.Context, msg proto.Message, opts ...Option) (row, error) {
	a := addition{at: time.Now()}
	for _, o := range opts {
		o(&a)
	}
	if a.id == uuid.Nil {
		id, err := uuid.NewRandom()
		if err != nil {
			return row{}, fmt.Errorf("event id: %w", err)
		}
		a.id = id
	}
	d, err := events.Describe(msg)
	if err != nil {
		return row{}, err
	}
	key, err := events.Aggregate(msg)
	if err != nil {
		return row{}, err
	}
	header, err := events.Headers(msg, a.id.String(), events.Source(a.instance, d.Service), a.at)
	if err != nil {
		return row{}, err
	}
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(header))
	if id := obs.RequestID(ctx); id != "" {
		header[headerRequestID] = []string{id}
	}
	data, err := events.Marshal(msg)
	if err != nil {
		return row{}, err
	}
	r := row{
		MessageID: a.id, Project: tenant.Project(key.Project), Subject: d.Subject(tenant.Project(key.Project).Token()), Data: data,
		heard: a.heard, settles: a.settles,
	}
	if len(data) > MaxData {
		return row{}, errs.Newf(errs.TooLarge, "event %s has %d bytes, at most %d are allowed", r.Subject, len(data), MaxData)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return row{}, fmt.Errorf("headers of %s: %w", r.Subject, err)
	}
	r.Header = string(text)
	return r, nil
}

// row is one message that waits.
type row struct {
	MessageID uuid.UUID
	Project   tenant.Project
	Subject   string
	Header    string // JSON
	Data      []byte
	heard     bool      // see Heard
	settles   uuid.UUID // see Settling
}

// insert adds a row and returns its id.
func insert(ctx context.Context, tx *sqlx.Tx, r row) (id int64, err error) {
	const add = `
		INSERT INTO outbox (message_id, project_id, subject, headers, data)
		VALUES ($1, $2, $3, $4, $5) RETURNING id`
	q, args := add, []any{r.MessageID, int64(r.Project), r.Subject, r.Header, r.Data}
	if r.settles != uuid.Nil {
		q = `WITH settled AS (DELETE FROM outbox_promises WHERE project_id = $2 AND message_id = $6)` + add
		args = append(args, r.settles)
	}
	if err := tx.GetContext(ctx, &id, q, args...); err != nil {
		if pg.PolicyViolation(err) {
			return 0, fmt.Errorf("event %s is of another project than its transaction: %w", r.Subject, err)
		}
		return 0, fmt.Errorf("add event %s: %w", r.Subject, err)
	}
	pg.Ring(ctx, topic)
	return id, nil
}
