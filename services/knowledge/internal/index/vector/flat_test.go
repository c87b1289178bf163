package vector

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
)

func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

func before(a, b uint32) bool { return a < b }

func TestSearchFindsTheNearest(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for _, dim := range []int{3, 32, 100, 384} {
		f := NewFlat(dim)
		vs := map[uint32][]float32{}
		for i := range uint32(700) {
			if i%7 == 0 {
				continue // passages without a vector
			}
			vs[i] = random(r, dim)
			if err := f.Add(i, vs[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i := uint32(1); i < 100; i += 10 {
			f.Remove(i)
			f.Remove(i)
			delete(vs, i)
		}
		if f.Len() != len(vs) {
			t.Fatalf("%d vectors, want %d", f.Len(), len(vs))
		}
		allow := &bitmap.Set{}
		for s := range vs {
			if s%2 == 0 {
				allow.Add(s)
			}
		}
		q := random(r, dim)
		query, err := f.Query(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, filter := range []*bitmap.Set{nil, allow} {
			var want []Hit
			for s, v := range vs {
				if filter == nil || filter.Has(s) {
					want = append(want, Hit{s, cosine(q, v)})
				}
			}
			sort.Slice(want, func(i, j int) bool { return want[i].Cosine > want[j].Cosine })
			got := query.Search(10, filter, before)
			for i, h := range got {
				if math.Abs(h.Cosine-want[i].Cosine) > 1e-5 {
					t.Fatalf("dim %d hit %d: %v, want %v", dim, i, h, want[i])
				}
				if c, ok := query.Cosine(h.Slot); !ok || c != h.Cosine {
					t.Fatalf("Cosine = %v, %v", c, ok)
				}
			}
			if len(got) != 10 {
				t.Fatalf("%d hits", len(got))
			}
		}
		if _, ok := query.Cosine(7); ok {
			t.Error("a passage without vector has a cosine")
		}
		if query.Search(0, nil, before) != nil {
			t.Error("found what was not asked for")
		}
	}
}

func TestCompactMovesVectors(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	f := NewFlat(40)
	vs := make([][]float32, 1200)
	to := make([]uint32, len(vs))
	n := uint32(0)
	for i := range vs {
		vs[i] = random(r, 40)
		if err := f.Add(uint32(i), vs[i]); err != nil {
			t.Fatal(err)
		}
		if i%4 != 0 {
			f.Remove(uint32(i))
			continue
		}
		to[i] = n
		n++
	}
	full := f.Bytes()
	f.Compact(to)
	if f.Len() != int(n) || f.Bytes() >= full {
		t.Fatalf("%d vectors, %d bytes of %d", f.Len(), f.Bytes(), full)
	}
	for i := 0; i < len(vs); i += 4 {
		q, err := f.Query(vs[i])
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Search(1, nil, before); got[0].Slot != to[i] || got[0].Cosine < .9999 {
			t.Fatalf("vector %d is at %v, want %d", i, got, to[i])
		}
	}
}

func TestVectorsWithoutUseAreRefused(t *testing.T) {
	t.Parallel()
	f := NewFlat(3)
	for _, v := range [][]float32{{1, 2}, {0, 0, 0}, {float32(math.NaN()), 1, 1}, {float32(math.Inf(1)), 1, 1}} {
		if f.Add(0, v) == nil {
			t.Errorf("took %v", v)
		}
		if _, err := f.Query(v); err == nil {
			t.Errorf("asked with %v", v)
		}
	}
}

func TestDimensionIsThatOfTheFirstVector(t *testing.T) {
	t.Parallel()
	f := NewFlat(0)
	q, err := f.Query([]float32{1, 2})
	if err != nil || len(q.Search(3, nil, before)) != 0 {
		t.Errorf("an empty index: %v", err)
	}
	if err := f.Add(1, []float32{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(2, []float32{1, 2}); err == nil {
		t.Error("took a vector of another dimension")
	}
	if _, err := f.Query([]float32{1, 2}); err == nil {
		t.Error("asked with a vector of another dimension")
	}
}

func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{0, 32, 64, 384, 768} {
		a, b := random(r, n), random(r, n)
		if x, y := dot(a, b), dotPlain(a, b); math.Abs(float64(x-y)) > 1e-3 {
			t.Errorf("%d elements: %v and %v", n, x, y)
		}
	}
}

func BenchmarkScan10k(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	f := NewFlat(384)
	for i := range uint32(10_000) {
		if err := f.Add(i, random(r, 384)); err != nil {
			b.Fatal(err)
		}
	}
	q, err := f.Query(random(r, 384))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		q.Search(100, nil, before)
	}
}
