package bert

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
)

// block is how many queries attention takes at a time: their scores stay in
// the nearest cache.
const block = 24

// Scratch holds the numbers of one forward pass. The zero value is ready; it
// grows to the largest batch that it has seen. Not for concurrent use.
type Scratch struct {
	x, y, qkv, inner    []float32
	keys, values, score []float32
	rows                kernel.Rows // of the left-hand side of a product of bytes
}

// grow makes s large enough for tokens tokens and a longest sequence.
func (s *Scratch) grow(m *Model, tokens, longest int) {
	wide := kernel.RoundUp(longest)
	for _, b := range []struct {
		buf *[]float32
		n   int
	}{
		{&s.x, tokens * m.dim}, {&s.y, tokens * m.dim}, {&s.qkv, tokens * 3 * m.dim}, {&s.inner, tokens * max(m.inner, m.dim)},
		{&s.keys, m.head * wide}, {&s.values, m.head * longest}, {&s.score, block * wide},
	} {
		if len(*b.buf) < b.n {
			*b.buf = make([]float32, b.n)
		}
	}
}

// Forward writes the vector of each sequence of token numbers to out, whose
// entries have room for [Model.Dim] numbers. pause is called twice per layer;
// its error ends the pass and is returned.
func (m *Model) Forward(s *Scratch, sequences [][]int32, out [][]float32, pause func() error) error {
	for i := range sequences {
		if len(out[i]) != m.dim {
			return fmt.Errorf("a vector has %d numbers, not %d", m.dim, len(out[i]))
		}
	}
	x, err := m.encode(s, sequences, nil, pause)
	if err != nil {
		return err
	}
	at := 0
	for i, q := range sequences {
		rows := len(q)
		if m.c.Pooling == First {
			rows = 1
		}
		if !pool(out[i], x[at*m.dim:(at+rows)*m.dim]) {
			return errors.New("the weights give no vector: they are damaged")
		}
		at += len(q)
	}
	return nil
}

// Score writes to out what the head makes of each pair of texts: a sequence whose
// tokens from the place in second on are of the second text. pause is as in
// [Model.Forward].
func (m *Model) Score(s *Scratch, pairs [][]int32, second []int, out []float32, pause func() error) error {
	if m.label == nil {
		return errors.New("the model has no head that scores")
	}
	x, err := m.encode(s, pairs, second, pause)
	if err != nil {
		return err
	}
	// The first row of each pair is all that the head sees. The scratch of the
	// layers is free by now.
	d, at := m.dim, 0
	for i, q := range pairs {
		copy(s.y[i*d:(i+1)*d], x[at*d:])
		at += len(q)
	}
	m.apply(s, s.inner, s.y, len(pairs), m.pooler)
	for i := range pairs {
		sum := float64(m.bias)
		for j, v := range s.inner[i*d : (i+1)*d] {
			sum += math.Tanh(float64(v)) * float64(m.label[j])
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return errDamaged
		}
		out[i] = float32(sum)
	}
	return nil
}

var errDamaged = errors.New("the weights give no number: they are damaged")

// encode gives the last layer: a row for each token of the sequences, one after
// another. Tokens from the place in second on are of the second type.
func (m *Model) encode(s *Scratch, sequences [][]int32, second []int, pause func() error) ([]float32, error) {
	tokens, longest := 0, 0
	for _, q := range sequences {
		if len(q) == 0 || len(q) > m.places {
			return nil, fmt.Errorf("sequence of %d tokens: want 1 to %d", len(q), m.places)
		}
		if top, bottom := slices.Max(q), slices.Min(q); bottom < 0 || int(top) >= m.vocab {
			return nil, fmt.Errorf("tokens %d to %d in a vocabulary of %d", bottom, top, m.vocab)
		}
		tokens, longest = tokens+len(q), max(longest, len(q))
	}
	s.grow(m, tokens, longest)
	x, y := s.x[:tokens*m.dim], s.y[:tokens*m.dim]
	if err := m.embed(x, y, sequences); err != nil {
		return nil, err
	}
	if second != nil {
		m.mark(y, sequences, second)
	}
	m.set.AddNorm(x, y, m.norm.gamma, m.norm.beta, tokens, m.c.Epsilon)
	for i := range m.layers {
		l := &m.layers[i]
		if err := pause(); err != nil {
			return nil, err
		}
		m.apply(s, s.qkv, x, tokens, l.qkv)
		at := 0
		for _, q := range sequences {
			m.attend(s, y[at*m.dim:], s.qkv[at*3*m.dim:], len(q))
			at += len(q)
		}
		// The scratch of the inner part is free until then.
		m.apply(s, s.inner, y, tokens, l.out)
		m.set.AddNorm(x, s.inner, l.afterOut.gamma, l.afterOut.beta, tokens, m.c.Epsilon)
		if err := pause(); err != nil {
			return nil, err
		}
		m.apply(s, s.inner, x, tokens, l.up)
		m.set.GELU(s.inner[:tokens*m.inner])
		m.apply(s, y, s.inner, tokens, l.down)
		m.set.AddNorm(x, y, l.afterDown.gamma, l.afterDown.beta, tokens, m.c.Epsilon)
	}
	return x, nil
}

