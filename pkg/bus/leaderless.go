package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How long a cluster may take to say whether the consumer is there: while it
// elects a leader nobody knows, or nobody answers. From leaderSay on the log says
// what is waited for.
const (
	leaderWait  = 20 * time.Second
	leaderTry   = 3 * time.Second // for one question
	leaderPause = 250 * time.Millisecond
	leaderSay   = 2 * time.Second
)

// find asks for the consumer, again while there is nobody who can tell.
func (c *Consumer) find(ctx context.Context) (cons jetstream.Consumer, err error) {
	if c.b.nc.ConnectedClusterName() == "" { // a server alone has no elections
		return c.b.js.Consumer(ctx, c.c.Stream, c.c.Durable)
	}
	log := c.b.log.With("stream", c.c.Stream, "consumer", c.c.Durable)
	err = untilLed(ctx, log, func(ctx context.Context) error {
		cons, err = c.b.js.Consumer(ctx, c.c.Stream, c.c.Durable)
		return err
	})
	return cons, err
}

// untilLed asks a cluster until it can answer, and returns that answer, or the
// last failure after leaderWait or when ctx ends.
func untilLed(ctx context.Context, log *slog.Logger, ask func(ctx context.Context) error) error {
	began := time.Now()
	for said := false; ; {
		try, cancel := context.WithTimeout(ctx, leaderTry)
		err := ask(try)
		cancel()
		waited := time.Since(began)
		if !leaderless(err) || ctx.Err() != nil || waited > leaderWait {
			return err
		}
		if !said && waited >= leaderSay {
			said = true
			log.WarnContext(ctx, "bus.leaderless", "waited_ms", waited.Milliseconds(), "at_most_ms", leaderWait.Milliseconds(), "err", err)
		}
		select {
		case <-time.After(leaderPause):
		case <-ctx.Done():
			return err
		}
	}
}

// leaderless reports whether a cluster cannot answer now: it says so, its leader
// is silent, or nobody takes the question.
func leaderless(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == 503
	}
	for _, silent := range []error{context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse} {
		if errors.Is(err, silent) {
			return true
		}
	}
	return false
}
