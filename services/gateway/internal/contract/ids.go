package contract

import (
	"errors"
	"slices"
	"strings"
	"unicode"
)

// operationIDs has a schema take the operationIds of the contract, and the words of
// also: names of operations that are not called over HTTP.
func (c *compiler) operationIDs(s *schema, also any) error {
	words, ok := also.([]any)
	if !ok || s.kind != kString || s.enum != nil {
		return errors.New("want a list of further names, on a string without an enum")
	}
	for _, w := range words {
		name, err := text(w)
		if err != nil {
			return err
		}
		s.enum = append(s.enum, name)
	}
	s.opID = true
	c.ids = append(c.ids, s)
	return nil
}

// name gives those schemas the operationIds, now that all are known.
func (c *compiler) name(ops []*Operation) {
	for _, s := range c.ids {
		for _, o := range ops {
			s.enum = append(s.enum, o.ID)
		}
		slices.Sort(s.enum)
		s.enum = slices.Compact(s.enum)
	}
}

// near is how many names a refusal proposes.
const near = 3

// checkOperationID refuses what no operation is called, and says what was likely
// meant: the names that begin the same way, or have a word in common.
func (s *schema) checkOperationID(v any, at *loc, f *faults) {
	said, ok := v.(string)
	if !ok || slices.Contains(s.enum, said) {
		return
	}
	msg := "No operation is called that."
	if likely := s.likely(said); len(likely) > 0 {
		msg += " Did you mean " + orList(likely) + "?"
	}
	f.add(at, "enum", msg+" Their names are the operationIds in /docs", s.shown(v),
		map[string]any{"expected": strings.Join(s.enum, ", ")})
}

func (s *schema) likely(said string) []string {
	type guess struct {
		name  string
		score int
	}
	var all []guess
	for _, name := range s.enum {
		score := 2 * common(strings.ToLower(name), strings.ToLower(said))
		for _, w := range camel(name) {
			if len(w) > 3 && strings.Contains(strings.ToLower(said), w) {
				score += len(w)
			}
		}
		if score >= 6 {
			all = append(all, guess{name, score})
		}
	}
	slices.SortStableFunc(all, func(a, b guess) int { return b.score - a.score })
	var out []string
	for _, g := range all[:min(len(all), near)] {
		out = append(out, "'"+g.name+"'")
	}
	return out
}

// common is how many bytes two texts begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// camel are the words of a name, in lower case.
func camel(name string) (words []string) {
	begin := 0
	for i, r := range name {
		if unicode.IsUpper(r) && i > begin {
			words = append(words, strings.ToLower(name[begin:i]))
			begin = i
		}
	}
	return append(words, strings.ToLower(name[begin:]))
}
