package postgres_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

func TestAnIndexOfAnotherOrAnEarlierDatabaseIsTooOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.receive(1, "a.md", "one")
	changes := func(since index.State) (index.State, error) {
		return w.s.Changes(t.Context(), 1, since, func(index.Passage) error { return nil }, func(int64) {})
	}
	now, err := changes(index.State{})
	if err != nil || now.Line == "" || now.Generation == 0 {
		t.Fatalf("%+v, %v", now, err)
	}
	if again, err := changes(now); err != nil || again != now {
		t.Errorf("%+v, %v", again, err)
	}
	for what, since := range map[string]index.State{
		"counted further":    {Generation: now.Generation + 1, Line: now.Line},
		"counted by another": {Generation: now.Generation, Line: "1 7000 00000001 5 16400 16400"},
	} {
		if _, err := changes(since); !errors.Is(err, index.ErrTooOld) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What fills the table from a dump empties it first.
	pgtest.Admin(t, w.db).MustExec(`
		CREATE TABLE knowledge.kept AS TABLE knowledge.generations; TRUNCATE knowledge.generations;
		INSERT INTO knowledge.generations TABLE knowledge.kept`)
	if _, err := changes(now); !errors.Is(err, index.ErrTooOld) {
		t.Errorf("filled from a dump: %v", err)
	}
}

func TestClosedProjectsAreThoseThatWerePurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.receive(1, "a.md", "one")
	w.receive(2, "a.md", "one")
	if err := w.s.Purge(t.Context(), 1, purge.Order{Service: "knowledge", Consumer: "c", Message: "m", Version: 4}); err != nil {
		t.Fatal(err)
	}
	closed, err := w.s.Closed(t.Context(), []tenant.Project{1, 2, 3})
	if err != nil || !slices.Equal(closed, []tenant.Project{1}) {
		t.Errorf("closed %v, %v", closed, err)
	}
	if closed, err := w.s.Closed(t.Context(), nil); err != nil || closed != nil {
		t.Errorf("of none: %v, %v", closed, err)
	}
}

// BenchmarkRestart100k is what a process does from its start to the first
// answer about 100,000 chunks of 384 elements, each a hundred words or so: with the
// image of an index, and with the database alone. No text is embedded either
// way.
func BenchmarkRestart100k(b *testing.B) {
	const documents, chunks, dim = 1000, 100, 384
	db := pgtest.New(b, knowledge.Migrations)
	s := postgres.New(db, func(string) string { return model })
	r := rand.New(rand.NewPCG(1, 3))
	z := rand.NewZipf(r, 1.07, 4, 60_000)
	vector := func(like []float32) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64())
			if like != nil {
				v[i] = like[i] + .8*v[i]
			}
		}
		return v
	}
	for i := range documents {
		texts := make([]string, chunks)
		for j := range texts {
			words := make([]string, 60+r.IntN(90))
			for k := range words {
				words[k] = letters(z.Uint64())
			}
			texts[j] = fmt.Sprintf("%d.%d %s", i, j, strings.Join(words, " "))
		}
		d, cs, blob := draft(1, fmt.Sprintf("docs/%d.md", i), texts...)
		d, _, err := s.Receive(b.Context(), d, cs, blob)
		if err != nil {
			b.Fatal(err)
		}
		todo, err := s.Unembedded(b.Context(), d, model, -1, chunks)
		if err != nil {
			b.Fatal(err)
		}
		vectors, centre := make([][]float32, len(todo)), vector(nil)
		for j := range vectors {
			vectors[j] = vector(centre)
		}
		for _, step := range []func() error{
			func() error { return s.Embedded(b.Context(), d, model, todo, vectors) },
			func() error { return s.Indexed(b.Context(), d, model) },
		} {
			if err := step(); err != nil {
				b.Fatal(err)
			}
		}
	}
	generation, err := s.Generation(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	start := func() (*index.Library, *index.Saver) {
		l := index.NewLibrary(s, index.Config{}, 1<<31)
		return l, index.NewSaver(l, index.NewFiles(dir, 1<<31), slog.New(slog.DiscardHandler), time.Hour, 1000)
	}
	answer := func(b *testing.B, l *index.Library) *index.Index {
		x, err := l.At(b.Context(), 1, generation)
		if err != nil {
			b.Fatal(err)
		}
		res, err := x.Search(index.Request{Text: letters(z.Uint64()), Mode: index.Hybrid, Alpha: .5, Vector: vector(nil), Limit: 10})
		if n, v := x.Len(); err != nil || len(res.Hits) != 10 || n != documents*chunks || v != n {
			b.Fatalf("%d hits among %d passages with %d vectors: %v", len(res.Hits), n, v, err)
		}
		return x
	}
	b.Run("database", func(b *testing.B) {
		for b.Loop() {
			l, _ := start()
			answer(b, l).Close()
		}
	})
	l, saver := start()
	began := time.Now()
	answer(b, l).Settle()
	whole := time.Since(began)
	if err := saver.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	began = time.Now()
	if err := saver.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
	wrote := time.Since(began)
	info, err := os.Stat(filepath.Join(dir, "1.index"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("image", func(b *testing.B) {
		for b.Loop() {
			l, _ := start()
			answer(b, l).Close()
		}
		b.ReportMetric(float64(info.Size())/1e6, "MB")
		b.ReportMetric(wrote.Seconds(), "write-s")
		b.ReportMetric(whole.Seconds(), "with-graph-s") // of the other
	})
}

func letters(n uint64) string {
	var b []byte
	for n += 700; n > 0; n /= 17 {
		b = append(b, "bcdfghjklmnpqrtvw"[n%17], "aeiou"[n%5])
	}
	return string(b)
}
