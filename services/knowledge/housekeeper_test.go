package knowledge

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

// newKeeper returns a housekeeper that does not run, and its surroundings.
func newKeeper(t *testing.T) (*housekeeper, *postgres.Store, *bustest.Env) {
	t.Helper()
	env := bustest.Start(t, []string{Name}, bustest.WithContract(Name, bus.Contract{Serves: []string{"addDocument"}, TakesCommands: true, Objects: true}))
	models := encoder.NewModels([]encoder.Known{{Name: "off"}}, nil, slog.New(slog.DiscardHandler), encoder.Config{})
	store := postgres.New(pgtest.New(t, Migrations), models.Vectors)
	return &housekeeper{
		every: time.Hour, orphans: DefaultConfig().Orphans, remember: DefaultConfig().Removals, now: time.Now, store: store, bus: env.Bus(Name),
		library: index.NewLibrary(store, index.Config{}, 1<<20), models: models, log: slog.New(slog.DiscardHandler),
		indexer: document.NewIndexer(nil, nil, store, nil), ring: make(chan struct{}, 1),
	}, store, env
}

func TestTheFirstRoundDoesNotWaitForAWholePeriod(t *testing.T) {
	t.Parallel()
	h, _, env := newKeeper(t)
	begun := make(chan struct{}, 1)
	h.now = func() time.Time {
		select {
		case begun <- struct{}{}:
		default:
		}
		return time.Now()
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	bustest.Await(env, begun)
	if err := h.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnUploadThatNoDocumentCameOfIsRemovedAfterHours(t *testing.T) {
	t.Parallel()
	h, store, env := newKeeper(t)
	now := time.Now()
	put := func() bus.ObjectRef {
		ref, err := env.Bus(bustest.Edge).PutObject(t.Context(), 1, "a.md", "", strings.NewReader("hello"), 100)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	there := func(ref bus.ObjectRef) bool {
		r, err := env.Bus(Name).GetObject(t.Context(), ref)
		if errs.KindOf(err) == errs.NotFound {
			return false
		}
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		return true
	}
	kept, thrown, lost := put(), put(), put()
	blob := func(ref bus.ObjectRef) document.Blob {
		return document.Blob{SHA256: ref.SHA256, Size: ref.Size, Bucket: ref.Bucket, Name: ref.Name}
	}
	if _, _, err := store.Receive(t.Context(), document.Document{
		Project: 1, Collection: "default", Source: "a.md", Title: "a", Category: "docs", Format: extract.Format{Kind: extract.Markdown},
		ContentType: "text/markdown", Size: kept.Size, SHA256: kept.SHA256,
	}, nil, blob(kept)); err != nil {
		t.Fatal(err)
	}
	if err := store.Discard(t.Context(), document.Submission{Project: 1, Blob: blob(thrown)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		lost  bool // still there
	}{{0, true}, {5 * time.Hour, true}, {5*time.Hour + sweepEvery/2, true}, {7 * time.Hour, false}} {
		h.now = func() time.Time { return now.Add(c.after) }
		if err := h.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !there(kept) || !there(thrown) || there(lost) != c.lost {
			t.Errorf("after %v: kept %v, thrown away %v, lost %v", c.after, there(kept), there(thrown), there(lost))
		}
	}
}
