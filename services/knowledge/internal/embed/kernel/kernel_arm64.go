package kernel

// Sets lists what this processor runs, the slowest first. Every arm64
// processor that Go runs on has NEON.
func Sets() []Set { return []Set{{plain}, {neon}} }

//go:noescape
func tileNEON(t *tile)

// tileSize is the number of rows and columns of the largest tile.
func (l level) tileSize() (rows, columns int) { return 6, Panel }

func (l level) tile(t *tile) { tileNEON(t) }

// The rest is plain Go: the matrix product has nearly all of the operations.

func softmax(_ level, x []float32, rows, width, ld int, scale float32) {
	softmaxPlain(x, rows, width, ld, scale)
}

func gelu(_ level, x []float32) { geluPlain(x) }

func addNorm(_ level, x, y, gamma, beta []float32, rows int, eps float32) {
	addNormPlain(x, y, gamma, beta, rows, eps)
}
