package unigram

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// apart cuts text at special tokens: those go to visit, what is between them to
// rest. It ends when one of them returns false, and returns that.
func apart(text string, all []special, visit func(int32) bool, rest func(string) bool) bool {
	from := 0
	for i := 0; i < len(text); i++ {
		s := startsWith(text[i:], all)
		if s == nil {
			continue
		}
		before := text[from:i]
		if s.left {
			before = strings.TrimRightFunc(before, unicode.IsSpace)
		}
		if before != "" && !rest(before) || !visit(s.id) {
			return false
		}
		from = i + len(s.text)
		i = from - 1
	}
	return from == len(text) || rest(text[from:])
}

func startsWith(text string, all []special) *special {
	for i := range all {
		if strings.HasPrefix(text, all[i].text) {
			return &all[i]
		}
	}
	return nil
}

// squeezed is text with one blank for several.
func squeezed(text string) string {
	if !strings.Contains(text, "  ") {
		return text
	}
	var out strings.Builder
	for i := range len(text) {
		if text[i] != ' ' || i == 0 || text[i-1] != ' ' {
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

// wordsOf cuts what lies between special tokens into words, and those into
// pieces.
func (t *Tokenizer) wordsOf(text string, p *path, visit func(int32) bool) bool {
	if !t.words {
		return t.blanks(text, p, visit)
	}
	for word := range strings.FieldsFuncSeq(text, unicode.IsSpace) {
		if !t.blanks(word, p, visit) {
			return false
		}
	}
	return true
}

// blanks puts the sign for a blank where there is one, and before the text, and
// cuts before each.
func (t *Tokenizer) blanks(text string, p *path, visit func(int32) bool) bool {
	text = strings.ReplaceAll(text, " ", blank)
	if t.prefix && !strings.HasPrefix(text, blank) {
		text = blank + text
	}
	for text != "" {
		end := len(text)
		if next := strings.Index(text[1:], blank); next >= 0 {
			end = 1 + next
		}
		if !t.cut(text[:end], p, visit) {
			return false
		}
		text = text[end:]
	}
	return true
}

// path is the best way to each place of a word. The zero value is ready.
type path struct {
	steps []place
	ids   []int32
	word  []byte
}

type place struct {
	score float64
	from  int // where its last piece begins; -1: no way leads here
	id    int32
}

// cut divides a word into the pieces with the greatest sum of scores; of equal
// sums the first one found stands, as in the reference.
func (t *Tokenizer) cut(word string, p *path, visit func(int32) bool) bool {
	p.word = append(p.word[:0], word...)
	p.steps = append(p.steps[:0], place{})
	for len(p.steps) <= len(word) {
		p.steps = append(p.steps, place{from: -1})
	}
	for at := 0; at < len(word); {
		_, size := utf8.DecodeRuneInString(word[at:])
		here, single := p.steps[at].score, false
		t.pieces.Each(p.word[at:], func(id int32, length int) {
			p.reach(at, at+length, id, here+t.scores[id])
			single = single || length == size
		})
		if !single {
			p.reach(at, at+size, t.unknown, here+t.least)
		}
		at += size
	}
	p.ids = p.ids[:0]
	for at := len(word); at > 0; at = p.steps[at].from {
		id := p.steps[at].id
		if n := len(p.ids); id == t.unknown && n > 0 && p.ids[n-1] == id {
			continue // one with its neighbour
		}
		p.ids = append(p.ids, id)
	}
	for i := len(p.ids) - 1; i >= 0; i-- {
		if !visit(p.ids[i]) {
			return false
		}
	}
	return true
}

func (p *path) reach(from, to int, id int32, score float64) {
	if s := &p.steps[to]; s.from < 0 || score > s.score && !math.IsNaN(score) {
		*s = place{score: score, from: from, id: id}
	}
}
