package index

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// Files keeps images of indexes in a directory, the one last used of each
// project. They are copies: whoever loses one builds an index from its Source.
// Several processes may share the directory.
type Files struct {
	dir   string
	limit int64
}

// NewFiles keeps images of together at most limit bytes in dir, which is made
// when the first is written; while one is written it counts once more.
func NewFiles(dir string, limit int64) *Files { return &Files{dir, limit} }

const (
	maxFiles  = 1000
	extension = ".index"
	unready   = ".new-"   // begins the name of a file that is being written
	abandoned = time.Hour // age of such a file whose writer is gone
)

// File is an image that is there.
type File struct {
	Project tenant.Project
	Bytes   int64
	Used    time.Time // written or read
}

func (f *Files) path(p tenant.Project) string {
	return filepath.Join(f.dir, strconv.FormatInt(int64(p), 10)+extension)
}

// List is what is there, the one last used first.
func (f *Files) List() ([]File, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []File
	for _, e := range entries {
		name, image := strings.CutSuffix(e.Name(), extension)
		info, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		if strings.HasPrefix(name, unready) && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(f.dir, e.Name())) // or the next time
			continue
		}
		if p, err := strconv.ParseInt(name, 10, 64); image && err == nil && p > 0 {
			all = append(all, File{tenant.Project(p), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b File) int {
		return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Project, b.Project))
	})
	return all, nil
}

// remove removes the image of p and returns how many there were; sync makes it
// last.
func (f *Files) remove(p tenant.Project) (int, error) {
	switch err := os.Remove(f.path(p)); {
	case err == nil:
		return 1, nil
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	default:
		return 0, err
	}
}

// count is how many images there are of p.
func (f *Files) count(p tenant.Project) (int, error) {
	switch _, err := os.Lstat(f.path(p)); {
	case err == nil:
		return 1, nil
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	default:
		return 0, err
	}
}

// read returns the index of p, fs.ErrNotExist when there is no image.
func (f *Files) read(p tenant.Project, c Config, a *terms.Analyzer) (x *Index, err error) {
	file, err := os.Open(f.path(p))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if x, err = Load(file, info.Size(), p, c, a); err != nil {
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(file.Name(), now, now) // the order of use, no more
	return x, nil
}

// errTooLarge says that an image alone is larger than all may be.
var errTooLarge = errors.New("the image is larger than all may be together")

// write writes an image of x, makes room for it, and puts it in the place of the
// one before if ready agrees. A crash leaves the one before or the new one.
func (f *Files) write(p tenant.Project, x *Index, stop func() error, ready func(put func() error) error) (bytes int64, err error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return 0, err
	}
	file, err := os.CreateTemp(f.dir, unready+"*")
	if err != nil {
		return 0, err
	}
	to := &limited{Writer: file, left: f.limit}
	err = x.Save(to, p, stop)
	if err == nil {
		err = file.Sync()
	}
	bytes = f.limit - to.left
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.room(p, bytes)
	}
	if err == nil {
		err = ready(func() error { return os.Rename(file.Name(), f.path(p)) })
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(file.Name()))
	}
	return bytes, f.sync()
}

// room removes images of others, those first that were not used for longest,
// until there is room for one of p.
func (f *Files) room(p tenant.Project, bytes int64) error {
	all, err := f.List()
	if err != nil {
		return err
	}
	left, n := f.limit-bytes, 1
	for _, o := range all {
		if o.Project == p {
			continue
		}
		if left -= o.Bytes; left >= 0 && n < maxFiles {
			n++
			continue
		}
		if _, err := f.remove(o.Project); err != nil {
			return err
		}
		left += o.Bytes
	}
	return nil
}

func (f *Files) sync() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type limited struct {
	io.Writer
	left int64
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, fmt.Errorf("%w", errTooLarge)
	}
	return l.Writer.Write(b)
}
