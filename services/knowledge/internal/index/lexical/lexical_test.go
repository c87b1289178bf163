package lexical_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
)

func field(words ...string) lexical.Field { return lexical.Field{Terms: words, Length: len(words)} }

func before(a, b uint32) bool { return a < b }

// randomIndex has words whose frequency falls like that of a language.
func randomIndex(r *rand.Rand, x *lexical.Index, docs int) [][]lexical.Field {
	word := func() string { return fmt.Sprintf("w%d", int(math.Exp(r.Float64()*6))) }
	var out [][]lexical.Field
	for i := range docs {
		var title, body []string
		for range r.IntN(4) {
			title = append(title, word())
		}
		for range r.IntN(60) + 1 {
			body = append(body, word())
		}
		x.Add(uint32(i), field(title...), field(body...))
		out = append(out, []lexical.Field{field(title...), field(body...)})
	}
	return out
}

func queryWords(r *rand.Rand) []string {
	var q []string
	for range r.IntN(8) + 1 {
		q = append(q, fmt.Sprintf("w%d", int(math.Exp(r.Float64()*6.2))))
	}
	return q
}

// exhaustive ranks by asking for every score.
func exhaustive(q *lexical.Query, n, k int, allow *bitmap.Set) []lexical.Hit {
	var all []lexical.Hit
	for i := range n {
		if s := q.Score(uint32(i)); s > 0 && (allow == nil || allow.Has(uint32(i))) {
			all = append(all, lexical.Hit{Slot: uint32(i), Score: s})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Score > all[j].Score })
	return all[:min(len(all), k)]
}

func same(t *testing.T, got, want []lexical.Hit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d hits, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("hit %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestPrunedSearchIsTheExhaustiveOne(t *testing.T) {
	t.Parallel()
	for seed := range 30 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		x := lexical.New(lexical.Config{})
		n := r.IntN(400) + 1
		randomIndex(r, x, n)
		for i := range n / 5 {
			x.Remove(uint32(i * 3))
			x.Remove(uint32(i * 3)) // a second time changes nothing
		}
		var allow *bitmap.Set
		if seed%3 == 0 {
			allow = &bitmap.Set{}
			for i := range n {
				if r.IntN(4) == 0 {
					allow.Add(uint32(i))
				}
			}
		}
		for range 30 {
			q := x.Query(queryWords(r))
			k := r.IntN(20) + 1
			got := q.Search(k, allow, before)
			same(t, got, exhaustive(q, n, k, allow))
			for _, h := range got {
				if h.Score > q.Ceiling {
					t.Fatalf("score %v above the ceiling %v", h.Score, q.Ceiling)
				}
			}
		}
	}
}

func TestRemovedPassagesLeaveNoTrace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 7))
	x := lexical.New(lexical.Config{})
	docs := randomIndex(r, x, 300)
	fresh := lexical.New(lexical.Config{})
	to := make([]uint32, 300)
	var kept []uint32
	for i := range docs {
		if i%3 == 0 {
			x.Remove(uint32(i))
			continue
		}
		to[i] = uint32(len(kept))
		fresh.Add(to[i], docs[i][0], docs[i][1])
		kept = append(kept, uint32(i))
	}
	var queries [][]string
	for range 50 {
		queries = append(queries, queryWords(r))
	}
	for _, w := range queries {
		want := fresh.Query(w).Search(10, nil, before)
		got := x.Query(w).Search(10, nil, before)
		for i := range got {
			got[i].Slot = to[got[i].Slot]
		}
		same(t, got, want)
	}
	full := x.Bytes()
	x.Compact(to)
	if x.Len() != fresh.Len() || x.Bytes() >= full {
		t.Fatalf("after compaction: %d passages, %d bytes of %d", x.Len(), x.Bytes(), full)
	}
	for _, w := range queries {
		same(t, x.Query(w).Search(10, nil, before), fresh.Query(w).Search(10, nil, before))
	}
	x.Add(uint32(len(kept)), field("fresh"), field("fresh"))
	if got := x.Query([]string{"fresh"}).Search(3, nil, before); len(got) != 1 || got[0].Slot != uint32(len(kept)) {
		t.Fatalf("after compaction and addition: %v", got)
	}
}

func TestRankingFollowsRarityTitleAndLength(t *testing.T) {
	t.Parallel()
	x := lexical.New(lexical.Config{})
	long := make([]string, 80)
	for i := range long {
		long[i] = fmt.Sprintf("f%d", i)
	}
	x.Add(0, field(), field(append(long, "apple")...))
	x.Add(1, field(), field("apple", "pie"))
	x.Add(2, field("apple"), field("cake", "pie"))
	x.Add(3, field(), field("pie", "pie", "pie"))
	got := x.Query([]string{"apple"}).Search(9, nil, before)
	if len(got) != 3 || got[0].Slot != 2 || got[1].Slot != 1 || got[2].Slot != 0 {
		t.Errorf("order %v, want title, short, long", got)
	}
	got = x.Query([]string{"pie", "f3"}).Search(9, nil, before)
	if got[0].Slot != 0 {
		t.Errorf("a rare term counts less than a common one: %v", got)
	}
	if got := x.Query([]string{"nothing"}).Search(9, nil, before); got != nil {
		t.Errorf("found %v", got)
	}
	if got := x.Query([]string{"apple"}).Search(0, nil, before); got != nil {
		t.Errorf("found %v", got)
	}
	x.Remove(2)
	if x.Query([]string{"apple"}).Score(2) != 0 {
		t.Error("a removed passage has a score")
	}
}

func BenchmarkSearch10k(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 7))
	x := lexical.New(lexical.Config{})
	for i := range 10_000 {
		var body []string
		for range 120 {
			body = append(body, fmt.Sprintf("w%d", int(math.Exp(r.Float64()*10))))
		}
		x.Add(uint32(i), field("t"), field(body...))
	}
	queries := make([][]string, 64)
	for i := range queries {
		for range 10 {
			queries[i] = append(queries[i], fmt.Sprintf("w%d", int(math.Exp(r.Float64()*10))))
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		x.Query(queries[i%len(queries)]).Search(100, nil, before)
		i++
	}
}
