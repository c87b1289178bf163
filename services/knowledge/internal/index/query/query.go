package query

import (
	"strconv"
	"strings"
)

// Kind is what a node asks for.
type Kind uint8

// The kinds.
const (
	Words  Kind = iota // plain text, any of whose words matches
	Word               // one name, all of whose parts must be there
	Phrase             // words in order
	Prefix             // a word that begins so
	Fuzzy              // a word that is spelled nearly so
	Group              // of nodes
)

// Occur says what a node means to the group that it is in.
type Occur uint8

// The ways to occur. A group matches when all its required nodes do, none of
// its excluded ones does, and, when none is required, one of the others does.
const (
	Optional Occur = iota
	Required
	Excluded
)

// The fields. No field is title and body.
const (
	Title      = "title"
	Symbol     = "symbol"
	Path       = "path"
	Source     = "source"
	Category   = "category"
	Collection = "collection"
	Language   = "lang"
)

// Node is a part of a query.
type Node struct {
	Occur    Occur
	Kind     Kind
	Field    string
	Text     string
	Distance int // of Fuzzy, 1 or 2
	Nodes    []Node
}

// Query is a text as understood. Root is a group.
type Query struct {
	Text  string
	Root  Node
	Plain bool // a sentence without operators
}

// Bounds of a query; what is beyond them is read as plain words.
const (
	MaxNodes = 64
	MaxDepth = 12
	MaxWild  = 8 // prefixes and fuzzy words
)

// String is the query in canonical marks, for people. It reads back as the
// same query.
func (q Query) String() string {
	if q.Plain {
		return strings.Join(strings.Fields(q.Text), " ")
	}
	return q.Root.join()
}

func (n Node) join() string {
	parts := make([]string, len(n.Nodes))
	for i, c := range n.Nodes {
		parts[i] = c.String()
	}
	return strings.Join(parts, " ")
}

// String is the node in canonical marks.
func (n Node) String() string {
	var b strings.Builder
	switch n.Occur {
	case Required:
		if n.Kind != Phrase && n.Field == "" || n.Kind == Group {
			b.WriteByte('+')
		}
	case Excluded:
		b.WriteByte('-')
	}
	if n.Field != "" {
		b.WriteString(n.Field + ":")
	}
	quoted := n.Kind == Phrase || n.Field != "" && strings.ContainsAny(n.Text, " \t\n()")
	switch {
	case n.Kind == Group && either(n):
		alternatives := make([]string, len(n.Nodes))
		for i, c := range n.Nodes {
			alternatives[i] = c.String()
		}
		b.WriteString("(" + strings.Join(alternatives, " OR ") + ")")
	case n.Kind == Group:
		b.WriteString("(" + n.join() + ")")
	case quoted:
		b.WriteString(`"` + n.Text + `"`)
	default:
		b.WriteString(n.Text)
	}
	switch n.Kind {
	case Prefix:
		b.WriteByte('*')
	case Fuzzy:
		b.WriteString("~" + strconv.Itoa(n.Distance))
	}
	return b.String()
}

// either reports whether a group is one of alternatives.
func either(n Node) bool {
	for _, c := range n.Nodes {
		if c.Occur != Optional {
			return false
		}
	}
	return len(n.Nodes) > 1
}

// Topic is what the query is about, as a text to embed: everything wanted but
// for where it is to be found. It is empty when there are conditions alone.
func (q Query) Topic() string {
	if q.Plain {
		return q.Text
	}
	var out []string
	q.Root.Wanted(func(n Node) {
		if n.Field == "" || n.Field == Title || n.Field == Symbol {
			out = append(out, n.Text)
		}
	})
	return strings.Join(out, " ")
}

// Wanted calls yield for the leaves that no exclusion is above of, in the order
// of the text.
func (n Node) Wanted(yield func(Node)) {
	switch {
	case n.Occur == Excluded:
	case n.Kind != Group:
		yield(n)
	default:
		for _, c := range n.Nodes {
			c.Wanted(yield)
		}
	}
}
