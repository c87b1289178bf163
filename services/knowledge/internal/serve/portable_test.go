package serve_test

import (
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/serve"
)

func TestADocumentThatNobodyCouldHaveKeptIsRefused(t *testing.T) {
	t.Parallel()
	row := func(more string) []byte {
		return []byte(`{"id":1,"collection":"c","source":"a/f.md","title":"f","category":"x","sha256":"ab","version":1,"size":0,"chunks":0,"state":"failed",` +
			`"repository_id":null,"technology_id":3,"created_at":"2026-01-02T03:04:05Z"` + more + "}")
	}
	for more, want := range map[string]string{
		``: "", `,"title":""`: "",
		`,"id":0`: "id: 0 is none", `,"repository_id":-1`: "repository_id", `,"technology_id":0`: "technology_id", `,"version":0`: "version", `,"size":-1`: "size", `,"chunks":-1`: "chunks",
		`,"state":"sold"`: `state: "sold"`, `,"sha256":""`: "sha256", `,"created_at":"1969-12-31T00:00:00Z"`: "created_at", `,"created_at":"2999-12-31T00:00:00Z"`: "created_at",
		`,"created_at":"yesterday"`: "cannot be read", `,"category":""`: "category", `,"category":" x"`: "category", `,"collection":"c "`: "collection",
		`,"source":"../f.md"`: "source", `,"title":"a\u0000b"`: "title", `,"title":5`: "cannot be read",
	} {
		err := serve.CheckDocument(row(more))
		if (err == nil) != (want == "") || err != nil && (errs.KindOf(err) != errs.Invalid || !strings.Contains(errs.As(err).Public(), want)) {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
}
