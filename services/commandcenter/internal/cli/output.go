package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/mattn/go-isatty"
)

// serial makes a writer that the log and what is said to people can share. A
// file does that by itself, and only as a file it is known for a terminal.
func serial(w io.Writer) io.Writer {
	if _, ok := w.(*os.File); ok {
		return w
	}
	return &serialWriter{w: w}
}

type serialWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serialWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// answer is standard output. It keeps the first failure, so that whoever prints
// need not look: a command whose answer did not arrive has not succeeded.
type answer struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return 0, a.err // no holes
	}
	n, err := a.w.Write(p)
	if err != nil {
		a.err = &answerError{err}
		return n, a.err
	}
	return n, nil
}

// failed is why not everything was written, nil when it was.
func (a *answer) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// answerError says that standard output took no more.
type answerError struct{ err error }

func (e *answerError) Error() string {
	return fmt.Sprintf("the answer could not be written: %v", e.err)
}

func (e *answerError) Unwrap() error { return e.err }

// conclude joins how a command ended and whether its answer was written. quiet
// says that there is nothing to talk about: somebody has stopped reading, which
// is their right. Mostly SIGPIPE has ended the process before; this is for
// where that signal is ignored.
func (e *env) conclude(err error) (quiet bool, all error) {
	lost := e.written()
	if lost != nil && !errors.Is(err, lost) {
		if err != nil && errors.Is(lost, syscall.EPIPE) {
			return false, err
		}
		err = errors.Join(err, lost)
	}
	return lost != nil && errors.Is(lost, syscall.EPIPE), err
}

// written is why the answer did not arrive; who writes without end asks.
func (e *env) written() error {
	if a, ok := e.Out.(*answer); ok {
		return a.failed()
	}
	return nil
}

// file is the file behind a writer or a reader, nil when there is none.
func file(w any) *os.File {
	if a, ok := w.(*answer); ok {
		w = a.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	return f
}

func terminal(w any) bool {
	f := file(w)
	return f != nil && isatty.IsTerminal(f.Fd())
}
