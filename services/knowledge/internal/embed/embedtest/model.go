package embedtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/safetensors"
)

// Shape says how large a model is.
type Shape struct {
	Layers int
	Dim    int // a multiple of 32
	Inner  int // a multiple of 32
	Places int
	Head   bool // it scores pairs of texts
}

// Small is enough to go through every path of the network.
var Small = Shape{Layers: 2, Dim: 64, Inner: 96, Places: 256}

// Vocabulary is what the models know: markers, letters, digits, punctuation,
// and their continuations.
func Vocabulary() []string {
	v := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for c := '!'; c <= '~'; c++ {
		if c < 'A' || c > 'Z' {
			v = append(v, string(c))
		}
	}
	for _, set := range []string{"abcdefghijklmnopqrstuvwxyz", "0123456789"} {
		for _, c := range set {
			v = append(v, "##"+string(c))
		}
	}
	return v
}

// WriteModel writes model.safetensors and tokenizer.json to dir.
func WriteModel(dir string, s Shape, seed uint64) error {
	weights, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 1))
	err = errors.Join(safetensors.Write(weights, s.tables(r)), weights.Close())
	if err != nil {
		return err
	}
	b, err := json.Marshal(tokenizer())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokenizer.json"), b, 0o600)
}

func tokenizer() map[string]any {
	vocab := map[string]int{}
	var added []any
	for i, piece := range Vocabulary() {
		vocab[piece] = i
		if i < 5 {
			added = append(added, map[string]any{"id": i, "content": piece, "special": true})
		}
	}
	return map[string]any{
		"added_tokens":  added,
		"normalizer":    map[string]any{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "lowercase": true},
		"pre_tokenizer": map[string]any{"type": "BertPreTokenizer"},
		"model": map[string]any{
			"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
			"max_input_chars_per_word": 100, "vocab": vocab,
		},
	}
}

func (s Shape) tables(r *rand.Rand) []safetensors.Table {
	var all []safetensors.Table
	add := func(name string, mean, spread float64, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(mean + spread*r.NormFloat64())
		}
		all = append(all, safetensors.Table{Name: name, Shape: shape, Floats: x})
	}
	norm := func(name string) {
		add(name+".LayerNorm.weight", 1, 0.1, s.Dim)
		add(name+".LayerNorm.bias", 0, 0.1, s.Dim)
	}
	dense := func(name string, in, out int) {
		add(name+".weight", 0, 0.15, out, in)
		add(name+".bias", 0, 0.1, out)
	}
	add("embeddings.word_embeddings.weight", 0, 1, len(Vocabulary()), s.Dim)
	add("embeddings.position_embeddings.weight", 0, 0.1, s.Places, s.Dim)
	add("embeddings.token_type_embeddings.weight", 0, 0.1, 2, s.Dim)
	norm("embeddings")
	for i := range s.Layers {
		p := fmt.Sprintf("encoder.layer.%d.", i)
		for _, part := range []string{"query", "key", "value"} {
			dense(p+"attention.self."+part, s.Dim, s.Dim)
		}
		dense(p+"attention.output.dense", s.Dim, s.Dim)
		norm(p + "attention.output")
		dense(p+"intermediate.dense", s.Dim, s.Inner)
		dense(p+"output.dense", s.Inner, s.Dim)
		norm(p + "output")
	}
	if s.Head {
		dense("pooler.dense", s.Dim, s.Dim)
		dense("classifier", s.Dim, 1)
	}
	return all
}
