package vector_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/vector"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

func saved(t *testing.T, x *vector.Index) []byte {
	t.Helper()
	var b bytes.Buffer
	w := wire.NewWriter(&b)
	x.Save(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsReadOfAGraphFindsWhatItFound(t *testing.T) {
	t.Parallel()
	const dim, n = 20, 900 // no multiple of what a kernel takes
	vectors, queries := crowd(3, n, dim)
	x := vector.New(0, 100)
	for i, v := range vectors {
		if err := x.Add(uint32(i), v); err != nil {
			t.Fatal(err)
		}
		if i%5 == 4 {
			x.Remove(uint32(i - 2))
		}
	}
	half := saved(t, x)
	x.Settle()
	for what, b := range map[string][]byte{"whole": saved(t, x), "half": half} {
		y := vector.New(0, 100)
		r := wire.NewReader(bytes.NewReader(b), int64(len(b)))
		y.Load(r, n)
		if err := r.Close(); err != nil {
			t.Fatal(what, err)
		}
		y.Settle()
		want, _ := x.Progress()
		if linked, building := y.Progress(); linked != want || building {
			t.Errorf("%s: %d of %d linked, building %v", what, linked, want, building)
		}
		for _, v := range queries {
			var hits [2][]vector.Hit
			for i, x := range []*vector.Index{x, y} {
				q, err := x.Query(v)
				if err != nil {
					t.Fatal(err)
				}
				hits[i] = q.Search(10, nil, before)
			}
			if !slices.Equal(hits[0], hits[1]) {
				t.Fatalf("%s: found %v, want %v", what, hits[1], hits[0])
			}
		}
	}
	other := vector.New(24, 100)
	b := saved(t, x)
	r := wire.NewReader(bytes.NewReader(b), int64(len(b)))
	if other.Load(r, n); r.Err() == nil {
		t.Error("vectors of another dimension were read")
	}
	few := vector.New(0, 100)
	r = wire.NewReader(bytes.NewReader(b), int64(len(b)))
	if few.Load(r, n-1); r.Err() == nil {
		t.Error("a vector of no passage was read")
	}
}
