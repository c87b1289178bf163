package bert

import (
	"errors"
	"fmt"
	"math"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/memory"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

// Pooling is how the rows of the last layer become one vector.
type Pooling int

// The poolings.
const (
	Mean  Pooling = iota // of all tokens
	First                // that of the first marker alone, which BERT calls CLS
)

// Config is what the file of weights does not tell.
type Config struct {
	Heads   int     // of attention; 0: as many as have 32 numbers each
	Epsilon float32 // keeps the layer norm away from a division by zero; 0: 1e-12
	Pooling Pooling
	Head    bool // there is one that scores, see [Model.Score]
	Int8    bool // the matrices of the layers keep a byte for each number
}

// Model is the network with its weights. It never changes between [Open] and
// Close, and is safe for concurrent use with one [Scratch] per call.
type Model struct {
	set    kernel.Set
	c      Config
	head   int // length of a query, key or value
	dim    int
	inner  int // width of the feed-forward part
	vocab  int
	places int // longest sequence

	words    *memory.Region // one row per token, mapped from the file
	position []float32      // one row per place; the type of the token is added in
	norm     norm
	layers   []layer
	weights  *memory.Region // the matrices of all layers, packed
	types    []float32      // what a token of a second text has more than one of the first; nil where there is one type
	pooler   linear         // of the head
	label    []float32      // of the head; nil when there is none
	bias     float32        // of the label
	nearness []float32      // what attention adds by distance, see [Model.loadDistances]; nil in BERT
}

type norm struct{ gamma, beta []float32 }

// linear is a matrix with its bias. One of the two is set.
type linear struct {
	m     kernel.Matrix
	coded kernel.Coded
	bias  []float32
}

type layer struct {
	qkv, out, up, down  linear
	afterOut, afterDown norm
}

// Open reads the weights at path. The table of words stays in the file and is
// mapped; the matrices are copied into the order that the arithmetic wants.
func Open(path string, c Config, set kernel.Set) (*Model, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	if c.Epsilon <= 0 {
		c.Epsilon = 1e-12
	}
	m := &Model{set: set, c: c}
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

// names are those of the tables of one of the two networks.
type names struct {
	prefix           string // of all
	query, key       string
	value, out, norm string
}

var (
	ofBERT  = names{query: "attention.self.query", key: "attention.self.key", value: "attention.self.value", out: "attention.output.dense", norm: "attention.output.LayerNorm"}
	ofMPNet = names{query: "attention.attn.q", key: "attention.attn.k", value: "attention.attn.v", out: "attention.attn.o", norm: "attention.LayerNorm"}
)

// distances is the table that only MPNet has.
const distances = "encoder.relative_attention_bias.weight"

func (m *Model) load(f *safetensors.File) error {
	n := ofBERT
	for _, prefix := range []string{"", "bert.", "mpnet."} { // as a checkpoint of the bare network, or of one with a head
		if _, ok := f.Tensor(prefix + "embeddings.word_embeddings.weight"); !ok {
			continue
		}
		if _, ok := f.Tensor(prefix + distances); ok {
			n = ofMPNet
		}
		n.prefix = prefix
		break
	}
	if err := m.measure(f, n); err != nil {
		return err
	}
	l := loader{f: f}
	if err := m.loadEmbeddings(&l, n); err != nil {
		return err
	}
	layers := 0
	for ; layers < 64; layers++ {
		if _, ok := f.Tensor(fmt.Sprintf("%sencoder.layer.%d.output.dense.weight", n.prefix, layers)); !ok {
			break
		}
	}
	return m.loadLayers(&l, n, layers)
}

// measure takes the shape of the network from that of its tables.
func (m *Model) measure(f *safetensors.File, n names) error {
	words, ok := f.Tensor(n.prefix + "embeddings.word_embeddings.weight")
	if !ok || len(words.Shape) != 2 {
		return errors.New("no table of words")
	}
	m.vocab, m.dim = words.Shape[0], words.Shape[1]
	places, ok := f.Tensor(n.prefix + "embeddings.position_embeddings.weight")
	if !ok || len(places.Shape) != 2 {
		return errors.New("no table of places")
	}
	m.places = places.Shape[0]
	up, ok := f.Tensor(n.prefix + "encoder.layer.0.intermediate.dense.weight")
	if !ok || len(up.Shape) != 2 {
		return errors.New("no layers")
	}
	m.inner = up.Shape[0]
	if m.c.Heads == 0 {
		m.c.Heads = m.dim / 32
	}
	if m.dim < 1 || m.c.Heads < 1 || m.dim%m.c.Heads != 0 || m.dim/m.c.Heads%kernel.Step != 0 || m.inner < 1 || m.inner%kernel.Step != 0 || m.vocab < 1 || m.places < 1 {
		return fmt.Errorf("%d dimensions in %d heads, %d inside, %d words, %d places: not of this family", m.dim, m.c.Heads, m.inner, m.vocab, m.places)
	}
	m.head = m.dim / m.c.Heads
	return nil
}

// padding is how many places MPNet counts before the first token.
const padding = 2

func (m *Model) loadEmbeddings(l *loader, n names) (err error) {
	prefix := n.prefix + "embeddings."
	if m.words, err = l.f.Map(prefix+"word_embeddings.weight", m.vocab, m.dim); err != nil {
		return err
	}
	m.position = l.read(prefix+"position_embeddings.weight", m.places, m.dim)
	m.norm = l.norm(prefix+"LayerNorm", m.dim)
	if n.query == ofMPNet.query {
		return m.loadDistances(l, n)
	}
	types := l.read(prefix+"token_type_embeddings.weight", -1, m.dim)
	switch {
	case l.err != nil:
		return l.err
	case len(types) < m.dim:
		return errors.New("no type of token")
	}
	for i := range m.position {
		m.position[i] += types[i%m.dim]
	}
	if len(types) >= 2*m.dim {
		m.types = types[m.dim : 2*m.dim]
		for j := range m.types {
			m.types[j] -= types[j]
		}
	}
	return nil
}

// loadHead reads the part that makes one number of the first row.
func (m *Model) loadHead(l *loader, n names) error {
	m.pooler = l.linear(m.dim, m.dim, n.prefix+"pooler.dense")
	label, bias := l.read("classifier.weight", 1, m.dim), l.read("classifier.bias", 1)
	if l.err != nil {
		return fmt.Errorf("a head with one label: %w", l.err)
	}
	m.label, m.bias = label, bias[0]
	return nil
}

// buckets is how many distances MPNet tells apart, half of them to each side,
// and far where the last one begins.
const (
	buckets = 32
	far     = 128
)

// loadDistances spreads the table of MPNet: for each head, what is added to the
// score of a token by its distance, from that of the first token seen from the last
// place to that of the last seen from the first. The scores are scaled after
// that, so it is divided by the scale here.
func (m *Model) loadDistances(l *loader, n names) error {
	if m.places <= padding {
		return fmt.Errorf("%d places: not of this family", m.places)
	}
	table := l.read(n.prefix+distances, buckets, m.c.Heads)
	if l.err != nil {
		return l.err
	}
	m.places -= padding
	m.position = m.position[padding*m.dim:]
	wide := 2*m.places - 1
	m.nearness = make([]float32, m.c.Heads*wide)
	scale := math.Sqrt(float64(m.head))
	for at := range wide {
		b := bucket(at - (m.places - 1))
		for h := range m.c.Heads {
			m.nearness[h*wide+at] = float32(float64(table[b*m.c.Heads+h]) * scale)
		}
	}
	return nil
}

// bucket is the class of a token that is distance places to the right: each
// near one has its own, those farther off share more and more.
func bucket(distance int) int {
	const side, near = buckets / 2, buckets / 4
	base := 0
	if distance > 0 {
		base = side
	}
	d := max(distance, -distance)
	if d < near {
		return base + d
	}
	// In single precision, as the reference has it: the borders are exact powers.
	x := float32(math.Log(float64(float32(d)/near))) / float32(math.Log(far/near)) * (side - near)
	return base + min(near+int(x), side-1)
}

func (m *Model) loadLayers(l *loader, n names, layers int) (err error) {
	d := m.dim
	size := layers * (4*d*d + 2*d*m.inner)
	if m.c.Head {
		size += d * d
	}
	l.coded = m.c.Int8
	if l.coded && m.set.Coded() {
		l.inBytes = true
		size = (size + 3) / 4
	}
	if m.weights, err = memory.Alloc(size); err != nil {
		return err
	}
	l.rest, l.bytes = m.weights.Floats, m.weights.Int8s()
	for i := range layers {
		p := fmt.Sprintf("%sencoder.layer.%d.", n.prefix, i)
		m.layers = append(m.layers, layer{
			qkv:       l.linear(d, d, p+n.query, p+n.key, p+n.value),
			out:       l.linear(d, d, p+n.out),
			up:        l.linear(d, m.inner, p+"intermediate.dense"),
			down:      l.linear(m.inner, d, p+"output.dense"),
			afterOut:  l.norm(p+n.norm, d),
			afterDown: l.norm(p+"output.LayerNorm", d),
		})
	}
	if m.c.Head && l.err == nil {
		return m.loadHead(l, n)
	}
	return l.err
}

// loader reads tables until the first error, and packs matrices into rest, or into
// bytes, which is the same memory.
type loader struct {
	f       *safetensors.File
	coded   bool // matrices have a byte for each number
	inBytes bool // and stay so; else they are of the numbers that the bytes stand for
	rest    []float32
	bytes   []int8
	buf     []float32
	err     error
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
	if l.err != nil {
		return linear{}
	}
	x := l.place(k, n*len(names))
	for i, name := range names {
		x.bias = append(x.bias, l.read(name+".bias", n)...)
		if l.err != nil {
			return linear{}
		}
		if l.buf, l.err = l.f.ReadTo(l.buf, name+".weight", n, k); l.err != nil {
			return linear{}
		}
		if !l.coded {
			x.m.PackRows(i*n, l.buf, k, n)
		} else if err := x.coded.PackRows(i*n, l.buf, n); err != nil {
			l.err = fmt.Errorf("%s: %w", name, err)
			return linear{}
		}
	}
	if l.coded && !l.inBytes {
		x.coded.Unpack(x.m)
		x.coded = kernel.Coded{}
	}
	return x
}

// place is a matrix of k rows and n columns without its numbers. What is packed only
// to be unpacked has memory of its own for so long.
func (l *loader) place(k, n int) linear {
	x, size := linear{}, k*n
	if !l.inBytes {
		x.m = kernel.Matrix{Data: l.rest[:size:size], K: k, N: n}
		l.rest = l.rest[size:]
	}
	if !l.coded {
		return x
	}
	x.coded = kernel.Coded{Scales: make([]float32, kernel.Groups(k)*n), K: k, N: n}
	if l.inBytes {
		x.coded.Codes, l.bytes = l.bytes[:size:size], l.bytes[size:]
	} else {
		x.coded.Codes = make([]int8, size)
	}
	return x
}
