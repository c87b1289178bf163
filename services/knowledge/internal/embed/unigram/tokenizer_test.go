package unigram_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/unigram"
)

// pieces is a small vocabulary; a piece's number is its place.
var pieces = []any{
	[]any{"<s>", 0}, []any{"<pad>", 0}, []any{"</s>", 0}, []any{"<unk>", 0}, []any{"▁", -3}, []any{"▁hello", -4}, []any{"▁hell", -5}, []any{"o", -6},
	[]any{"world", -4}, []any{"w", -7}, []any{"▁w", -7}, []any{"é", -5},
}

func source(edit func(m map[string]any)) []byte {
	m := map[string]any{
		"added_tokens": []any{
			map[string]any{"id": 0, "content": "<s>"}, map[string]any{"id": 3, "content": "<unk>", "normalized": true}, map[string]any{"id": 12, "content": "<mask>", "lstrip": true},
		},
		"pre_tokenizer": map[string]any{"type": "Metaspace", "replacement": "▁", "add_prefix_space": true},
		"model":         map[string]any{"unk_id": 3, "vocab": pieces},
	}
	if edit != nil {
		edit(m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func TestAWordIsDividedIntoItsMostProbablePieces(t *testing.T) {
	t.Parallel()
	tok, err := unigram.Parse(source(nil))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{
		"":               {},
		"hello":          {5},
		"hell world":     {6, 4, 8},
		"helloo w":       {5, 7, 10},
		"xyz é":          {4, 3, 4, 11},
		"a  b":           {4, 3, 4, 4, 3},
		"hello <mask> o": {5, 12, 4, 7},
		"<s>hello<unk>":  {0, 5, 3},
		"\xff":           {4, 3},
	} {
		got := tok.Encode(nil, text, 64)
		if !slices.Equal(got, slices.Concat([]int32{0}, want, []int32{2})) {
			t.Errorf("%q: %v, want %v between 0 and 2", text, got, want)
		}
		if n := tok.Count(text); n != len(want) {
			t.Errorf("%q counts %d, want %d", text, n, len(want))
		}
		for limit := 2; limit < len(got); limit++ {
			short := tok.Encode(nil, text, limit)
			if len(short) != limit || !slices.Equal(short[:limit-1], got[:limit-1]) || short[limit-1] != 2 {
				t.Errorf("%q cut to %d: %v", text, limit, short)
			}
		}
	}
	if tok.Size() != 13 {
		t.Errorf("size %d", tok.Size())
	}
}

func TestATokenizerOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	model := func(key string, value any) func(m map[string]any) {
		return func(m map[string]any) { m["model"].(map[string]any)[key] = value }
	}
	set := func(key string, value any) func(m map[string]any) { return func(m map[string]any) { m[key] = value } }
	table := func(b ...byte) func(m map[string]any) {
		return set("normalizer", map[string]any{"type": "Precompiled", "precompiled_charsmap": base64.StdEncoding.EncodeToString(b)})
	}
	for name, edit := range map[string]func(m map[string]any){
		"another model":      model("type", "BPE"),
		"bytes":              model("byte_fallback", true),
		"nothing unknown":    model("unk_id", nil),
		"unknown outside":    model("unk_id", 99),
		"no vocabulary":      model("vocab", []any{}),
		"no markers":         model("vocab", []any{[]any{"a", 1}}),
		"no score":           model("vocab", []any{[]any{"a"}}),
		"a word":             set("added_tokens", []any{map[string]any{"id": 0, "content": "<s>", "single_word": true}}),
		"elsewhere":          set("added_tokens", []any{map[string]any{"id": 1, "content": "<s>"}}),
		"far away":           set("added_tokens", []any{map[string]any{"id": 1 << 30, "content": "x"}}),
		"another normalizer": set("normalizer", map[string]any{"type": "NFKC"}),
		"replacing":          set("normalizer", map[string]any{"type": "Replace", "content": "x", "pattern": map[string]any{"String": "y"}}),
		"no pre-tokenizer":   set("pre_tokenizer", nil),
		"only words":         set("pre_tokenizer", map[string]any{"type": "WhitespaceSplit"}),
		"another sign":       set("pre_tokenizer", map[string]any{"type": "Metaspace", "replacement": "_"}),
		"first alone":        set("pre_tokenizer", map[string]any{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}),
		"whole":              set("pre_tokenizer", map[string]any{"type": "Metaspace", "replacement": "▁", "split": false}),
		"short table":        table(1),
		"long trie":          table(200, 0, 0, 0, 1, 2, 3, 4),
		"odd trie":           table(5, 0, 0, 0, 1, 2, 3, 4, 5),
		"no text":            table(4, 0, 0, 0, 0, 0, 0, 0, 0xff),
	} {
		if _, err := unigram.Parse(source(edit)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := unigram.Parse([]byte("{")); err == nil {
		t.Error("half a file was accepted")
	}
}

// A table whose places lead out of it must not end the process.
func FuzzATableOfCharacters(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1, 'a', 0}, "héllo")
	f.Add([]byte{4, 0, 0, 0, 0, 4, 0, 0, 'x', 0}, "\r\ne\u0301")
	f.Fuzz(func(t *testing.T, table []byte, text string) {
		tok, err := unigram.Parse(source(func(m map[string]any) {
			m["normalizer"] = map[string]any{"type": "Precompiled", "precompiled_charsmap": base64.StdEncoding.EncodeToString(table)}
		}))
		if err != nil {
			return
		}
		if ids := tok.Encode(nil, text, 1<<20); len(ids) != tok.Count(text)+unigram.Specials {
			t.Errorf("%d numbers, %d tokens", len(ids), tok.Count(text))
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	tok, err := unigram.Parse(source(nil))
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("hello world é 世界 ", 300)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Count(text)
	}
}
