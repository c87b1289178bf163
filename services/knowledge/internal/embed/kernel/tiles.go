//go:build amd64 || arm64

package kernel

// tile is the work of one call: strides are in bytes.
type tile struct {
	a, b, c *float32
	lda     uintptr // from one row of a to the next
	next    uintptr // from one panel to the next
	ldc     uintptr
	k       uintptr
	rows    uintptr
	bias    *float32 // where the sums begin, or nil
	add     uintptr  // not 0: they begin as what c holds
}

// matMulTiles cuts c into tiles. The panels of one tile stay in the nearest
// caches while all rows of a go past them, so b is read from memory once. The
// rows are cut evenly: a rest of one row would cost as much as a full tile.
func matMulTiles(l level, c []float32, ldc int, a []float32, lda, m int, b Matrix, bias []float32) {
	most, columns := l.tileSize()
	tiles := (m + most - 1) / most
	t := tile{lda: uintptr(lda) * 4, next: uintptr(b.K) * Panel * 4, ldc: uintptr(ldc) * 4}
	for k := 0; k < b.K; k += depth {
		t.k, t.add = uintptr(min(depth, b.K-k)), uintptr(k)
		for n := 0; n < b.N; n += columns {
			t.bias = nil
			if k == 0 && bias != nil {
				t.bias = &bias[n]
			}
			t.b = &b.Data[n*b.K+k*Panel]
			for i, row := 0, 0; i < tiles; i++ {
				end := m * (i + 1) / tiles
				t.rows = uintptr(end - row)
				t.a, t.c = &a[row*lda+k], &c[row*ldc+n]
				l.tile(&t)
				row = end
			}
		}
	}
}
