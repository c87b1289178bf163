package topk_test

import (
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/topk"
)

func TestBestAreThoseOfASort(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n, k := r.IntN(60), r.IntN(12)+1
		all := make([]topk.Scored, n)
		best := topk.New(k, func(a, b uint32) bool { return a < b })
		for _, i := range r.Perm(n) {
			all[i] = topk.Scored{Slot: uint32(i), Score: float64(r.IntN(6)) - 2}
			best.Offer(uint32(i), all[i].Score)
		}
		sort.Slice(all, func(i, j int) bool {
			if all[i].Score != all[j].Score {
				return all[i].Score > all[j].Score
			}
			return all[i].Slot < all[j].Slot
		})
		if best.Full() != (n >= k) {
			t.Fatal("Full is wrong")
		}
		if got := best.Ranked(); !slices.Equal(got, all[:min(n, k)]) {
			t.Fatalf("got %v, want %v", got, all[:min(n, k)])
		}
	}
}
