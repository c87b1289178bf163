package wordpiece

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/trie"
)

// Specials is the number of markers that the model puts around a text.
const Specials = 2

// Span is the place of one token in its text: the bytes [Start, End).
type Span struct{ Start, End int }

// Tokenizer cuts text as the model does. It never changes and is safe for
// concurrent use.
type Tokenizer struct {
	words    trie.Trie // pieces that begin a word
	rest     trie.Trie // pieces that continue one, without their prefix
	special  []special
	unknown  int32
	begin    int32 // of a text: [CLS] or <s>
	end      int32 // [SEP] or </s>
	maxRunes int   // of a word; a longer one is unknown as a whole
	size     int
}

// special is a token that is found in the text as it is spelled: in the raw one,
// or, normalized, in what becomes of it.
type special struct {
	text       string
	id         int32
	normalized bool
}

// file is the part of tokenizer.json that matters.
type file struct {
	Added []struct {
		ID         int32  `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
	} `json:"added_tokens"`
	Normalizer struct {
		Type         string `json:"type"`
		CleanText    bool   `json:"clean_text"`
		Chinese      bool   `json:"handle_chinese_chars"`
		StripAccents *bool  `json:"strip_accents"`
		Lowercase    bool   `json:"lowercase"`
	} `json:"normalizer"`
	PreTokenizer struct {
		Type string `json:"type"`
	} `json:"pre_tokenizer"`
	Model struct {
		Type     string           `json:"type"`
		Unknown  string           `json:"unk_token"`
		Prefix   string           `json:"continuing_subword_prefix"`
		MaxRunes int              `json:"max_input_chars_per_word"`
		Vocab    map[string]int32 `json:"vocab"`
	} `json:"model"`
}

// Parse reads the text of tokenizer.json. A tokenizer of another kind is an
// error: to run it nearly right would give vectors that are quietly wrong.
func Parse(b []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	n, m := f.Normalizer, f.Model
	switch {
	case n.Type != "BertNormalizer" || !n.CleanText || !n.Chinese || !n.Lowercase || n.StripAccents != nil && !*n.StripAccents:
		return nil, errors.New("the normalizer is not that of a lower-casing BERT")
	case f.PreTokenizer.Type != "BertPreTokenizer":
		return nil, fmt.Errorf("unknown pre-tokenizer %q", f.PreTokenizer.Type)
	case m.Type != "WordPiece":
		return nil, fmt.Errorf("unknown model %q", m.Type)
	case m.Prefix == "" || m.MaxRunes < 1 || m.MaxRunes > maxRunes:
		return nil, fmt.Errorf("prefix %q, words of %d characters", m.Prefix, m.MaxRunes)
	}
	t := &Tokenizer{maxRunes: m.MaxRunes}
	words, rest := map[string]int32{}, map[string]int32{}
	for piece, id := range m.Vocab {
		if id < 0 || id == math.MaxInt32 {
			return nil, fmt.Errorf("token %q has number %d", piece, id)
		}
		t.size = max(t.size, int(id)+1)
		words[piece] = id
		if after, ok := strings.CutPrefix(piece, m.Prefix); ok {
			rest[after] = id
		}
	}
	for _, a := range f.Added {
		// Blanks beside a token are no tokens, so it does not matter who takes them.
		if a.SingleWord || !marker(a.Content) {
			return nil, fmt.Errorf("added token %q is of an unknown kind", a.Content)
		}
		if id, ok := m.Vocab[a.Content]; !ok || id != a.ID {
			return nil, fmt.Errorf("added token %q is not in the vocabulary as %d", a.Content, a.ID)
		}
		t.special = append(t.special, special{a.Content, a.ID, a.Normalized})
	}
	slices.SortStableFunc(t.special, func(a, b special) int { return len(b.text) - len(a.text) })
	// The vocabulary of MPNet has BERT's markers, too, but as words like others.
	begin, end := "[CLS]", "[SEP]"
	if slices.ContainsFunc(t.special, func(s special) bool { return s.text == "<s>" }) {
		begin, end = "<s>", "</s>"
	}
	for text, id := range map[string]*int32{m.Unknown: &t.unknown, begin: &t.begin, end: &t.end} {
		v, ok := m.Vocab[text]
		if !ok {
			return nil, fmt.Errorf("the vocabulary has no %q", text)
		}
		*id = v
	}
	t.words, t.rest = trie.New(words), trie.New(rest)
	return t, nil
}

// marker reports whether an added token is one that the scanner looks for: it
// begins with a bracket, and is lower-case ASCII where it is looked for in a
// normalised text.
func marker(s string) bool {
	return len(s) > 1 && (s[0] == '[' || s[0] == '<') && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Size is one more than the largest token number.
func (t *Tokenizer) Size() int { return t.size }

// Encode appends the token numbers of text to dst, between the model's two
// markers, at most limit numbers in all: what is beyond is cut off. limit is
// at least [Specials].
func (t *Tokenizer) Encode(dst []int32, text string, limit int) []int32 {
	dst = append(dst, t.begin)
	if room := limit - Specials; room > 0 {
		t.each(text, func(id int32, _ Span) bool {
			dst = append(dst, id)
			room--
			return room > 0
		})
	}
	return append(dst, t.end)
}

// Count is the number of tokens in text, without the two markers that the
// model puts around it.
func (t *Tokenizer) Count(text string) int {
	n := 0
	t.each(text, func(int32, Span) bool { n++; return true })
	return n
}

// Offsets gives the bytes of text that each token covers, without the two
// markers. Spans come in order; two may share a character that stands for
// several ("Ǆ"), and characters that the model does not see lie in none.
func (t *Tokenizer) Offsets(text string) []Span {
	spans := make([]Span, 0, len(text)/4+1)
	t.each(text, func(_ int32, s Span) bool { spans = append(spans, s); return true })
	return spans
}
