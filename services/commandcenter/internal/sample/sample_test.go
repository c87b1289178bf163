package sample

import (
	"strings"
	"testing"
)

func TestBuiltInDocumentsAreMarkdownWithATitle(t *testing.T) {
	t.Parallel()
	docs, err := Documents()
	if err != nil || len(docs) < 3 {
		t.Fatalf("%d documents, err %v", len(docs), err)
	}
	for _, d := range docs {
		if !strings.HasSuffix(d.Name, ".md") || strings.Contains(d.Name, "/") || !strings.HasPrefix(string(d.Data), "# ") {
			t.Errorf("%s: want a Markdown file with a title", d.Name)
		}
	}
}

func TestTheRepositoryIsRecognised(t *testing.T) {
	t.Parallel()
	if !IsRepository("../../../..") {
		t.Error("the root of this repository is not recognised")
	}
	if IsRepository(t.TempDir()) {
		t.Error("an empty folder is taken for the repository")
	}
}
