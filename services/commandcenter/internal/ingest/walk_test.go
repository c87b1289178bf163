package ingest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files (path → content) below a new folder. A path ending in /
// is an empty folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if dir != path {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func walkNames(t *testing.T, root string) (found []string, skipped map[string]string) {
	t.Helper()
	skipped = map[string]string{}
	files, err := Walk(root, func(s Skipped) { skipped[s.Name] = s.Reason })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		found = append(found, f.Name)
	}
	return found, skipped
}

func TestWalkHonoursIgnoreFilesAtEveryLevel(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		".git/":            "",
		".gitignore":       "# comment\n*.log.md\n/build/\n!keep.log.md\ndocs/**/draft.md\ntmp[0-9].md\n\\#odd.md\ntrailing.md   \n",
		"README.md":        "x",
		"a.log.md":         "x",
		"keep.log.md":      "x",
		"build/out.md":     "x",
		"sub/build/out.md": "x",
		"docs/draft.md":    "x",
		"docs/a/draft.md":  "x",
		"docs/a/fine.md":   "x",
		"tmp1.md":          "x",
		"tmpx.md":          "x",
		"#odd.md":          "x",
		"trailing.md":      "x",
		"sub/.gitignore":   "local.md\n!/a.log.md\n",
		"sub/local.md":     "x",
		"sub/a.log.md":     "x",
		"sub/deep/go.go":   "package x",
	})
	got, _ := walkNames(t, root)
	want := []string{"README.md", "docs/a/fine.md", "keep.log.md", "sub/a.log.md", "sub/build/out.md", "sub/deep/go.go", "tmpx.md"}
	if !slices.Equal(got, want) {
		t.Fatalf("walk = %q\nwant  %q", got, want)
	}
}

func TestWalkOfAFolderInsideARepositoryHonoursTheRulesAbove(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		".git/": "", ".gitignore": "/sub/secret.md\n*.tmp.md\n",
		"sub/.gitignore": "", "sub/secret.md": "x", "sub/x.tmp.md": "x", "sub/open.md": "x", "sub/in/secret.md": "x",
	})
	got, _ := walkNames(t, filepath.Join(root, "sub"))
	if want := []string{"in/secret.md", "open.md"}; !slices.Equal(got, want) {
		t.Fatalf("walk = %q, want %q", got, want)
	}
}

func TestWalkSaysWhyItLeftAFileOut(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"ok.md": "x", "empty.md": "", "binary.md": "a\x00b", "image.png": "x", "go.sum": "x",
		".hidden.md": "x", "node_modules/a.md": "x", "Makefile": "all:",
	})
	if err := os.Truncate(filepath.Join(root, "ok.md"), 1); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(root, "big.txt")
	if err := os.WriteFile(big, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, MaxSize+1); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere.md", filepath.Join(root, "broken.md")); err != nil {
		t.Fatal(err)
	}
	got, skipped := walkNames(t, root)
	if want := []string{"Makefile", "ok.md"}; !slices.Equal(got, want) {
		t.Fatalf("walk = %q, want %q", got, want)
	}
	for name, why := range map[string]string{"empty.md": "empty", "binary.md": "not text", "big.txt": "larger than 20 MiB", "broken.md": "no such file"} {
		if !strings.Contains(skipped[name], why) {
			t.Errorf("%s: reason %q, want %q", name, skipped[name], why)
		}
	}
	if len(skipped) != 4 {
		t.Errorf("skipped = %v", skipped)
	}
}

func TestWalkOfOneFileTakesItOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"note.unknown": "text", "empty.md": ""})
	files, err := Walk(filepath.Join(root, "note.unknown"), nil)
	if err != nil || len(files) != 1 || files[0].Name != "note.unknown" {
		t.Fatalf("files = %v, err %v: a file that is named is taken, whatever its name", files, err)
	}
	if _, err := Walk(filepath.Join(root, "empty.md"), nil); err == nil {
		t.Fatal("an empty file was taken")
	}
	if _, err := Walk(filepath.Join(root, "missing"), nil); err == nil {
		t.Fatal("a missing file was taken")
	}
}

func TestKindTellsDocumentsFromCode(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a/README": "documentation", "x.MD": "documentation", "main.go": "code", "Dockerfile": "code", "a.png": "", "app.min.js": "", "package-lock.json": "",
	} {
		if got := Kind(name); got != want {
			t.Errorf("Kind(%q) = %q, want %q", name, got, want)
		}
	}
}
