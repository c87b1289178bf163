package vector

// kernels8 are all that this processor runs.
func kernels8() map[string]func([]int16, []int8) int32 {
	all := map[string]func([]int16, []int8) int32{"best": dot8}
	guard := func(k func(*int16, *int8, int) int32) func([]int16, []int8) int32 {
		return func(q []int16, c []int8) int32 {
			if len(q) == 0 {
				return 0
			}
			return k(&q[0], &c[0], len(q))
		}
	}
	if hasFMA {
		all["avx2"] = guard(dot8AVX2)
	}
	if hasWide {
		all["avx512"] = guard(dot8AVX512)
	}
	return all
}
