package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheNameOfAnInstanceIsChosenOnce(t *testing.T) {
	t.Parallel()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, suggested := range []string{"first-host", "renamed-host"} {
		if got, err := d.Slug(func() string { return suggested }); err != nil || got != "first-host" {
			t.Errorf("%s: %q, %v", suggested, got, err)
		}
	}
	file := filepath.Join(d.Keys(), "slug")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Slug(func() string { return "x" }); err == nil || !strings.Contains(err.Error(), "CC_FEDERATION_SLUG") {
		t.Errorf("an empty file: %v", err)
	}
}
