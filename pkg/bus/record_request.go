package bus

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Interrupted is the reason in the record of a write whose service was cut off
// between its commit and its answer. What it changed, or a part of it, is there.
const Interrupted = "interrupted"

// openRequest is a write that is a request, while its handler runs. A handler
// has transactions of its own, as many as it likes, and is asked nothing. So
// each that changes something also promises a record that says that the call was
// cut off; the record of how it really ended takes that back. Whoever is killed
// between has told of it already.
type openRequest struct {
	s        *Server
	promise  uuid.UUID
	project  tenant.Project
	attempt  attempt
	state    *callState
	promised atomic.Bool // it may be there
	over     atomic.Bool
}

// open returns ctx for the handler of a write, and what records it; nil for what
// is not to be recorded.
func (s *Server) open(ctx context.Context, j job, who *claims) (context.Context, *openRequest, error) {
	if s.c.DB == nil || j.op.delivery != asRequest || !originOf(j.header).Writes {
		return ctx, nil, nil
	}
	call, err := uuid.NewV7()
	if err != nil {
		return ctx, nil, fmt.Errorf("id of a record: %w", err)
	}
	promise, err := uuid.NewRandom()
	if err != nil {
		return ctx, nil, fmt.Errorf("id of a record: %w", err)
	}
	id := who.identity()
	r := &openRequest{
		s: s, promise: promise, project: tenant.Project(who.Project),
		attempt: attempt{call: call.String(), op: j.op.name, id: id, principal: id.Principal, header: j.header, accepted: j.arrived},
	}
	r.state, _ = ctx.Value(callKey{}).(*callState)
	return s.c.DB.BeforeCommit(ctx, r.project, r.foresee), r, nil
}

// foresee is called in each transaction of the handler, before its commit.
func (r *openRequest) foresee(ctx context.Context, tx *sqlx.Tx) error {
	if r.over.Load() { // by something that goes on behind the answer
		return nil
	}
	m := r.s.recordOf(ctx, r.project, r.named())
	m.Status, m.Reason = 0, Interrupted
	promised, err := outbox.Promise(ctx, tx, r.promise, r.s.c.Timeout+recordsTake+promiseSlack, m, outbox.At(r.attempt.accepted))
	if promised {
		r.promised.Store(true)
	}
	return err
}

// promiseSlack is what clocks and queues may add to a call.
const promiseSlack = 30 * time.Second

// named is the attempt, with who it turned out to be.
func (r *openRequest) named() attempt {
	t := r.attempt
	if r.state != nil {
		if as := r.state.actor.Load(); as != nil {
			t.principal = *as
		}
	}
	return t
}

// end records how the write ended, before anybody hears the answer; when that
// cannot be kept, the answer is a failure, and the promise stands. What was refused
// to who came as nobody is the edge's to tell, which can count; the answer tells it
// what is known of it, see [AboutOf].
func (r *openRequest) end(ctx context.Context, o outcome) outcome {
	r.over.Store(true)
	t := r.named()
	t.outcome = o
	silent := r.attempt.principal == "" && o.err != nil && errs.KindOf(o.err).Refusal()
	if silent {
		o.about = aboutOf(ctx, t.principal)
	}
	if silent && !r.promised.Load() {
		return o
	}
	var also tenant.Project
	if r.state != nil && o.err == nil {
		also = tenant.Project(r.state.also.Load())
	}
	db := r.s.c.DB
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordsTake)
	defer cancel()
	err := db.InTenant(ctx, r.project, func(ctx context.Context, tx *sqlx.Tx) error {
		if silent {
			return outbox.Settle(ctx, tx, r.project, r.promise)
		}
		var settling []outbox.Option
		if r.promised.Load() {
			settling = append(settling, outbox.Settling(r.promise))
		}
		if err := r.s.tell(ctx, tx, r.project, t, settling...); err != nil || also == 0 || also == r.project {
			return err
		}
		return db.InTenant(ctx, also, func(ctx context.Context, tx *sqlx.Tx) error { return r.s.tell(ctx, tx, also, t) })
	})
	if err != nil && o.err == nil {
		return outcome{err: fmt.Errorf("record %s: %w", t.op, err)}
	}
	if err != nil {
		r.s.b.log.ErrorContext(ctx, "call.record", "operation", t.op, "err", err)
	}
	return o
}
