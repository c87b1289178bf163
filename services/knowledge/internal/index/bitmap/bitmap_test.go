package bitmap_test

import (
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
)

func set(is ...uint32) *bitmap.Set {
	s := &bitmap.Set{}
	for _, i := range is {
		s.Add(i)
	}
	return s
}

func TestSetHoldsWhatIsInIt(t *testing.T) {
	t.Parallel()
	s := set(1, 63, 64, 1000)
	s.Remove(64)
	s.Remove(5000)
	if got := slices.Collect(s.All); !slices.Equal(got, []uint32{1, 63, 1000}) {
		t.Errorf("members %v", got)
	}
	if s.Len() != 3 || !s.Has(63) || s.Has(64) || s.Has(1<<30) || s.Empty() || s.Bytes() == 0 {
		t.Error("wrong membership")
	}
	if !set().Empty() {
		t.Error("the empty set is not")
	}
	for i := range s.All {
		if i != 1 {
			t.Error("went on after a stop")
		}
		break
	}
}

func TestAndIsTheIntersection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sets []*bitmap.Set
		want []uint32
	}{
		{nil, nil}, {[]*bitmap.Set{set(1, 200), set(200, 3)}, []uint32{200}}, {[]*bitmap.Set{set(1, 200), nil, set(1)}, []uint32{1}},
	} {
		if got := slices.Collect(bitmap.And(c.sets...).All); !slices.Equal(got, c.want) {
			t.Errorf("And = %v, want %v", got, c.want)
		}
	}
}

func TestUnionAndDifference(t *testing.T) {
	t.Parallel()
	a, b := &bitmap.Set{}, &bitmap.Set{}
	for i := range uint32(300) {
		if i%2 == 0 {
			a.Add(i)
		}
		if i%3 == 0 && i < 100 {
			b.Add(i)
		}
	}
	u, m, n := bitmap.Union(b, a), bitmap.Minus(a, b), bitmap.Minus(b, a)
	for i := range uint32(400) {
		if u.Has(i) != (a.Has(i) || b.Has(i)) || m.Has(i) != (a.Has(i) && !b.Has(i)) || n.Has(i) != (b.Has(i) && !a.Has(i)) {
			t.Fatalf("%d: union %t, differences %t %t", i, u.Has(i), m.Has(i), n.Has(i))
		}
	}
	if bitmap.Union().Len() != 0 {
		t.Error("the union of nothing has members")
	}
}
