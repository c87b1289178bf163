package template

import (
	"embed"
	"fmt"
	"strings"
)

// Template is a way to begin.
type Template struct {
	Name        string
	Title       string
	Description string
	Model       string // of embeddings, that suits it
	Documents   []Document
}

// Document is one of its samples.
type Document struct {
	Source  string // under which it is kept, the same each time
	Title   string
	Content string // Markdown
}

// Category is that of all samples, so that they are found, and removed, together.
const Category = "template"

//go:embed documents
var files embed.FS

// all are the templates, by the names that KnowledgeBeast gave them.
var all = []Template{
	{
		Name: "ai-research", Title: "AI research", Model: "all-mpnet-base-v2", Documents: []Document{{Source: "paper"}, {Source: "experiment"}},
		Description: "Papers, notes and experiments: a larger model, which tells close ideas apart.",
	},
	{
		Name: "code-search", Title: "Code search", Model: "all-MiniLM-L6-v2", Documents: []Document{{Source: "sources"}, {Source: "decision"}},
		Description: "Source code and what was decided about it: a small, fast model beside the search by symbols and words.",
	},
	{
		Name: "documentation", Title: "Documentation", Model: "all-MiniLM-L6-v2", Documents: []Document{{Source: "guide"}, {Source: "reference"}},
		Description: "Guides and references of a product.",
	},
	{
		Name: "support-kb", Title: "Support", Model: "all-MiniLM-L6-v2", Documents: []Document{{Source: "article"}, {Source: "known-issue"}},
		Description: "Articles and known issues for who answers questions of customers.",
	},
}

// All are the templates.
func All() ([]Template, error) {
	out := make([]Template, 0, len(all))
	for _, t := range all {
		docs := make([]Document, 0, len(t.Documents))
		for _, d := range t.Documents {
			name := t.Name + "/" + d.Source + ".md"
			text, err := files.ReadFile("documents/" + name)
			if err != nil {
				return nil, fmt.Errorf("template %s: %w", t.Name, err)
			}
			title, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
			docs = append(docs, Document{Source: "template/" + name, Title: title, Content: string(text)})
		}
		t.Documents = docs
		out = append(out, t)
	}
	return out, nil
}

// Choose is the model to choose for t where the instance has first as its own and
// offers others: "" is that of the instance. It is false where t's is not offered.
func (t Template) Choose(first string, others []string) (model string, offered bool) {
	if t.Model == first {
		return "", true
	}
	for _, m := range others {
		if m == t.Model {
			return m, true
		}
	}
	return "", false
}
