package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryTestThatTheThreatModelNamesExists holds THREATS.md to its last column.
func TestEveryTestThatTheThreatModelNamesExists(t *testing.T) {
	t.Parallel()
	declared := make(map[string]bool)
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, module := range []string{"pkg", "services", "proto-events"} {
		err := filepath.WalkDir(filepath.Join(top, module), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			for _, m := range declaration.FindAllSubmatch(text, -1) {
				declared[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(read(t, "THREATS.md")), -1)
	if len(named) < 50 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if !declared[name] {
			t.Errorf("THREATS.md names %s, which is no test", name)
		}
	}
}
