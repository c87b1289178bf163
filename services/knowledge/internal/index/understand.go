package index

import (
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/query"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// The labels under which lexical finds what is said of a passage.
const (
	symbolLabel   = "symbol\x00"
	pathLabel     = "path\x00"
	sourceLabel   = "source\x00"
	languageLabel = "lang\x00"
)

func labels(a terms.Reader, p Passage) []string {
	var out []string
	for _, t := range a.Analyze(p.Symbol).Terms {
		out = append(out, symbolLabel+t)
	}
	for _, t := range a.Analyze(p.Source).Terms {
		out = append(out, pathLabel+t)
	}
	if p.Source != "" {
		s := terms.Fold(p.Source)
		out = append(out, sourceLabel+s)
		if i := strings.LastIndexByte(s, '/'); i >= 0 && i+1 < len(s) {
			out = append(out, sourceLabel+s[i+1:])
		}
	}
	if p.Language != "" {
		out = append(out, languageLabel+terms.Fold(p.Language))
	}
	return out
}

// Most terms that a prefix or a fuzzy word stands for in texts, and most names
// that one stands for in a condition.
const (
	maxWords = 128
	maxNames = 1 << 14
)

// reading is a query as one state of the index understands it.
type reading struct {
	x      *Index
	words  []string // that rank
	groups []lexical.Group
	terms  []string // words, and what the groups stand for
	heard  []terms.Language
	wild   map[string][]string
}

func (x *Index) read(q query.Query) *reading {
	r := &reading{x: x, heard: x.heard(), wild: map[string][]string{}}
	q.Root.Wanted(func(n query.Node) {
		switch {
		case n.Field != "" && n.Field != query.Title:
		case n.Kind == query.Prefix || n.Kind == query.Fuzzy:
			expanded := r.expand(n)
			n.Occur = query.Optional
			r.groups = append(r.groups, x.lex.Gather(n.String(), expanded))
			r.terms = append(r.terms, expanded...)
		default:
			r.say(x.a.Variants(n.Text, r.heard))
		}
	})
	r.terms = append(r.terms, r.words...)
	return r
}

// say takes words into the query. What a word is in several languages is one
// word.
func (r *reading) say(words [][]string) {
	for _, variants := range words {
		if len(variants) == 1 {
			r.words = append(r.words, variants[0])
			continue
		}
		r.groups = append(r.groups, r.x.lex.Gather(strings.Join(variants, "|"), variants))
		r.terms = append(r.terms, variants...)
	}
}

// bounds is the passages that meet every condition of the query, whatever else
// they say; nil when there is none. They hold for every leg.
func (r *reading) bounds(root query.Node) *bitmap.Set {
	var sets []*bitmap.Set
	for _, n := range root.Nodes {
		if n.Occur == query.Required {
			if s, ok := r.match(n); ok {
				sets = append(sets, s)
			}
		}
	}
	var out *bitmap.Set
	if len(sets) > 0 {
		out = bitmap.And(sets...)
	}
	for _, n := range root.Nodes {
		if n.Occur == query.Excluded {
			if s, ok := r.match(n); ok {
				if out == nil {
					out = r.x.lex.Alive()
				}
				out = bitmap.Minus(out, s)
			}
		}
	}
	return out
}

// match is the passages that match a node; ok is false when it asks for
// nothing that could be looked up.
func (r *reading) match(n query.Node) (s *bitmap.Set, ok bool) {
	if n.Kind != query.Group {
		return r.leaf(n)
	}
	s = r.bounds(n)
	var some []*bitmap.Set
	for _, c := range n.Nodes {
		if c.Occur == query.Required {
			return s, s != nil
		}
		if c.Occur == query.Optional {
			if m, ok := r.match(c); ok {
				some = append(some, m)
			}
		}
	}
	if len(some) > 0 {
		if s == nil {
			return bitmap.Union(some...), true
		}
		s = bitmap.And(s, bitmap.Union(some...))
	}
	return s, s != nil
}

func (r *reading) leaf(n query.Node) (*bitmap.Set, bool) {
	x := r.x
	switch n.Field {
	case query.Category:
		return x.named('k', n), true
	case query.Collection:
		return x.named('c', n), true
	}
	label := labelOf(n.Field)
	inTitle := n.Field == query.Title
	if n.Kind == query.Prefix || n.Kind == query.Fuzzy {
		return x.lex.Having(inTitle, r.expand(n)...), true
	}
	if label == sourceLabel || label == languageLabel {
		return x.lex.Having(false, label+terms.Fold(n.Text)), true
	}
	if n.Kind == query.Phrase && label == "" {
		return r.phrase(inTitle, n.Text)
	}
	words := x.a.Variants(n.Text, r.heard)
	switch {
	case len(words) == 0:
		return nil, false
	case n.Kind == query.Words:
		return x.lex.Having(inTitle, slices.Concat(words...)...), true
	}
	all := make([]*bitmap.Set, len(words))
	for i, variants := range words {
		labelled := make([]string, len(variants))
		for j, t := range variants {
			labelled[j] = label + t
		}
		all[i] = x.lex.Having(inTitle, labelled...)
	}
	return bitmap.And(all...), true
}

// phrase is the passages that have a phrase in any of the languages.
func (r *reading) phrase(inTitle bool, text string) (*bitmap.Set, bool) {
	var sets []*bitmap.Set
	for _, l := range r.heard {
		if a := r.x.a.In(l).Analyze(text); len(a.Terms) > 0 {
			sets = append(sets, r.x.lex.Phrase(inTitle, lexical.Field(a)))
		}
	}
	if len(sets) == 0 {
		return nil, false
	}
	return bitmap.Union(sets...), true
}

func labelOf(field string) string {
	switch field {
	case query.Symbol:
		return symbolLabel
	case query.Path:
		return pathLabel
	case query.Source:
		return sourceLabel
	case query.Language:
		return languageLabel
	}
	return ""
}

// named is the passages of the categories or collections of a name, whose case
// does not matter.
func (x *Index) named(field byte, n query.Node) *bitmap.Set {
	fits := func(v string) bool { return strings.EqualFold(v, n.Text) }
	switch n.Kind {
	case query.Prefix:
		fits = func(v string) bool { return strings.HasPrefix(terms.Fold(v), terms.Fold(n.Text)) }
	case query.Fuzzy:
		near := query.Near(terms.Fold(n.Text), n.Distance)
		fits = func(v string) bool { return near(terms.Fold(v)) }
	}
	var sets []*bitmap.Set
	for f, s := range x.facets {
		if f.field == field && fits(f.value) {
			sets = append(sets, s)
		}
	}
	return bitmap.Union(sets...)
}

// expand is the terms that a prefix or a fuzzy word stands for, with their
// label.
func (r *reading) expand(n query.Node) []string {
	n.Occur = query.Optional
	key := n.String()
	if out, ok := r.wild[key]; ok {
		return out
	}
	label, limit := labelOf(n.Field), maxWords
	if label != "" {
		limit = maxNames
	}
	word := terms.Fold(n.Text)
	var stems []string
	if label != sourceLabel && label != languageLabel {
		// Texts have stems: embedding* is to find what embeddings became, too.
		if words := r.x.a.Variants(n.Text, r.heard); len(words) == 1 {
			stems = words[0]
		}
	}
	near := func(t string) bool { return strings.HasPrefix(t, word) || slices.Contains(stems, t) }
	if n.Kind == query.Fuzzy {
		like := []func(string) bool{query.Near(word, n.Distance)}
		for _, s := range stems {
			if s != word {
				like = append(like, query.Near(s, n.Distance))
			}
		}
		near = func(t string) bool {
			return slices.ContainsFunc(like, func(f func(string) bool) bool { return f(t) })
		}
	}
	out := r.x.lex.Expand(label, limit, near)
	r.wild[key] = out
	return out
}