// mark adds to tokens of the second text what tells them from those of the first.
func (m *Model) mark(y []float32, sequences [][]int32, second []int) {
	at := 0
	for i, q := range sequences {
		for place := range q {
			if place >= second[i] {
				for j, v := range m.types {
					y[at+j] += v
				}
			}
			at += m.dim
		}
	}
}

// apply writes dst = x·w + bias.
func (m *Model) apply(s *Scratch, dst, x []float32, rows int, w linear) {
	if n := w.coded.N; n > 0 {
		m.set.Encode(&s.rows, x, rows, w.coded.K)
		m.set.MatMulCoded(dst, n, &s.rows, rows, w.coded, w.bias)
		return
	}
	m.set.MatMul(dst, w.m.N, x, w.m.K, rows, w.m, w.bias)
}

// embed gathers the rows of words and places. The table of words is a mapped
// file: should someone cut it short, that is an error here and no crash.
func (m *Model) embed(x, y []float32, sequences [][]int32) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if _, fault := p.(interface{ Addr() uintptr }); !fault {
				panic(p)
			}
			err = fmt.Errorf("the file of weights cannot be read any more: %v", p)
		}
	}()
	d, at := m.dim, 0
	for _, q := range sequences {
		for place, token := range q {
			copy(x[at:at+d], m.words.Floats[int(token)*d:])
			copy(y[at:at+d], m.position[place*d:])
			at += d
		}
	}
	return nil
}

// attend writes to dst, for each token of one sequence, what its heads gather
// from the others.
func (m *Model) attend(s *Scratch, dst, qkv []float32, n int) {
	d, ld, head := m.dim, 3*m.dim, m.head
	wide := kernel.RoundUp(n)
	width := (n + kernel.Panel - 1) / kernel.Panel * kernel.Panel
	keys := kernel.Matrix{Data: s.keys[:head*wide], K: head, N: wide}
	values := kernel.Matrix{Data: s.values[:head*n], K: n, N: head}
	scale := float32(1 / math.Sqrt(float64(head)))
	absent := float32(math.Inf(-1))
	for h := 0; h < d; h += head {
		keys.PackRows(0, qkv[d+h:], ld, n)
		values.PackColumns(qkv[2*d+h:], ld)
		for from := 0; from < n; from += block {
			rows := min(block, n-from)
			m.set.MatMul(s.score, wide, qkv[from*ld+h:], ld, rows, keys, nil)
			for i := range rows {
				row := s.score[i*wide : i*wide+width]
				for j := n; j < width; j++ {
					row[j] = absent
				}
				if m.nearness != nil {
					m.near(row[:n], h/head, from+i)
				}
			}
			m.set.Softmax(s.score, rows, width, wide, scale)
			m.set.MatMul(dst[from*d+h:], d, s.score, wide, rows, values, nil)
		}
	}
}

// near adds to the scores of one token at a place what a head makes of the
// distances of the others.
func (m *Model) near(scores []float32, head, place int) {
	at := head*(2*m.places-1) + m.places - 1 - place
	for i, v := range m.nearness[at : at+len(scores)] {
		scores[i] += v
	}
}

// pool writes the mean of the rows of x, scaled to length 1; false when it has
// no length, or is no number.
func pool(dst, x []float32) bool {
	clear(dst)
	for at := 0; at < len(x); at += len(dst) {
		for j, v := range x[at : at+len(dst)] {
			dst[j] += v
		}
	}
	// The length of the mean and that of the sum differ by a factor that the
	// scaling takes out.
	var square float64
	for _, v := range dst {
		square += float64(v) * float64(v)
	}
	if !(square > 0) || math.IsInf(square, 1) {
		return false
	}
	inv := float32(1 / math.Sqrt(square))
	for j := range dst {
		dst[j] *= inv
	}
	return true
}
