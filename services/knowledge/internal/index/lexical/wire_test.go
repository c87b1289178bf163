package lexical_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

func TestWhatIsReadRanksAsWhatWasWritten(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8)) //nolint:gosec // G404: a seed
	x, y := lexical.New(lexical.Config{}), lexical.New(lexical.Config{})
	randomIndex(r, x, 500)
	for slot := range uint32(100) {
		x.Remove(slot * 5)
	}
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	x.Save(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	from := wire.NewReader(&b, int64(b.Len()))
	if n := y.Load(from); n != 500 || from.Close() != nil || y.Len() != x.Len() || y.Bytes() != x.Bytes() {
		t.Fatalf("%d slots, %d passages, %d bytes; want %d, %d: %v", n, y.Len(), y.Bytes(), x.Len(), x.Bytes(), from.Err())
	}
	for range 100 {
		words := queryWords(r)
		p, q := x.Query(words), y.Query(words)
		if want, got := p.Search(10, nil, before), q.Search(10, nil, before); !slices.Equal(got, want) || p.Ceiling != q.Ceiling {
			t.Fatalf("%v: found %v, want %v", words, got, want)
		}
	}
	to := make([]uint32, 500)
	for slot := range to {
		to[slot] = uint32(slot - slot/5 - 1)
	}
	x.Compact(to)
	y.Compact(to)
	if y.Bytes() != x.Bytes() {
		t.Errorf("%d bytes, want %d", y.Bytes(), x.Bytes())
	}
	words := []string{"w1", "w2", "w30"}
	if want, got := x.Query(words).Search(50, nil, before), y.Query(words).Search(50, nil, before); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}
