package wordpiece_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/wordpiece"
)

// pieces is a small vocabulary; a piece's number is its place.
var pieces = strings.Fields(`[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able aff able hello world ##s , . ! [ ] - ; ' " < >
	a b c ##a ##b ##c e ##e é i ##i 世 界 ᄒ ##ᅡ ##ᆫ σ ##σ ss ß 1 2 ##1 ##2 ㈠ ` + "` $ +" + ` ##世 は ##は x ##x 。`)

func source(edit func(m map[string]any)) []byte {
	vocab := map[string]int{}
	for i, p := range pieces {
		vocab[p] = i
	}
	added := []any{}
	for i, p := range pieces[:5] {
		added = append(added, map[string]any{"id": i, "content": p, "special": true})
	}
	m := map[string]any{
		"added_tokens":  added,
		"normalizer":    map[string]any{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer": map[string]any{"type": "BertPreTokenizer"},
		"model":         map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
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

func small(t testing.TB) *wordpiece.Tokenizer {
	t.Helper()
	tok, err := wordpiece.Parse(source(nil))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func names(ids []int32) string {
	var s []string
	for _, id := range ids {
		s = append(s, pieces[id])
	}
	return strings.Join(s, " ")
}

func TestTextIsCutAsTheModelCutsIt(t *testing.T) {
	t.Parallel()
	tok := small(t)
	for text, want := range map[string]string{
		"":                         "",
		" \t\r\n\u00a0\u2028":      "",
		"Hello, WORLDs!":           "hello , world ##s !",
		"unaffable":                "un ##aff ##able",
		"unaffabler":               "[UNK]",
		"un-able":                  "un - able",
		"h\u0000el\u00adlo\u200b":  "hello",
		"hel\ufffdlo":              "hello",
		"hel\xfflo":                "hello",
		"E\u0301\u0301É":           "e ##e",
		"e\u0301 \u00e9":           "e e",
		"世界a世":                     "世 界 a 世",
		"a世b":                      "a 世 b",
		"aはb":                      "a ##は ##b",
		"はは":                       "は ##は",
		"한":                        "ᄒ ##ᅡ ##ᆫ",
		"ΣΣ":                       "σ ##σ",
		"\u037e":                   ";",
		"a\u1fefb":                 "a ` b",
		"a$b+c":                    "a $ b + c",
		"世界。":                      "世 界 。",
		"a[SEP]b [MASK][CLS][UNK]": "a [SEP] b [MASK] [CLS] [UNK]",
		"[sep]":                    "[ [UNK] ]",
		"x\u0378x":                 "[UNK]",
		"a\ue000b":                 "a ##b",
		"İ":                        "i",
		"ß":                        "ß",
		"q a":                      "[UNK] a",
		"a\u166db":                 "a [UNK] b",
	} {
		ids := tok.Encode(nil, text, 512)
		if got := names(ids[1 : len(ids)-1]); got != want {
			t.Errorf("%q is cut into %q, want %q", text, got, want)
		}
	}
}

func TestAWordOfMoreThanAHundredCharactersIsUnknown(t *testing.T) {
	t.Parallel()
	tok := small(t)
	for text, want := range map[string]int{
		strings.Repeat("a", 100):       100,
		strings.Repeat("a", 101):       1,
		strings.Repeat("é", 100):       100,
		strings.Repeat("e\u0301", 100): 100,
		strings.Repeat("é", 101):       1,
		strings.Repeat("世", 101):       101,
		strings.Repeat("は", 100):       100,
		strings.Repeat("は", 5000):      1,
	} {
		if got := tok.Count(text); got != want {
			t.Errorf("%d bytes of %.3s: %d tokens, want %d", len(text), text, got, want)
		}
	}
}

func TestOffsetsLeadBackToTheText(t *testing.T) {
	t.Parallel()
	tok := small(t)
	for text, want := range map[string][]string{
		"Hello, UNAFFable":         {"Hello", ",", "UN", "AFF", "able"},
		"  É  x":                   {"É", "x"},
		"e\u0301x":                 {"e", "x"},
		"he\u00adllo a":            {"he\u00adllo", "a"},
		"世界":                       {"世", "界"},
		"한":                        {"한", "한", "한"},
		"[SEP] qqq [MASK]":         {"[SEP]", "qqq", "[MASK]"},
		strings.Repeat("a", 101):   {strings.Repeat("a", 101)},
		"q" + "\u0301\u0301" + " ": {"q"},
	} {
		var got []string
		for _, s := range tok.Offsets(text) {
			got = append(got, text[s.Start:s.End])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q has tokens %q, want %q", text, got, want)
		}
	}
}

func TestALongTextIsCutOffAtTheLimit(t *testing.T) {
	t.Parallel()
	tok := small(t)
	text := strings.Repeat("hello unaffable [MASK] ", 1000)
	for _, limit := range []int{2, 3, 6, 7, 256} {
		ids := tok.Encode([]int32{7}, text, limit)
		if len(ids) != limit+1 || ids[0] != 7 || ids[1] != 2 || ids[limit] != 3 {
			t.Errorf("limit %d: %v", limit, ids[:min(len(ids), 8)])
		}
	}
	if n := tok.Count(text); n != 5000 {
		t.Errorf("counted %d tokens, want 5000", n)
	}
}

func TestATokenizerOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	set := func(part, key string, v any) func(map[string]any) {
		return func(m map[string]any) { m[part].(map[string]any)[key] = v }
	}
	for name, edit := range map[string]func(map[string]any){
		"cased":           set("normalizer", "lowercase", false),
		"accents":         set("normalizer", "strip_accents", false),
		"normalizer":      set("normalizer", "type", "NFC"),
		"pre-tokenizer":   set("pre_tokenizer", "type", "ByteLevel"),
		"model":           set("model", "type", "BPE"),
		"no prefix":       set("model", "continuing_subword_prefix", ""),
		"no word length":  set("model", "max_input_chars_per_word", 0),
		"long words":      set("model", "max_input_chars_per_word", 101),
		"no unknown":      set("model", "unk_token", "[OOV]"),
		"no markers":      set("model", "vocab", map[string]int{"[UNK]": 0}),
		"negative number": set("model", "vocab", map[string]int{"a": -1}),
		"added elsewhere": func(m map[string]any) { m["added_tokens"] = []any{map[string]any{"id": 3, "content": "[CLS]"}} },
		"added by words": func(m map[string]any) {
			m["added_tokens"] = []any{map[string]any{"id": 2, "content": "[CLS]", "single_word": true}}
		},
	} {
		if _, err := wordpiece.Parse(source(edit)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := wordpiece.Parse([]byte("{")); err == nil {
		t.Error("half a file was accepted")
	}
}

func TestAVocabularyWithTheMarkersOfTwoFamiliesTakesTheAddedOnes(t *testing.T) {
	t.Parallel()
	vocab := map[string]int{"<s>": 0, "</s>": 1, "[UNK]": 2, "<unk>": 3, "[CLS]": 4, "[SEP]": 5, "a": 6, "<": 7, ">": 8, "unk": 9, "é": 10}
	var added []any
	for _, s := range []string{"<s>", "</s>", "[UNK]", "<unk>"} {
		added = append(added, map[string]any{"id": vocab[s], "content": s, "special": true, "normalized": s == "<unk>"})
	}
	tok, err := wordpiece.Parse(source(func(m map[string]any) {
		m["added_tokens"] = added
		m["model"].(map[string]any)["vocab"] = vocab
	}))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int32{
		"a": {6}, "a<s>a": {6, 0, 6}, "<S>": {7, 2, 8}, "<unk>": {3}, "<UNK>a": {3, 6}, "<ünk>": {3}, "<\u200bunk>": {3}, "<u nk>": {7, 2, 2, 8}, "<unk": {7, 9}, "<": {7},
	} {
		if got := tok.Encode(nil, text, 64); !slices.Equal(got, slices.Concat([]int32{0}, want, []int32{1})) {
			t.Errorf("%q: %v, want %v between 0 and 1", text, got, want)
		}
	}
}

func FuzzTokensAgreeWithEachOtherAndWithTheText(f *testing.F) {
	tok := small(f)
	for _, s := range []string{"Hello [SEP] wörld", "한世\u0301は", "\xff\xc3", "[", strings.Repeat("é", 101)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spans := tok.Offsets(text)
		ids := tok.Encode(nil, text, len(text)*4+8)
		if len(spans) != tok.Count(text) || len(ids) != len(spans)+wordpiece.Specials {
			t.Fatalf("%d spans, %d tokens, %d numbers", len(spans), tok.Count(text), len(ids))
		}
		from, to := 0, 0
		for _, s := range spans {
			if s.Start < from || s.End < to || s.End <= s.Start || s.End > len(text) {
				t.Fatalf("span %v after %d, %d in %d bytes", s, from, to, len(text))
			}
			if !utf8.RuneStart(text[s.Start]) {
				t.Fatalf("span %v begins inside a character", s)
			}
			from, to = s.Start, s.End
		}
		limit := 2 + len(text)%9
		short := tok.Encode(nil, text, limit)
		if len(short) > limit || !slices.Equal(short[:len(short)-1], ids[:len(short)-1]) {
			t.Fatalf("cut to %d: %v of %v", limit, short, ids)
		}
	})
}

func BenchmarkCount(b *testing.B) {
	tok := small(b)
	text := strings.Repeat("Hello, unaffable worlds! É 世界 ", 300)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Count(text)
	}
}
