// Package kernel is the arithmetic of the network on float32: matrix product,
// softmax, GELU, and layer norm with its addition.
//
// A [Set] is one implementation of all of it. [Best] is the fastest that this
// processor runs: AVX-512, AVX2 with FMA, NEON (the matrix product alone), or
// plain Go, which runs anywhere and says what the others must compute. The
// assembly is written by gen.go.
//
// A [Coded] matrix keeps a byte for each number. Its product is of integers: the
// left-hand side, [Rows], has words. AVX2 and AVX-512 with VNNI have it; where
// [Set.Coded] says no, [Coded.Unpack] makes a [Matrix] of it.
//
// Lengths are the caller's promise; a slice too short for them panics as an
// index out of range does, before any assembly runs.
package kernel

//go:generate go run gen.go gen_elementwise.go gen_neon.go gen_coded.go
