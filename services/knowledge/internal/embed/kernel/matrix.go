package kernel

// Panel is the number of columns that lie together in a [Matrix].
const Panel = 16

// Step is what the number of columns of a [Matrix] is a multiple of.
const Step = 2 * Panel

// Matrix is a right-hand side of K rows and N columns, packed: panels of
// [Panel] columns, one after another, each row by row. N is a multiple of
// [Step]. One row of a panel is one cache line.
type Matrix struct {
	Data []float32
	K, N int
}

// RoundUp is the smallest multiple of [Step] that is at least n.
func RoundUp(n int) int { return (n + Step - 1) / Step * Step }

// PackRows packs a matrix that is stored by columns: src holds n rows of k
// numbers, ld apart, and row j becomes column at+j of m. Both at and n may be
// anything that fits; columns that are never written keep their value.
func (m Matrix) PackRows(at int, src []float32, ld, n int) {
	for j := range n {
		col := at + j
		dst := m.Data[col/Panel*m.K*Panel+col%Panel:]
		row := src[j*ld : j*ld+m.K]
		dst = dst[:(m.K-1)*Panel+1]
		for k, v := range row {
			dst[k*Panel] = v
		}
	}
}

// PackColumns packs a matrix that is stored by rows: src holds m.K rows of m.N
// numbers, ld apart.
func (m Matrix) PackColumns(src []float32, ld int) {
	for k := range m.K {
		row := src[k*ld : k*ld+m.N]
		for p := 0; p < m.N; p += Panel {
			copy(m.Data[p*m.K+k*Panel:][:Panel], row[p:])
		}
	}
}
