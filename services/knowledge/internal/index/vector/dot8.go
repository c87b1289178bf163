package vector

// dot8Plain is the inner product of a probe with a code.
func dot8Plain(q []int16, c []int8) int32 {
	c = c[:len(q)]
	var s0, s1, s2, s3 int32
	for i := 0; i+4 <= len(q); i += 4 {
		x, y := q[i:i+4:i+4], c[i:i+4:i+4]
		s0 += int32(x[0]) * int32(y[0])
		s1 += int32(x[1]) * int32(y[1])
		s2 += int32(x[2]) * int32(y[2])
		s3 += int32(x[3]) * int32(y[3])
	}
	return s0 + s1 + s2 + s3
}
