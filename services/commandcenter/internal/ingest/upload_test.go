package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// library is an edge that takes documents.
type library struct {
	*client.Session
	mu       sync.Mutex
	got      map[string]string // name → category/collection/content
	tries    map[string]int
	keys     map[string]bool
	polls    map[int64]int
	refuse   map[string]int // name → status
	flaky    map[string]bool
	notIndex map[string]bool
	never    bool // is anything indexed
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	l := &library{got: map[string]string{}, tries: map[string]int{}, keys: map[string]bool{}, polls: map[int64]int{}, refuse: map[string]int{}, flaky: map[string]bool{}, notIndex: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/knowledge/documents", l.take)
	mux.HandleFunc("GET /api/v1/knowledge/documents/{id}", l.state)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s, err := client.New(client.Config{Server: srv.URL, Token: "t", Store: client.NewStore(filepath.Join(t.TempDir(), "c"))})
	if err != nil {
		t.Fatal(err)
	}
	l.Session = s
	return l
}

func (l *library) take(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	fields := map[string]string{}
	name := ""
	for {
		p, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		data, err := io.ReadAll(p)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		if p.FormName() == "file" {
			_, rest, _ := strings.Cut(p.Header.Get("Content-Disposition"), `filename="`)
			name = strings.TrimSuffix(rest, `"`)
		}
		fields[p.FormName()] = string(data)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries[name]++
	l.keys[r.Header.Get("Idempotency-Key")] = true
	if status := l.refuse[name]; status != 0 {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"detail":"no %s"}`, name)
		return
	}
	if l.flaky[name] && l.tries[name] == 1 {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(503)
		return
	}
	state, version := "indexing", 1
	if before, ok := l.got[name]; ok {
		version = 2
		if strings.HasSuffix(before, "/"+fields["file"]) {
			state = "indexed"
		}
	}
	l.got[name] = fields["category"] + "/" + fields["collection"] + "/" + fields["file"]
	w.WriteHeader(201)
	id := len(l.got)
	if l.notIndex[name] {
		id += 1000
	}
	_, _ = fmt.Fprintf(w, `{"id":%d,"filename":%q,"chunks_added":2,"state":%q,"status":"success","version":%d}`, id, name, state, version)
}

func (l *library) state(w http.ResponseWriter, r *http.Request) {
	var id int64
	if _, err := fmt.Sscan(r.PathValue("id"), &id); err != nil {
		w.WriteHeader(404)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.polls[id]++
	state, reason := "indexed", "null"
	if l.polls[id] == 1 || l.never {
		state = "indexing"
	} else if id > 1000 {
		state, reason = "failed", `"no text in it"`
	}
	_, _ = fmt.Fprintf(w, `{"id":%d,"state":%q,"error":%s,"chunks":3}`, id, state, reason)
}

// watcher counts what it hears.
type watcher struct {
	mu                       sync.Mutex
	files, uploaded, indexed int
	total, sent              int64
	ended                    bool
}

func (w *watcher) Begin(files int, bytes int64) { w.files, w.total = files, bytes }
func (w *watcher) Sent(n int64)                 { w.mu.Lock(); w.sent += n; w.mu.Unlock() }
func (w *watcher) Uploaded(Result)              { w.mu.Lock(); w.uploaded++; w.mu.Unlock() }
func (w *watcher) Indexed(Result)               { w.mu.Lock(); w.indexed++; w.mu.Unlock() }
func (w *watcher) End()                         { w.ended = true }

func TestUploadsKeepTheirPathTheirContentAndTheirOrder(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.flaky["b/README.md"] = true
	files := []File{Bytes("a/README.md", []byte("one")), Bytes("b/README.md", []byte("two")), Bytes("main.go", []byte("package x")), Bytes("odd \"name\".md", []byte("q"))}
	var w watcher
	results, err := Upload(t.Context(), l.Session, files, Options{Parallel: 2, Wait: true}, &w)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Name != files[i].Name || !r.OK() || r.State != "indexed" || r.Chunks != 3 || r.ID == 0 {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	for name, want := range map[string]string{"a/README.md": "documentation//one", "b/README.md": "documentation//two", "main.go": "code//package x"} {
		if l.got[name] != want {
			t.Errorf("%s = %q, want %q (of %q)", name, l.got[name], want, l.got)
		}
	}
	if w.files != 4 || w.uploaded != 4 || w.indexed != 4 || w.sent != w.total || !w.ended {
		t.Errorf("progress %+v: a file that was sent again counts once", &w)
	}
	if len(l.keys) != 4 || l.tries["b/README.md"] != 2 {
		t.Errorf("%d keys, tries %v: one key a file, the same for its retry", len(l.keys), l.tries)
	}
}

func TestAnUploadIsToldFromAReplacementAndFromNoChange(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	for _, c := range []struct{ text, want string }{{"one", OutcomeAdded}, {"two", OutcomeReplaced}, {"two", OutcomeUnchanged}} {
		results, err := Upload(t.Context(), l.Session, []File{Bytes("docs/a.md", []byte(c.text))}, Options{Wait: true}, &watcher{})
		if err != nil || results[0].Outcome != c.want || results[0].State != "indexed" {
			t.Errorf("%s: %+v %v, want %s", c.text, results, err, c.want)
		}
	}
}

func TestOneRefusedFileDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.refuse["bad.md"] = 415
	l.notIndex["empty.md"] = true
	files := []File{Bytes("bad.md", []byte("x")), Bytes("empty.md", []byte("y")), Bytes("good.md", []byte("z"))}
	var w watcher
	results, err := Upload(t.Context(), l.Session, files, Options{Category: "c", Collection: "d", Wait: true}, &w)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, r := range results {
		states = append(states, r.State)
	}
	if want := []string{"refused", "failed", "indexed"}; !slices.Equal(states, want) {
		t.Fatalf("states %v, want %v", states, want)
	}
	if !strings.Contains(results[0].Error, "no bad.md") || !strings.Contains(results[1].Error, "no text in it") || l.got["good.md"] != "c/d/z" {
		t.Errorf("results %+v, got %q", results, l.got)
	}
}

func TestNobodyTriesOnWhenNobodyMayUpload(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	var files []File
	for i := range 50 {
		name := fmt.Sprintf("%d.md", i)
		l.refuse[name] = 403
		files = append(files, Bytes(name, []byte("x")))
	}
	var api *client.APIError
	_, err := Upload(t.Context(), l.Session, files, Options{Parallel: 2}, &watcher{})
	if !errors.As(err, &api) || api.Status != 403 {
		t.Fatalf("err = %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tries) > 10 {
		t.Errorf("%d files were sent after the first refusal", len(l.tries))
	}
}

func TestAFileThatCannotBeReadFailsAlone(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	gone := File{Name: "gone.md", Size: 3, Open: func() (io.ReadCloser, error) { return nil, errors.New("gone") }}
	results, err := Upload(t.Context(), l.Session, []File{gone, Bytes("here.md", []byte("x"))}, Options{}, &watcher{})
	if err != nil || results[0].OK() || !results[1].OK() {
		t.Fatalf("%+v %v", results, err)
	}
}

func TestStandardInputIsBounded(t *testing.T) {
	t.Parallel()
	f, err := Stdin(strings.NewReader("text"), "x.md")
	if err != nil || f.Name != "x.md" || f.Size != 4 {
		t.Fatalf("%+v %v", f, err)
	}
	if _, err := Stdin(strings.NewReader(""), "x.md"); err == nil {
		t.Error("nothing was accepted")
	}
	if _, err := Stdin(strings.NewReader("a\x00b"), "x.md"); err == nil {
		t.Error("a binary was accepted")
	}
	if _, err := Stdin(strings.NewReader("%PDF-1.7\x00"), "stdin"); err != nil {
		t.Error(err)
	}
	if _, err := Stdin(io.LimitReader(zeros{}, MaxSize+1), "x.md"); err == nil {
		t.Error("too much was accepted")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestWhoGivesUpSaysOnlyWhatIsKnown: files that were on their way when the user
// stopped have no result, and those that the server has are not called failed.
func TestWhoGivesUpSaysOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	ctx, stop := context.WithCancelCause(t.Context())
	asked := errors.New("asked to stop")
	l.never = true // nothing is ever indexed
	var files []File
	for i := range 20 {
		files = append(files, Bytes(fmt.Sprintf("%d.md", i), []byte("x")))
	}
	files[9].Open = func() (io.ReadCloser, error) { stop(asked); return io.NopCloser(strings.NewReader("x")), nil }
	results, err := Upload(ctx, l.Session, files, Options{Parallel: 1, Wait: true}, &watcher{})
	if !errors.Is(err, asked) {
		t.Fatal(err)
	}
	for i, r := range results {
		if i < 9 && (!r.OK() || r.State != "indexing") || i >= 9 && r != (Result{}) {
			t.Errorf("%d: %+v", i, r)
		}
	}
}
