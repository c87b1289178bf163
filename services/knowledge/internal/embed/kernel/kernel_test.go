package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

func random(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

// pack makes the matrix whose column j is row j of w.
func pack(w []float32, k, n int) kernel.Matrix {
	wide := kernel.RoundUp(n)
	m := kernel.Matrix{Data: make([]float32, k*wide), K: k, N: wide}
	m.PackRows(0, w, k, n)
	return m
}

func eachSet(t *testing.T, f func(t *testing.T, s kernel.Set)) {
	for _, s := range kernel.Sets() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			f(t, s)
		})
	}
}

func TestMatMulAgreesWithDoublePrecisionOnEveryShape(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, s kernel.Set) {
		r := rand.New(rand.NewPCG(1, 2))
		for m := 1; m <= 27; m++ {
			k := []int{1, 3, 32, 33, 383, 385, 770, 1 + r.IntN(900)}[m%8]
			n := 1 + r.IntN(130)
			checkMatMul(t, s, r, m, k, n, m%2 == 0)
		}
		checkMatMul(t, s, r, 40, 1536, 384, true)
	})
}

func checkMatMul(t *testing.T, s kernel.Set, r *rand.Rand, m, k, n int, withBias bool) {
	t.Helper()
	lda, w := k+r.IntN(5), random(r, n*k, 1)
	a := random(r, m*lda, 1)
	b := pack(w, k, n)
	var bias []float32
	if withBias {
		bias = random(r, b.N, 1)
	}
	ldc := b.N + r.IntN(9)
	c := random(r, m*ldc+3, 1)
	kept := append([]float32(nil), c...)
	s.MatMul(c, ldc, a, lda, m, b, bias)
	for i := range m {
		for j := range ldc {
			got := c[i*ldc+j]
			if j >= b.N {
				if got != kept[i*ldc+j] {
					t.Fatalf("%d×%d×%d: wrote outside at row %d column %d", m, k, n, i, j)
				}
				continue
			}
			var want, size float64
			if bias != nil {
				want = float64(bias[j])
			}
			if j < n {
				for x := range k {
					v := float64(a[i*lda+x]) * float64(w[j*k+x])
					want += v
					size += math.Abs(v)
				}
			}
			if d := math.Abs(float64(got) - want); d > 1e-6*(size+1) {
				t.Fatalf("%d×%d×%d: c[%d][%d] = %v, want %v", m, k, n, i, j, got, want)
			}
		}
	}
}

func TestPackColumnsIsTheTransposeOfPackRows(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	const k, n, ld = 13, 32, 40
	src := random(r, k*ld, 1)
	byRows := make([]float32, n*k)
	for i := range k {
		for j := range n {
			byRows[j*k+i] = src[i*ld+j]
		}
	}
	want := pack(byRows, k, n)
	got := kernel.Matrix{Data: make([]float32, k*n), K: k, N: n}
	got.PackColumns(src, ld)
	for i := range want.Data {
		if got.Data[i] != want.Data[i] {
			t.Fatalf("entry %d differs", i)
		}
	}
}

func TestSoftmaxAgreesWithDoublePrecision(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, s kernel.Set) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, width := range []int{16, 32, 48, 256, 512} {
			for _, scale := range []float32{1, 0.17677669} {
				const rows = 5
				ld := width + 7
				x := random(r, rows*ld, 10)
				present := width - r.IntN(15)
				for i := range rows {
					for j := present; j < width; j++ {
						x[i*ld+j] = float32(math.Inf(-1))
					}
				}
				in := append([]float32(nil), x...)
				s.Softmax(x, rows, width, ld, scale)
				for i := range rows {
					top, sum := math.Inf(-1), 0.0
					for _, v := range in[i*ld:][:present] {
						top = max(top, float64(v))
					}
					for _, v := range in[i*ld:][:present] {
						sum += math.Exp((float64(v) - top) * float64(scale))
					}
					for j := range ld {
						got, want := float64(x[i*ld+j]), float64(in[i*ld+j])
						if j < width {
							want = math.Exp((want-top)*float64(scale)) / sum
						}
						// The exponent itself is rounded to float32, so far shares are less exact.
						far := math.Abs((float64(in[i*ld+j])-top)*float64(scale)) + 4
						if math.Abs(got-want) > 1.2e-7*far*math.Abs(want)+1e-27 {
							t.Fatalf("width %d row %d: share %d = %g, want %g", width, i, j, got, want)
						}
					}
				}
			}
		}
	})
}

func TestSoftmaxDropsWhatIsFarBelowTheLargest(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, s kernel.Set) {
		x := make([]float32, 32)
		for i := range x {
			x[i] = -float32(i * i * i)
		}
		x[31] = float32(math.Inf(-1))
		x[30] = -math.MaxFloat32
		s.Softmax(x, 1, 32, 32, 1)
		for i, v := range x {
			if i*i*i > 64 && v != 0 {
				t.Fatalf("share %d = %g, want 0", i, v)
			}
			if i == 1 && math.Abs(float64(v)-0.26888) > 1e-4 {
				t.Fatalf("share 1 = %g", v)
			}
		}
	})
}

