package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestASearchByWordsAloneSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		used string
		says bool
	}{
		"for people":                {nil, "keyword", true},
		"for programs":              {[]string{"--json"}, "keyword", true},
		"not when it was asked for": {[]string{"--mode", "keyword"}, "keyword", false},
		"not when nothing is amiss": {[]string{"--json"}, "hybrid", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			t.Setenv("CC_TOKEN", "a.b.c")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("CC-Search-Mode", c.used)
				if c.used != "hybrid" {
					w.Header().Set("CC-Search-Degraded", "the model is not fetched yet")
				}
				_, err := io.WriteString(w, "[]")
				if err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			var out, errs bytes.Buffer
			code := Run(t.Context(), append([]string{"search", "x", "--server", server.URL, "--data-dir", t.TempDir()}, c.args...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if code != 0 || strings.Contains(errs.String(), "mode keyword: the model is not fetched yet") != c.says {
				t.Errorf("%d, %s%s", code, out.String(), errs.String())
			}
			if len(c.args) == 1 && strings.TrimSpace(out.String()) != "[]" {
				t.Errorf("programs read %q", out.String())
			}
		})
	}
}

func TestOneAddressIsNotForManyProcesses(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	code := Run(t.Context(), []string{"up", "--split", "--ops", "127.0.0.1:9100", "--data-dir", t.TempDir()}, Streams{In: strings.NewReader(""), Out: io.Discard, Err: &errs})
	if code != exitUsage || !strings.Contains(errs.String(), "serve SERVICE --ops") {
		t.Errorf("%d, %s", code, errs.String())
	}
}

func TestASearchThatFindsNothingSaysWhatMayBeTheReason(t *testing.T) {
	const document = `{"id":1,"title":"","filename":"","category":"","collection":"","content_type":"","file_size":1,"sha256":"","version":1,"chunks":0,"chunks_embedded":0,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","state":`
	for name, c := range map[string]struct{ documents, says string }{
		"no documents":   {`{"items":[],"total":0,"skip":0,"limit":100}`, "The project has no documents yet"},
		"not indexed":    {`{"items":[` + document + `"indexing"},` + document + `"indexed"}],"total":2,"skip":0,"limit":100}`, "1 document of the latest 2 is still being indexed"},
		"indexed":        {`{"items":[` + document + `"indexed"}],"total":1,"skip":0,"limit":100}`, ""},
		"nobody can say": {`{`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			t.Setenv("CC_TOKEN", "a.b.c")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				body := "[]"
				if r.URL.Path == "/api/v1/knowledge/documents" {
					body = c.documents
				}
				if _, err := io.WriteString(w, body); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			var out, errs bytes.Buffer
			code := Run(t.Context(), []string{"search", "x", "--server", server.URL, "--data-dir", t.TempDir()}, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			said, found := strings.CutPrefix(errs.String(), "Nothing found.\n")
			if code != 0 || !found || !strings.HasPrefix(said, c.says) || c.says == "" && said != "" {
				t.Errorf("%d, %s%s", code, out.String(), errs.String())
			}
		})
	}
}
