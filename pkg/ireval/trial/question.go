package trial

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/ireval"
)

// Section is a part of a document: what stands below a heading, up to the next
// one, or the whole without a heading. Headings that lead to it may stand before
// it, separated by " > ".
type Section struct {
	Source  string `json:"source"`
	Heading string `json:"heading,omitempty"`
	Grade   int    `json:"grade,omitempty"` // 0 is 1
}

// Name is what the section is called in runs and judgements.
func (s Section) Name() string {
	if s.Heading == "" {
		return s.Source
	}
	return s.Source + "#" + s.Heading
}

// Question is one that is judged.
type Question struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	Relevant []Section `json:"relevant,omitempty"`
}

// MaxQuestions is how many a file may hold.
const MaxQuestions = 100_000

// ReadQuestions reads a file of questions, one as JSON a line.
func ReadQuestions(r io.Reader) (out []Question, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	seen := map[string]bool{}
	for n := 1; s.Scan(); n++ {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		var q Question
		dec := json.NewDecoder(strings.NewReader(s.Text()))
		dec.DisallowUnknownFields()
		err := dec.Decode(&q)
		switch {
		case err != nil:
		case q.ID == "" || strings.TrimSpace(q.Text) == "" || len(q.Relevant) == 0:
			err = errors.New("id, text and relevant are needed")
		case seen[q.ID]:
			err = fmt.Errorf("question %s is there twice", q.ID)
		case len(out) == MaxQuestions:
			err = fmt.Errorf("more than %d questions", MaxQuestions)
		}
		for _, s := range q.Relevant {
			if err == nil && s.Source == "" {
				err = errors.New("a relevant section has no source")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		seen[q.ID] = true
		out = append(out, q)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("there is no question in it")
	}
	return out, nil
}

// Qrels are the judgements of questions.
func Qrels(questions []Question) ireval.Qrels {
	q := ireval.Qrels{}
	for _, x := range questions {
		for _, s := range x.Relevant {
			q.Add(x.ID, s.Name(), max(s.Grade, 1))
		}
	}
	return q
}

// Passage is what a search found.
type Passage struct {
	Source  string
	Path    []string // headings that lead to it
	Content string
}

// Naming is how passages that were found are called.
type Naming struct {
	// Bare has documents called by their source without its ending: judgements of
	// collections know documents by ids, and uploads have file names.
	Bare bool
}

// NamingOf is that of judgements: bare where they tell of whole documents whose
// names have no ending.
func NamingOf(questions []Question) Naming {
	for _, q := range questions {
		for _, s := range q.Relevant {
			if s.Heading != "" || path.Ext(s.Source) != "" {
				return Naming{}
			}
		}
	}
	return Naming{Bare: true}
}

// Names names the passages of a ranking: those of a relevant section as that is
// called, the others by source and path. A passage may be of several.
func (n Naming) Names(q Question, found []Passage) (out []string) {
	for _, p := range found {
		if n.Bare {
			out = append(out, strings.TrimSuffix(p.Source, path.Ext(p.Source)))
			continue
		}
		above, inside := headings(p)
		any := false
		for _, s := range q.Relevant {
			if s.Source == p.Source && leads(above, inside, s.Heading) {
				out, any = append(out, s.Name()), true
			}
		}
		if !any {
			out = append(out, Section{Source: p.Source, Heading: strings.Join(p.Path, " > ")}.Name())
		}
	}
	return out
}

// headings are those above a passage, and those within it: a chunk may hold
// several small sections.
func headings(p Passage) (above, within []string) {
	for _, h := range p.Path {
		above = append(above, plain(h))
	}
	for l := range strings.Lines(p.Content) {
		if text := strings.TrimLeft(l, "#"); text != l && strings.HasPrefix(text, " ") {
			within = append(within, plain(text))
		}
	}
	return above, within
}

// leads reports whether the passage has text of the section want.
func leads(above, within []string, want string) bool {
	if want == "" {
		return true
	}
	parts := strings.Split(want, " > ")
	for i := range parts {
		parts[i] = plain(parts[i])
	}
	last := parts[len(parts)-1]
	if !slices.Contains(within, last) && (len(above) == 0 || above[len(above)-1] != last) {
		return false
	}
	for _, h := range slices.Concat(above, within) {
		if len(parts) > 0 && h == parts[0] {
			parts = parts[1:]
		}
	}
	return len(parts) == 0
}

// plain is a heading without its markup.
func plain(h string) string {
	return strings.ToLower(strings.Join(strings.Fields(strings.NewReplacer("`", "", "*", "", "_", "").Replace(h)), " "))
}
