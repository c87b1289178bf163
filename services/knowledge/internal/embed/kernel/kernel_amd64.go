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

// tileSize is the number of rows and columns of the largest tile.
func (l level) tileSize() (rows, columns int) {
	if l == avx512 {
		return 12, Step
	}
	return 6, Panel
}

func (l level) tile(t *tile) {
	if l == avx512 {
		tileAVX512(t)
	} else {
		tileAVX2(t)
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
