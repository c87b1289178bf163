package vector

import "golang.org/x/sys/cpu"

var hasFMA = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// dotAVX2 is the inner product of n elements, n a positive multiple of 32.
//
//go:noescape
func dotAVX2(a, b *float32, n int) float32

func dot(a, b []float32) float32 {
	if !hasFMA || len(a) == 0 {
		return dotPlain(a, b)
	}
	b = b[:len(a)]
	return dotAVX2(&a[0], &b[0], len(a))
}

var hasWide = hasFMA && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW

// dot8AVX2 is the inner product of n elements, n a positive multiple of 32.
//
//go:noescape
func dot8AVX2(q *int16, c *int8, n int) int32

//go:noescape
func dot8AVX512(q *int16, c *int8, n int) int32

func dot8(q []int16, c []int8) int32 {
	if !hasFMA || len(q) == 0 {
		return dot8Plain(q, c)
	}
	c = c[:len(q)]
	if hasWide {
		return dot8AVX512(&q[0], &c[0], len(q))
	}
	return dot8AVX2(&q[0], &c[0], len(q))
}
