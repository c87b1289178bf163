package vector

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestTheSameInsertionsMakeTheSameGraph(t *testing.T) {
	t.Parallel()
	build := func() *graph {
		r := rand.New(rand.NewPCG(9, 9))
		x := New(32, 500)
		for i := range uint32(2000) {
			if err := x.Add(i, random(r, 32)); err != nil {
				t.Fatal(err)
			}
		}
		x.Settle()
		return x.graph()
	}
	a, b := build(), build()
	if a.linked != 2000 || a.top == 0 {
		t.Fatalf("%d nodes on %d levels", a.linked, a.top+1)
	}
	if a.entry != b.entry || a.top != b.top || !reflect.DeepEqual(a.upper, b.upper) || !reflect.DeepEqual(*a.blocks.Load(), *b.blocks.Load()) {
		t.Error("two graphs of the same vectors differ")
	}
}

func TestACodeIsNearItsVector(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(10, 10))
	for _, dim := range []int{32, 384, 8192} {
		f := NewFlat(dim)
		a, err := f.unit(random(r, dim))
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.unit(random(r, dim))
		if err != nil {
			t.Fatal(err)
		}
		code := make([]int8, dim)
		scale := encode(code, a)
		for _, v := range [][]float32{a, b} {
			p := probeOf(v)
			got := float32(dot8(p.wide, code)) * scale * p.scale
			if want := dot(a, v); math.Abs(float64(got-want)) > .01 {
				t.Errorf("%d elements: %v by code, want %v", dim, got, want)
			}
		}
	}
}

func TestKernelsOfCodesAgree(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 11))
	for _, n := range []int{0, 32, 96, 384, 768} {
		q, c := make([]int16, n), make([]int8, n)
		for i := range q {
			q[i], c[i] = int16(r.IntN(8191)-4095), int8(r.IntN(255)-127)
		}
		want := dot8Plain(q, c)
		for name, kernel := range kernels8() {
			if got := kernel(q, c); got != want {
				t.Errorf("%s, %d elements: %d, want %d", name, n, got, want)
			}
		}
	}
}
