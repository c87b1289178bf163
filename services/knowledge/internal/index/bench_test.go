package index_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// text makes words as frequent as those of a language are: the n-th a n-th as
// often as the first.
type text struct {
	r *rand.Rand
	z *rand.Zipf
}

func newText(seed uint64) *text {
	r := rand.New(rand.NewPCG(seed, 1))
	return &text{r, rand.NewZipf(r, 1.07, 4, 60_000)}
}

// word has letters alone: digits would make it a name of two parts.
func (t *text) word(n uint64) string {
	var b []byte
	for n += 700; n > 0; n /= 17 {
		b = append(b, "bcdfghjklmnpqrtvw"[n%17], "aeiou"[n%5])
	}
	return string(b)
}

func (t *text) words(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = t.word(t.z.Uint64())
	}
	return strings.Join(out, " ")
}

// BenchmarkLexical100k asks 100,000 passages by words: sentences of three to
// ten words, and queries with a required, an excluded and an unfinished word
// and a phrase. No query comes twice.
func BenchmarkLexical100k(b *testing.B) {
	const passages = 100_000
	t := newText(3)
	x := index.New(index.Config{}, &terms.Analyzer{})
	for i := 0; i < passages; i += 1000 {
		batch := make([]index.Passage, 1000)
		for j := range batch {
			batch[j] = index.Passage{ID: int64(i + j + 1), Document: int64((i+j)/10 + 1), Title: t.words(4), Body: t.words(60 + t.r.IntN(120)), Source: fmt.Sprintf("docs/%d.md", (i+j)/10)}
		}
		if err := x.Put(batch); err != nil {
			b.Fatal(err)
		}
	}
	for name, question := range map[string]func() string{
		"sentence": func() string { return t.words(3 + t.r.IntN(8)) },
		"marks": func() string {
			w := t.words(2)
			return fmt.Sprintf(`+%s -%s "%s" %s*`, t.words(1), t.words(1), w, t.words(1)[:3])
		},
	} {
		b.Run(name, func(b *testing.B) {
			var mine []time.Duration
			for b.Loop() {
				q := question()
				start := time.Now()
				if _, err := x.Search(index.Request{Text: q, Mode: index.Keyword, Limit: 10}); err != nil {
					b.Fatal(err)
				}
				mine = append(mine, time.Since(start))
			}
			slices.Sort(mine)
			for _, p := range []int{50, 99} {
				b.ReportMetric(float64(mine[len(mine)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
			}
			b.ReportMetric(float64(x.Bytes())/passages, "B/passage")
		})
	}
}
