package unigram

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

// blank stands for the blank before a word.
const blank = "▁"

// penalty is how much less than the least probable piece an unknown character
// counts.
const penalty = 10

// Tokenizer cuts text as the model does. It never changes and is safe for
// concurrent use.
type Tokenizer struct {
	pieces  trie.Trie
	scores  []float64
	unknown int32
	least   float64 // score of an unknown character

	table   *charsmap // nil: none
	squeeze bool      // runs of blanks become one
	words   bool      // blanks of all kinds part words, and go
	prefix  bool      // every word begins with a blank

	raw, normal []special // in the raw text, and in the normalised one
	begin, end  int32
}

// special is a token that is found as it is spelled.
type special struct {
	text string
	id   int32
	left bool // takes the blanks before it
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
	Normalizer   *step `json:"normalizer"`
	PreTokenizer *step `json:"pre_tokenizer"`
	Model        struct {
		Type    string  `json:"type"`
		Unknown *int32  `json:"unk_id"`
		Bytes   bool    `json:"byte_fallback"`
		Vocab   []piece `json:"vocab"`
	} `json:"model"`
}

// step is a normalizer or a pre-tokenizer.
type step struct {
	Type     string `json:"type"`
	Inner    []step `json:"normalizers"`
	InnerPre []step `json:"pretokenizers"`
	Table    []byte `json:"precompiled_charsmap"` // base64
	Pattern  struct {
		Regex  *string `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Content     string `json:"content"`
	Replacement string `json:"replacement"`
	Prefix      *bool  `json:"add_prefix_space"`
	Scheme      string `json:"prepend_scheme"`
	Split       *bool  `json:"split"`
}

// piece is written as an array of its text and its score.
type piece struct {
	text  string
	score float64
}

// UnmarshalJSON reads the array.
func (p *piece) UnmarshalJSON(b []byte) error {
	pair := []any{&p.text, &p.score}
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || math.IsNaN(p.score) {
		return errors.New("a piece is a text and its score")
	}
	return nil
}

// Parse reads the text of tokenizer.json. A tokenizer of another kind is an
// error: to run it nearly right would give vectors that are quietly wrong.
func Parse(b []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	m := f.Model
	if m.Type != "" && m.Type != "Unigram" || m.Bytes || m.Unknown == nil || len(m.Vocab) == 0 || len(m.Vocab) >= math.MaxInt32 ||
		*m.Unknown < 0 || int(*m.Unknown) >= len(m.Vocab) {
		return nil, fmt.Errorf("model %q with %d pieces is of an unknown kind", m.Type, len(m.Vocab))
	}
	t := &Tokenizer{unknown: *m.Unknown, scores: make([]float64, len(m.Vocab)), least: math.Inf(1)}
	pieces := make(map[string]int32, len(m.Vocab))
	for i, p := range m.Vocab {
		pieces[p.text], t.scores[i], t.least = int32(i), p.score, min(t.least, p.score)
	}
	t.least -= penalty
	for text, id := range map[string]*int32{"<s>": &t.begin, "</s>": &t.end} {
		v, ok := pieces[text]
		if !ok {
			return nil, fmt.Errorf("the vocabulary has no %q", text)
		}
		*id = v
	}
	if err := t.mark(f, pieces); err != nil {
		return nil, err
	}
	if err := errors.Join(t.normaliser(f.Normalizer), t.parting(f.PreTokenizer)); err != nil {
		return nil, err
	}
	delete(pieces, "")
	t.pieces = trie.New(pieces)
	return t, nil
}

// mark takes the added tokens in. They may stand beside the vocabulary.
func (t *Tokenizer) mark(f file, pieces map[string]int32) error {
	for _, a := range f.Added {
		if a.SingleWord || a.RStrip || a.Content == "" || a.ID < 0 || a.ID == math.MaxInt32 {
			return fmt.Errorf("added token %q is of an unknown kind", a.Content)
		}
		if id, ok := pieces[a.Content]; ok && id != a.ID {
			return fmt.Errorf("added token %q is not in the vocabulary as %d", a.Content, a.ID)
		}
		for len(t.scores) <= int(a.ID) {
			if len(t.scores) > len(f.Model.Vocab)+1000 {
				return fmt.Errorf("added token %q has number %d", a.Content, a.ID)
			}
			t.scores = append(t.scores, math.Inf(-1))
		}
		s := special{a.Content, a.ID, a.LStrip}
		if a.Normalized {
			t.normal = append(t.normal, s)
		} else {
			t.raw = append(t.raw, s)
		}
	}
	longest := func(a, b special) int { return len(b.text) - len(a.text) }
	slices.SortStableFunc(t.raw, longest)
	slices.SortStableFunc(t.normal, longest)
	return nil
}

// normaliser understands the tables of SentencePiece, and the step after it that
// makes one blank of several.
func (t *Tokenizer) normaliser(s *step) (err error) {
	if s == nil {
		return nil
	}
	steps := []step{*s}
	if s.Type == "Sequence" {
		steps = s.Inner
	}
	for _, s := range steps {
		switch {
		case s.Type == "Precompiled" && t.table == nil && !t.squeeze:
			if t.table, err = parseCharsmap(s.Table); err != nil {
				return err
			}
		case s.Type == "Replace" && s.Pattern.Regex != nil && *s.Pattern.Regex == " {2,}" && s.Content == " ":
			t.squeeze = true
		default:
			return fmt.Errorf("unknown normalizer %q", s.Type)
		}
	}
	return nil
}

// parting understands what SentencePiece does with blanks.
func (t *Tokenizer) parting(s *step) error {
	if s == nil {
		return errors.New("no pre-tokenizer")
	}
	steps := []step{*s}
	if s.Type == "Sequence" {
		steps = s.InnerPre
	}
	meta := false
	for _, s := range steps {
		switch {
		case s.Type == "WhitespaceSplit" && !meta:
			t.words = true
		case s.Type == "Metaspace" && !meta && s.Replacement == blank && (s.Split == nil || *s.Split):
			switch {
			case s.Scheme == "always", s.Scheme == "" && (s.Prefix == nil || *s.Prefix):
				t.prefix = true
			case s.Scheme == "never", s.Scheme == "":
			default:
				return fmt.Errorf("unknown scheme %q of blanks", s.Scheme)
			}
			meta = true
		default:
			return fmt.Errorf("unknown pre-tokenizer %q", s.Type)
		}
	}
	if !meta {
		return errors.New("the pre-tokenizer leaves blanks as they are")
	}
	return nil
}

// Size is one more than the largest token number.
func (t *Tokenizer) Size() int { return len(t.scores) }

// Encode appends the token numbers of text to dst, between the model's two
// markers, at most limit numbers in all: what is beyond is cut off. limit is
// at least [Specials].
func (t *Tokenizer) Encode(dst []int32, text string, limit int) []int32 {
	dst = append(dst, t.begin)
	if room := limit - Specials; room > 0 {
		t.each(text, func(id int32) bool {
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
	t.each(text, func(int32) bool { n++; return true })
	return n
}

// each calls visit for each token of text in order, until it returns false.
func (t *Tokenizer) each(text string, visit func(int32) bool) {
	text = strings.ToValidUTF8(text, "\ufffd")
	var p path
	apart(text, t.raw, visit, func(part string) bool {
		if t.table != nil {
			part = t.table.normalise(part)
		}
		if t.squeeze {
			part = squeezed(part)
		}
		return apart(part, t.normal, visit, func(part string) bool { return t.wordsOf(part, &p, visit) })
	})
}
