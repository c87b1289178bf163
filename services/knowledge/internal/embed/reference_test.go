package embed_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/unigram"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/wordpiece"
)

// The files that these tests compare with are made by testdata/reference.py, and
// so are the texts here, by the same rules.

var ranges = [][2]rune{
	{0x20, 0x7E}, {0x20, 0x7E}, {0x61, 0x7A}, {0x41, 0x5A}, {0xA0, 0x17F}, {0x300, 0x36F}, {0x370, 0x3FF}, {0x400, 0x4FF}, {0x590, 0x5FF},
	{0x600, 0x6FF}, {0x900, 0x97F}, {0xE00, 0xE7F}, {0x1100, 0x11FF}, {0x1E00, 0x1FFF}, {0x2000, 0x206F}, {0x2100, 0x21FF}, {0x2460, 0x24FF},
	{0x3000, 0x30FF}, {0x3400, 0x3420}, {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}, {0xF900, 0xFAFF}, {0xFB00, 0xFB4F}, {0xFE00, 0xFE6F},
	{0xFF00, 0xFFEF}, {0x1D400, 0x1D7FF}, {0x1F300, 0x1FAFF}, {0xE000, 0xE010}, {0x0, 0x1F},
}

var words = []string{
	"<mask>", " <mask>", "<unk>", "<UNK>", "</s>", "<s>", "[UNK]", "[SEP]", "  ", "\r\n", "\u2581", " ", " the ", " knowledge ", "service", "1", ".", "\u00e9", "e\u0301",
}

// oddTexts are of all scripts, with markers of models and blanks in between.
func oddTexts(count int) []string {
	x := uint32(1)
	r := func(n int) int {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		return int(x % uint32(n))
	}
	all := make([]string, count)
	for i := range all {
		var s strings.Builder
		for range 1 + r(24) {
			k := r(len(ranges) + len(words))
			if k >= len(ranges) {
				s.WriteString(words[k-len(ranges)])
				continue
			}
			for range 1 + r(4) {
				s.WriteRune(ranges[k][0] + rune(r(int(ranges[k][1]-ranges[k][0]+1))))
			}
		}
		all[i] = s.String()
	}
	return all
}

// realTexts are the sentences of the evaluation's sample.
func realTexts(t *testing.T) (all []string) {
	t.Helper()
	b, err := os.ReadFile("../evaluation/testdata/sample/corpus.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var x struct{ Title, Text string }
		if err := d.Decode(&x); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.FieldsFunc(x.Title+"\n"+x.Text, func(r rune) bool { return r == '.' || r == '\n' })...)
	}
}

func kept(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse[T any](t *testing.T, f func([]byte) (T, error), source []byte) T {
	t.Helper()
	x, err := f(source)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestEveryTokenizerCutsTwelveThousandTextsAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	texts := append(realTexts(t), oddTexts(10_000)...)
	encoders := map[string]func(dst []int32, text string, limit int) []int32{
		"wordpiece":      parse(t, wordpiece.Parse, kept(t, "wordpiece.json.gz")).Encode,
		"unigram":        parse(t, unigram.Parse, kept(t, "unigram.json.gz")).Encode,
		"unigram-blanks": parse(t, unigram.Parse, withBlanks(t, kept(t, "unigram.json.gz"))).Encode,
	}
	if dir, err := realDir(); err == nil {
		source, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		encoders["minilm"] = parse(t, wordpiece.Parse, source).Encode
	}
	for name, encode := range encoders {
		sums, err := os.ReadFile(filepath.Join("testdata", name+".sums"))
		if err != nil {
			t.Fatal(err)
		}
		if len(sums) != 2*len(texts) {
			t.Fatalf("%s: sums of %d texts, and there are %d", name, len(sums)/2, len(texts))
		}
		wrong := 0
		for i, text := range texts {
			sum := fnv.New32a()
			ids := encode(nil, text, 1<<20)
			if err := binary.Write(sum, binary.LittleEndian, ids); err != nil {
				t.Fatal(err)
			}
			if uint16(sum.Sum32()) != binary.LittleEndian.Uint16(sums[2*i:]) { //nolint:gosec // G115: the lower half is what was kept
				if wrong++; wrong <= 5 {
					t.Errorf("%s: text %d, %+q, has other tokens: %v", name, i, text, ids)
				}
			}
		}
		t.Logf("%s: %d of %d texts are cut as by the reference", name, len(texts)-wrong, len(texts))
	}
}

// withBlanks is a tokenizer that keeps blanks, as those of newer models do.
func withBlanks(t *testing.T, source []byte) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(source, &m); err != nil {
		t.Fatal(err)
	}
	m["normalizer"] = map[string]any{"type": "Sequence", "normalizers": []any{
		m["normalizer"], map[string]any{"type": "Replace", "pattern": map[string]any{"Regex": " {2,}"}, "content": " "},
	}}
	m["pre_tokenizer"] = map[string]any{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
