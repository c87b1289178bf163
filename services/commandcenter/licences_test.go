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
	"github.com/xi2/xz":                      "its authors put it into the public domain",
	"github.com/modelcontextprotocol/go-sdk": "the code is under Apache-2.0 and, what is older, MIT; CC-BY-4.0 is for its documentation, of which nothing is linked",
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
		if e.IsDir() || !licenceFile.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
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

// elsewhere are modules that go.mod files name for systems that the product is
// not built for.
var elsewhere = map[string]string{
	"github.com/google/go-tpm":             "the NATS server on Windows",
	"github.com/inconshreveable/mousetrap": "cobra on Windows",
}

// tools are the programs that the Makefile installs, with their licences. They
// are run here and are no part of what is built, so that one may ask for more.
var tools = map[string]string{
	"buf": "Apache-2.0", "protoc-gen-go": "BSD-3-Clause", "oapi-codegen": "Apache-2.0", "oasdiff": "Apache-2.0", "golangci-lint": "GPL-3.0",
}

// modulesOf are the modules that the packages come from, on every system that
// the product is built for, with their directories.
func modulesOf(t *testing.T, args ...string) map[string]string {
	t.Helper()
	modules := map[string]string{}
	for _, system := range []string{"linux", "darwin"} {
		list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", `{{with .Module}}{{if .Version}}{{.Path}} {{.Dir}}{{end}}{{end}}`}, args...)...)
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
	return modules
}

// TestEverythingLinkedIntoTheBinaryIsUnderAPermissiveLicence reads the licence
// of each module that a package of the binary comes from.
func TestEverythingLinkedIntoTheBinaryIsUnderAPermissiveLicence(t *testing.T) {
	t.Parallel()
	modules := modulesOf(t, ".")
	if len(modules) < 20 {
		t.Fatalf("only %d modules: the list is not that of the binary", len(modules))
	}
	for path := range readByHand {
		if modules[path] == "" {
			t.Errorf("%s is excused and not there", path)
		}
	}
	permitted(t, modules)
}

// TestEveryModuleIsUnderAPermissiveLicence does so with what any package needs,
// tests and generators among them, and holds the go.mod files to it: none names a
// module that was not looked at.
func TestEveryModuleIsUnderAPermissiveLicence(t *testing.T) {
	t.Parallel()
	places := []string{"proto-events", "pkg", "services"}
	modules := modulesOf(t, "-test", "../../proto-events/...", "../../pkg/...", "../../services/...")
	permitted(t, modules)
	work, err := os.ReadFile("../../go.work")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(work), "./"); n != len(places) {
		t.Errorf("go.work has %d modules, and %d are looked at", n, len(places))
	}
	named := regexp.MustCompile(`(?m)^(?:require )?\s*([a-z0-9.-]+\.[a-z]+/\S+) v`)
	for _, place := range places {
		text, err := os.ReadFile(filepath.Join("../..", place, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		all := named.FindAllStringSubmatch(string(text), -1)
		if len(all) == 0 {
			t.Errorf("%s/go.mod names nothing", place)
		}
		for _, m := range all {
			if path := m[1]; modules[path] == "" && elsewhere[path] == "" && !strings.HasPrefix(path, "github.com/commandcenter/") {
				t.Errorf("%s/go.mod names %s, whose licence nobody has read", place, path)
			}
		}
	}
}

// TestEveryToolHasALicenceThatWasRead keeps the list of tools that of the
// Makefile.
func TestEveryToolHasALicenceThatWasRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	installed := regexp.MustCompile(`call tool,([a-z-]+),`).FindAllStringSubmatch(string(text), -1)
	if len(installed) != len(tools) {
		t.Errorf("the Makefile installs %d tools, %d were read", len(installed), len(tools))
	}
	for _, m := range installed {
		if tools[m[1]] == "" {
			t.Errorf("nobody has read the licence of %s", m[1])
		}
	}
}

// permitted fails for each module whose licence is not permissive.
func permitted(t *testing.T, modules map[string]string) {
	t.Helper()
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
