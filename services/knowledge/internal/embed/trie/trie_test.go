package trie_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/trie"
)

func TestEveryPieceAtTheStartOfAWordIsFound(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	text := func(most int) string {
		b := make([]byte, 1+r.IntN(most))
		for i := range b {
			b[i] = "abcdefghijklm\xff\x00"[r.IntN(15)]
		}
		return string(b)
	}
	pieces := map[string]int32{}
	for len(pieces) < 3000 {
		pieces[text(4)] = int32(len(pieces))
	}
	tree := trie.New(pieces)
	for range 5000 {
		word := text(8)
		var want []string
		var longest int
		for n := 1; n <= len(word); n++ {
			if id, ok := pieces[word[:n]]; ok {
				want, longest = append(want, fmt.Sprintf("%d/%d", id, n)), n
			}
		}
		var got []string
		tree.Each([]byte(word), func(id int32, n int) { got = append(got, fmt.Sprintf("%d/%d", id, n)) })
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%q: %v, want %v", word, got, want)
		}
		if id, n := tree.Longest([]byte(word)); n != longest || n > 0 && id != pieces[word[:n]] {
			t.Fatalf("%q: the longest has %d bytes, want %d", word, n, longest)
		}
	}
}
