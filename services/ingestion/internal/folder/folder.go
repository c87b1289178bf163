package folder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	gitignore "github.com/sabhiram/go-gitignore"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

// patterns are the files that are read where a source says nothing.
var patterns = []string{"**/*.{md,markdown,mdx,txt,rst,adoc,org,tex,html,htm,pdf,docx,pptx,xlsx,csv,tsv,eml}"}

// never are files and folders that no source has: of version control, of tools, and
// what editors leave while they write.
var never = []string{".git", ".hg", ".svn", "node_modules", "__pycache__", ".DS_Store", "Thumbs.db", "*~", "~$*", ".#*", "#*#", "*.sw[a-p]", "*.tmp", "*.part", "*.crdownload", ".goutputstream-*", "4913"}

// ignoreFiles have patterns of what is left out, as git has them.
var ignoreFiles = []string{".gitignore", ".ignore"}

// most are the files that one run reads.
const most = 100_000

// Reader reads folders below roots.
type Reader struct{ Roots []string }

// Root is the root that a folder is below, and the folder's path from there; an
// error says that there is none.
func (r Reader) Root(folder string) (root, below string, err error) {
	if len(r.Roots) == 0 {
		return "", "", errs.InvalidField("value_error", "no folders are open to sources: the operator names some (ingestion.roots)", "body", "path")
	}
	folder = filepath.Clean(folder)
	for _, root := range r.Roots {
		root = filepath.Clean(root)
		if rel, err := filepath.Rel(root, folder); err == nil && filepath.IsLocal(rel) {
			return root, filepath.ToSlash(rel), nil
		}
	}
	return "", "", errs.InvalidField("value_error", "path is not below a folder that the operator has opened (ingestion.roots)", "body", "path")
}

// Fetch is the visit of a folder, see [source.Kinds]. It never leaves its root,
// wherever a link leads; links are not followed.
func (r Reader) Fetch(ctx context.Context, v source.Visit) (source.Report, error) {
	at, below, err := r.Root(v.Source.Path)
	if err != nil {
		return source.Report{}, err
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return source.Report{}, errs.Wrap(errs.Invalid, err, "the folder cannot be opened")
	}
	defer root.Close() //nolint:errcheck // read only
	w := &walk{v: v, root: root.FS(), base: filepath.Base(at), below: below, ignored: map[string]*gitignore.GitIgnore{}}
	if w.wanted = v.Source.Config.Patterns; len(w.wanted) == 0 {
		w.wanted = patterns
	}
	if info, err := fs.Stat(w.root, below); err != nil || !info.IsDir() {
		return source.Report{}, errs.New(errs.Invalid, "the folder is not there")
	}
	err = fs.WalkDir(w.root, below, func(name string, d fs.DirEntry, err error) error { return w.step(ctx, name, d, err) })
	whole := !errors.Is(err, errMany)
	if !whole {
		err = nil
	}
	note := fmt.Sprintf("%d files", w.files)
	if !whole {
		note += ", and more"
	}
	return source.Report{Whole: whole && !w.blind, Bytes: w.bytes, Note: note}, err
}

var errMany = errors.New("there are more files than one run reads")

type walk struct {
	v       source.Visit
	root    fs.FS
	base    string // name of the root
	below   string // the folder, from the root
	wanted  []string
	ignored map[string]*gitignore.GitIgnore // by folder
	files   int
	bytes   int64
	blind   bool // a folder could not be looked into
}

func (w *walk) step(ctx context.Context, name string, d fs.DirEntry, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	rel := strings.TrimPrefix(strings.TrimPrefix(name, w.below), "/")
	if w.below == "." {
		rel = name
	}
	switch {
	case err != nil:
		if name == w.below {
			return err
		}
		w.blind = true // what is in there is not gone
		return fs.SkipDir
	case name == w.below:
		w.rules(name)
		return nil
	case w.leftOut(rel, name, d.IsDir()):
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case d.IsDir():
		w.rules(name)
		return nil
	case !d.Type().IsRegular() || !w.want(rel):
		return nil
	}
	if w.files == cmp.Or(w.v.Source.Config.MaxItems, most) {
		return errMany
	}
	w.files++
	return w.file(ctx, name, rel, d)
}

// rules reads the ignore files of a folder.
func (w *walk) rules(dir string) {
	var lines []string
	for _, f := range ignoreFiles {
		b, err := fs.ReadFile(w.root, path.Join(dir, f))
		if err == nil && len(b) < 1<<20 {
			lines = append(lines, strings.Split(string(b), "\n")...)
		}
	}
	if len(lines) > 0 {
		w.ignored[dir] = gitignore.CompileIgnoreLines(lines...)
	}
}

func (w *walk) leftOut(rel, name string, dir bool) bool {
	for _, p := range never {
		if ok, err := path.Match(p, path.Base(name)); err == nil && ok {
			return true
		}
	}
	for _, p := range w.v.Source.Config.Ignore {
		if matches(p, rel) {
			return true
		}
	}
	for at, g := range w.ignored {
		inner, ok := strings.CutPrefix(name, at+"/")
		if at == "." {
			inner, ok = name, true
		}
		if ok && (g.MatchesPath(inner) || dir && g.MatchesPath(inner+"/")) {
			return true
		}
	}
	return false
}

// matches says whether a pattern is of a path: one without a slash is of its last
// name, wherever it is.
func matches(pattern, rel string) bool {
	if !strings.Contains(pattern, "/") {
		rel = path.Base(rel)
	}
	ok, err := doublestar.Match(pattern, rel)
	return err == nil && ok
}

func (w *walk) want(rel string) bool {
	for _, p := range w.wanted {
		if matches(p, rel) {
			return true
		}
	}
	return false
}

// file takes a file that has changed since it was taken.
func (w *walk) file(ctx context.Context, name, rel string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return nil //nolint:nilerr // it went meanwhile
	}
	mark := fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
	if w.v.Mark(rel) == mark {
		return w.v.Same(ctx, rel)
	}
	if w.files%64 == 1 {
		w.v.Tell(w.files-1, 0, rel)
	}
	switch {
	case info.Size() > source.MaxContent:
		w.v.Failed(rel, errs.Newf(errs.TooLarge, "it has more than %d MiB", source.MaxContent>>20))
		return nil
	case info.Size() == 0:
		return nil
	}
	f, err := w.root.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			w.v.Failed(rel, plain(err))
		}
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(f, source.MaxContent))
	if err = errors.Join(err, f.Close()); err != nil {
		w.v.Failed(rel, plain(err))
		return nil
	}
	w.bytes += int64(len(content))
	kind := http.DetectContentType(content)
	if kind == "application/octet-stream" {
		kind = ""
	}
	return w.v.Take(ctx, source.Document{Key: rel, Mark: mark, Place: source.File(path.Join(w.base, name)), ContentType: kind, Content: content, Published: info.ModTime()})
}

// plain is a failure without the path, which is of the machine.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
