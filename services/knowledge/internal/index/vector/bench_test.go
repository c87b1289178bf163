package vector_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/vector"
)

// crowd is vectors around centres, a hundred to each: what passages of
// documents look like, and harder than vectors without any order.
func crowd(seed uint64, n, dim int) (vectors, queries [][]float32) {
	r := rand.New(rand.NewPCG(seed, 9))
	random := func() []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	centres := make([][]float32, max(n/100, 1))
	for i := range centres {
		centres[i] = random()
	}
	some := func(n int) [][]float32 {
		vs := make([][]float32, n)
		for i := range vs {
			vs[i] = random()
			for j, e := range centres[r.IntN(len(centres))] {
				vs[i][j] = e + .8*vs[i][j]
			}
		}
		return vs
	}
	return some(n), some(200)
}

func before(a, b uint32) bool { return a < b }

// BenchmarkLeg100k is the vector leg at 100,000 vectors of 384 elements: the
// graph, and the scan whose place it takes.
func BenchmarkLeg100k(b *testing.B) {
	const n, dim, k = 100_000, 384, 10
	vectors, queries := crowd(1, n, dim)
	flat, index := vector.NewFlat(dim), vector.New(dim, 0)
	began := time.Now()
	for i, v := range vectors {
		if err := flat.Add(uint32(i), v); err != nil {
			b.Fatal(err)
		}
		if err := index.Add(uint32(i), v); err != nil {
			b.Fatal(err)
		}
	}
	index.Settle()
	built := time.Since(began)
	truth := make([][]uint32, len(queries))
	for i, v := range queries {
		q, err := flat.Query(v)
		if err != nil {
			b.Fatal(err)
		}
		for _, h := range q.Search(k, nil, before) {
			truth[i] = append(truth[i], h.Slot)
		}
	}
	run := func(name string, search func(q []float32) []uint32, more func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			found, i := 0, 0
			for b.Loop() {
				at := i % len(queries)
				began := time.Now()
				got := search(queries[at])
				took = append(took, time.Since(began))
				for _, slot := range got {
					if slices.Contains(truth[at], slot) {
						found++
					}
				}
				i++
			}
			slices.Sort(took)
			ms := func(share int) float64 { return float64(took[len(took)*share/100].Microseconds()) / 1000 }
			b.ReportMetric(ms(50), "p50-ms")
			b.ReportMetric(ms(99), "p99-ms")
			b.ReportMetric(float64(found)/float64(k*i), "recall@10")
			more(b)
		})
	}
	slots := func(hits []vector.Hit) (slots []uint32) {
		for _, h := range hits {
			slots = append(slots, h.Slot)
		}
		return slots
	}
	run("graph", func(v []float32) []uint32 {
		q, err := index.Query(v)
		if err != nil {
			b.Fatal(err)
		}
		return slots(q.Search(k, nil, before))
	}, func(b *testing.B) {
		b.ReportMetric(built.Seconds(), "build-s")
		b.ReportMetric(float64(index.Bytes())/1e6, "MB")
	})
	run("scan", func(v []float32) []uint32 {
		q, err := flat.Query(v)
		if err != nil {
			b.Fatal(err)
		}
		return slots(q.Search(k, nil, before))
	}, func(b *testing.B) { b.ReportMetric(float64(flat.Bytes())/1e6, "MB") })
}

// BenchmarkThreshold is where a graph begins to be faster than a scan, with as
// many hits as a hybrid search asks its legs for.
func BenchmarkThreshold(b *testing.B) {
	const dim, k = 384, 100
	for _, n := range []int{2_500, 5_000, 10_000, 20_000} {
		vectors, queries := crowd(2, n, dim)
		for name, threshold := range map[string]int{"graph": 1, "scan": n} {
			x := vector.New(dim, threshold)
			for i, v := range vectors {
				if err := x.Add(uint32(i), v); err != nil {
					b.Fatal(err)
				}
			}
			x.Settle()
			b.Run(fmt.Sprint(n, "/", name), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					q, err := x.Query(queries[i%len(queries)])
					if err != nil {
						b.Fatal(err)
					}
					q.Search(k, nil, before)
				}
			})
		}
	}
}
