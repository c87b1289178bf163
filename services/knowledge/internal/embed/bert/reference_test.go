package bert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/bert"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/kernel"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

// filled is a table whose numbers follow from its name, as in
// ../testdata/reference.py.
func filled(name string, shape ...int) safetensors.Table {
	h := fnv.New32a()
	h.Write([]byte(name)) // never fails
	n := 1
	for _, d := range shape {
		n *= d
	}
	floats := make([]float32, n)
	for i := range floats {
		x := uint32(i)*2654435761 + h.Sum32()
		x = (x ^ x>>15) * 2246822519
		x ^= x >> 13
		v := (float32(x>>8)/(1<<23) - 1) / 4
		if strings.HasSuffix(name, "LayerNorm.weight") {
			v++
		}
		floats[i] = v
	}
	return safetensors.Table{Name: name, Shape: shape, Floats: floats}
}

// network writes a small one with two layers.
func network(t *testing.T, kind string) string {
	t.Helper()
	var all []safetensors.Table
	const vocab, inner = 92, 96
	dim, places, self := 64, 160, []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"}
	norm := "attention.output.LayerNorm"
	if kind == "mpnet" {
		dim, places, self, norm = 128, 162, []string{"attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"}, "attention.LayerNorm"
		all = append(all, filled("encoder.relative_attention_bias.weight", 32, 2))
	} else {
		all = append(all, filled("embeddings.token_type_embeddings.weight", 2, dim))
	}
	if kind == "scores" {
		all = append(all, filled("pooler.dense.weight", dim, dim), filled("pooler.dense.bias", dim), filled("classifier.weight", 1, dim), filled("classifier.bias", 1))
	}
	linear := func(name string, in, out int) {
		all = append(all, filled(name+".weight", out, in), filled(name+".bias", out))
	}
	all = append(all, filled("embeddings.word_embeddings.weight", vocab, dim), filled("embeddings.position_embeddings.weight", places, dim))
	norms := []string{"embeddings.LayerNorm"}
	for i := range 2 {
		p := fmt.Sprintf("encoder.layer.%d.", i)
		for _, part := range self {
			linear(p+part, dim, dim)
		}
		linear(p+"intermediate.dense", dim, inner)
		linear(p+"output.dense", inner, dim)
		norms = append(norms, p+norm, p+"output.LayerNorm")
	}
	for _, n := range norms {
		all = append(all, filled(n+".weight", dim), filled(n+".bias", dim))
	}
	var b bytes.Buffer
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := safetensors.Write(&b, all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryNetworkAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../testdata/networks.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Network   string
		Heads     int
		Epsilon   float32
		Pooling   string
		Sequences [][]int32
		Vectors   [][]float64
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, want := range all {
		c := bert.Config{Heads: want.Heads, Epsilon: want.Epsilon, Pooling: map[string]bert.Pooling{"mean": bert.Mean, "first": bert.First}[want.Pooling]}
		path := network(t, want.Network)
		for _, set := range kernel.Sets() {
			m, err := bert.Open(path, c, set)
			if err != nil {
				t.Fatal(err)
			}
			if m.MaxTokens() != 160 {
				t.Errorf("%s: %d tokens", want.Network, m.MaxTokens())
			}
			out := make([][]float32, len(want.Sequences))
			for i := range out {
				out[i] = make([]float32, m.Dim())
			}
			if err := m.Forward(new(bert.Scratch), want.Sequences, out, on); err != nil {
				t.Fatal(err)
			}
			for i, v := range want.Vectors {
				worst, cosine := 0.0, 0.0
				for j, w := range v {
					worst = max(worst, math.Abs(float64(out[i][j])-w))
					cosine += float64(out[i][j]) * w
				}
				if worst > 3e-6 || cosine < 0.9999 {
					t.Errorf("%s, %s of %d tokens, %s: off by %g, cosine %v", want.Network, want.Pooling, len(want.Sequences[i]), set, worst, cosine)
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
