package kernel_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

// codes makes the matrix whose column j is row j of w, of a byte for each number,
// and the same of what those stand for.
func codes(t *testing.T, w []float32, k, n int) (kernel.Coded, kernel.Matrix) {
	t.Helper()
	c := kernel.Coded{Codes: make([]int8, k*n), Scales: make([]float32, kernel.Groups(k)*n), K: k, N: n}
	// In two parts, as the matrices of one layer are put side by side.
	first := n / 3
	for at, part := range map[int][]float32{0: w[:first*k], first: w[first*k:]} {
		if err := c.PackRows(at, part, len(part)/k); err != nil {
			t.Fatal(err)
		}
	}
	m := kernel.Matrix{Data: make([]float32, k*n), K: k, N: n}
	c.Unpack(m)
	return c, m
}

func TestACodeIsAtMostHalfAStepOffItsNumber(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	const k, n = 160, 32
	w := random(r, n*k, 1)
	clear(w[:k]) // a column of zeros
	_, got := codes(t, w, k, n)
	want := pack(w, k, n)
	for column := range n {
		for from := 0; from < k; from += kernel.Group {
			var largest, off float64
			for row := from; row < min(from+kernel.Group, k); row++ {
				at := column/kernel.Panel*k*kernel.Panel + row*kernel.Panel + column%kernel.Panel
				largest = max(largest, math.Abs(float64(want.Data[at])))
				off = max(off, math.Abs(float64(got.Data[at]-want.Data[at])))
			}
			if off > largest/127/2*1.0001 {
				t.Errorf("column %d from row %d: %v off, of at most %v", column, from, off, largest)
			}
		}
	}
}

func TestAWeightThatIsNoNumberHasNoCode(t *testing.T) {
	t.Parallel()
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		w := make([]float32, 32*32)
		w[77] = float32(bad)
		c := kernel.Coded{Codes: make([]int8, 32*32), Scales: make([]float32, 32), K: 32, N: 32}
		if err := c.PackRows(0, w, 32); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// eachCoded runs f for the sets that have a product of bytes.
func eachCoded(t *testing.T, f func(t *testing.T, s kernel.Set)) {
	t.Helper()
	eachSet(t, func(t *testing.T, s kernel.Set) {
		if !s.Coded() {
			t.Skip("has no product of bytes")
		}
		f(t, s)
	})
}

func TestTheProductOfCodesAgreesWithDoublePrecisionOnEveryShape(t *testing.T) {
	t.Parallel()
	eachCoded(t, func(t *testing.T, s kernel.Set) {
		r := rand.New(rand.NewPCG(13, 14))
		var a kernel.Rows // one for all: it grows, and keeps what it held
		for m := 1; m <= 27; m++ {
			k, n := 32*(1+m*5%27), 32*(1+m%5)
			x, w := random(r, m*k, 3), random(r, n*k, 1)
			clear(x[:k]) // a row of zeros
			b, of := codes(t, w, k, n)
			bias := random(r, n, 1)
			ldc := n + r.IntN(9)
			c := random(r, m*ldc+3, 1)
			kept := append([]float32(nil), c...)
			s.Encode(&a, x, m, k)
			s.MatMulCoded(c, ldc, &a, m, b, bias)
			for i := range m {
				for j := range ldc {
					got := c[i*ldc+j]
					if j >= n {
						if got != kept[i*ldc+j] {
							t.Fatalf("%d×%d×%d: wrote outside at row %d column %d", m, k, n, i, j)
						}
						continue
					}
					want, size := float64(bias[j]), 0.0
					for y := range k {
						v := float64(of.Data[j/kernel.Panel*k*kernel.Panel+y*kernel.Panel+j%kernel.Panel])
						want += float64(x[i*k+y]) * v
						size += math.Abs(v)
					}
					// A word is at most half a step off, of 32767 to the largest, here below 20.
					if d := math.Abs(float64(got) - want); d > size*20/32767/2+1e-5 {
						t.Fatalf("%d×%d×%d: c[%d][%d] = %v, want %v", m, k, n, i, j, got, want)
					}
				}
			}
		}
	})
}

func TestTheLargestSumOfCodesFits(t *testing.T) {
	t.Parallel()
	eachCoded(t, func(t *testing.T, s kernel.Set) {
		const k, n, m = 256, 32, 13
		w, x := make([]float32, n*k), make([]float32, m*k)
		for i := range w {
			w[i] = -2
		}
		for i := range x {
			x[i] = 1e6
		}
		b, _ := codes(t, w, k, n)
		var a kernel.Rows
		s.Encode(&a, x, m, k)
		c := make([]float32, m*n)
		s.MatMulCoded(c, n, &a, m, b, make([]float32, n))
		for i, v := range c {
			if math.Abs(float64(v)/(-2e6*k)-1) > 1e-5 {
				t.Fatalf("number %d is %v", i, v)
			}
		}
	})
}

func TestWhatIsNoNumberGivesNone(t *testing.T) {
	t.Parallel()
	eachCoded(t, func(t *testing.T, s kernel.Set) {
		r := rand.New(rand.NewPCG(15, 16))
		const k, n, m = 160, 32, 3
		b, _ := codes(t, random(r, n*k, 1), k, n)
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			x := random(r, m*k, 1)
			x[k+131] = float32(bad)
			var a kernel.Rows
			s.Encode(&a, x, m, k)
			c := make([]float32, m*n)
			s.MatMulCoded(c, n, &a, m, b, make([]float32, n))
			for i, v := range c {
				if finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0); finite != (i/n != 1) {
					t.Fatalf("%v: number %d of row %d is %v", bad, i%n, i/n, v)
				}
			}
		}
	})
}

// BenchmarkProduct compares the products of the largest matrix of a small model.
func BenchmarkProduct(b *testing.B) {
	const k, n, m = 384, 1536, 200
	r := rand.New(rand.NewPCG(17, 18))
	x, w, bias := random(r, m*k, 1), random(r, n*k, 1), random(r, n, 1)
	c := make([]float32, m*n)
	of := pack(w, k, n)
	bytes := kernel.Coded{Codes: make([]int8, k*n), Scales: make([]float32, kernel.Groups(k)*n), K: k, N: n}
	if err := bytes.PackRows(0, w, n); err != nil {
		b.Fatal(err)
	}
	for _, s := range kernel.Sets()[1:] {
		b.Run(s.String()+"/floats", func(b *testing.B) {
			for b.Loop() {
				s.MatMul(c, n, x, k, m, of, bias)
			}
		})
		if !s.Coded() {
			continue
		}
		b.Run(s.String()+"/bytes", func(b *testing.B) {
			var a kernel.Rows
			for b.Loop() {
				s.Encode(&a, x, m, k)
				s.MatMulCoded(c, n, &a, m, bytes, bias)
			}
		})
	}
}
