package extract

import (
	"context"
	"regexp"
	"strings"
)

// maxDeclaration is the longest line that is looked at for a declaration;
// longer ones are data or minified.
const maxDeclaration = 400

// code cuts source code at its declarations. It does not parse: it trusts
// indentation and the look of a line, so that it works on code that does not
// compile, and it can only ever put a boundary in a less useful place. Every
// line is in exactly one block.
func (t *Text) code(ctx context.Context, src string) error {
	lines := strings.Split(src, "\n")
	lang := languages[t.Format.Language]
	if lang == nil {
		return t.paragraphs(ctx, lines)
	}
	marks, err := declarations(ctx, lang, lines)
	if err != nil {
		return err
	}
	start, path := 0, []string(nil)
	for _, m := range marks {
		if m.line > start {
			t.add(Source, strings.Join(lines[start:m.line], "\n"), path, start+1)
			start = m.line
		}
		path = m.path
	}
	t.add(Source, strings.Join(lines[start:], "\n"), path, start+1)
	return nil
}

// paragraphs cuts at blank lines that are followed by a line without
// indentation.
func (t *Text) paragraphs(ctx context.Context, lines []string) error {
	start := 0
	for i, l := range lines {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if i > start && blank(lines[i-1]) && l != "" && l[0] != ' ' && l[0] != '\t' {
			t.add(Source, strings.Join(lines[start:i], "\n"), nil, start+1)
			start = i
		}
	}
	t.add(Source, strings.Join(lines[start:], "\n"), nil, start+1)
	return nil
}

// mark is a line at which the enclosing declarations change.
type mark struct {
	line int
	path []string
}

type scope struct {
	indent    int
	name      string
	container bool
}

func declarations(ctx context.Context, lang *language, lines []string) ([]mark, error) {
	var marks []mark
	var open []scope
	put := func(line int) {
		path := make([]string, 0, len(open))
		for _, s := range open {
			path = append(path, s.name)
		}
		if n := len(marks); n > 0 && marks[n-1].line == line {
			marks[n-1].path = path
			return
		}
		marks = append(marks, mark{line, path})
	}
	for i, l := range lines {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		text := strings.TrimLeft(l, " \t")
		if text == "" || continues(text) || lang.leads(text) {
			continue
		}
		indent := width(l[:len(l)-len(text)])
		changed := false
		for len(open) > 0 && indent <= open[len(open)-1].indent {
			open = open[:len(open)-1]
			changed = true
		}
		if inside := len(open) == 0 || open[len(open)-1].container; inside && len(open) < MaxPath && len(text) <= maxDeclaration {
			if name, container := lang.declares(text); name != "" {
				open = append(open, scope{indent, name, container})
				changed = true
			}
		}
		if changed {
			put(above(lang, lines, i, marks))
		}
	}
	return marks, nil
}

// above walks back over the comments and attributes that belong to the
// declaration at line i, not past the last mark.
func above(lang *language, lines []string, i int, marks []mark) int {
	floor := 0
	if len(marks) > 0 {
		floor = marks[len(marks)-1].line + 1
	}
	for i > floor && lang.leads(strings.TrimLeft(lines[i-1], " \t")) {
		i--
	}
	return i
}

// leads reports whether the line is a comment or an attribute.
func (l *language) leads(text string) bool {
	for _, c := range l.comments {
		if strings.HasPrefix(text, c) {
			return true
		}
	}
	return false
}

// continues reports whether the line closes or goes on with what is open,
// although its indentation says otherwise.
func continues(text string) bool {
	switch text[0] {
	case '}', ')', ']', '{':
		return true
	}
	first, _, _ := strings.Cut(text, " ")
	switch strings.TrimRight(first, ";") {
	case "end", "else", "else:", "elif", "except", "except:", "finally:", "fi", "done", "esac":
		return true
	}
	return false
}

// keywords look like calls or declarations and are neither.
var keywords = map[string]bool{"if": true, "for": true, "while": true, "switch": true, "catch": true, "return": true, "else": true, "do": true,
	"throw": true, "new": true, "using": true, "lock": true, "foreach": true, "sizeof": true, "typeof": true, "await": true, "yield": true, "super": true, "this": true}

func (l *language) declares(text string) (name string, container bool) {
	for _, group := range []struct {
		res       []*regexp.Regexp
		container bool
	}{{l.containers(), true}, {l.units(), false}} {
		for _, re := range group.res {
			m := re.FindStringSubmatch(text)
			if m == nil {
				continue
			}
			name := strings.TrimSpace(m[re.SubexpIndex("name")])
			first, _, _ := strings.Cut(text, " ")
			if name == "" || keywords[name] || keywords[first] {
				continue
			}
			if i := re.SubexpIndex("recv"); i >= 0 && m[i] != "" {
				name = m[i] + "." + name
			}
			return oneLine(name, 120), group.container
		}
	}
	return "", false
}

func width(indent string) int {
	n := 0
	for _, c := range indent {
		if c == '\t' {
			n += 4
		} else {
			n++
		}
	}
	return n
}

func blank(l string) bool { return strings.TrimSpace(l) == "" }
