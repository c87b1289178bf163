package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	slashed "path"
	"path/filepath"
	"strings"
)

// MaxSize is the largest file that is uploaded, in bytes: the contract's limit.
const MaxSize = 20 << 20

// File is something to upload.
type File struct {
	Name       string // its source name, with slashes: under it, it is replaced
	Title      string // "" leaves it to the content
	Collection string // "" is that of the options
	Size       int64
	Open       func() (io.ReadCloser, error)
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
		"documentation": "md markdown mdown mdx txt text rst adoc asciidoc org html htm xhtml tex csv tsv pdf eml docx docm dotx pptx pptm ppsx xlsx xlsm",
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

// Why a file or folder was left out.
const (
	reasonHidden   = "hidden"
	reasonIgnored  = "named by .gitignore"
	reasonVendored = "folder of dependencies"
	reasonKind     = "of a type that is not read"
	reasonEmpty    = "empty"
	reasonBinary   = "binary"
	reasonSpecial  = "not a regular file"
	reasonOutside  = "link that leads outside of the folder"
	reasonFolder   = "link to a folder"
	reasonNowhere  = "link that leads nowhere"
)

var reasonLarge = fmt.Sprintf("larger than %d MiB", MaxSize>>20)

// Walk lists what to upload of path: the file itself, under name, or the files
// below the folder in lexical order, each under its way from there with name
// before it ("" puts nothing before it). What is left out is reported to
// skipped, which may be nil; the files of a folder that is left out are not.
func Walk(path, name string, skipped func(Skipped)) ([]File, error) {
	if skipped == nil {
		skipped = func(Skipped) {}
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if !st.IsDir() {
		f, reason := candidate(name, st, func() (*os.File, error) { return os.Open(path) })
		if reason != "" {
			return nil, fmt.Errorf("%s is left out: %s", path, reason)
		}
		return []File{f}, nil
	}
	return walkFolder(path, name, skipped)
}

func walkFolder(path, name string, skipped func(Skipped)) ([]File, error) {
	// A link that was named is followed; those below are not to lead out of it.
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	w := walker{root: real, name: name, skipped: skipped}
	if w.dir, err = os.OpenRoot(real); err != nil {
		return nil, err
	}
	if w.rules, err = above(real); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(real, w.visit)
	return w.files, err
}

type walker struct {
	root    string   // without links
	dir     *os.Root // root again: nothing is opened outside of it, whatever happens meanwhile
	name    string   // before each source name
	rules   []ignores
	files   []File
	skipped func(Skipped)
}

// skip reports what is left out; a folder ends in a slash.
func (w *walker) skip(rel string, dir bool, why string) {
	name := slashed.Join(w.name, rel)
	if dir {
		name += "/"
	}
	w.skipped(Skipped{name, why})
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
		dir := e != nil && e.IsDir()
		w.skip(rel, dir, reason(err))
		if dir {
			return fs.SkipDir
		}
		return nil
	}
	if e.IsDir() {
		return w.enter(path, rel, e)
	}
	switch {
	case strings.HasPrefix(e.Name(), "."):
		w.skip(rel, false, reasonHidden)
	case w.ignored(rel, false):
		w.skip(rel, false, reasonIgnored)
	default:
		w.take(path, rel)
	}
	return nil
}

func (w *walker) take(path, rel string) {
	to, st, why := w.follow(path)
	switch {
	case why != "":
	case Kind(rel) == "":
		why = reasonKind
	default:
		var f File
		if f, why = candidate(slashed.Join(w.name, rel), st, func() (*os.File, error) { return w.dir.Open(to) }); why == "" {
			w.files = append(w.files, f)
			return
		}
	}
	w.skip(rel, false, why)
}

// follow returns the way from the root to the file that path is, or leads to.
func (w *walker) follow(path string) (to string, st fs.FileInfo, why string) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, reasonNowhere
	}
	if err != nil {
		return "", nil, strings.TrimPrefix(reason(err), "EvalSymlinks: ")
	}
	if to, err = filepath.Rel(w.root, real); err != nil || !filepath.IsLocal(to) {
		return "", nil, reasonOutside
	}
	if st, err = w.dir.Stat(to); err != nil {
		return "", nil, reason(err)
	}
	if st.IsDir() { // it may lead round in circles
		return "", nil, reasonFolder
	}
	return to, st, ""
}

func (w *walker) enter(path, rel string, e fs.DirEntry) error {
	base := rel
	switch {
	case rel == ".":
		base = ""
	case strings.HasPrefix(e.Name(), "."):
		w.skip(rel, true, reasonHidden)
		return fs.SkipDir
	case w.ignored(rel, true):
		w.skip(rel, true, reasonIgnored)
		return fs.SkipDir
	case vendored[e.Name()]:
		w.skip(rel, true, reasonVendored)
		return fs.SkipDir
	}
	text, err := readIgnore(path)
	if err != nil {
		w.skip(base, true, reason(err))
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
func candidate(name string, st fs.FileInfo, open func() (*os.File, error)) (f File, why string) {
	switch {
	case !st.Mode().IsRegular():
		return f, reasonSpecial
	case st.Size() == 0:
		return f, reasonEmpty
	case st.Size() > MaxSize:
		return f, reasonLarge
	}
	binary, err := looksBinary(name, open)
	if err != nil {
		return f, reason(err)
	}
	if binary {
		return f, reasonBinary
	}
	return File{Name: name, Size: st.Size(), Open: func() (io.ReadCloser, error) { return open() }}, ""
}

// looksBinary applies Binary to the beginning of a file.
func looksBinary(name string, open func() (*os.File, error)) (bool, error) {
	f, err := open()
	if err != nil {
		return false, err
	}
	defer f.Close() // only read
	head := make([]byte, 8000)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return Binary(name, head[:n]), nil
}

// containers are extensions of documents that the server reads although they are
// not text.
var containers = map[string]bool{".docx": true, ".docm": true, ".dotx": true, ".pptx": true, ".pptm": true, ".ppsx": true, ".xlsx": true, ".xlsm": true}

// Binary reports whether a file of this name begins like something that is no
// document: git's test, a zero byte near the beginning, save for the formats of
// documents that are not text.
func Binary(name string, head []byte) bool {
	if bytes.HasPrefix(head, []byte("%PDF-")) || (bytes.HasPrefix(head, []byte("PK\x03\x04")) && containers[strings.ToLower(filepath.Ext(name))]) {
		return false
	}
	// Text in UTF-16 has its mark, and that of UTF-32 begins as it does.
	if bytes.HasPrefix(head, []byte("\xff\xfe")) && !bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return false
	}
	return bytes.IndexByte(head[:min(len(head), 8000)], 0) >= 0
}

// reason is the innermost cause: the path is known already.
func reason(err error) string { return cause(err).Error() }

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
