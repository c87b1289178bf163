//go:build !amd64 && !arm64

package kernel

// Sets lists what this processor runs, the slowest first.
func Sets() []Set { return []Set{{plain}} }

func matMulTiles(_ level, c []float32, ldc int, a []float32, lda, m int, b Matrix, bias []float32) {
	matMulPlain(c, ldc, a, lda, m, b, bias)
}

func softmax(_ level, x []float32, rows, width, ld int, scale float32) {
	softmaxPlain(x, rows, width, ld, scale)
}

func gelu(_ level, x []float32) { geluPlain(x) }

func addNorm(_ level, x, y, gamma, beta []float32, rows int, eps float32) {
	addNormPlain(x, y, gamma, beta, rows, eps)
}
