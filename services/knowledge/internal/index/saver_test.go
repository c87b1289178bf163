package index_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
)

const quiet = 20 * time.Second

// host is a process with a library, its files and its log.
type host struct {
	*testing.T
	dir string
	l   *index.Library
	s   *index.Saver
	log *journal
}

// journal is a log that is read beside its writers.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) has(s string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.b.String(), s)
}

func newHost(t *testing.T, dir string, src index.Source, disk int64) *host {
	t.Helper()
	h := &host{T: t, dir: dir, l: index.NewLibrary(src, ranking, 1<<30), log: &journal{}}
	h.s = index.NewSaver(h.l, index.NewFiles(dir, disk), slog.New(slog.NewTextHandler(h.log, nil)), quiet, 10)
	return h
}

func (h *host) start() *host {
	h.Helper()
	if err := h.s.Start(h.Context()); err != nil {
		h.Fatal(err)
	}
	synctest.Wait()
	return h
}

func (h *host) stop() {
	h.Helper()
	if err := h.s.Stop(h.Context()); err != nil {
		h.Fatal(err)
	}
}

func (h *host) at(p tenant.Project, generation int64) *index.Index {
	h.Helper()
	x, err := h.l.At(h.Context(), p, generation)
	if err != nil {
		h.Fatal(err)
	}
	return x
}

// images are the names in the directory.
func (h *host) images() string {
	h.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (h *host) wantImages(when, want string) {
	h.Helper()
	if got := h.images(); got != want {
		h.Errorf("%s: images %q, want %q\n%s", when, got, want, h.log.b.String())
	}
}

// filled is a table of so many documents of three passages.
func filled(documents int64) (*table, *writer) {
	s, w := &table{}, &writer{text: *newText(7)}
	for d := range documents {
		s.set(d+1, w.document(d+1)...)
	}
	return s, w
}

func TestAnIndexIsWrittenWhenItRestsAndWhereItStopsAndReadAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "index")
	s, w := filled(150)
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, dir, s, 1<<30).start()
		h.at(1, 150)
		time.Sleep(quiet / 2)
		h.wantImages("before it rests", "")
		s.set(151, w.document(151)...)
		h.at(1, 151)
		time.Sleep(quiet - time.Second)
		h.wantImages("before it rests again", "")
		time.Sleep(quiet)
		h.wantImages("after a while", "1.index")
		for name, mode := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, "1.index"): 0o600} {
			if info, err := os.Stat(name); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
		s.set(152, w.document(152)...)
		s.set(1, w.document(1)...)
		x := h.at(1, 153)
		h.stop()
		loads := s.loads.Load()
		next := newHost(t, dir, s, 1<<30).start()
		if !next.l.Held(1) || s.loads.Load() != loads+1 {
			t.Errorf("the index was not read, or loaded %d times", s.loads.Load()-loads)
		}
		y := next.at(1, 153)
		if s.loads.Load() != loads+1 || !next.log.has("outcome=read generation=153") {
			t.Errorf("what stood in the image was asked for again\n%s", next.log.b.String())
		}
		x.Settle()
		y.Settle()
		alike(t, w, x, y)
		// Changes since then come from the source, and nothing else does.
		s.set(7)
		s.set(154, w.document(154)...)
		third := newHost(t, dir, s, 1<<30).start()
		x, y = next.at(1, 155), third.at(1, 155)
		x.Settle()
		y.Settle()
		alike(t, w, x, y)
		next.stop()
		third.stop()
	})
}

func TestAnIndexThatNeverRestsIsWrittenAtLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, w := filled(50)
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, dir, s, 1<<30).start()
		began, d := time.Now(), int64(50)
		for h.images() == "" {
			d++
			s.set(d, w.document(d)...)
			h.at(1, d)
			time.Sleep(quiet / 2)
			if time.Since(began) > 12*quiet {
				t.Fatal("no image")
			}
		}
		if took := time.Since(began); took < 9*quiet {
			t.Errorf("written after %v", took)
		}
		h.stop()
	})
}

func TestImagesThatAreNoUseAreIgnoredAndBuiltAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, file string, s *table)
		says   string
	}{
		"damaged": {func(t *testing.T, file string, _ *table) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 4
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "damaged: the checksum"},
		"empty": {func(t *testing.T, file string, _ *table) {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no image"},
		"of another project": {func(t *testing.T, file string, _ *table) {
			if err := os.Rename(file, filepath.Join(filepath.Dir(file), "2.index")); err != nil {
				t.Fatal(err)
			}
		}, "project 1"},
		"of another database":   {func(_ *testing.T, _ string, s *table) { s.line = "elsewhere" }, "older than what is remembered"},
		"ahead of the database": {func(_ *testing.T, _ string, s *table) { s.at = 20 }, "older than what is remembered"},
		"too old":               {func(_ *testing.T, _ string, s *table) { s.old = 50 }, "older than what is remembered"},
		"of another model":      {func(_ *testing.T, _ string, s *table) { s.model = "n" }, "older than what is remembered"},
		"a directory": {func(t *testing.T, file string, _ *table) {
			if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, w := filled(30)
			s.model, s.line = "m", "here"
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, dir, s, 1<<30).start()
				h.at(1, 30)
				h.stop()
				for d := range int64(25) {
					s.set(d+1, w.document(d+1)...)
				}
				s.set(31)
				want := newHost(t, t.TempDir(), s, 1<<30).at(1, 56)
				c.change(t, filepath.Join(dir, "1.index"), s)
				p := tenant.Project(1)
				if name == "of another project" {
					p = 2
				}
				h = newHost(t, dir, s, 1<<30).start()
				x := h.at(p, 1)
				if !h.log.has(c.says) || !h.log.has("outcome=ignored") {
					t.Errorf("the log does not say %q:\n%s", c.says, h.log.b.String())
				}
				if name != "ahead of the database" && name != "of another database" && name != "of another model" {
					alike(t, w, want, x)
				}
				if n, _ := x.Len(); n != 90 {
					t.Errorf("%d passages", n)
				}
				h.stop()
			})
		})
	}
}

func TestImagesTogetherStayWithinTheirLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := filled(100)
	synctest.Test(t, func(t *testing.T) {
		one := newHost(t, dir, s, 1<<30).start()
		one.at(1, 100)
		one.stop()
		info, err := os.Stat(filepath.Join(dir, "1.index"))
		if err != nil {
			t.Fatal(err)
		}
		size := info.Size()
		h := newHost(t, dir, s, size*5/2).start()
		for p := range tenant.Project(4) {
			h.at(p+1, 100)
			time.Sleep(2 * quiet)
		}
		h.wantImages("of four, those written last", "3.index 4.index")
		h.stop()
		small := newHost(t, t.TempDir(), s, size/2).start()
		small.at(1, 100)
		time.Sleep(2 * quiet)
		small.wantImages("of one that is too large", "")
		if !small.log.has("larger than all may be") {
			t.Errorf("nobody is told:\n%s", small.log.b.String())
		}
		_ = small.s.Stop(t.Context())
	})
}

func TestAnIndexThatBecameSmallHasNoImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := filled(4)
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, dir, s, 1<<30).start()
		h.at(1, 4)
		time.Sleep(2 * quiet)
		h.wantImages("of twelve passages", "1.index")
		s.set(1)
		h.at(1, 5)
		time.Sleep(2 * quiet)
		h.wantImages("of nine", "")
		h.stop()
	})
}

func TestADroppedProjectLeavesNoImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := filled(100)
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, dir, s, 1<<30).start()
		h.at(1, 100)
		h.at(2, 100)
		time.Sleep(2 * quiet)
		h.wantImages("before", "1.index 2.index")
		if known, err := h.l.Known(); err != nil || len(known) != 2 {
			t.Errorf("known %v, %v", known, err)
		}
		if removed, left, err := h.l.Drop(1); removed != 1 || left != 0 || err != nil {
			t.Errorf("removed %d, left %d, %v", removed, left, err)
		}
		if removed, left, err := h.l.Drop(1); removed != 0 || left != 0 || err != nil {
			t.Errorf("again: removed %d, left %d, %v", removed, left, err)
		}
		h.wantImages("after", "2.index")
		if err := h.l.Fade(time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		h.wantImages("of an index in use", "2.index")
		h.stop()
		h = newHost(t, dir, s, 1<<30)
		if known, err := h.l.Known(); err != nil || len(known) != 1 || known[0] != 2 {
			t.Errorf("known %v, %v", known, err)
		}
		// The times of files are those of the machine, not of the test.
		if err := h.l.Fade(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Error(err)
		}
		h.wantImages("that nobody used", "")
	})
}

// TestAKillWhileAnImageIsWrittenLosesNothing: the process that writes is this
// test again, and is killed some hundredths of a second after it has begun.
func TestAKillWhileAnImageIsWrittenLosesNothing(t *testing.T) {
	if dir := os.Getenv("INDEX_TEST_WRITER"); dir != "" {
		writeForEver(t, dir)
	}
	t.Parallel()
	dir := t.TempDir()
	s, w := filled(400)
	s.at = 1 << 40 // above all that the other process counts
	want := newHost(t, t.TempDir(), s, 1<<30).at(1, s.at)
	want.Settle()
	for round := range 6 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAKillWhileAnImageIsWrittenLosesNothing$") //nolint:gosec // G204: this test
		cmd.Env = append(os.Environ(), "INDEX_TEST_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 1 + round { // images are done; the next is on its way
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(round) * 3 * time.Millisecond) // the pause is the test: another place each time
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		h := newHost(t, dir, s, 1<<30)
		x := h.at(1, s.at)
		if h.log.has("ignored") || !h.log.has("outcome=read") {
			t.Fatalf("round %d:\n%s", round, h.log.b.String())
		}
		x.Settle()
		alike(t, w, want, x)
	}
}

// writeForEver writes the image over and over, and a byte for each.
func writeForEver(t *testing.T, dir string) {
	s, _ := filled(400)
	for {
		h := newHost(t, dir, s, 1<<30)
		h.at(1, 400)
		s.at++ // so that there is something to write
		h.at(1, s.at)
		if err := h.s.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.stop()
		if _, err := os.Stdout.WriteString("x"); err != nil {
			t.Fatal(err)
		}
	}
}
