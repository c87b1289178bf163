//go:build ignore

package main

// words is AVX-512 with its instructions for products of words (VNNI).
var words = isa{name: "VNNI", reg: "Z", bytes: 64, tileRows: 12, tileVecs: 2, regs: 32}

func coded() {
	header()
	p("")
	p("DATA codes<>+0(SB)/4, $0x7fffffff") // all of a number but its sign
	p("DATA codes<>+4(SB)/4, $%s", f32(32767))
	p("GLOBL codes<>(SB), RODATA|NOPTR, $8")
	for _, s := range []isa{words, sets[1]} {
		s.encode()
		s.codedTile()
	}
	write("coded_amd64.s")
}

// encode writes n numbers, a multiple of 32, as words of one scale.
func (s isa) encode() {
	p("\n// func encode%s(dst *int16, x *float32, n int) (scale float32)", s.name)
	p("TEXT ·encode%s(SB), NOSPLIT, $0-28", s.name)
	p("\tMOVQ dst+0(FP), DI")
	p("\tMOVQ x+8(FP), SI")
	p("\tMOVQ n+16(FP), CX")
	p("\tVBROADCASTSS codes<>+0(SB), %s", s.r(0))
	s.zero(1)
	p("\tMOVQ SI, BX")
	p("\tMOVQ CX, DX")
	and, top := "VPAND", "VPMAXUD"
	if s.reg == "Z" {
		and = "VPANDD"
	}
	// As integers: what is no number is then the largest, and makes the scale none.
	p("\nlargest:")
	p("\t%s (BX), %s, %s", and, s.r(0), s.r(2))
	p("\t%s %s, %s, %s", top, s.r(2), s.r(1), s.r(1))
	p("\tADDQ $%d, BX", s.bytes)
	p("\tSUBQ $%d, DX", s.bytes/4)
	p("\tJNZ largest")
	s.fold(top, 1, 2)
	p("\tVBROADCASTSS codes<>+4(SB), %s", s.r(2))
	p("\tVDIVPS %s, %s, %s", s.r(2), s.r(1), s.r(3)) // the scale
	p("\tVDIVPS %s, %s, %s", s.r(1), s.r(2), s.r(4))
	p("\tVMOVSS X3, scale+24(FP)")
	p("\nconvert:")
	for v := range 2 {
		p("\tVMULPS %d(SI), %s, %s", v*s.bytes, s.r(4), s.r(5+v))
		p("\tVCVTPS2DQ %s, %s", s.r(5+v), s.r(5+v))
	}
	if s.reg == "Z" {
		p("\tVPMOVSDW Z5, (DI)")
		p("\tVPMOVSDW Z6, 32(DI)")
	} else {
		p("\tVPACKSSDW Y6, Y5, Y5")
		p("\tVPERMQ $0xd8, Y5, Y5")
		p("\tVMOVDQU Y5, (DI)")
	}
	p("\tADDQ $%d, SI", 2*s.bytes)
	p("\tADDQ $%d, DI", s.bytes)
	p("\tSUBQ $%d, CX", s.bytes/2)
	p("\tJNZ convert")
	p("\tVZEROUPPER")
	p("\tRET")
}

// codedTile adds a·b to c for up to tileRows rows, two vectors of columns and one
// group of rows of b. The sums of a group are integers and stay in registers.
func (s isa) codedTile() {
	p("\n// func codedTile%s(t *codedTile)", s.name)
	p("TEXT ·codedTile%s(SB), NOSPLIT, $0-8", s.name)
	p("\tMOVQ t+0(FP), AX")
	p("\tMOVQ codedTile_a(AX), R8")
	p("\tMOVQ codedTile_lda(AX), R12")
	p("\tMOVQ codedTile_b(AX), BX")
	if s.reg == "Z" {
		p("\tMOVQ codedTile_next(AX), CX")
	}
	p("\tMOVQ codedTile_pairs(AX), SI")
	p("\tMOVQ codedTile_c(AX), DI")
	p("\tMOVQ codedTile_ldc(AX), R13")
	p("\tMOVQ codedTile_rows(AX), R15")
	p("\tLEAQ (R12)(R12*2), R14")
	p("\tLEAQ (R8)(R14*1), R9")
	p("\tLEAQ (R9)(R14*1), R10")
	p("\tLEAQ (R10)(R14*1), R11")
	for rows := s.tileRows; rows > 1; rows-- {
		p("\tCMPQ R15, $%d", rows)
		p("\tJEQ rows%d", rows)
	}
	for rows := 1; rows <= s.tileRows; rows++ {
		s.codedTileOf(rows)
	}
}

func (s isa) codedTileOf(rows int) {
	bases := []string{"R8", "R9", "R10", "R11"}
	w0, w1, x, y := s.r(2*rows), s.r(2*rows+1), s.r(2*rows+2), s.r(2*rows+3)
	p("\nrows%d:", rows)
	for i := range 2 * rows {
		s.zero(i)
	}
	p("\nloop%d:", rows)
	p("\tVPMOVSXBW (BX), %s", w0)
	if s.reg == "Z" {
		p("\tVPMOVSXBW (BX)(CX*1), %s", w1)
	} else {
		p("\tVPMOVSXBW 16(BX), %s", w1)
	}
	for i := range rows {
		if s.reg == "Z" {
			p("\tVPBROADCASTD %s, %s", rowAddr(bases, "R12", i, 0), x)
			p("\tVPDPWSSD %s, %s, %s", w0, x, s.r(2*i))
			p("\tVPDPWSSD %s, %s, %s", w1, x, s.r(2*i+1))
			x, y = y, x
			continue
		}
		p("\tVPBROADCASTD %s, %s", rowAddr(bases, "R12", i, 0), x)
		p("\tVPMADDWD %s, %s, %s", w0, x, y)
		p("\tVPADDD %s, %s, %s", y, s.r(2*i), s.r(2*i))
		p("\tVPMADDWD %s, %s, %s", w1, x, x)
		p("\tVPADDD %s, %s, %s", x, s.r(2*i+1), s.r(2*i+1))
	}
	p("\tADDQ $32, BX")
	for i := 0; i <= (rows-1)/3; i++ {
		p("\tADDQ $4, %s", bases[i])
	}
	p("\tDECQ SI")
	p("\tJNZ loop%d", rows)
	p("\tMOVQ codedTile_columns(AX), R8")
	p("\tMOVQ codedTile_scales(AX), R9")
	p("\tMOVQ codedTile_step(AX), R10")
	p("\tVMOVUPS (R8), %s", w0)
	p("\tVMOVUPS %d(R8), %s", s.bytes, w1)
	for i := range rows {
		p("\tVBROADCASTSS (R9), %s", x)
		for v, w := range []string{w0, w1} {
			sum := s.r(2*i + v)
			p("\tVCVTDQ2PS %s, %s", sum, sum)
			p("\tVMULPS %s, %s, %s", x, w, y)
			p("\tVFMADD213PS %d(DI), %s, %s", v*s.bytes, y, sum)
			p("\tVMOVUPS %s, %d(DI)", sum, v*s.bytes)
		}
		if i < rows-1 {
			p("\tADDQ R10, R9")
			p("\tADDQ R13, DI")
		}
	}
	p("\tVZEROUPPER")
	p("\tRET")
}
