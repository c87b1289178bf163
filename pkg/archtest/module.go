package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is what the files of one Go module say about themselves.
type Module struct {
	Path     string    // from go.mod
	Root     string    // folder of go.mod
	Packages []Package // by folder
}

// Package is one folder with Go files.
type Package struct {
	Dir   string // slash-separated, relative to the module's root; "." for the root
	Files []File
}

// File is one Go file.
type File struct {
	Name      string // base name
	Package   string // of the package clause; a test from outside has "_test"
	Doc       bool   // there is a comment on the package clause
	Generated bool   // marked "Code generated ... DO NOT EDIT."
	Sleeps    int    // line of the first time.Sleep; 0 when there is none
	Lines     int
	Imports   []Import
}

// Import is one import clause.
type Import struct {
	Path string
	Line int
}

// Test reports whether the file is compiled for tests only.
func (f File) Test() bool { return strings.HasSuffix(f.Name, "_test.go") }

// Load reads the module around dir: the nearest folder upwards with a go.mod.
// Folders that the go command skips (testdata, vendor, leading dot or
// underscore) and modules inside the module are left out.
func Load(dir string) (*Module, error) {
	root, err := moduleRoot(dir)
	if err != nil {
		return nil, err
	}
	m := &Module{Root: root}
	if m.Path, err = modulePath(filepath.Join(root, "go.mod")); err != nil {
		return nil, err
	}
	byDir := map[string]*Package{}
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return enter(root, name)
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		f, err := readFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return fmt.Errorf("place %s: %w", name, err)
		}
		rel = filepath.ToSlash(rel)
		if byDir[rel] == nil {
			byDir[rel] = &Package{Dir: rel}
		}
		byDir[rel].Files = append(byDir[rel].Files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", m.Path, err)
	}
	for _, p := range byDir {
		m.Packages = append(m.Packages, *p)
	}
	slices.SortFunc(m.Packages, func(a, b Package) int { return strings.Compare(a.Dir, b.Dir) })
	return m, nil
}

// enter decides whether a walk goes into the folder name.
func enter(root, name string) error {
	if name == root {
		return nil
	}
	base := filepath.Base(name)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func moduleRoot(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for d := abs; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the module: %w", err)
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find the module: no go.mod in %s or above", abs)
		}
	}
}

func modulePath(gomod string) (string, error) {
	data, err := os.ReadFile(gomod)
	if err != nil {
		return "", fmt.Errorf("read go.mod: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("read %s: no module line", gomod)
}

func readFile(name string) (File, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return File{}, fmt.Errorf("read: %w", err)
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, name, source, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return File{}, fmt.Errorf("parse: %w", err)
	}
	f := File{
		Name: filepath.Base(name), Package: parsed.Name.Name, Doc: parsed.Doc != nil,
		Generated: strings.Contains(string(source[:set.Position(parsed.Package).Offset]), "DO NOT EDIT."),
		Lines:     strings.Count(string(source), "\n"),
	}
	f.Sleeps = firstSleep(string(source), f.Test())
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("parse %s: %w", name, err)
		}
		f.Imports = append(f.Imports, Import{Path: p, Line: set.Position(spec.Pos()).Line})
	}
	return f, nil
}

// firstSleep is the line of the first time.Sleep, 0 when there is none. In a test
// one with a reason beside it does not count: a load has a pace, a crash a moment.
func firstSleep(source string, test bool) int {
	const call = "time." + "Sleep(" // in two, or it would be found in this file
	line := 0
	for text := range strings.Lines(source) {
		line++
		if _, after, found := strings.Cut(text, call); found && !(test && strings.Contains(after, "// ")) {
			return line
		}
	}
	return 0
}

// ImportPath is the import path of the package in dir.
func (m *Module) ImportPath(dir string) string { return path.Join(m.Path, dir) }
