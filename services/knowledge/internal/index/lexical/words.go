package lexical

import (
	"bytes"
	"encoding/binary"
	"sort"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// The order of a passage's words is kept as numbers: its title, a zero, its
// body. Stop words, which are frequent, have the small ones, and the numbers
// of terms follow; frequent terms came early. Names that stand beside their
// parts are left out, so that words next to each other in the text are so here.

const firstTerm = terms.NumStops + 1

// sequence calls yield for the words of f in order, a term by its place in f.
func (f Field) sequence(stop func(number uint64), term func(place int)) {
	names, stops := f.Names, f.Stops
	for i := 0; i <= len(f.Terms); i++ {
		for len(stops) > 0 && int(stops[0].At) == i {
			stop(uint64(stops[0].Number) + 1)
			stops = stops[1:]
		}
		if len(names) > 0 && int(names[0]) == i {
			names = names[1:]
			continue
		}
		if i < len(f.Terms) {
			term(i)
		}
	}
}

func (x *Index) write(title, body Field) []byte {
	b := make([]byte, 0, 2*(len(title.Terms)+len(body.Terms))+1)
	for i, f := range []Field{title, body} {
		if i > 0 {
			b = append(b, 0)
		}
		f.sequence(func(n uint64) { b = binary.AppendUvarint(b, n) },
			func(i int) { b = binary.AppendUvarint(b, uint64(x.ids[f.Terms[i]])+firstTerm) })
	}
	return append(make([]byte, 0, len(b)), b...)
}

func renumber(order []byte, to []uint32) []byte {
	out := make([]byte, 0, len(order))
	for len(order) > 0 {
		v, n := binary.Uvarint(order)
		order = order[n:]
		if v >= firstTerm {
			v = uint64(to[v-firstTerm]) + firstTerm
		}
		out = binary.AppendUvarint(out, v)
	}
	return out
}

// Alive is the passages that are there.
func (x *Index) Alive() *bitmap.Set { return &x.alive }

// Group is several terms that a query takes for one.
type Group struct {
	Name string
	list []posting
}

// Gather makes a group. The terms are told apart no more: a passage that has
// two of them has the group twice.
func (x *Index) Gather(name string, words []string) Group {
	var lists [][]posting
	for _, t := range words {
		if id, ok := x.ids[t]; ok {
			lists = append(lists, x.terms[id].list)
		}
	}
	// Two by two, the lists are joined into one, in order: log(words) looks at
	// each posting.
	for len(lists) > 1 {
		half := lists[:0]
		for i := 0; i < len(lists); i += 2 {
			if i+1 == len(lists) {
				half = append(half, lists[i])
			} else {
				half = append(half, union(lists[i], lists[i+1]))
			}
		}
		lists = half
	}
	g := Group{Name: name}
	if len(lists) == 1 {
		g.list = lists[0]
	}
	return g
}

func union(a, b []posting) []posting {
	out := make([]posting, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch p, q := a[0], b[0]; {
		case p.slot < q.slot:
			out, a = append(out, p), a[1:]
		case q.slot < p.slot:
			out, b = append(out, q), b[1:]
		default:
			p.body, p.title = more(p.body, q.body), more(p.title, q.title)
			out, a, b = append(out, p), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func more(a, b uint16) uint16 {
	if a+b < a {
		return ^uint16(0)
	}
	return a + b
}

// Having is the passages that have any of the terms, in the title if so asked.
// Those that were removed may be among them.
func (x *Index) Having(inTitle bool, words ...string) *bitmap.Set {
	out := &bitmap.Set{}
	for _, t := range words {
		if id, ok := x.ids[t]; ok {
			for _, p := range x.terms[id].list {
				if !inTitle || p.title > 0 {
					out.Add(p.slot)
				}
			}
		}
	}
	return out
}

// Phrase is the passages that have the terms of f, and its words next to each
// other in their order.
func (x *Index) Phrase(inTitle bool, f Field) *bitmap.Set {
	all := make([]*bitmap.Set, 0, len(f.Terms)+1)
	for _, t := range f.Terms {
		all = append(all, x.Having(inTitle, t))
	}
	// The numbers are compared as they are written: the bytes of a phrase are
	// found in those of a passage where they begin with a number of their own.
	var want []byte
	words := 0
	f.sequence(func(n uint64) {
		want = binary.AppendUvarint(want, n)
		words++
	}, func(i int) {
		want = binary.AppendUvarint(want, uint64(x.ids[f.Terms[i]])+firstTerm)
		words++
	})
	both := bitmap.And(append(all, &x.alive)...)
	if words < 2 {
		return both
	}
	out := &bitmap.Set{}
	both.All(func(slot uint32) bool {
		text := x.order[slot]
		if inTitle { // a zero byte is the break alone: no other number has one
			text = text[:bytes.IndexByte(text, 0)]
		}
		if contains(text, want) {
			out.Add(slot)
		}
		return true
	})
	return out
}

// contains looks for words among those of a text. The last byte of a number is
// the one without the high bit, so a match begins behind such a byte.
func contains(text, words []byte) bool {
	for from := 0; ; {
		i := bytes.Index(text[from:], words)
		if i < 0 {
			return false
		}
		if i += from; i == 0 || text[i-1] < 0x80 {
			return true
		}
		from = i + 1
	}
}

// Expand is the terms that near accepts, those of most passages first, at most
// limit. Terms with a label's prefix are seen by those who ask for it alone.
func (x *Index) Expand(label string, limit int, near func(term string) bool) []string {
	type found struct {
		name string
		df   int
	}
	var all []found
	for i := range x.terms {
		name := x.terms[i].name
		if word, ok := strings.CutPrefix(name, label); ok && near(word) && (label != "" || strings.IndexByte(name, Mark) < 0) {
			all = append(all, found{name, len(x.terms[i].list)})
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].df != all[j].df {
			return all[i].df > all[j].df
		}
		return all[i].name < all[j].name
	})
	out := make([]string, 0, min(limit, len(all)))
	for _, f := range all[:min(limit, len(all))] {
		out = append(out, f.name)
	}
	return out
}

// Mark is in every label and in no term.
const Mark = 0
