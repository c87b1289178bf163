package vector

// Between is the cosine of two passages; ok is false when one has no vector.
func (x *Index) Between(a, b uint32) (cosine float64, ok bool) {
	f := x.flat
	if !f.has.Has(a) || !f.has.Has(b) {
		return 0, false
	}
	return float64(dot(f.row(a), f.row(b))), true
}
