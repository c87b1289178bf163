package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// askRedrive is answered by every server: its service takes a fact again that it
// gave up. A fact does not go back to EVENTS, where everybody would hear it and
// where nobody may speak for another service: the service reads it from its own
// dead letters, so that who asks for it need not be believed either.
const askRedrive = "redriveFact"

type redriveQuery struct {
	Seq  uint64 `json:"seq"`  // in DEAD
	Kind string `json:"kind"` // of its subject: evt, or ext; evt when empty
}

// redriveFact asks the service that gave the fact up to take it now.
func (b *Bus) redriveFact(ctx context.Context, d *DeadLetter) error {
	ask, err := json.Marshal(redriveQuery{d.Seq, kindOf(d.Subject)})
	if err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	_, err = b.ask(ctx, Target{Service: d.Service, Operation: askRedrive}, AsService(b.service, tenant.Instance), ask, "")
	if errs.KindOf(err) == errs.Timeout { // it may have been taken; taking it twice is taking it once
		return errs.Wrap(errs.Unavailable, err, d.Service+" has not taken it yet")
	}
	return err
}

// take answers askRedrive: the consumer that gave the fact up handles it, with
// the record of what was heard. While it fails the letter stays where it is.
func (s *Server) take(ctx context.Context, data []byte) outcome {
	var q redriveQuery
	if err := json.Unmarshal(data, &q); err != nil {
		return outcome{err: errs.Newf(errs.Malformed, "redrive: %w", err)}
	}
	d, err := s.b.ownLetter(ctx, q.Seq, q.Kind)
	if err != nil {
		return outcome{err: err}
	}
	handle, ok := s.b.takers.Load(d.Consumer)
	if !ok {
		return outcome{err: errs.Newf(errs.Conflict, "%s has no consumer %s any more", s.c.Service, d.Consumer)}
	}
	err = handle.(func(context.Context, *Delivery) error)(ctx, &Delivery{
		Subject: d.Subject, Header: d.Header, Data: d.Data, Sequence: d.StreamSeq, Time: d.StoredAt, Attempt: 1, Delivered: 1,
	})
	switch {
	case err == nil, errors.As(err, new(*dropped)):
		return outcome{status: http.StatusNoContent}
	case errs.KindOf(err) == errs.Unavailable, errs.KindOf(err) == errs.Timeout:
		return outcome{err: err}
	}
	return outcome{err: errs.Newf(errs.Conflict, "%s gave it up again: %s", s.c.Service, reason(err))}
}

// ownLetter reads one of the service's own dead letters of facts, by a consumer
// that can see no others.
func (b *Bus) ownLetter(ctx context.Context, seq uint64, kind string) (*DeadLetter, error) {
	if kind != "ext" {
		kind = "evt"
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	defer func() {
		if err := sub.Unsubscribe(); err != nil && !b.nc.IsClosed() {
			b.log.Warn("bus.redrive", "err", err)
		}
	}()
	// It hands out one message, which is not acknowledged, and no more.
	made, err := b.js.CreatePushConsumer(ctx, StreamDead, jetstream.ConsumerConfig{
		Name: nuid.Next(), FilterSubject: ownLetters(b.service, kind), DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: seq,
		AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1, MaxDeliver: 1, InactiveThreshold: 2 * time.Second, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	none := errs.New(errs.NotFound, "no such dead letter")
	if info := made.CachedInfo(); info.NumPending+info.Delivered.Consumer == 0 {
		return nil, none
	}
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, errs.Newf(errs.Unavailable, "dead letters: %w", err)
	}
	md, err := m.Metadata()
	if err != nil {
		return nil, errs.Newf(errs.Internal, "dead letters: %w", err)
	}
	if md.Sequence.Stream != seq {
		return nil, none
	}
	d := deadLetter(&jetstream.RawStreamMsg{Subject: m.Subject, Sequence: seq, Header: m.Header, Data: m.Data, Time: md.Timestamp})
	return &d, nil
}

// ownLetters selects the dead letters of a service that are facts, of ours or from
// outside.
func ownLetters(service, kind string) string { return deadSubject(service, kind+".>") }

// kindOf is the first word of a subject.
func kindOf(subject string) string {
	kind, _, _ := strings.Cut(subject, ".")
	return kind
}

// streamSeq reads where a dead letter was in its stream; 0 when nobody says.
func streamSeq(h nats.Header) uint64 {
	n, err := strconv.ParseUint(get(h, headerDeadSeq), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