func TestGELUAgreesWithErf(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, s kernel.Set) {
		x := make([]float32, 16*4001)
		for i := range x {
			x[i] = float32(i-len(x)/2) / 3200
		}
		x[0], x[1] = -1e30, 1e30
		in := append([]float32(nil), x...)
		s.GELU(x)
		for i, v := range in {
			want := 0.5 * float64(v) * (1 + math.Erf(float64(v)/math.Sqrt2))
			if d := math.Abs(float64(x[i]) - want); d > 5e-7*(1+math.Abs(float64(v))) && v > -1e29 {
				t.Fatalf("GELU(%g) = %g, want %g", v, x[i], want)
			}
		}
	})
}

func TestAddNormAgreesWithDoublePrecision(t *testing.T) {
	t.Parallel()
	eachSet(t, func(t *testing.T, s kernel.Set) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, width := range []int{16, 64, 384} {
			const rows, eps = 7, 1e-12
			x, y := random(r, rows*width, 2), random(r, rows*width, 1)
			gamma, beta := random(r, width, 1), random(r, width, 1)
			in := append([]float32(nil), x...)
			s.AddNorm(x, y, gamma, beta, rows, eps)
			for i := range rows {
				var mean, square float64
				at := func(j int) float64 { return float64(in[i*width+j]) + float64(y[i*width+j]) }
				for j := range width {
					mean += at(j) / float64(width)
				}
				for j := range width {
					square += (at(j) - mean) * (at(j) - mean) / float64(width)
				}
				for j := range width {
					want := (at(j)-mean)/math.Sqrt(square+eps)*float64(gamma[j]) + float64(beta[j])
					if d := math.Abs(float64(x[i*width+j]) - want); d > 5e-6 {
						t.Fatalf("width %d: [%d][%d] = %v, want %v", width, i, j, x[i*width+j], want)
					}
				}
			}
		}
	})
}

func TestSlicesThatAreTooShortPanicBeforeAnyWrite(t *testing.T) {
	t.Parallel()
	s := kernel.Best()
	b := pack(make([]float32, 32*8), 8, 32)
	for name, f := range map[string]func(){
		"c":       func() { s.MatMul(make([]float32, 63), 32, make([]float32, 16), 8, 2, b, nil) },
		"a":       func() { s.MatMul(make([]float32, 64), 32, make([]float32, 15), 8, 2, b, nil) },
		"bias":    func() { s.MatMul(make([]float32, 64), 32, make([]float32, 16), 8, 2, b, make([]float32, 31)) },
		"softmax": func() { s.Softmax(make([]float32, 31), 2, 16, 16, 1) },
		"width":   func() { s.Softmax(make([]float32, 64), 2, 17, 32, 1) },
		"gelu":    func() { s.GELU(make([]float32, 17)) },
		"norm": func() {
			s.AddNorm(make([]float32, 32), make([]float32, 31), make([]float32, 16), make([]float32, 16), 2, 0)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

func TestNothingIsDoneForNoRows(t *testing.T) {
	t.Parallel()
	s := kernel.Best()
	s.MatMul(nil, 0, nil, 0, 0, kernel.Matrix{}, nil)
	s.Softmax(nil, 0, 0, 0, 1)
	s.GELU(nil)
	s.AddNorm(nil, nil, nil, nil, 0, 0)
}

func BenchmarkMatMul(b *testing.B) {
	for _, shape := range [][3]int{{20, 384, 1152}, {20, 1536, 384}, {200, 384, 1152}, {200, 384, 1536}, {200, 1536, 384}, {200, 32, 224}, {200, 200, 32}} {
		m, k, n := shape[0], shape[1], shape[2]
		r := rand.New(rand.NewPCG(9, 10))
		a, w := random(r, m*k, 1), pack(random(r, k*n, 1), k, n)
		c := make([]float32, m*w.N)
		for _, s := range kernel.Sets() {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, k, n, s), func(b *testing.B) {
				for b.Loop() {
					s.MatMul(c, w.N, a, k, m, w, nil)
				}
				b.ReportMetric(2*float64(m*k*n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
			})
		}
	}
}

func BenchmarkElementwise(b *testing.B) {
	r := rand.New(rand.NewPCG(11, 12))
	x, y := random(r, 200*384, 1), random(r, 200*384, 1)
	g := random(r, 384, 1)
	for _, s := range kernel.Sets() {
		b.Run("softmax 200x256/"+s.String(), func(b *testing.B) {
			for b.Loop() {
				s.Softmax(x, 200, 256, 256, 0.1)
			}
		})
		b.Run("gelu 200x384/"+s.String(), func(b *testing.B) {
			z := make([]float32, len(y))
			for b.Loop() {
				copy(z, y)
				s.GELU(z)
			}
		})
		b.Run("addnorm 200x384/"+s.String(), func(b *testing.B) {
			for b.Loop() {
				s.AddNorm(x, y, g, g, 200, 1e-12)
			}
		})
	}
}
