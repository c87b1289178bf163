package query

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type sign uint8

const (
	leaf sign = iota
	open
	shut
	and
	or
	not
	plus
	minus
)

type token struct {
	sign sign
	node Node
}

// Parse reads a text.
func Parse(text string) Query {
	q := Query{Text: text, Root: Node{Kind: Group}}
	tokens, marked := scan(text)
	if marked {
		p := parser{tokens: tokens}
		for p.at < len(p.tokens) {
			q.Root.Nodes = append(q.Root.Nodes, p.sequence(0)...)
			p.at++ // past a parenthesis that nothing opened
		}
		q.Root.Nodes = merge(q.Root.Nodes)
	}
	if marked = false; len(q.Root.Nodes) > 0 {
		for _, n := range q.Root.Nodes {
			marked = marked || n.Kind != Words
		}
	}
	if !marked {
		q.Plain = true
		q.Root.Nodes = []Node{{Kind: Words, Text: text}}
	}
	return q
}

// scan cuts text into tokens. marked is false when there is no mark among them
// that could mean anything.
func scan(text string) (tokens []token, marked bool) {
	spoken := strings.ContainsFunc(text, unicode.IsLower)
	wild := 0
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimLeftFunc(rest, unicode.IsSpace) {
		if len(tokens) >= 2*MaxNodes { // the rest is words
			tokens = append(tokens, token{node: Node{Kind: Words, Text: plain(rest)}})
			break
		}
		var t token
		n := 1
		switch c := rest[0]; {
		case c == '(':
			t.sign = open
		case c == ')':
			t.sign = shut
		case (c == '+' || c == '-') && operand(rest[1:]):
			t.sign = plus
			if c == '-' {
				t.sign = minus
			}
			marked = true
		default:
			t, n = atom(rest, spoken, &wild)
			if t.sign == leaf && t.node.Text == "" {
				rest = rest[n:]
				continue
			}
			marked = marked || t.sign != leaf || t.node.Kind != Words || t.node.Field != ""
		}
		tokens = append(tokens, t)
		rest = rest[n:]
	}
	return tokens, marked
}

// operand reports whether a sign can stand before s: -5 is a number and --flag
// a flag.
func operand(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return r == '"' && strings.Contains(s[1:], `"`) || r == '(' || r == '_' || unicode.IsLetter(r)
}

// plain takes away what would be a mark in a canonical text.
func plain(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`"()`, r) }), " ")
}

// atom reads a word, a phrase, a field with either, or an operator in letters.
// n is what it took.
func atom(s string, spoken bool, wild *int) (t token, n int) {
	if text, n := quoted(s); n > 0 {
		return token{node: Node{Kind: Phrase, Text: text}}, n
	}
	if s[0] == '"' {
		return token{}, 1
	}
	if i := strings.IndexByte(s, ':'); i > 0 && i+1 < len(s) {
		switch f := s[:i]; f {
		case Title, Symbol, Path, Source, Category, Collection, Language:
			value := s[i+1:]
			if text, n := quoted(value); n > 0 {
				return token{node: Node{Kind: Phrase, Field: f, Text: text}}, i + 1 + n
			}
			if e := end(value); e > 0 && value[0] != ':' {
				node := shape(value[:e], wild)
				if node.Kind == Words {
					node.Kind = Word
				}
				node.Field = f
				return token{node: node}, i + 1 + e
			}
		}
	}
	e := end(s)
	switch w := s[:e]; {
	case w == "&&" || w == "AND" && spoken:
		return token{sign: and}, e
	case w == "||" || w == "OR" && spoken:
		return token{sign: or}, e
	case w == "NOT" && spoken:
		return token{sign: not}, e
	}
	return token{node: shape(s[:e], wild)}, e
}

func quoted(s string) (text string, n int) {
	if s == "" || s[0] != '"' {
		return "", 0
	}
	i := strings.IndexByte(s[1:], '"')
	if i < 0 || strings.TrimSpace(s[1:1+i]) == "" {
		return "", 0
	}
	return strings.Join(strings.Fields(s[1:1+i]), " "), i + 2
}

func end(s string) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`"()`, r) }); i >= 0 {
		return i
	}
	return len(s)
}

// shape tells a prefix and a fuzzy word from a plain one.
func shape(w string, wild *int) Node {
	s := strings.TrimRight(w, ",;.!?")
	if *wild < MaxWild {
		if stem, ok := strings.CutSuffix(s, "*"); ok && letters(stem) >= 2 {
			*wild++
			return Node{Kind: Prefix, Text: stem}
		}
		if stem, d, ok := strings.Cut(s, "~"); ok && letters(stem) >= 3 {
			distance := map[string]int{"1": 1, "2": 2}[d]
			if d == "" {
				distance = 1
				if letters(stem) > 5 {
					distance = 2
				}
			}
			if distance > 0 {
				*wild++
				return Node{Kind: Fuzzy, Text: stem, Distance: distance}
			}
		}
	}
	return Node{Kind: Words, Text: w}
}

