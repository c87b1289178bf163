package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxSize is the largest file that is uploaded, in bytes: the contract's limit.
const MaxSize = 20 << 20

// File is something to upload.
type File struct {
	Name string // its source name: the path below the root of the walk, with slashes
	Size int64
	Open func() (io.ReadCloser, error)
}

// Skipped is a file that was left out, and why.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// extensions are what the server reads, by the end of the name; the server
// has the last word.
var extensions = func() map[string]string {
	m := map[string]string{}
	for kind, list := range map[string]string{
		"documentation": "md markdown mdown mdx txt text rst adoc asciidoc org html htm xhtml tex",
		"code": "go py pyi js jsx mjs cjs ts tsx java kt kts scala groovy rb rs c h cc cpp cxx hpp hh hxx cs fs vb swift m mm php pl pm lua " +
			"r jl dart ex exs erl hrl hs clj cljs lisp el ml mli zig nim v sol sql sh bash zsh fish ps1 bat cmd proto graphql gql " +
			"css scss sass less vue svelte yaml yml toml ini cfg conf json jsonc xml tf hcl nix cmake mk gradle bzl",
	} {
		for ext := range strings.FieldsSeq(list) {
			m["."+ext] = kind
		}
	}
	return m
}()

// names without an extension that are read too.
var names = map[string]string{
	"readme": "documentation", "license": "documentation", "changelog": "documentation", "contributing": "documentation", "authors": "documentation",
	"makefile": "code", "dockerfile": "code", "tiltfile": "code", "jenkinsfile": "code", "rakefile": "code", "gemfile": "code",
}

// noise are files that are text, and tell nobody anything.
var noise = map[string]bool{
	"package-lock.json": true, "pnpm-lock.yaml": true, "yarn.lock": true, "go.sum": true, "go.work.sum": true, "poetry.lock": true, "cargo.lock": true, "composer.lock": true,
}

// vendored are folders of other people's work, ignored even without a
// .gitignore.
var vendored = map[string]bool{"node_modules": true, "__pycache__": true, "vendor": true, "venv": true, "target": true}

// Kind returns the category of a file by its name, "" for what is not read.
func Kind(name string) string {
	base := strings.ToLower(filepath.Base(name))
	if noise[base] || strings.HasSuffix(base, ".min.js") || strings.HasSuffix(base, ".min.css") {
		return ""
	}
	if k := extensions[filepath.Ext(base)]; k != "" {
		return k
	}
	return names[base]
}

// Walk lists what to upload of path: the file itself, or the files below the
// folder in lexical order. What is left out without being ignored by a rule is
// reported to skipped, which may be nil.
func Walk(path string, skipped func(Skipped)) ([]File, error) {
	if skipped == nil {
		skipped = func(Skipped) {}
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		f, reason := candidate(path, filepath.Base(path), st)
		if reason != "" {
			return nil, fmt.Errorf("%s: %s", path, reason)
		}
		return []File{f}, nil
	}
	w := walker{root: path, skipped: skipped}
	if w.rules, err = above(path); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(path, w.visit)
	return w.files, err
}

type walker struct {
	root    string
	rules   []ignores
	files   []File
	skipped func(Skipped)
}

func (w *walker) visit(path string, e fs.DirEntry, err error) error {
	rel, relErr := filepath.Rel(w.root, path)
	if relErr != nil {
		return relErr
	}
	rel = filepath.ToSlash(rel)
	if err != nil {
		if rel == "." {
			return err
		}
		w.skipped(Skipped{rel, reason(err)})
		if e != nil && e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if e.IsDir() {
		return w.enter(path, rel, e)
	}
	if strings.HasPrefix(e.Name(), ".") || w.ignored(rel, false) || Kind(rel) == "" {
		return nil
	}
	// Stat follows a link to a file; links to folders are never entered.
	st, err := os.Stat(path)
	if err != nil {
		w.skipped(Skipped{rel, reason(err)})
		return nil
	}
	if !st.Mode().IsRegular() {
		return nil
	}
	f, why := candidate(path, rel, st)
	if why != "" {
		w.skipped(Skipped{rel, why})
		return nil
	}
	w.files = append(w.files, f)
	return nil
}

func (w *walker) enter(path, rel string, e fs.DirEntry) error {
	base := rel
	if rel == "." {
		base = ""
	} else if strings.HasPrefix(e.Name(), ".") || vendored[e.Name()] || w.ignored(rel, true) {
		return fs.SkipDir
	}
	text, err := readIgnore(path)
	if err != nil {
		w.skipped(Skipped{rel, reason(err)})
		return nil
	}
	if text != "" {
		w.rules = append(w.rules, parseIgnore(base, text))
	}
	return nil
}

// ignored asks the rules, the nearest file last, so that it wins.
func (w *walker) ignored(rel string, dir bool) bool {
	ignored := false
	for _, ig := range w.rules {
		if yes, decided := ig.match(rel, dir); decided {
			ignored = yes
		}
	}
	return ignored
}

// candidate looks at the file; why is not empty when it is to be left out.
func candidate(path, name string, st fs.FileInfo) (f File, why string) {
	switch {
	case !st.Mode().IsRegular():
		return f, "not a regular file"
	case st.Size() == 0:
		return f, "empty"
	case st.Size() > MaxSize:
		return f, fmt.Sprintf("larger than %d MiB", MaxSize>>20)
	}
	binary, err := looksBinary(path)
	if err != nil {
		return f, reason(err)
	}
	if binary {
		return f, "not text"
	}
	return File{Name: name, Size: st.Size(), Open: func() (io.ReadCloser, error) { return os.Open(path) }}, ""
}

// looksBinary is git's test: a zero byte near the beginning.
func looksBinary(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, 8000)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.IndexByte(head[:n], 0) >= 0, nil
}

// reason is the innermost cause: the path is known already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
