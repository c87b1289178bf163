package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
	files, err := Walk(root, "", func(s Skipped) { skipped[s.Name] = s.Reason })
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
		"table.csv": "a,b\n1,2\n", "windows.txt": "\xff\xfea\x00", "mac.txt": "\xfe\xff\x00a", "other.txt": "\xff\xfe\x00\x00",
		"paper.pdf": "%PDF-1.7\x00", "report.DOCX": "PK\x03\x04\x00", "fake.docx": "a\x00",
		".hidden.md": "x", "node_modules/a.md": "x", "Makefile": "all:", ".git/": "", ".gitignore": "secret.md\n", "secret.md": "x", ".cache/x.md": "x",
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
	outside := filepath.Join(t.TempDir(), "outside.md")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"broken.md": "nowhere.md", "out.md": outside, "up.md": "../../outside.md", "folder.md": "node_modules", "loop.md": "loop.md",
		"in.md": "ok.md", "in-abs.md": filepath.Join(root, "ok.md"),
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe.md"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, skipped := walkNames(t, root)
	if want := []string{"Makefile", "in-abs.md", "in.md", "mac.txt", "ok.md", "paper.pdf", "report.DOCX", "table.csv", "windows.txt"}; !slices.Equal(got, want) {
		t.Fatalf("walk = %q, want %q", got, want)
	}
	want := map[string]string{
		"empty.md": "empty", "binary.md": "binary", "fake.docx": "binary", "other.txt": "binary", "big.txt": "larger than 20 MiB", "broken.md": "leads nowhere", "out.md": "outside", "up.md": "leads nowhere",
		"folder.md": "link to a folder", "loop.md": "too many links", "pipe.md": "not a regular file", "image.png": "not read", "go.sum": "not read",
		".hidden.md": "hidden", ".gitignore": "hidden", "secret.md": ".gitignore", "node_modules/": "dependencies", ".cache/": "hidden", ".git/": "hidden",
	}
	for name, why := range want {
		if !strings.Contains(skipped[name], why) {
			t.Errorf("%s: reason %q, want %q", name, skipped[name], why)
		}
	}
	if len(skipped) != len(want) {
		t.Errorf("skipped = %v", skipped)
	}
}

// TestALinkThatIsTurnedOutwardsAfterTheWalkIsNotFollowed: between the look and
// the upload others may change the folder.
func TestALinkThatIsTurnedOutwardsAfterTheWalkIsNotFollowed(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.md": "inside"})
	outside := filepath.Join(t.TempDir(), "outside.md")
	files, err := Walk(root, "", nil)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	path := filepath.Join(root, "a.md")
	if err := errors.Join(os.WriteFile(outside, []byte("secret"), 0o600), os.Remove(path), os.Symlink(outside, path)); err != nil {
		t.Fatal(err)
	}
	if f, err := files[0].Open(); err == nil {
		_ = f.Close()
		t.Fatal("a file outside of the folder was opened")
	}
}

func TestWalkPutsTheNameOfTheFolderFirst(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{".git/": "", ".gitignore": "/out.md\n", "README.md": "x", "sub/README.md": "x", "out.md": "x"})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	var skipped []string
	files, err := Walk(link, "docs/deep", func(s Skipped) { skipped = append(skipped, s.Name) })
	if err != nil || len(files) != 2 || files[0].Name != "docs/deep/README.md" || files[1].Name != "docs/deep/sub/README.md" {
		t.Fatalf("files %v %v: a link that is named is followed", files, err)
	}
	if want := []string{"docs/deep/.git/", "docs/deep/.gitignore", "docs/deep/out.md"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
}

func TestWalkOfOneFileTakesItOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"note.unknown": "text", "empty.md": ""})
	files, err := Walk(filepath.Join(root, "note.unknown"), "kept/note.unknown", nil)
	if err != nil || len(files) != 1 || files[0].Name != "kept/note.unknown" {
		t.Fatalf("files = %v, err %v: a file that is named is taken, whatever its name", files, err)
	}
	if _, err := Walk(filepath.Join(root, "empty.md"), "x", nil); err == nil {
		t.Fatal("an empty file was taken")
	}
	if _, err := Walk(filepath.Join(root, "missing"), "x", nil); err == nil {
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
