package kernel

import (
	"golang.org/x/sys/cpu"
)

// Sets lists what this processor runs, the slowest first.
func Sets() []Set {
	all := []Set{{plain}}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		all = append(all, Set{avx2})
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
			all = append(all, Set{avx512})
		}
	}
	return all
}

// tile is the work of one call: strides are in bytes.
type tile struct {
	a, b, c *float32
	lda     uintptr // from one row of a to the next
	ldb     uintptr // from one row of a panel to the next
	next    uintptr // from one panel to the next
	ldc     uintptr
	k       uintptr
	rows    uintptr
	bias    *float32 // where the sums begin, or nil
	add     uintptr  // not 0: they begin as what c holds
}

//go:noescape
func tileAVX512(t *tile)

//go:noescape
func tileAVX2(t *tile)

//go:noescape
func softmaxAVX512(x *float32, rows, width, ld int, scale float32)

//go:noescape
func softmaxAVX2(x *float32, rows, width, ld int, scale float32)

//go:noescape
func geluAVX512(x *float32, n int)

//go:noescape
func geluAVX2(x *float32, n int)

//go:noescape
func addNormAVX512(x, y, gamma, beta *float32, rows, width int, eps float32)

//go:noescape
func addNormAVX2(x, y, gamma, beta *float32, rows, width int, eps float32)

// matMulTiles cuts c into tiles. Two panels of b stay in the nearest caches
// while all rows of a go past them, so b is read from memory once. The rows
// are cut evenly: a rest of one row would cost as much as a full tile.
func matMulTiles(l level, c []float32, ldc int, a []float32, lda, m int, b Matrix, bias []float32) {
	most, columns := 12, Step
	if l == avx2 {
		most, columns = 6, Panel
	}
	tiles := (m + most - 1) / most
	t := tile{
		lda: uintptr(lda) * 4, ldb: Panel * 4, next: uintptr(b.K) * Panel * 4, ldc: uintptr(ldc) * 4,
	}
	for k := 0; k < b.K; k += depth {
		t.k = uintptr(min(depth, b.K-k))
		for n := 0; n < b.N; n += columns {
			t.bias, t.add = nil, uintptr(k)
			if k == 0 && bias != nil {
				t.bias = &bias[n]
			}
			for i, row := 0, 0; i < tiles; i++ {
				end := m * (i + 1) / tiles
				t.rows = uintptr(end - row)
				t.a = &a[row*lda+k]
				t.b = &b.Data[n*b.K+k*Panel]
				t.c = &c[row*ldc+n]
				if l == avx512 {
					tileAVX512(&t)
				} else {
					tileAVX2(&t)
				}
				row = end
			}
		}
	}
}

func softmax(l level, x []float32, rows, width, ld int, scale float32) {
	switch l {
	case avx512:
		softmaxAVX512(&x[0], rows, width, ld, scale)
	case avx2:
		softmaxAVX2(&x[0], rows, width, ld, scale)
	default:
		softmaxPlain(x, rows, width, ld, scale)
	}
}

func gelu(l level, x []float32) {
	switch l {
	case avx512:
		geluAVX512(&x[0], len(x))
	case avx2:
		geluAVX2(&x[0], len(x))
	default:
		geluPlain(x)
	}
}

func addNorm(l level, x, y, gamma, beta []float32, rows int, eps float32) {
	switch l {
	case avx512:
		addNormAVX512(&x[0], &y[0], &gamma[0], &beta[0], rows, len(gamma), eps)
	case avx2:
		addNormAVX2(&x[0], &y[0], &gamma[0], &beta[0], rows, len(gamma), eps)
	default:
		addNormPlain(x, y, gamma, beta, rows, eps)
	}
}
