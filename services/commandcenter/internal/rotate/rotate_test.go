package rotate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheOldestLinesGoFirstAndNoLineIsCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.log")
	f, err := Open(path, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{"one\n", "two\n", "three\n", "four\n", "five\n", "six\n", strings.Repeat("x", 30) + "\n"} {
		if n, err := f.Write([]byte(l)); err != nil || n != len(l) {
			t.Fatalf("write %q: %d %v", l, n, err)
		}
	}
	if a, b, c := read(t, path), read(t, path+".1"), read(t, path+".2"); len(a) != 31 || b != "six\n" || c != "four\nfive\n" {
		t.Fatalf("files %q %q %q", a, b, c)
	}
	if read(t, path+".3") != "" {
		t.Fatal("more files are kept than stated")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("late")); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("write after close: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnExistingFileIsContinued(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, 6, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "new\n" {
		t.Fatalf("file %q: with nothing kept the old lines go", got)
	}
	if _, err := Open(filepath.Join(path, "not a folder"), 1, 1); err == nil {
		t.Fatal("an impossible path was opened")
	}
}
