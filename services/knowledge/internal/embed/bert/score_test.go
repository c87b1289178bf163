package bert_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

func withHead(t *testing.T, path string, set kernel.Set, heads int) *bert.Model {
	t.Helper()
	m, err := bert.Open(path, bert.Config{Head: true, Heads: heads}, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestTheHeadScoresPairsAsANaiveOneInDoublePrecision(t *testing.T) {
	t.Parallel()
	for _, shape := range []embedtest.Shape{{Layers: 2, Dim: 64, Inner: 96, Places: 256, Head: true}, {Layers: 1, Dim: 384, Inner: 416, Places: 70, Head: true}} {
		path := write(t, shape)
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n := naive{t: t, f: f, layers: shape.Layers, dim: shape.Dim, inner: shape.Inner, read: map[string][]float64{}}
		lengths := []int{3, 9, 17, 40, 66}
		second := []int{3, 1, 5, 0, 33} // the first has no second text, the fourth no first
		var want []float64
		for _, set := range kernel.Sets() {
			m := withHead(t, path, set, 0)
			pairs, _ := sequences(m, lengths...)
			out := make([]float32, len(pairs))
			if err := m.Score(new(bert.Scratch), pairs, second, out, on); err != nil {
				t.Fatal(err)
			}
			for i, pair := range pairs {
				if len(want) == i {
					want = append(want, n.score(pair, second[i]))
				}
				if off := math.Abs(float64(out[i]) - want[i]); off > 2e-5*max(1, math.Abs(want[i])) {
					t.Errorf("%s, pair %d of %d numbers: %v, want %v", set, i, shape.Dim, out[i], want[i])
				}
			}
		}
		for i := range want[1:] {
			if math.Abs(want[i]-want[i+1]) < 1e-3 {
				t.Errorf("pairs %d and %d score alike, which tests nothing: %v", i, i+1, want)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheHeadAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../testdata/scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Pairs  [][]int32
		Second []int
		Scores []float64
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	path := network(t, "scores")
	for _, set := range kernel.Sets() {
		m := withHead(t, path, set, 2)
		out := make([]float32, len(want.Pairs))
		if err := m.Score(new(bert.Scratch), want.Pairs, want.Second, out, on); err != nil {
			t.Fatal(err)
		}
		for i, w := range want.Scores {
			if off := math.Abs(float64(out[i]) - w); off > 5e-6 {
				t.Errorf("%s, pair %d: %v, want %v", set, i, out[i], w)
			}
		}
	}
}

func TestAModelWithoutAHeadDoesNotScore(t *testing.T) {
	t.Parallel()
	path := write(t, embedtest.Small)
	m := open(t, path, kernel.Best())
	pairs, _ := sequences(m, 4)
	if err := m.Score(new(bert.Scratch), pairs, []int{2}, make([]float32, 1), on); err == nil {
		t.Error("it scored")
	}
	if _, err := bert.Open(path, bert.Config{Head: true}, kernel.Best()); err == nil || !strings.Contains(err.Error(), "pooler") {
		t.Errorf("opened with a head that is not there: %v", err)
	}
}
