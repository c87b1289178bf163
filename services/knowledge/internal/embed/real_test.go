package embed_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

// realDir finds the published model the way the product does, once for all
// tests. Where it cannot be had the tests that need it are skipped: the small
// models of the other tests go through the same code.
var realDir = sync.OnceValues(func() (string, error) {
	o := embed.Options{ModelDir: os.Getenv("CC_MODEL_DIR")}
	if testing.Short() {
		return embed.Locate(o)
	}
	return embed.Fetch(context.Background(), o)
})

func realModel(t testing.TB, set kernel.Set) *embed.Embedder {
	t.Helper()
	return realNamed(t, embed.Default, set)
}

// realNamed is the published model, or its variant with weights of a byte.
func realNamed(t testing.TB, name string, set kernel.Set) *embed.Embedder {
	t.Helper()
	m, ok := embed.Named(name)
	if !ok {
		t.Fatalf("no model %s", name)
	}
	dir, err := realDir()
	if err != nil {
		t.Skipf("without the published model: %v", err)
	}
	e, err := embed.LoadWith(dir, embed.Options{Model: m, QueryCache: -1}, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// golden holds what the reference gives: the tokens of the tokenizers library,
// the vectors of the network in double precision.
type golden struct {
	Text   string    `json:"text"`
	Tokens []int32   `json:"tokens"`
	Vector []float64 `json:"vector"`
}

func goldens(t testing.TB) []golden {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestThePublishedModelAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	for _, set := range kernel.Sets() {
		e := realModel(t, set)
		all := goldens(t)
		if set == kernel.Plain() { // thirty times as slow
			all = slices.DeleteFunc(all, func(g golden) bool { return len(g.Tokens) > 20 })
		}
		texts := make([]string, len(all))
		for i, g := range all {
			texts[i] = g.Text
		}
		vectors, err := e.EmbedBatch(deadline(t), texts, nil)
		if err != nil {
			t.Fatal(err)
		}
		var worst, least float64 = 0, 1
		for i, g := range all {
			if got := e.Tokenizer().Encode(nil, g.Text, e.MaxTokens()); !slices.Equal(got, g.Tokens) {
				t.Errorf("%.40q has tokens %v, want %v", g.Text, got, g.Tokens)
			}
			var cosine float64
			for j, want := range g.Vector {
				worst = max(worst, math.Abs(float64(vectors[i][j])-want))
				cosine += float64(vectors[i][j]) * want
			}
			least = min(least, cosine)
		}
		t.Logf("%s: largest difference %.1e, least cosine %.9f", set, worst, least)
		if worst > 2e-6 {
			t.Errorf("%s: differs from the reference by %g", set, worst)
		}
	}
}

func TestWeightsOfAByteAreNearlyTheReference(t *testing.T) {
	t.Parallel()
	for _, set := range kernel.Sets() {
		e := realNamed(t, embed.Default+"-int8", set)
		all := goldens(t)
		if set == kernel.Plain() { // thirty times as slow
			all = slices.DeleteFunc(all, func(g golden) bool { return len(g.Tokens) > 20 })
		}
		texts := make([]string, len(all))
		for i, g := range all {
			texts[i] = g.Text
		}
		vectors, err := e.EmbedBatch(deadline(t), texts, nil)
		if err != nil {
			t.Fatal(err)
		}
		least, sum := 1.0, 0.0
		for i, g := range all {
			var cosine float64
			for j, want := range g.Vector {
				cosine += float64(vectors[i][j]) * want
			}
			least, sum = min(least, cosine), sum+cosine
		}
		t.Logf("%s: least cosine %.5f, mean %.5f", set, least, sum/float64(len(all)))
		if least < 0.999 || least > 0.999999 { // above, nothing was coded
			t.Errorf("%s: the least cosine to the reference is %v", set, least)
		}
	}
}

func TestHelloWorldIsWhatThePublisherSays(t *testing.T) {
	t.Parallel()
	v, err := realModel(t, kernel.Best()).EmbedQuery(deadline(t), "Hello World")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{-0.0344772786, 0.0310232081, 0.00673494861, 0.0261090137, -0.0393620506, -0.160302490, 0.0669240057, -0.00644144369} {
		if math.Abs(float64(v[i])-want) > 1e-6 {
			t.Errorf("number %d is %v, want %v", i, v[i], want)
		}
	}
}

func TestThePublishedModelFindsWhatIsMeant(t *testing.T) {
	t.Parallel()
	e := realModel(t, kernel.Best())
	texts := []string{
		"To restore the database, stop the service and unpack yesterday's dump.",
		"The bakery around the corner sells sourdough bread.",
		"Every service has its own NATS user with derived permissions.",
	}
	vectors, err := e.EmbedBatch(deadline(t), texts, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, query := range []string{"how do I recover from a backup", "where to buy a loaf", "who may publish on the message bus"} {
		q, err := e.EmbedQuery(deadline(t), query)
		if err != nil {
			t.Fatal(err)
		}
		for j := range texts {
			if j != i && dot(q, vectors[j]) >= dot(q, vectors[i]) {
				t.Errorf("%q is nearer to %q than to %q", query, texts[j], texts[i])
			}
		}
	}
}

func cpuMillis(before time.Duration) float64 {
	return float64((cpuTime() - before).Microseconds()) / 1000
}

func BenchmarkEmbed(b *testing.B) {
	for _, set := range kernel.Sets() {
		for _, weights := range []string{"", "-int8"} {
			e := realNamed(b, embed.Default+weights, set)
			for _, n := range []int{10, 20, 50, 200, 256} {
				text := strings.Repeat("message ", n-2)
				b.Run(set.String()+weights+"/tokens="+strconv.Itoa(n), func(b *testing.B) {
					before := cpuTime()
					for b.Loop() {
						if _, err := e.EmbedQuery(b.Context(), text); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(cpuMillis(before)/float64(b.N), "cpu-ms/text")
				})
			}
		}
	}
}

func BenchmarkEmbedBatch(b *testing.B) {
	for _, set := range kernel.Sets()[1:] {
		e := realModel(b, set)
		for _, n := range []int{20, 100, 200} {
			texts := slices.Repeat([]string{strings.Repeat("message ", n-2)}, 2000/n)
			b.Run(set.String()+"/tokens="+strconv.Itoa(n), func(b *testing.B) {
				before := cpuTime()
				for b.Loop() {
					if _, err := e.EmbedBatch(b.Context(), texts, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(cpuMillis(before)/float64(b.N*len(texts)), "cpu-ms/text")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N*len(texts)), "ms/text")
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	dir, err := realDir()
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		e, err := embed.Load(dir, embed.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	if _, err := realDir(); err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		if _, err := embed.Locate(embed.Options{ModelDir: os.Getenv("CC_MODEL_DIR")}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenizer(b *testing.B) {
	tok := realModel(b, kernel.Best()).Tokenizer()
	text := goldens(b)[len(goldens(b))-1].Text
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Count(text)
	}
}

// BenchmarkQueryDuringABatch is what a query waits for while documents are
// being embedded, with a place of its own and without.
func BenchmarkQueryDuringABatch(b *testing.B) {
	for _, workers := range []int{2, 1} {
		dir, err := realDir()
		if err != nil {
			b.Skip(err)
		}
		e, err := embed.Load(dir, embed.Options{Workers: workers, QueryCache: -1})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		texts := slices.Repeat([]string{strings.Repeat("message ", 250)}, 1000)
		go func() {
			for ctx.Err() == nil {
				if _, err := e.EmbedBatch(ctx, texts, nil); err != nil {
					ended <- err
					return
				}
			}
		}()
		b.Run("workers="+strconv.Itoa(workers), func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := e.EmbedQuery(ctx, "how do I restart the gateway without losing messages"); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
		cancel()
		<-ended
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
