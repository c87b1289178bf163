package document_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
)

func TestWhatWouldBeKeptUnderOtherNamesWasNotKept(t *testing.T) {
	t.Parallel()
	good := document.Submission{Collection: "team", Source: "a/f.md", Title: "  a  title ", Category: "docs"}
	if err := good.Kept(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(s *document.Submission){
		"source": func(s *document.Submission) { s.Source = "../f.md" }, "category": func(s *document.Submission) { s.Category = "docs " },
		"collection": func(s *document.Submission) { s.Collection = "" }, "file": func(s *document.Submission) { s.Source = strings.Repeat("x", 2000) },
	} {
		s := good
		change(&s)
		if err := s.Kept(); errs.KindOf(err) != errs.Invalid || !strings.HasPrefix(errs.As(err).Public(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
