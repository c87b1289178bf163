package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// File is an io.WriteCloser. Each Write goes whole into one file, so that a
// line is never cut. It is safe for concurrent use.
type File struct {
	path string
	most int64 // bytes of one file
	keep int   // older files

	mu   sync.Mutex
	f    *os.File
	size int64
}

// Open appends to the file at path, readable by its owner alone.
func Open(path string, most int64, keep int) (*File, error) {
	r := &File{path: path, most: most, keep: keep}
	return r, r.open()
}

func (r *File) open() error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.f, r.size = f, st.Size()
	return nil
}

// Write appends p, after turning the files over when p does not fit.
func (r *File) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return 0, fs.ErrClosed
	}
	if r.size > 0 && r.size+int64(len(p)) > r.most {
		if err := r.turn(); err != nil {
			return 0, err
		}
	}
	n, err := r.f.Write(p)
	r.size += int64(n)
	return n, err
}

func (r *File) turn() error {
	if err := r.f.Close(); err != nil {
		return err
	}
	r.f = nil
	for i := r.keep; i > 0; i-- {
		from := r.path
		if i > 1 {
			from = fmt.Sprintf("%s.%d", r.path, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", r.path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, r.open())
		}
	}
	if r.keep == 0 {
		if err := os.Truncate(r.path, 0); err != nil {
			return errors.Join(err, r.open())
		}
	}
	return r.open()
}

// Close ends it.
func (r *File) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}
