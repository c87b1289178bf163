package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
)

func TestAClusterIsAskedUntilItHasALeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		answers := []error{
			&jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "JetStream system temporarily unavailable"},
			fmt.Errorf("ask: %w", nats.ErrNoResponders), nats.ErrTimeout, jetstream.ErrNoStreamResponse,
			context.DeadlineExceeded, // of a server that says nothing
			nil,
		}
		began := time.Now()
		err := bus.UntilLed(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), func(ctx context.Context) error {
			next := answers[0]
			answers = answers[1:]
			if errors.Is(next, context.DeadlineExceeded) {
				<-ctx.Done()
				next = fmt.Errorf("ask: %w", ctx.Err())
			}
			return next
		})
		if err != nil || len(answers) > 0 {
			t.Errorf("%v, %d answers left", err, len(answers))
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a silent server was waited for %s", took)
		}
		if n := strings.Count(log.String(), "bus.leaderless"); n != 1 {
			t.Errorf("told %d times that it waits:\n%s", n, &log)
		}
	})
}

func TestAClusterWithoutALeaderIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := bus.UntilLed(t.Context(), slog.New(slog.DiscardHandler), func(context.Context) error { return nats.ErrNoResponders })
		if took := time.Since(began); !errors.Is(err, nats.ErrNoResponders) || took < 20*time.Second || took > 25*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		began = time.Now()
		if err := bus.UntilLed(ctx, slog.New(slog.DiscardHandler), func(context.Context) error { return nats.ErrTimeout }); err == nil || time.Since(began) > time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestAnAnswerOfAClusterIsTaken(t *testing.T) {
	t.Parallel()
	asked := 0
	err := bus.UntilLed(t.Context(), slog.New(slog.DiscardHandler), func(context.Context) error { asked++; return jetstream.ErrConsumerNotFound })
	if !errors.Is(err, jetstream.ErrConsumerNotFound) || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
