package encodertest

import (
	"context"
	"hash/fnv"
	"math"
	"strings"
	"sync/atomic"
	"unicode"
)

// Dim is the length of its vectors.
const Dim = 384

// Model is an encoder.Model. The zero value is ready.
type Model struct {
	ID     string                                 // its name; "test-model" when empty
	Size   int                                    // length of its vectors; Dim when 0
	Before func(ctx context.Context, n int) error // called before a batch of n texts, may be nil

	batches, texts, queries atomic.Int64
	closed                  atomic.Bool
}

// Name is ID.
func (m *Model) Name() string {
	if m.ID == "" {
		return "test-model"
	}
	return m.ID
}

// Dim is Size.
func (m *Model) Dim() int {
	if m.Size == 0 {
		return Dim
	}
	return m.Size
}

// Count counts words and punctuation marks.
func (m *Model) Count(text string) int {
	n, word := 0, false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			word = false
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if !word {
				n++
			}
			word = true
		default:
			n++
			word = false
		}
	}
	return n
}

// synonyms are words that mean the same here.
var synonyms = map[string]string{"automobile": "car", "vehicle": "car", "feline": "cat", "kitten": "cat", "purchase": "buy", "acquire": "buy"}

func (m *Model) vector(text string) []float32 {
	v := make([]float32, m.Dim())
	v[0] = 0.01 // no text is without direction
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if s, ok := synonyms[w]; ok {
			w = s
		}
		h := fnv.New32a()
		h.Write([]byte(w))             // never fails
		v[h.Sum32()%uint32(m.Dim())]++ //nolint:gosec // G115: small
	}
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

// EmbedQuery gives the vector of a text.
func (m *Model) EmbedQuery(ctx context.Context, text string) ([]float32, error) {
	m.queries.Add(1)
	return m.vector(text), ctx.Err()
}

// EmbedBatch gives the vectors of texts.
func (m *Model) EmbedBatch(ctx context.Context, texts []string, progress func(done int)) ([][]float32, error) {
	m.batches.Add(1)
	if m.Before != nil {
		if err := m.Before(ctx, len(texts)); err != nil {
			return nil, err
		}
	}
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = m.vector(t)
	}
	m.texts.Add(int64(len(texts)))
	if progress != nil {
		progress(len(texts))
	}
	return out, ctx.Err()
}

// Close notes that it was called.
func (m *Model) Close() error {
	m.closed.Store(true)
	return nil
}

// Texts is the number of texts embedded in batches so far.
func (m *Model) Texts() int { return int(m.texts.Load()) }

// Queries is the number of questions embedded so far.
func (m *Model) Queries() int { return int(m.queries.Load()) }

// Closed reports whether Close was called.
func (m *Model) Closed() bool { return m.closed.Load() }
