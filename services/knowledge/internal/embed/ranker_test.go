package embed_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
)

func TestEachPassageIsScoredForItselfWhateverItsCompany(t *testing.T) {
	t.Parallel()
	r := embedtest.NewRanker(t, embed.Options{Workers: 3})
	ctx := deadline(t)
	all := append(texts(40), "", strings.Repeat("long ", 400))
	together, err := r.Score(ctx, "which text is it?", all)
	if err != nil || len(together) != len(all) {
		t.Fatal(len(together), err)
	}
	different := 0
	for i, text := range all {
		alone, err := r.Score(ctx, "which text is it?", []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(alone[0]-together[i]) > 1e-5 {
			t.Errorf("text %d: %v alone, %v in company", i, alone[0], together[i])
		}
		other, err := r.Score(ctx, "something else", []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(other[0]-alone[0]) > 1e-4 {
			different++
		}
	}
	if different < len(all)/2 {
		t.Errorf("the question counts for %d of %d texts", different, len(all))
	}
	if none, err := r.Score(ctx, "q", nil); err != nil || len(none) != 0 {
		t.Errorf("no passages: %v, %v", none, err)
	}
}

func TestOfAPairTheLongerTextIsCut(t *testing.T) {
	t.Parallel()
	r := embedtest.NewRanker(t, embed.Options{})
	ctx := deadline(t)
	score := func(q, p string) float64 {
		t.Helper()
		s, err := r.Score(ctx, q, []string{p})
		if err != nil {
			t.Fatal(err)
		}
		return s[0]
	}
	// The model sees 256 tokens of one letter each, three of them markers.
	q := strings.Repeat("q ", 20)
	if a, b := score(q, strings.Repeat("p ", 233)), score(q, strings.Repeat("p ", 233)+" and more"); a != b {
		t.Errorf("what does not fit counts: %v and %v", a, b)
	}
	if a, b := score(q, strings.Repeat("p ", 232)), score(q, strings.Repeat("p ", 233)); a == b {
		t.Error("the last token that fits does not count")
	}
	long := strings.Repeat("q ", 3000)
	if a, b := score(long, strings.Repeat("p ", 100)), score(long, strings.Repeat("p ", 99)+"z"); a == b {
		t.Error("a long question leaves no room for the passage")
	}
	if a, b := score(long, strings.Repeat("p ", 126)), score(long, strings.Repeat("p ", 127)); a != b {
		t.Errorf("the passage has more than its half: %v and %v", a, b)
	}
}

func TestRankingEndsWithItsCallerAndWithTheModel(t *testing.T) {
	t.Parallel()
	r := embedtest.NewRanker(t, embed.Options{Workers: 2})
	ctx, cancel := context.WithCancel(deadline(t))
	cancel()
	if _, err := r.Score(ctx, "q", texts(10)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				if _, err := r.Score(deadline(t), "q", texts(20)); err != nil {
					if !errors.Is(err, embed.ErrClosed) {
						t.Errorf("while it closes: %v", err)
					}
					return
				}
			}
		})
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

func TestQueriesBatchesAndRankingsShareOneGate(t *testing.T) {
	t.Parallel()
	gate := embed.NewGate(2)
	r, e := embedtest.NewRanker(t, embed.Options{Gate: gate}), embedtest.New(t, embed.Options{Gate: gate})
	ctx := deadline(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 10 {
				if _, err := r.Score(ctx, "q", texts(20)); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			if _, err := e.EmbedBatch(ctx, texts(80), nil); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			for _, text := range texts(30) {
				if _, err := e.EmbedQuery(ctx, text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkRank ranks 20 passages of 200 tokens by networks of the published
// shapes, whose weights do not matter to the time.
func BenchmarkRank(b *testing.B) {
	for _, c := range []struct {
		name  string
		shape embedtest.Shape
	}{
		{embed.DefaultRanker, embedtest.Shape{Layers: 6, Dim: 384, Inner: 1536, Places: 512, Head: true}},
		{"ms-marco-TinyBERT-L2-v2", embedtest.Shape{Layers: 2, Dim: 128, Inner: 512, Places: 512, Head: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, _ := embed.RankerNamed(c.name)
			dir := b.TempDir()
			if err := embedtest.WriteModel(dir, c.shape, 1); err != nil {
				b.Fatal(err)
			}
			r, err := embed.LoadRanker(dir, embed.Options{Model: m})
			if err != nil {
				b.Fatal(err)
			}
			passages := make([]string, 20)
			for i := range passages {
				passages[i] = strings.Repeat("a ", 199) + fmt.Sprint(i%10)
			}
			for b.Loop() {
				if _, err := r.Score(b.Context(), "w h a t i s i t ?", passages); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(passages)*b.N)/b.Elapsed().Seconds(), "pairs/s")
			if err := r.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
