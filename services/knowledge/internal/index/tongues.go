package index

import (
	"slices"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// tongues are the languages of the passages of an index.
type tongues struct {
	of     []terms.Language // by slot
	spoken map[terms.Language]int
}

func (t *tongues) add(l terms.Language) {
	if t.spoken == nil {
		t.spoken = map[terms.Language]int{}
	}
	t.of = append(t.of, l)
	t.spoken[l]++
}

// load adds a passage of an image, which may have been removed.
func (t *tongues) load(l terms.Language, alive bool) {
	t.add(l)
	if !alive {
		t.spoken[l]--
	}
}

func (t *tongues) remove(slot uint32) { t.spoken[t.of[slot]]-- }

// tongue is the language of a passage: what it is said to be, or else what its
// text looks like.
func (x *Index) tongue(p Passage) terms.Language {
	if l, ok := terms.ParseLanguage(p.TextLanguage); ok {
		return l
	}
	return terms.Detect(p.Body, x.c.Languages)
}

// Languages are those that the index tells texts apart by, the usual one first.
func (x *Index) Languages() []terms.Language { return x.c.Languages }

// heard are the languages that queries are read in: those of the passages, the
// usual ones first.
func (x *Index) heard() []terms.Language {
	var out []terms.Language
	for _, l := range x.c.Languages {
		if x.tongues.spoken[l] > 0 {
			out = append(out, l)
		}
	}
	for _, l := range terms.Languages() {
		if x.tongues.spoken[l] > 0 && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if out == nil {
		return x.c.Languages[:1]
	}
	return out
}

// speak says of the passages of a document in which language they are, by the
// first ones of them, as Put is given them.
func (x *Index) speak(first []Passage) string {
	if len(first) == 0 {
		return ""
	}
	if _, ok := terms.ParseLanguage(first[0].TextLanguage); ok {
		return first[0].TextLanguage
	}
	if len(x.c.Languages) == 1 {
		return x.c.Languages[0].String()
	}
	const enough = 2048
	text := make([]byte, 0, enough)
	for _, p := range first {
		if text = append(append(text, p.Body...), '\n'); len(text) >= enough {
			break
		}
	}
	return terms.Detect(string(text), x.c.Languages).String()
}
