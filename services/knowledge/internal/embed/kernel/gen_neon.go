//go:build ignore

package main

import "fmt"

// neonRows is the number of rows of the largest NEON tile: 24 sums, four
// vectors of b and one number of a fit the 32 registers.
const neonRows = 6

// tileNEON writes c = a·b for up to neonRows rows and one panel.
func tileNEON() {
	p("\n// func tileNEON(t *tile)")
	p("TEXT ·tileNEON(SB), NOSPLIT, $0-8")
	p("\tMOVD t+0(FP), R0")
	p("\tMOVD tile_a(R0), R1")
	p("\tMOVD tile_lda(R0), R9")
	for i := 1; i < neonRows; i++ {
		p("\tADD R9, R%d, R%d", i, i+1)
	}
	p("\tMOVD tile_b(R0), R7")
	p("\tMOVD tile_k(R0), R8")
	p("\tMOVD tile_c(R0), R10")
	p("\tMOVD tile_ldc(R0), R11")
	p("\tMOVD tile_rows(R0), R12")
	for rows := neonRows; rows > 1; rows-- {
		p("\tCMP $%d, R12", rows)
		p("\tBEQ rows%d", rows)
	}
	for rows := 1; rows <= neonRows; rows++ {
		neonTileOf(rows)
	}
}

// four names four registers from v on.
func four(v int) string { return fmt.Sprintf("[V%d.S4, V%d.S4, V%d.S4, V%d.S4]", v, v+1, v+2, v+3) }

func neonTileOf(rows int) {
	p("\nrows%d:", rows)
	p("\tMOVD tile_bias(R0), R13")
	p("\tCBZ R13, nobias%d", rows)
	p("\tVLD1 (R13), %s", four(0))
	for v := 4; v < 4*rows; v++ {
		p("\tVMOV V%d.B16, V%d.B16", v%4, v)
	}
	p("\tB loop%d", rows)
	p("\nnobias%d:", rows)
	p("\tMOVD tile_add(R0), R13")
	p("\tCBZ R13, clear%d", rows)
	p("\tMOVD R10, R13")
	for i := range rows {
		p("\tVLD1 (R13), %s", four(4*i))
		p("\tADD R11, R13")
	}
	p("\tB loop%d", rows)
	p("\nclear%d:", rows)
	for v := range 4 * rows {
		p("\tVEOR V%d.B16, V%d.B16, V%d.B16", v, v, v)
	}
	p("\nloop%d:", rows)
	p("\tVLD1.P 64(R7), %s", four(24))
	for i := range rows {
		x := 28 + i%4
		p("\tVLD1R.P 4(R%d), [V%d.S4]", i+1, x)
		for v := range 4 {
			p("\tVFMLA V%d.S4, V%d.S4, V%d.S4", 24+v, x, 4*i+v)
		}
	}
	p("\tSUBS $1, R8")
	p("\tBNE loop%d", rows)
	for i := range rows {
		p("\tVST1 %s, (R10)", four(4*i))
		p("\tADD R11, R10")
	}
	p("\tRET")
}
