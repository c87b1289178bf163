package serve_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// word is one of a language whose words are as rare as those of a real one.
func word(r *rand.Rand) string {
	return fmt.Sprintf("w%d", int(float64(20_000)*r.Float64()*r.Float64()*r.Float64()))
}

func prose(r *rand.Rand, words int) string {
	var b strings.Builder
	for i := range words {
		b.WriteString(word(r))
		if i%12 == 11 {
			b.WriteString(". ")
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// BenchmarkSearch asks questions of ten words over the bus, from one caller, of
// a project with 10,000 chunks: ranking, the read of what was found, and the
// way there and back. The vectors of questions come from the test's model,
// which costs nothing.
func BenchmarkSearch(b *testing.B) {
	w := newWorld(b)
	me := member(1)
	r := rand.New(rand.NewPCG(1, 1))
	chunks := 0
	for i := 0; chunks < 10_000; i++ {
		a := w.text(me, fmt.Sprintf("%d.md", i), prose(r, 20_000)).ok(201)
		chunks += int(a.num("chunks_added"))
		w.indexed(me, a.num("id"), true)
	}
	for _, mode := range []string{"keyword", "vector", "hybrid"} {
		b.Run(fmt.Sprintf("%s-%dk", mode, chunks/1000), func(b *testing.B) {
			ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
			defer cancel()
			var took []time.Duration
			for b.Loop() {
				payload := w.json(obj{"mode": mode, "body": obj{"query": prose(r, 10), "limit": 10}})
				began := time.Now()
				if _, err := w.edge.Request(ctx, bus.Target{Service: "knowledge", Operation: "queryKnowledgeBase", Project: 1}, me, payload); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkAddText adds small documents over the bus, each with its commit and
// event: the whole command but for HTTP.
func BenchmarkAddText(b *testing.B) {
	w := newWorld(b)
	var n atomic.Int64
	r := rand.New(rand.NewPCG(1, 1))
	body := prose(r, 60)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
		defer cancel()
		for pb.Next() {
			i := n.Add(1)
			me := member(tenant.Project(1 + i%16))
			payload := w.json(obj{"body": obj{"title": fmt.Sprint(i), "content": fmt.Sprint(i, body), "category": "docs"}})
			if _, err := w.edge.Command(ctx, bus.Target{Service: "knowledge", Operation: "addTextDocument", Project: me.Project}, me, payload, bus.CommandOptions{Wait: time.Minute}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
