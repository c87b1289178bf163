// Package kernel is the arithmetic of the network on float32: matrix product,
// softmax, GELU, and layer norm with its addition.
//
// A [Set] is one implementation of all of it. [Best] is the fastest that this
// processor runs: AVX-512, AVX2 with FMA, NEON (the matrix product alone), or
// plain Go, which runs anywhere and says what the others must compute. The
// assembly is written by gen.go.
//
// Lengths are the caller's promise; a slice too short for them panics as an
// index out of range does, before any assembly runs.
package kernel

//go:generate go run gen.go gen_elementwise.go gen_neon.go
