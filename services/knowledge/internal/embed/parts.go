package embed

import "math"

// maxParts is how many windows of a text are looked at, where one is not all.
const maxParts = 16

// sequences are the tokens of a passage: one sequence, cut off at the window, or
// as many as it has parts.
func (e *Embedder) sequences(text string) [][]int32 {
	if !e.profile.Parts {
		return [][]int32{e.tokens.Encode(nil, text, e.limit)}
	}
	const markers = 2
	all := e.tokens.Encode(nil, text, maxParts*(e.limit-markers)+markers)
	if len(all) <= e.limit {
		return [][]int32{all}
	}
	inner, out := all[1:len(all)-1], [][]int32(nil)
	// Parts of one length: a last one of a few words would have a vote like the others.
	n := (len(inner) + e.limit - markers - 1) / (e.limit - markers)
	for i := range n {
		part := append([]int32{all[0]}, inner[len(inner)*i/n:len(inner)*(i+1)/n]...)
		out = append(out, append(part, all[len(all)-1]))
	}
	return out
}

// joined averages the vectors of the parts of each text.
func joined(b *batch, of []int, texts int) [][]float32 {
	out := make([][]float32, 0, texts)
	for i, v := range b.out {
		if of[i] == len(out) {
			out = append(out, v)
			continue
		}
		for j := range v {
			out[of[i]][j] += v[j]
		}
	}
	for _, v := range out {
		var square float64
		for _, x := range v {
			square += float64(x) * float64(x)
		}
		inv := float32(1 / math.Sqrt(max(square, 1e-12)))
		for j := range v {
			v[j] *= inv
		}
	}
	return out
}
