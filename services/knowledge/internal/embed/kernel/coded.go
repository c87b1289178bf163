package kernel

import (
	"errors"
	"math"
)

// Group is how many rows of a column of a [Coded] matrix, or numbers of a row of
// [Rows], share a scale. As many products of a byte and a word fit into the sum
// of 32 bits.
const Group = 128

// Coded is a right-hand side of K rows and N columns with a byte for each number:
// one of row k and column n is Scales[k/[Group]*N+n] times its code, -127 to 127.
// K and N are multiples of [Step]. The codes lie in panels of [Panel] columns, in
// these pair by pair of rows.
type Coded struct {
	Codes  []int8    // K·N
	Scales []float32 // [Groups](K)·N
	K, N   int
}

// Groups is how many groups k numbers have; the last may be shorter.
func Groups(k int) int { return (k + Group - 1) / Group }

// at is where a row has its code of a column.
func (c Coded) at(row, column int) int {
	return column/Panel*c.K*Panel + row/2*2*Panel + column%Panel*2 + row%2
}

var errNoNumber = errors.New("a weight is no number")

// PackRows codes a matrix that is stored by columns: src holds n rows of c.K
// numbers, and row j becomes column at+j. It fails on what is no number.
func (c Coded) PackRows(at int, src []float32, n int) error {
	for j := range n {
		for from := 0; from < c.K; from += Group {
			group := src[j*c.K+from : j*c.K+min(from+Group, c.K)]
			var largest float64
			for _, v := range group {
				if largest = max(largest, math.Abs(float64(v))); math.IsNaN(largest) || math.IsInf(largest, 0) {
					return errNoNumber
				}
			}
			scale := largest / 127
			c.Scales[from/Group*c.N+at+j] = float32(scale)
			for k, v := range group {
				var code int8
				if scale > 0 {
					code = int8(math.Round(float64(v) / scale))
				}
				c.Codes[c.at(from+k, at+j)] = code
			}
		}
	}
	return nil
}

// Unpack writes the numbers that the codes stand for to m, of the same shape.
func (c Coded) Unpack(m Matrix) {
	for k := range c.K {
		scales := c.Scales[k/Group*c.N:][:c.N]
		for n, scale := range scales {
			m.Data[n/Panel*m.K*Panel+k*Panel+n%Panel] = scale * float32(c.Codes[c.at(k, n)])
		}
	}
}

// Rows is a left-hand side with a word for each number. The zero value is ready for
// [Set.Encode], and grows.
type Rows struct {
	codes  []int16
	scales []float32 // of the first group of each row, then of the second
}

// Coded says whether s has the product of a [Coded] matrix.
func (s Set) Coded() bool { return coded(s.level) }

// Encode makes dst of m rows of k numbers, one after another; k is a multiple of
// [Step]. Only where [Set.Coded] says so.
func (s Set) Encode(dst *Rows, x []float32, m, k int) {
	if len(dst.codes) < m*k {
		dst.codes = make([]int16, m*k)
	}
	if n := m * Groups(k); len(dst.scales) < n {
		dst.scales = make([]float32, n)
	}
	_ = [1]struct{}{}[k%Step]
	_ = x[:m*k]
	for i := range m {
		for from := 0; from < k; from += Group {
			at := i*k + from
			dst.scales[from/Group*m+i] = encode(s.level, &dst.codes[at], &x[at], min(Group, k-from))
		}
	}
}

// MatMulCoded writes c = a·b + bias. a is what [Set.Encode] made of m rows of b.K
// numbers; c has m rows of b.N, ldc apart; bias has b.N. What is no number in a row
// of a gives none in that of c. Only where [Set.Coded] says so.
func (s Set) MatMulCoded(c []float32, ldc int, a *Rows, m int, b Coded, bias []float32) {
	if m == 0 || b.N == 0 {
		return
	}
	_, _ = c[(m-1)*ldc+b.N-1], bias[b.N-1]
	_, _ = a.codes[m*b.K-1], a.scales[m*Groups(b.K)-1]
	_, _ = b.Codes[b.K*b.N-1], b.Scales[Groups(b.K)*b.N-1]
	_ = [1]struct{}{}[b.K%Step+b.N%Step]
	matMulCoded(s.level, c, ldc, a, m, b, bias)
}
