package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnImportSaysWhatItWouldUploadAndWhereItIsFrom(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "export.json")
	const export = `{"version": "1.0", "project": {"name": "support"}, "documents": [{"id": "1", "content": "How to reset.", "metadata": {"source": "faq.md"}}, {"id": "2", "content": ""}]}`
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cc(t, "", "knowledge", "import", file, "--dry-run")
	if code != exitOK || out != "support/faq.md\n" || !strings.Contains(errs, "has no text: support/2.md") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	for says, words := range map[string][]string{
		"name a file":   {},
		"--chroma":      {file, "--chroma", "http://localhost"},
		"no such file":  {filepath.Join(t.TempDir(), "missing")},
		"token is empt": {"--chroma", "http://localhost", "--chroma-token-file", "-"},
	} {
		if code, _, errs := cc(t, "\n", append([]string{"knowledge", "import"}, words...)...); code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%v: %d %s", words, code, errs)
		}
	}
}

func TestAnImportReadsAChromaServerWithItsToken(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"/api/v2/heartbeat": `{}`, "/collections": `[{"id": "c1", "name": "notes"}]`, "/count": "1",
		"/get": `{"ids": ["a"], "documents": ["Text."], "metadatas": [null]}`,
	}
	given := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		for end, answer := range answers {
			if !strings.HasSuffix(r.URL.Path, end) {
				continue
			}
			if end == "/get" && given {
				answer = `{"ids": [], "documents": [], "metadatas": []}`
			}
			given = given || end == "/get"
			_, _ = w.Write([]byte(answer)) // the client is gone, then
		}
	}))
	t.Cleanup(srv.Close)
	code, out, errs := cc(t, "secret\n", "knowledge", "import", "--chroma", srv.URL, "--chroma-token-file", "-", "--dry-run", "--json")
	var got struct{ Documents []struct{ Name string } }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || len(got.Documents) != 1 || got.Documents[0].Name != "notes/a.md" {
		t.Errorf("%d %v\n%s%s", code, err, out, errs)
	}
	if code, _, errs := cc(t, "", "knowledge", "import", "--chroma", srv.URL); code != exitUnavailable || !strings.Contains(errs, "--chroma-token-file") {
		t.Errorf("without a token: %d %s", code, errs)
	}
}
