package vector

import "math"

// peak is the largest element of a code.
const peak = 127

// encode writes the unit vector u as a code: c·scale is u, to a part in 254 of
// its largest element.
func encode(c []int8, u []float32) (scale float32) {
	largest := largestOf(u)
	up := peak / largest
	for i, e := range u {
		c[i] = int8(math.RoundToEven(float64(e * up)))
	}
	return largest / peak
}

func largestOf(u []float32) float32 {
	var m float32
	for _, e := range u {
		m = max(m, e, -e)
	}
	return m
}

// probe is a vector that codes are compared with. It has five more bits than
// a code: they cost nothing, and only the code's own rounding is left.
type probe struct {
	wide  []int16
	scale float32
}

// probeOf makes a probe of the unit vector u, as fine as the sum of all
// products lets it be in 32 bits.
func probeOf(u []float32) probe {
	top := float32(min(4095, math.MaxInt32/(peak*max(len(u), 1))))
	largest := largestOf(u)
	p := probe{make([]int16, len(u)), largest / top}
	up := top / largest
	for i, e := range u {
		p.wide[i] = int16(math.RoundToEven(float64(e * up)))
	}
	return p
}

// take makes the probe that of a code.
func (p *probe) take(c []int8, scale float32) {
	if cap(p.wide) < len(c) {
		p.wide = make([]int16, len(c))
	}
	p.wide, p.scale = p.wide[:len(c)], scale
	for i, e := range c {
		p.wide[i] = int16(e)
	}
}
