package fusion_test

import (
	"math"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
)

func order(cs []fusion.Candidate) (ids []int64) {
	for _, c := range cs {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestConvexWeighsNormalisedScores(t *testing.T) {
	t.Parallel()
	make3 := func() []fusion.Candidate {
		return []fusion.Candidate{
			{ID: 1, Lexical: 8, Cosine: .1, HasVector: true}, {ID: 2, Lexical: 0, Cosine: .9, HasVector: true}, {ID: 3, Lexical: 4, Cosine: .6, HasVector: true},
			{ID: 4, Lexical: 0, Cosine: -.5, HasVector: true},
		}
	}
	for _, c := range []struct {
		alpha float64
		want  []int64
	}{{0, []int64{1, 3, 2, 4}}, {1, []int64{2, 3, 1, 4}}, {.5, []int64{3, 1, 2, 4}}} {
		cs := make3()
		fusion.Join(cs, fusion.Convex, c.alpha, 10, fusion.Config{})
		for i, id := range order(cs) {
			if id != c.want[i] {
				t.Errorf("alpha %v: order %v, want %v", c.alpha, order(cs), c.want)
				break
			}
		}
		for _, x := range cs {
			if x.Score < 0 || x.Score > 1 {
				t.Errorf("score %v", x.Score)
			}
		}
	}
}

func TestWhatIsNotEmbeddedIsJudgedByItsWords(t *testing.T) {
	t.Parallel()
	cs := []fusion.Candidate{{ID: 1, Lexical: 6}, {ID: 2, Lexical: 1, Cosine: .5, HasVector: true}}
	fusion.Join(cs, fusion.Convex, .7, 10, fusion.Config{})
	if cs[0].ID != 1 || math.Abs(cs[0].Score-.6) > 1e-12 {
		t.Errorf("got %+v", cs)
	}
}

func TestRRFUsesRanksAlone(t *testing.T) {
	t.Parallel()
	cs := []fusion.Candidate{{ID: 1, LexicalRank: 1, Lexical: 100}, {ID: 2, LexicalRank: 2, VectorRank: 1}, {ID: 3, VectorRank: 2}}
	fusion.Join(cs, fusion.RRF, .5, 1, fusion.Config{})
	if got := order(cs); got[0] != 2 || got[1] != 1 || got[2] != 3 {
		t.Errorf("order %v", got)
	}
	top := []fusion.Candidate{{ID: 1, LexicalRank: 1, VectorRank: 1}}
	fusion.Join(top, fusion.RRF, .5, 1, fusion.Config{})
	if top[0].Score != 1 {
		t.Errorf("best in both legs scores %v, want 1", top[0].Score)
	}
}

func TestTiesGoToTheLowerId(t *testing.T) {
	t.Parallel()
	cs := []fusion.Candidate{{ID: 9}, {ID: 3}, {ID: 5}}
	fusion.Join(cs, fusion.Convex, .5, 0, fusion.Config{})
	if got := order(cs); got[0] != 3 || got[2] != 9 {
		t.Errorf("order %v", got)
	}
}
