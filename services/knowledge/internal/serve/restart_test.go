package serve_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
)

// journal is a log that is read beside its writers.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) has(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.b.String(), s)
}

func imagesIn(dir string) int {
	found, _ := filepath.Glob(filepath.Join(dir, "*.index")) //nolint:errcheck // the pattern is right
	return len(found)
}

// TestAnImageWarmsTheNextProcessAndAPurgeRemovesItFromAll: a second process has a
// directory of its own, with a copy of what the first wrote.
func TestAnImageWarmsTheNextProcessAndAPurgeRemovesItFromAll(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	brisk := func(dir string) with {
		return func(d *knowledge.Deps, c *knowledge.Config) {
			d.Dir, c.IndexQuiet, c.ChunkTokens, c.Housekeeping = dir, time.Second, 32, time.Second
		}
	}
	w := newWorld(t, brisk(first))
	me := member(1)
	w.indexed(me, w.text(me, "long.md", prose(rand.New(rand.NewPCG(2, 2)), 40_000)).ok(201).num("id"), true) //nolint:gosec // G404: a seed
	w.indexed(me, w.text(me, "car.md", "The car stands in the garage.").ok(201).num("id"), true)
	if _, names := w.search(me, "garage", nil, obj{"limit": 1}); len(names) != 1 || names[0] != "car.md" {
		t.Fatalf("found %v", names)
	}
	w.until(func() bool { return imagesIn(first) == 1 })
	image, err := os.ReadFile(filepath.Join(first, "1.index"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, "1.index"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bus.Connect(t.Context(), w.env.Config("knowledge"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	log := &journal{}
	d, c := knowledge.Deps{DB: w.db, Bus: b, Log: slog.New(slog.NewTextHandler(log, nil))}, knowledge.DefaultConfig()
	d.Load = func(context.Context) (encoder.Model, error) { return w.model, nil }
	brisk(second)(&d, &c)
	m, err := knowledge.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	w.env.Run(m.Part())
	w.until(func() bool { return log.has("project=p1 outcome=read") })
	for range 8 { // of either process
		if _, names := w.search(me, "garage", nil, obj{"limit": 1}); len(names) != 1 || names[0] != "car.md" {
			t.Errorf("found %v", names)
		}
	}

	purged := make(chan *platformv1.PurgedPart, 10)
	w.env.Run(bus.Follow(w.env.Bus("auth"), func(_ context.Context, _ bus.Meta, e *platformv1.ProjectPurged) {
		for _, p := range e.GetParts() {
			if p.GetName() == "index images" {
				purged <- p
			}
		}
	}))
	w.env.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 4})
	if p := bustest.Await(w.env, purged); p.GetRemoved() != 1 || p.GetLeft() != 0 {
		t.Errorf("said %v", p)
	}
	w.until(func() bool { return imagesIn(first)+imagesIn(second) == 0 })
	if _, names := w.search(me, "garage", nil); len(names) != 0 {
		t.Errorf("found %v", names)
	}
}
