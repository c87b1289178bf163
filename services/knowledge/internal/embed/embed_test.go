package embed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
)

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func texts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Repeat(fmt.Sprintf("text %d. ", i), 1+i*7%40)
	}
	return all
}

func TestABatchHasTheVectorsOfItsTextsInTheirOrder(t *testing.T) {
	t.Parallel()
	e := embedtest.New(t, embed.Options{Workers: 3, BatchWorkers: 2})
	ctx := deadline(t)
	all := append(texts(60), "", "text 0. ", "TEXT  0.")
	var heard []int
	vectors, err := e.EmbedBatch(ctx, all, func(done int) { heard = append(heard, done) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(heard) || len(heard) == 0 || heard[len(heard)-1] != len(all) {
		t.Errorf("progress %v of %d", heard, len(all))
	}
	for i, text := range all {
		q, err := e.EmbedQuery(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(q) != e.Dim() || dot(q, vectors[i]) < 0.99999 {
			t.Errorf("text %d: cosine of query and batch %v", i, dot(q, vectors[i]))
		}
	}
	if dot(vectors[0], vectors[61]) < 0.99999 || dot(vectors[0], vectors[62]) < 0.99999 {
		t.Error("case and blanks made a difference")
	}
	if dot(vectors[0], vectors[3]) > 0.9999 {
		t.Error("different texts have one vector")
	}
	if none, err := e.EmbedBatch(ctx, nil, nil); err != nil || len(none) != 0 {
		t.Errorf("no texts: %v, %v", none, err)
	}
}

func TestTextBeyondTheLimitIsNotSeen(t *testing.T) {
	t.Parallel()
	e := embedtest.New(t, embed.Options{})
	if e.MaxTokens() != 256 || e.Dim() != 64 || e.Name() != "embedtest" || e.Kernel() == "" {
		t.Errorf("%d tokens, %d numbers, %s, %s", e.MaxTokens(), e.Dim(), e.Name(), e.Kernel())
	}
	seen := strings.Repeat("a ", e.MaxTokens()-2)
	if n := e.Tokenizer().Count(seen); n != 254 {
		t.Fatalf("%d tokens", n)
	}
	v, err := e.EmbedBatch(deadline(t), []string{seen, seen + "b c d", seen[2:] + "b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if dot(v[0], v[1]) < 0.99999 || dot(v[0], v[2]) > 0.99999 {
		t.Errorf("cosines %v, %v", dot(v[0], v[1]), dot(v[0], v[2]))
	}
}

func TestAVectorFromTheCacheIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, -1} {
		e := embedtest.New(t, embed.Options{QueryCache: size})
		ctx := deadline(t)
		first, err := e.EmbedQuery(ctx, "hello")
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(first)
		for range 3 {
			clear(first)
			if first, err = e.EmbedQuery(ctx, " HELLO "); err != nil || dot(first, want) < 0.99999 {
				t.Fatalf("cache of %d: %v", size, err)
			}
			if _, err := e.EmbedQuery(ctx, "something else"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestACancelledContextEndsTheWork(t *testing.T) {
	t.Parallel()
	e := embedtest.New(t, embed.Options{Workers: 2})
	ctx, cancel := context.WithCancel(deadline(t))
	_, err := e.EmbedBatch(ctx, texts(500), func(done int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("batch: %v", err)
	}
	if _, err := e.EmbedBatch(ctx, texts(3), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("next batch: %v", err)
	}
	if _, err := e.EmbedQuery(ctx, "hello"); !errors.Is(err, context.Canceled) {
		t.Errorf("query: %v", err)
	}
	if _, err := e.EmbedQuery(deadline(t), "hello"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCloseEndsWhatRunsAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	e := embedtest.New(t, embed.Options{Workers: 2, BatchWorkers: 2})
	ctx := deadline(t)
	running := make(chan struct{})
	var once sync.Once
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			_, err := e.EmbedBatch(ctx, texts(3000), func(int) { once.Do(func() { close(running) }) })
			if !errors.Is(err, embed.ErrClosed) {
				t.Errorf("batch: %v", err)
			}
		})
		all.Go(func() {
			for i := 0; ; i++ {
				if _, err := e.EmbedQuery(ctx, fmt.Sprint("query ", i)); err != nil {
					if !errors.Is(err, embed.ErrClosed) {
						t.Errorf("query: %v", err)
					}
					return
				}
			}
		})
	}
	<-running
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if err := e.Close(); err != nil {
		t.Errorf("twice: %v", err)
	}
	if _, err := e.EmbedQuery(ctx, "hello"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("query after close: %v", err)
	}
	if _, err := e.EmbedBatch(ctx, []string{"hello"}, nil); !errors.Is(err, embed.ErrClosed) {
		t.Errorf("batch after close: %v", err)
	}
}

func TestQueriesAndBatchesRunTogether(t *testing.T) {
	t.Parallel()
	e := embedtest.New(t, embed.Options{Workers: 1, QueryCache: -1})
	ctx := deadline(t)
	want, err := e.EmbedQuery(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := e.EmbedBatch(ctx, texts(80), nil); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			for range 50 {
				if v, err := e.EmbedQuery(ctx, "hello"); err != nil || dot(v, want) < 0.99999 {
					t.Errorf("query among batches: %v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestADirectoryWithoutAModelIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := embed.Load(dir, embed.Options{}); err == nil {
		t.Error("an empty directory was loaded")
	}
	if err := embedtest.WriteModel(dir, embedtest.Small, 1); err != nil {
		t.Fatal(err)
	}
	// Files that are not the published ones are refused where they are looked
	// for, not where they are loaded.
	if _, err := embed.New(embed.Options{ModelDir: dir}); err == nil {
		t.Error("another model passed for the published one")
	}
	if _, err := embed.Fetch(deadline(t), embed.Options{ModelDir: dir}); err == nil {
		t.Error("another model passed for the published one")
	}
	if _, err := embed.New(embed.Options{CacheDir: dir}); !errors.Is(err, embed.ErrMissing) {
		t.Errorf("empty cache: %v", err)
	}
	weights := filepath.Join(dir, "model.safetensors")
	if err := os.Truncate(weights, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Load(dir, embed.Options{}); err == nil || !strings.Contains(err.Error(), weights) {
		t.Errorf("cut weights: %v", err)
	}
}

func TestATokenizerLargerThanTheTableOfWordsIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := embedtest.WriteModel(dir, embedtest.Small, 1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tokenizer.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.Replace(string(b), `"vocab":{`, `"vocab":{"more":100000,`, 1))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Load(dir, embed.Options{}); err == nil {
		t.Error("loaded")
	}
}
