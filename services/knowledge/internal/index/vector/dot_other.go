//go:build !amd64

package vector

func dot(a, b []float32) float32 { return dotPlain(a, b) }

func dot8(q []int16, c []int8) int32 { return dot8Plain(q, c) }
