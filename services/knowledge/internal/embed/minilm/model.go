package minilm

import (
	"errors"
	"fmt"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/memory"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

// head is the length of a query, key or value. It is the same in all models
// of the family.
const head = 32

// epsilon keeps the layer norm away from a division by zero.
const epsilon = 1e-12

// Model is the network with its weights. It never changes between [Open] and
// Close, and is safe for concurrent use with one [Scratch] per call.
type Model struct {
	set    kernel.Set
	dim    int
	inner  int // width of the feed-forward part
	vocab  int
	places int // longest sequence

	words    *memory.Region // one row per token, mapped from the file
	position []float32      // one row per place; the type of the token is added in
	norm     norm
	layers   []layer
	weights  *memory.Region // the matrices of all layers, packed
}

type norm struct{ gamma, beta []float32 }

// linear is a matrix with its bias.
type linear struct {
	m    kernel.Matrix
	bias []float32
}

type layer struct {
	qkv, out, up, down  linear
	afterOut, afterDown norm
}

// Open reads the weights at path. The table of words stays in the file and is
// mapped; the matrices are copied into the order that the arithmetic wants.
func Open(path string, set kernel.Set) (*Model, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	m := &Model{set: set}
	if err := m.load(f); err != nil {
		return nil, errors.Join(fmt.Errorf("weights of %s: %w", path, err), m.Close(), f.Close())
	}
	return m, f.Close()
}

// Close gives the memory of the weights back. No [Model.Forward] may be
// running, and none may follow.
func (m *Model) Close() error { return errors.Join(m.words.Close(), m.weights.Close()) }

// Dim is the length of a vector.
func (m *Model) Dim() int { return m.dim }

// Vocab is the number of tokens that the model knows.
func (m *Model) Vocab() int { return m.vocab }

// MaxTokens is the longest sequence that the model has places for.
func (m *Model) MaxTokens() int { return m.places }

func (m *Model) load(f *safetensors.File) error {
	const embeddings = "embeddings."
	words, ok := f.Tensor(embeddings + "word_embeddings.weight")
	if !ok || len(words.Shape) != 2 {
		return errors.New("no table of words")
	}
	m.vocab, m.dim = words.Shape[0], words.Shape[1]
	places, ok := f.Tensor(embeddings + "position_embeddings.weight")
	if !ok || len(places.Shape) != 2 {
		return errors.New("no table of places")
	}
	m.places = places.Shape[0]
	up, ok := f.Tensor("encoder.layer.0.intermediate.dense.weight")
	if !ok || len(up.Shape) != 2 {
		return errors.New("no layers")
	}
	m.inner = up.Shape[0]
	if m.dim < head || m.dim%head != 0 || m.inner < 1 || m.inner%kernel.Step != 0 || m.vocab < 1 || m.places < 1 {
		return fmt.Errorf("%d dimensions, %d inside, %d words, %d places: not of this family", m.dim, m.inner, m.vocab, m.places)
	}
	l := loader{f: f}
	if err := m.loadEmbeddings(&l, embeddings); err != nil {
		return err
	}
	n := 0
	for ; n < 64; n++ {
		if _, ok := f.Tensor(fmt.Sprintf("encoder.layer.%d.output.dense.weight", n)); !ok {
			break
		}
	}
	return m.loadLayers(&l, n)
}

func (m *Model) loadEmbeddings(l *loader, prefix string) (err error) {
	if m.words, err = l.f.Map(prefix+"word_embeddings.weight", m.vocab, m.dim); err != nil {
		return err
	}
	m.position = l.read(prefix+"position_embeddings.weight", m.places, m.dim)
	types := l.read(prefix+"token_type_embeddings.weight", -1, m.dim)
	m.norm = l.norm(prefix+"LayerNorm", m.dim)
	if l.err == nil && len(types) < m.dim {
		return errors.New("no type of token")
	}
	for i := range m.position {
		m.position[i] += types[i%m.dim]
	}
	return l.err
}

func (m *Model) loadLayers(l *loader, n int) (err error) {
	d := m.dim
	if m.weights, err = memory.Alloc(n * (4*d*d + 2*d*m.inner)); err != nil {
		return err
	}
	l.rest = m.weights.Floats
	for i := range n {
		p := fmt.Sprintf("encoder.layer.%d.", i)
		self := p + "attention.self."
		m.layers = append(m.layers, layer{
			qkv:       l.linear(d, d, self+"query", self+"key", self+"value"),
			out:       l.linear(d, d, p+"attention.output.dense"),
			up:        l.linear(d, m.inner, p+"intermediate.dense"),
			down:      l.linear(m.inner, d, p+"output.dense"),
			afterOut:  l.norm(p+"attention.output.LayerNorm", d),
			afterDown: l.norm(p+"output.LayerNorm", d),
		})
	}
	return l.err
}

// loader reads tables until the first error, and packs matrices into rest.
type loader struct {
	f    *safetensors.File
	rest []float32
	buf  []float32
	err  error
}

func (l *loader) read(name string, shape ...int) []float32 {
	if l.err != nil {
		return nil
	}
	var x []float32
	x, l.err = l.f.Read(name, shape...)
	return x
}

func (l *loader) norm(name string, n int) norm {
	return norm{gamma: l.read(name+".weight", n), beta: l.read(name+".bias", n)}
}

// linear packs the matrices of names, each with n outputs, side by side.
func (l *loader) linear(k, n int, names ...string) linear {
	size := k * n * len(names)
	if l.err != nil || len(l.rest) < size {
		return linear{}
	}
	x := linear{m: kernel.Matrix{Data: l.rest[:size:size], K: k, N: n * len(names)}}
	l.rest = l.rest[size:]
	for i, name := range names {
		x.bias = append(x.bias, l.read(name+".bias", n)...)
		if l.err != nil {
			return linear{}
		}
		if l.buf, l.err = l.f.ReadTo(l.buf, name+".weight", n, k); l.err != nil {
			return linear{}
		}
		x.m.PackRows(i*n, l.buf, k, n)
	}
	return x
}
