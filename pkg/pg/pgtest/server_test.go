package pgtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestAClusterThatWasHalfMadeIsMadeAgain: a test process may be killed while it
// prepares the cluster that all others copy.
func TestAClusterThatWasHalfMadeIsMadeAgain(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("/tmp", "pgtest-test-") // the server's account must reach it
	if err == nil {
		err = os.Chmod(root, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := copyBase(t.Context(), root, filepath.Join(root, "first")); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(root, "base-*.done"))
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	base := made[0][:len(made[0])-len(".done")]
	spoilt := filepath.Join(base, "data", "PG_VERSION")
	if err := errors.Join(os.Remove(spoilt), os.Remove(made[0])); err != nil {
		t.Fatal(err)
	}
	if err := copyBase(t.Context(), root, filepath.Join(root, "second")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if _, err := os.Stat(filepath.Join(root, name, "data", "PG_VERSION")); err != nil {
			t.Error(err)
		}
	}
	// Whoever comes next copies what is there.
	mark := filepath.Join(base, "mark")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyBase(t.Context(), root, filepath.Join(root, "third")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "third", "mark")); err != nil {
		t.Errorf("it was made again: %v", err)
	}
	if err := copyBase(t.Context(), filepath.Join(root, "none"), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}
