package foreign_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/foreign"
)

const (
	manifest  = `{"version": "2.3.0", "project_id": "p", "project_name": "support", "document_count": 2, "has_embeddings": true, "embedding_model": "all-MiniLM-L6-v2"}`
	documents = `{"ids": ["1", "2"], "documents": ["How to reset.", null], "metadatas": [{"file_path": "faq/reset.md"}, null], "count": 2}`
	export    = `{"version": "1.0", "exported_at": "2025-11-01T00:00:00", "project": {"project_id": "p", "name": "support"},
		"documents": [{"id": "1", "content": "How to reset.", "metadata": {"file_path": "faq/reset.md"}}, {"id": "2", "content": "", "metadata": {}}], "embeddings": [{"id": "1", "vector": [0.1]}]}`
)

func zipped(t *testing.T, members map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range members {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func saved(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "old_base.export")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAnExportOfKnowledgeBeastIsReadInBothForms(t *testing.T) {
	t.Parallel()
	for form, content := range map[string][]byte{
		"ZIP":  zipped(t, map[string]string{"manifest.json": manifest, "documents.json": documents, "project.json": `{}`, "embeddings.npz": "x"}),
		"JSON": []byte(export),
	} {
		b, err := foreign.ReadFile(saved(t, content))
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if b.Name != "support" || len(b.Records) != 2 || b.Records[0].ID != "1" || b.Records[0].Text != "How to reset." || b.Records[0].Meta["file_path"] != "faq/reset.md" || b.Records[1].Text != "" {
			t.Errorf("%s: %+v", form, b)
		}
	}
	b, err := foreign.ReadFile(saved(t, []byte(`{"version": "1.0", "documents": []}`)))
	if err != nil || b.Name != "old_base" {
		t.Errorf("an export without a name is called %q, %v", b.Name, err)
	}
}

func TestAnExportThatIsNotWholeIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	whole := zipped(t, map[string]string{"manifest.json": manifest, "documents.json": documents})
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"empty":          {nil, "too short"},
		"blank":          {[]byte("     "), "neither"},
		"YAML":           {[]byte("version: '1.0'\n"), "as JSON"},
		"cut ZIP":        {whole[:len(whole)/2], "zip"},
		"no manifest":    {zipped(t, map[string]string{"documents.json": documents}), "manifest.json"},
		"no documents":   {zipped(t, map[string]string{"manifest.json": manifest}), "documents.json"},
		"another":        {zipped(t, map[string]string{"manifest.json": `{"version": "3.0"}`, "documents.json": documents}), `"3.0"`},
		"fewer":          {zipped(t, map[string]string{"manifest.json": strings.Replace(manifest, "2,", "3,", 1), "documents.json": documents}), "not whole"},
		"lists apart":    {zipped(t, map[string]string{"manifest.json": manifest, "documents.json": `{"ids": ["1"], "documents": []}`}), "belong together"},
		"two values":     {zipped(t, map[string]string{"manifest.json": manifest + "{}", "documents.json": documents}), "after its end"},
		"broken JSON":    {[]byte(`{"version": "1.0", "documents": [`), "export"},
		"another JSON":   {[]byte(`{"version": "2.0"}`), `"2.0"`},
		"no version":     {[]byte(`{"documents": []}`), `""`},
		"another object": {[]byte(`[{"id": 1}]`), "neither"},
	} {
		if _, err := foreign.ReadFile(saved(t, c.content)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	for _, name := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if _, err := foreign.ReadFile(name); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func FuzzAnExportIsReadOrRefused(f *testing.F) {
	f.Add([]byte(export))
	f.Add([]byte(`{"version": "1.0", "documents": [{"id": "1", "content": "x", "metadata": {"chunk_index": 1, "source": "a"}}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		b, err := foreign.ReadFile(saved(t, content))
		if err != nil {
			return
		}
		files, skipped := b.Documents()
		if len(files)+len(skipped) > len(b.Records) {
			t.Errorf("%d records became %d files and %d left out", len(b.Records), len(files), len(skipped))
		}
		for _, x := range files {
			if x.Size == 0 || len(x.Name) > 1024 || strings.Contains(x.Name, "../") {
				t.Errorf("%q of %d bytes", x.Name, x.Size)
			}
		}
	})
}
