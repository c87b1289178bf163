package kernel

import "golang.org/x/sys/cpu"

// codedTile is the work of one call: strides are in bytes.
type codedTile struct {
	a       *int16
	b       *int8
	c       *float32
	lda     uintptr // from one row of a to the next
	next    uintptr // from one panel to the next
	ldc     uintptr
	pairs   uintptr // of rows of b
	rows    uintptr
	columns *float32 // scales of the columns
	scales  *float32 // scales of the rows of a
	step    uintptr  // from one of these to the next
}

//go:noescape
func codedTileVNNI(t *codedTile)

//go:noescape
func codedTileAVX2(t *codedTile)

//go:noescape
func encodeVNNI(dst *int16, x *float32, n int) (scale float32)

//go:noescape
func encodeAVX2(dst *int16, x *float32, n int) (scale float32)

func coded(l level) bool { return l != plain }

// vnni says whether l may use the wide instructions for words, which not every
// processor with AVX-512 has.
func vnni(l level) bool { return l == avx512 && cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512BW }

func encode(l level, dst *int16, x *float32, n int) float32 {
	if vnni(l) {
		return encodeVNNI(dst, x, n)
	}
	return encodeAVX2(dst, x, n)
}

// matMulCoded cuts c into tiles as matMulTiles does, and adds to each the product
// of one group after another.
func matMulCoded(l level, c []float32, ldc int, a *Rows, m int, b Coded, bias []float32) {
	most, columns, run := 6, Panel, codedTileAVX2
	if vnni(l) {
		most, columns, run = 12, Step, codedTileVNNI
	}
	tiles := (m + most - 1) / most
	t := codedTile{lda: uintptr(b.K) * 2, next: uintptr(b.K) * Panel, ldc: uintptr(ldc) * 4, step: 4}
	for k := 0; k < b.K; k += depth {
		end := min(k+depth, b.K)
		for n := 0; n < b.N; n += columns {
			for i, row := 0, 0; i < tiles; i++ {
				until := m * (i + 1) / tiles
				t.rows = uintptr(until - row)
				if k == 0 {
					for r := row; r < until; r++ {
						copy(c[r*ldc+n:][:columns], bias[n:])
					}
				}
				t.c = &c[row*ldc+n]
				for from := k; from < end; from += Group {
					group := from / Group
					t.pairs = uintptr(min(Group, end-from) / 2)
					t.a, t.b = &a.codes[row*b.K+from], &b.Codes[n*b.K+from*Panel]
					t.columns, t.scales = &b.Scales[group*b.N+n], &a.scales[group*m+row]
					run(&t)
				}
				row = until
			}
		}
	}
}
