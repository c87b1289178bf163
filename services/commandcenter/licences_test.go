package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

// permissive are the SPDX identifiers of licences under which a part may be
// linked into a binary that others build on: they ask for a notice at most.
// MPL-2.0 is not among them; it asks for the source of changed files.
var permissive = []string{
	"Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-2-Clause-FreeBSD", "BSD-3-Clause", "ISC", "0BSD", "Unlicense", "CC0-1.0", "Zlib", "BSL-1.0",
}

// understood is how much of a licence's text must be that of licences that are
// known; the rest is names of authors and notices.
const understood = 75

// readByHand are modules whose licence no list knows, and what it says.
var readByHand = map[string]string{
	"github.com/xi2/xz": "its authors put it into the public domain",
}

var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([.-].*)?$`)

// licencesOf names the licences of the files at the root of a module, and what
// could not be understood.
func licencesOf(t *testing.T, dir string) (ids []string, doubts []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		cover := licensecheck.Scan(text)
		if cover.Percent < understood {
			doubts = append(doubts, e.Name())
		}
		for _, m := range cover.Match {
			ids = append(ids, m.ID)
		}
	}
	return ids, doubts
}

// TestEverythingLinkedIntoTheBinaryIsUnderAPermissiveLicence reads the licence
// of each module that a package of the binary comes from, on every system that
// the product is built for.
func TestEverythingLinkedIntoTheBinaryIsUnderAPermissiveLicence(t *testing.T) {
	t.Parallel()
	modules := make(map[string]string)
	for _, system := range []string{"linux", "darwin"} {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{with .Module}}{{if .Version}}{{.Path}} {{.Dir}}{{end}}{{end}}`, ".")
		list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		list.Stderr = os.Stderr
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			path, dir, found := strings.Cut(strings.TrimSpace(line), " ")
			if !found {
				t.Fatalf("a module without a directory: %q", line)
			}
			modules[path] = dir
		}
	}
	if len(modules) < 20 {
		t.Fatalf("only %d modules: the list is not that of the binary", len(modules))
	}
	for path := range readByHand {
		if modules[path] == "" {
			t.Errorf("%s is excused and not there", path)
		}
	}
	for path, dir := range modules {
		if readByHand[path] != "" {
			continue
		}
		ids, doubts := licencesOf(t, dir)
		if len(ids) == 0 {
			t.Errorf("%s has no licence that is known", path)
		}
		for _, id := range ids {
			if !slices.Contains(permissive, id) {
				t.Errorf("%s is under %s, which is not on the list of permissive licences", path, id)
			}
		}
		if len(doubts) > 0 {
			t.Errorf("%s: %s says more than a licence that is known", path, strings.Join(doubts, ", "))
		}
	}
}

func TestALicenceThatAsksForMoreIsSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gpl := "GNU GENERAL PUBLIC LICENSE\n\nThis program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.\n"
	if err := os.WriteFile(filepath.Join(dir, "COPYING"), []byte(gpl), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, _ := licencesOf(t, dir)
	if len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(permissive, id) }) {
		t.Errorf("a licence with strings attached was read as %v", ids)
	}
	own := "You may use this on Tuesdays, with the written consent of our lawyers.\n"
	if err := os.WriteFile(filepath.Join(dir, "LICENSE.txt"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, doubts := licencesOf(t, dir); !slices.Contains(doubts, "LICENSE.txt") {
		t.Errorf("a text that is nobody's licence raised no doubt: %v", doubts)
	}
}
