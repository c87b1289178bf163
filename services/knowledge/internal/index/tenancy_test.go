package index_test

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

// shelves are the passages of several projects.
type shelves map[tenant.Project][]index.Passage

func (s shelves) Changes(_ context.Context, p tenant.Project, _ index.State, put func(index.Passage) error, _ func(int64)) (index.State, error) {
	for _, x := range s[p] {
		if err := put(x); err != nil {
			return index.State{}, err
		}
	}
	return index.State{Generation: 1}, nil
}

func (s shelves) Settings(context.Context, tenant.Project) (index.Settings, error) {
	return index.Settings{}, nil
}

// TestAProjectWithAThousandthOfTheVectorsFindsAllThatItShould: an index over all
// projects that is filtered afterwards finds next to nothing for a small one.
// Here each has an index of its own.
func TestAProjectWithAThousandthOfTheVectorsFindsAllThatItShould(t *testing.T) {
	t.Parallel()
	const dim, small, large, limit = 16, 25, 25_000, 10
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // G404: a seed
	unit := func() []float32 {
		v, sum := make([]float32, dim), 0.0
		for i := range v {
			v[i] = float32(chance.NormFloat64())
			sum += float64(v[i]) * float64(v[i])
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(sum))
		}
		return v
	}
	all := shelves{}
	for id := range int64(small + large) {
		p := tenant.Project(1)
		if id >= small {
			p = 2
		}
		all[p] = append(all[p], index.Passage{ID: id + 1, Document: id + 1, Vector: unit()})
	}
	l := index.NewLibrary(all, index.Config{Dim: dim}, 1<<30)
	other, err := l.At(t.Context(), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	x, err := l.At(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := index.NewLibrary(shelves{1: all[1]}, index.Config{Dim: dim}, 1<<30).At(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	right := 0
	for range rounds {
		q := unit()
		near := func(p index.Passage) (sum float32) {
			for i := range q {
				sum += q[i] * p.Vector[i]
			}
			return sum
		}
		best := slices.SortedFunc(slices.Values(all[1]), func(a, b index.Passage) int { return cmp.Compare(near(b), near(a)) })
		var want []int64
		for _, p := range best[:limit] {
			want = append(want, p.ID)
		}
		got := find(t, x, index.Request{Vector: q, Mode: index.Vector, Limit: limit})
		if same := find(t, alone, index.Request{Vector: q, Mode: index.Vector, Limit: limit}); !slices.Equal(got, same) {
			t.Fatalf("found %v beside the other project, %v alone", got, same)
		}
		for _, id := range got {
			if slices.Contains(want, id) {
				right++
			}
		}
		for _, id := range find(t, other, index.Request{Vector: q, Mode: index.Vector, Limit: limit}) {
			if id <= small {
				t.Fatalf("the other project found passage %d", id)
			}
		}
	}
	if recall := float64(right) / (rounds * limit); recall < 0.95 {
		t.Errorf("recall %.3f", recall)
	}
}
