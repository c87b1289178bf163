package lexical_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
)

// slots are the members of a set.
func slots(s *bitmap.Set) (out []uint32) {
	s.All(func(slot uint32) bool {
		out = append(out, slot)
		return true
	})
	return out
}

func TestAPhraseIsFoundWhereItsWordsStandTogetherInOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	x := lexical.New(lexical.Config{})
	texts := randomIndex(r, x, 800)
	for slot := uint32(0); slot < 800; slot += 9 {
		x.Remove(slot)
	}
	has := func(f lexical.Field, words []string) bool {
		for i := 0; i+len(words) <= len(f.Terms); i++ {
			if slices.Equal(f.Terms[i:i+len(words)], words) {
				return true
			}
		}
		return false
	}
	met := 0
	for range 200 {
		from := texts[r.IntN(len(texts))][1].Terms
		at := r.IntN(len(from))
		words := from[at:min(at+1+r.IntN(3), len(from))]
		for _, inTitle := range []bool{false, true} {
			var want []uint32
			for slot, f := range texts {
				if slot%9 != 0 && (has(f[0], words) || !inTitle && has(f[1], words)) {
					want = append(want, uint32(slot))
				}
			}
			if got := slots(x.Phrase(inTitle, field(words...))); !slices.Equal(got, want) {
				t.Fatalf("%v (title alone: %v): %v, want %v", words, inTitle, got, want)
			}
			met += len(want)
		}
	}
	if met == 0 {
		t.Error("no phrase was anywhere")
	}
}

func TestWordsThatAreTakenForOneAreFoundAsOne(t *testing.T) {
	t.Parallel()
	x := lexical.New(lexical.Config{})
	for i, text := range []string{"embed embeds", "embedding", "other", "embed embedding embeds", "embeds"} {
		x.Add(uint32(i), field("t"), field(strings.Fields(text)...))
	}
	x.Add(5, field("embed"), field("x"))
	x.Remove(4)
	words := x.Expand("", 10, func(w string) bool { return strings.HasPrefix(w, "embed") })
	if !slices.Equal(words, []string{"embed", "embeds", "embedding"}) {
		t.Errorf("expanded to %v; want those of most passages first", words)
	}
	if two := x.Expand("", 2, func(w string) bool { return strings.HasPrefix(w, "embed") }); len(two) != 2 {
		t.Errorf("%v, want two", two)
	}
	if got := slots(bitmap.And(x.Having(false, words...), x.Alive())); !slices.Equal(got, []uint32{0, 1, 3, 5}) {
		t.Errorf("having any: %v", got)
	}
	if got := slots(x.Having(true, words...)); !slices.Equal(got, []uint32{5}) {
		t.Errorf("in the title: %v", got)
	}
	q := x.Query(nil, x.Gather("embed*", words))
	if got := slots(q.Matching()); !slices.Equal(got, []uint32{0, 1, 3, 5}) {
		t.Errorf("matching: %v", got)
	}
	for _, h := range q.Search(10, nil, before) {
		shares := q.Explain(h.Slot)
		if len(shares) != 1 || shares[0].Term != "embed*" || shares[0].Score != h.Score {
			t.Errorf("slot %d with %v is explained by %+v", h.Slot, h.Score, shares)
		}
	}
	if e := q.Explain(3); e[0].Body != 3 || e[0].Title != 0 {
		t.Errorf("a passage with all three: %+v", e)
	}
	if none := x.Query(nil, x.Gather("z*", []string{"z"})); len(none.Search(10, nil, before)) != 0 {
		t.Error("a group of no word found something")
	}
}

func TestASharesOfAScoreAreItsSum(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	x := lexical.New(lexical.Config{})
	randomIndex(r, x, 300)
	for range 50 {
		q := x.Query(queryWords(r))
		for _, h := range q.Search(5, nil, before) {
			sum := 0.0
			for _, s := range q.Explain(h.Slot) {
				sum += s.Score
			}
			if fmt.Sprintf("%.9f", sum) != fmt.Sprintf("%.9f", h.Score) {
				t.Fatalf("slot %d: shares of %v, score %v", h.Slot, sum, h.Score)
			}
		}
	}
}
