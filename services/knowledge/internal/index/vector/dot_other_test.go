//go:build !amd64

package vector

func kernels8() map[string]func([]int16, []int8) int32 {
	return map[string]func([]int16, []int8) int32{"best": dot8}
}