// letters counts the letters and digits of a word, 0 when there are marks in
// it that are not a name's.
func letters(w string) int {
	n := 0
	for _, r := range w {
		switch {
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			n++
		case !strings.ContainsRune("_-./\\:'’@#+", r):
			return 0
		}
	}
	return n
}

// parser goes over the tokens of a text with marks. NOT binds tighter than AND,
// AND than OR, OR than standing side by side.
type parser struct {
	tokens []token
	at     int
	nodes  int
}

func (p *parser) peek() (sign, bool) {
	if p.at < len(p.tokens) {
		return p.tokens[p.at].sign, true
	}
	return 0, false
}

// sequence reads up to the end or a closing parenthesis.
func (p *parser) sequence(depth int) (out []Node) {
	for {
		s, ok := p.peek()
		if !ok || s == shut {
			return merge(out)
		}
		if s == and || s == or { // before any operand
			p.at++
			continue
		}
		if n, ok := p.alternatives(depth); ok {
			out = append(out, n)
		}
	}
}

// merge makes one text of plain words that stand side by side.
func merge(ns []Node) (out []Node) {
	for _, n := range ns {
		if last := len(out) - 1; n.Kind == Words && last >= 0 && out[last].Kind == Words {
			out[last].Text += " " + n.Text
			continue
		}
		out = append(out, n)
	}
	return out
}

func (p *parser) alternatives(depth int) (Node, bool) {
	return p.joined(or, func() (Node, bool) {
		return p.joined(and, func() (Node, bool) { return p.signed(depth) }, func(n Node) Node {
			if n.Occur == Optional {
				n.Occur = Required
			}
			return n
		})
	}, func(n Node) Node {
		if n.Occur == Excluded {
			return Node{Kind: Group, Nodes: []Node{n}}
		}
		n.Occur = Optional
		return n
	})
}

// joined reads operands with op between them; with says how an operand occurs
// beside others.
func (p *parser) joined(op sign, operand func() (Node, bool), with func(Node) Node) (Node, bool) {
	first, ok := operand()
	var all []Node
	for s, more := p.peek(); more && s == op; s, more = p.peek() {
		p.at++
		if next, more := p.peek(); !more || next == shut || next == op {
			continue
		}
		n, is := operand()
		switch {
		case !is:
		case !ok:
			first, ok = n, true
		default:
			if all == nil {
				all = []Node{with(exact(first))}
			}
			all = append(all, with(exact(n)))
		}
	}
	if all == nil {
		return first, ok
	}
	return Node{Kind: Group, Occur: Required, Nodes: all}, true
}

// exact makes of plain text what an operator is about: all of a name.
func exact(n Node) Node {
	if n.Kind == Words {
		n.Kind = Word
	}
	return n
}

func (p *parser) signed(depth int) (Node, bool) {
	occur, must := Optional, false
	for s, ok := p.peek(); ok; s, ok = p.peek() {
		switch s {
		case plus:
			must = true
		case minus, not:
			must = true
			if occur = Excluded - occur; occur != Excluded {
				occur = Optional
			}
		default:
			n, ok := p.primary(depth)
			if ok && must {
				n = exact(n)
				if n.Occur = Required; occur == Excluded {
					n.Occur = Excluded
				}
			}
			return n, ok
		}
		p.at++
	}
	return Node{}, false
}

func (p *parser) primary(depth int) (Node, bool) {
	t := p.tokens[p.at]
	switch t.sign {
	case leaf:
		p.at++
		if p.nodes++; p.nodes > MaxNodes {
			return Node{Kind: Words, Text: plain(t.node.Text)}, true
		}
		if t.node.Kind == Phrase || t.node.Field != "" {
			t.node.Occur = Required
		}
		return t.node, true
	case open:
		p.at++
		if depth >= MaxDepth {
			return Node{}, false // its words count, its parentheses do not
		}
		inner := p.sequence(depth + 1)
		if s, ok := p.peek(); ok && s == shut {
			p.at++
		}
		switch {
		case len(inner) == 0:
			return Node{}, false
		case len(inner) == 1 && (inner[0].Kind != Words || !strings.Contains(inner[0].Text, " ")):
			return inner[0], true
		}
		return Node{Kind: Group, Nodes: inner}, true
	}
	return Node{}, false
}
