package kernel

// level is an implementation.
type level int

const (
	plain level = iota
	avx2
	avx512
	neon
)

// Set is one implementation of the arithmetic. The zero value is plain Go.
type Set struct{ level level }

// Best is the fastest set that this processor runs.
func Best() Set {
	all := Sets()
	return all[len(all)-1]
}

// Plain is the set in Go alone.
func Plain() Set { return Set{plain} }

// String is the set's name: "plain", "avx2", "avx512" or "neon".
func (s Set) String() string { return [...]string{"plain", "avx2", "avx512", "neon"}[s.level] }

// depth is how many rows of b are read before the sums are put down: the part
// of two panels that is in use stays in the first cache.
const depth = 384

// MatMul writes c = a·b + bias. a has m rows of b.K numbers, lda apart; c has
// m rows of b.N, ldc apart. bias has b.N numbers, or is nil for none.
func (s Set) MatMul(c []float32, ldc int, a []float32, lda, m int, b Matrix, bias []float32) {
	if m == 0 || b.N == 0 {
		return
	}
	_ = c[(m-1)*ldc+b.N-1]
	_ = a[(m-1)*lda+b.K-1]
	_ = b.Data[b.K*b.N-1]
	if bias != nil {
		_ = bias[b.N-1]
	}
	if s.level == plain {
		matMulPlain(c, ldc, a, lda, m, b, bias)
		return
	}
	matMulTiles(s.level, c, ldc, a, lda, m, b, bias)
}

// Softmax replaces each of rows rows of x, ld apart, by
// exp(scale·v) / sum of exp(scale·v) over its first width numbers, a multiple
// of [Panel]. A column of -Inf counts as absent; scale is above 0. Shares
// below exp(-64) of the largest are zero.
func (s Set) Softmax(x []float32, rows, width, ld int, scale float32) {
	if rows == 0 || width == 0 {
		return
	}
	_ = x[(rows-1)*ld+width-1]
	_ = [1]struct{}{}[width%Panel]
	softmax(s.level, x, rows, width, ld, scale)
}

// GELU replaces each v of x by v·Φ(v), with Φ the normal distribution
// function (the form with erf, not the one with tanh). len(x) is a multiple of
// [Panel].
func (s Set) GELU(x []float32) {
	if len(x) == 0 {
		return
	}
	_ = [1]struct{}{}[len(x)%Panel]
	gelu(s.level, x)
}

// AddNorm adds y to x and normalises each of the rows of len(gamma) numbers to
// mean 0 and variance 1, then scales by gamma and adds beta. len(gamma) is a
// multiple of [Panel].
func (s Set) AddNorm(x, y, gamma, beta []float32, rows int, eps float32) {
	width := len(gamma)
	if rows == 0 || width == 0 {
		return
	}
	_, _, _ = x[rows*width-1], y[rows*width-1], beta[width-1]
	_ = [1]struct{}{}[width%Panel]
	addNorm(s.level, x, y, gamma, beta, rows, eps)
}
