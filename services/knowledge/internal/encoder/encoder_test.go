package encoder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
)

// buffer is written and read by several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestModelIsLoadedBesideTheRestAndLookedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secret = "open /home/me/models: http://mirror.internal"
		tries := 0
		m := &encodertest.Model{}
		var ready []string
		var log buffer
		h := encoder.New(func(context.Context) (encoder.Model, error) {
			time.Sleep(time.Second)
			switch tries++; tries {
			case 1:
				return nil, fmt.Errorf("try: %w", &encoder.Failure{Reason: encoder.Unfetchable, Err: errors.New(secret)})
			case 2:
				return nil, errors.New(secret)
			}
			return m, nil
		}, func(m encoder.Model) { ready = append(ready, m.Name()) }, slog.New(slog.NewTextHandler(&log, nil)), encoder.Config{Retry: time.Minute, Advice: "Do this."})
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, missing := h.Encoder(); e != nil || missing != encoder.Loading {
			t.Errorf("while loading: %v, %q", e, missing)
		}
		if _, ok := h.Counter().(chunk.Estimate); !ok {
			t.Error("counts with something else than the estimate while loading")
		}
		if err := h.Check(t.Context()); !app.IsDegraded(err) {
			t.Errorf("health while loading: %v", err)
		}
		e, err := h.Settled(t.Context())
		if e != nil || err != nil {
			t.Errorf("after the first failure: %v, %v", e, err)
		}
		if _, missing := h.Encoder(); missing != encoder.Unfetchable {
			t.Errorf("reason %q", missing)
		}
		time.Sleep(time.Minute + 2*time.Second)
		synctest.Wait()
		if _, missing := h.Encoder(); missing != encoder.Unusable {
			t.Errorf("reason %q", missing)
		}
		if err := h.Check(t.Context()); err == nil || strings.Contains(err.Error(), secret) || !strings.HasSuffix(err.Error(), "Do this.") {
			t.Errorf("health, which anybody may read: %v", err)
		}
		if strings.Count(log.String(), secret) != 2 {
			t.Errorf("the log does not say why: %s", log.String())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if tries != 3 || len(ready) != 1 {
			t.Errorf("%d tries, announced %v", tries, ready)
		}
		if e, err := h.Settled(t.Context()); e == nil || err != nil {
			t.Errorf("when ready: %v, %v", e, err)
		}
		if e, missing := h.Encoder(); e == nil || missing != "" {
			t.Errorf("when ready: %v, %q", e, missing)
		}
		if name, dim := h.Model(); name != m.Name() || dim != encodertest.Dim {
			t.Errorf("model %q of %d", name, dim)
		}
		if err := h.Check(t.Context()); err != nil {
			t.Errorf("health when ready: %v", err)
		}
		if h.Counter().Count("a b") != 2 {
			t.Error("does not count with the model")
		}
		if err := h.Stop(t.Context()); err != nil || !m.Closed() {
			t.Errorf("stop: %v, closed %v", err, m.Closed())
		}
		if name, _ := h.Model(); name != "" {
			t.Error("has a model after the stop")
		}
	})
}

func TestIndexingDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := encoder.New(func(ctx context.Context) (encoder.Model, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil, slog.New(slog.DiscardHandler), encoder.Config{})
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if e, err := h.Settled(t.Context()); e != nil || err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v, %v after %v", e, err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Settled(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestModelCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	h := encoder.New(nil, nil, slog.New(slog.DiscardHandler), encoder.Config{})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := h.Settled(t.Context()); e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
	if _, missing := h.Encoder(); missing != encoder.Off {
		t.Errorf("reason %q", missing)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if h.Name() == "" {
		t.Error("no name")
	}
}
