package document_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
)

// shelf is a store of one document, and of what was done to it.
type shelf struct {
	doc       document.Document
	chunks    []document.Chunk
	blob      document.Blob
	vectors   map[int64][]float32
	discarded []string
	indexed   []string
	failed    []string
	answered  []string // operation, then the document's chunks or the failure
	moved     bool
	searched  string
	wanted    string
	fail      error
	received  int
}

func (s *shelf) Unchanged(_ context.Context, n document.Document) (document.Document, bool, error) {
	return s.doc, s.doc.ID != 0 && s.doc.Same(n), s.fail
}

func (s *shelf) Receive(_ context.Context, n document.Document, chunks []document.Chunk, b document.Blob) (document.Document, bool, error) {
	if s.moved {
		return n, false, nil
	}
	s.received++
	n.ID, n.Version, n.Job = 7, s.doc.Version+1, uuid.New()
	for i := range chunks {
		chunks[i].ID = int64(i + 1)
	}
	s.doc, s.chunks, s.blob = n, chunks, b
	return n, true, nil
}

func (s *shelf) Discard(_ context.Context, n document.Submission) error {
	s.discarded = append(s.discarded, n.Blob.Name)
	return nil
}

func (s *shelf) Open(context.Context, tenant.Project, document.Task) (document.Document, document.Blob, error) {
	if s.moved {
		return document.Document{}, document.Blob{}, document.ErrMoved
	}
	d := s.doc
	d.Embedded = len(s.vectors)
	return d, s.blob, s.fail
}

func (s *shelf) Look(ctx context.Context, p tenant.Project, t document.Task) (document.Document, error) {
	d, _, err := s.Open(ctx, p, t)
	return d, err
}

func (s *shelf) Extracted(_ context.Context, d document.Document, chunks []document.Chunk) (document.Document, error) {
	for i := range chunks {
		chunks[i].ID = int64(i + 1)
	}
	s.chunks = chunks
	d.Chunks, d.Extracted = len(chunks), true
	s.doc = d
	return d, nil
}

func (s *shelf) Models(context.Context, tenant.Project) (string, string, error) {
	return s.searched, s.wanted, nil
}

func (s *shelf) Unembedded(_ context.Context, _ document.Document, _ string, after, limit int) (out []document.Chunk, err error) {
	for _, c := range s.chunks {
		if s.vectors[c.ID] == nil && c.Ordinal > after && len(out) < limit {
			out = append(out, c)
		}
	}
	return out, nil
}

func (s *shelf) Embedded(_ context.Context, _ document.Document, _ string, chunks []document.Chunk, vectors [][]float32) error {
	if s.vectors == nil {
		s.vectors = map[int64][]float32{}
	}
	for i, c := range chunks {
		s.vectors[c.ID] = vectors[i]
	}
	return nil
}

func (s *shelf) Indexed(_ context.Context, _ document.Document, model string) error {
	s.indexed = append(s.indexed, model)
	return nil
}

func (s *shelf) Failed(_ context.Context, _ document.Document, reason, detail string) error {
	s.failed = append(s.failed, reason+": "+detail)
	return nil
}

func (s *shelf) GaveUp(context.Context, tenant.Project, document.Task, string) error {
	if s.moved {
		return document.ErrMoved
	}
	s.failed = append(s.failed, "gave up")
	return nil
}

func (s *shelf) Answer(_ context.Context, _ tenant.Project, operation uuid.UUID, d document.Document, failure error) error {
	s.answered = append(s.answered, fmt.Sprint(operation, " ", d.Chunks, " ", errs.KindOf(failure)))
	return s.fail
}

// store is what uploads are read from.
type store map[string][]byte

func (o store) Open(_ context.Context, b document.Blob) (io.ReadCloser, error) {
	data, ok := o[b.Name]
	if !ok {
		return nil, errs.New(errs.NotFound, "no such object")
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

type counter struct{ c chunk.Counter }

func (c counter) Counter() chunk.Counter { return c.c }

// slow counts tokens after its context has long ended.
type slow struct{ until <-chan struct{} }

func (s slow) Count(string) int {
	<-s.until
	return 1
}

// picky counts tokens, and waits before those of a text that says so.
type picky struct {
	at    chan<- struct{} // told once that it waits; may be nil
	until <-chan struct{}
}

func (p picky) Count(text string) int {
	if strings.Contains(text, "wait") {
		select {
		case p.at <- struct{}{}:
		default:
		}
		<-p.until
	}
	return (&encodertest.Model{}).Count(text)
}

type model struct {
	m      *encodertest.Model
	err    error
	others map[string]*encodertest.Model // by name; nil: cannot be had
}

func (m model) Settled(_ context.Context, name string) (document.Embedder, error) {
	if other, ok := m.others[name]; ok && other != nil {
		return other, nil
	}
	if _, absent := m.others[name]; absent || m.m == nil {
		return nil, m.err
	}
	return m.m, m.err
}

func text(body string) document.Submission {
	return document.Submission{Project: 1, Source: "a.md", Category: "docs", Principal: "user:1", Blob: document.Blob{Body: []byte(body)}}
}

func intake(s *shelf, o store, c document.Config) *document.Intake {
	return document.NewIntake(o, counter{&encodertest.Model{}}, s, c, 1)
}

func TestAcceptedDocumentIsSearchableAtOnce(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	d, err := intake(s, nil, document.Config{}).Accept(t.Context(), text("# Hello\n\nworld"))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Extracted || d.Title != "Hello" || d.Chunks != 1 || d.Collection != "default" || d.State != document.Indexing || d.ContentType != "text/markdown" || d.Size != 14 {
		t.Errorf("%+v", d)
	}
	if s.chunks[0].Text != "# Hello\n\nworld" || s.chunks[0].Ordinal != 0 || s.blob.SHA256 != document.Digest([]byte("# Hello\n\nworld")) {
		t.Errorf("%+v, %+v", s.chunks, s.blob)
	}
}

func TestSameAgainIsNoWork(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	o := store{"o1": []byte("# Hello\n\nworld"), "o2": []byte("# Hello\n\nworld")}
	in := intake(s, o, document.Config{})
	up := func(name string) document.Submission {
		u := text("")
		u.Blob = document.Blob{Bucket: "blobs", Name: name, Size: 14}
		return u
	}
	first, err := in.Accept(t.Context(), up("o1"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := in.Accept(t.Context(), up("o2"))
	if err != nil || second.ID != first.ID || second.Version != first.Version || s.received != 1 {
		t.Errorf("%+v, %v; received %d times", second, err, s.received)
	}
	if len(s.discarded) != 1 || s.discarded[0] != "o2" {
		t.Errorf("discarded %v", s.discarded)
	}
	other := up("o2")
	other.Category = "other"
	if d, err := in.Accept(t.Context(), other); err != nil || d.Version != 2 {
		t.Errorf("another category: %+v, %v", d, err)
	}
	s.moved = true // another call was faster
	if _, err := in.Accept(t.Context(), up("o1")); err != nil || len(s.discarded) != 2 {
		t.Errorf("%v, discarded %v", err, s.discarded)
	}
}

func TestSubmissionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*document.Submission)
		kind   errs.Kind
		says   string
	}{
		"no name":        {func(s *document.Submission) { s.Source = " ../.. " }, errs.Invalid, "file must not be empty"},
		"no category":    {func(s *document.Submission) { s.Category = " " }, errs.Invalid, "category"},
		"long category":  {func(s *document.Submission) { s.Category = strings.Repeat("x", 101) }, errs.Invalid, "more than 100"},
		"control":        {func(s *document.Submission) { s.Collection = "a\x00b" }, errs.Invalid, "control"},
		"long title":     {func(s *document.Submission) { s.Title = strings.Repeat("x", 513) }, errs.Invalid, "title"},
		"control title":  {func(s *document.Submission) { s.Title = "a\x01" }, errs.Invalid, "title"},
		"repository":     {func(s *document.Submission) { s.Repository = -1 }, errs.Invalid, "repository_id"},
		"technology":     {func(s *document.Submission) { s.Technology = -1 }, errs.Invalid, "technology_id"},
		"pdf":            {func(s *document.Submission) { s.Source = "a.pdf" }, errs.Unsupported, "accepted are Markdown"},
		"not utf-8":      {func(s *document.Submission) { s.Blob.Body = []byte("a\xff") }, errs.Invalid, "UTF-8"},
		"empty":          {func(s *document.Submission) { s.Blob.Body = nil }, errs.Invalid, "empty"},
		"no text":        {func(s *document.Submission) { s.Source, s.Blob.Body = "a.html", []byte("<p></p>") }, errs.Invalid, "no text"},
		"too large":      {func(s *document.Submission) { s.Blob.Body = make([]byte, document.MaxSize+1) }, errs.TooLarge, "20 MiB"},
		"declared large": {func(s *document.Submission) { s.Blob = document.Blob{Name: "x", Size: document.MaxSize + 1} }, errs.TooLarge, "20 MiB"},
		"really large":   {func(s *document.Submission) { s.Blob = document.Blob{Name: "big"} }, errs.TooLarge, "20 MiB"},
		"no object":      {func(s *document.Submission) { s.Blob = document.Blob{Name: "gone"} }, errs.NotFound, "no such object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{}
			sub := text("hello")
			c.change(&sub)
			_, err := intake(s, store{"big": make([]byte, document.MaxSize+1)}, document.Config{}).Accept(t.Context(), sub)
			if errs.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("error %v, want %s with %q", err, c.kind, c.says)
			}
			if sub.Blob.Stored() != (len(s.discarded) == 1) {
				t.Errorf("discarded %v", s.discarded)
			}
		})
	}
}

func TestNamesAndCollectionsAreDerived(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change             func(*document.Submission)
		source, collection string
	}{
		{func(s *document.Submission) { s.Source = `\docs\..\a.md` }, "docs/a.md", "default"},
		{func(s *document.Submission) { s.Repository = 3 }, "a.md", "commandcenter_3"},
		{func(s *document.Submission) { s.Repository, s.Collection = 3, "mine" }, "a.md", "mine"},
	} {
		sub := text("hello")
		c.change(&sub)
		d, err := intake(&shelf{}, nil, document.Config{}).Accept(t.Context(), sub)
		if err != nil || d.Source != c.source || d.Collection != c.collection {
			t.Errorf("%q in %q, %v; want %q in %q", d.Source, d.Collection, err, c.source, c.collection)
		}
	}
	sub := text("# Inside\n\ntext")
	sub.Title = "  Given   title "
	if d, err := intake(&shelf{}, nil, document.Config{}).Accept(t.Context(), sub); err != nil || d.Title != "Given title" || !d.Titled {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestSlowExtractionIsLeftToTheJob(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	until := make(chan struct{})
	in := document.NewIntake(nil, counter{slow{until}}, s, document.Config{Wait: 10 * time.Millisecond, Extract: 20 * time.Millisecond}, 2)
	d, err := in.Accept(t.Context(), text("hello"))
	if err != nil || d.Extracted || d.Chunks != 0 || s.received != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	// The job has its own limit; the parser that does not stop keeps its desk.
	x := document.NewIndexer(in, model{}, s, s)
	if err := x.Index(t.Context(), 1, document.Task{Document: 7, Version: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.failed) != 1 || !strings.HasPrefix(s.failed[0], "too_slow") {
		t.Errorf("failed %v", s.failed)
	}
	// Both desks are taken: the next one waits in vain.
	if d, err := in.Accept(t.Context(), text("other")); err != nil || d.Extracted {
		t.Errorf("%+v, %v", d, err)
	}
	close(until)
}

func TestLargeDocumentsLeaveADeskToOthers(t *testing.T) {
	t.Parallel()
	at, until := make(chan struct{}, 1), make(chan struct{})
	in := document.NewIntake(nil, counter{picky{at, until}}, &shelf{}, document.Config{Large: 10}, 2)
	large := func(text string) *document.Indexer {
		s := &shelf{doc: document.Document{ID: 7, Source: "a.txt"}, blob: document.Blob{Body: []byte(text), Size: int64(len(text))}}
		return document.NewIndexer(in, model{}, s, s)
	}
	first := make(chan error, 1)
	go func() { first <- large("please wait").Index(t.Context(), 1, document.Task{}, nil) }()
	<-at // its text is being read
	if err := large("another one").Index(t.Context(), 1, document.Task{}, nil); !errors.Is(err, document.ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	if d, err := in.Accept(t.Context(), text("a large one")); err != nil || d.Extracted {
		t.Errorf("large: %+v, %v", d, err)
	}
	if d, err := in.Accept(t.Context(), text("small")); err != nil || !d.Extracted {
		t.Errorf("small: %+v, %v", d, err)
	}
	close(until)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if d, err := in.Accept(t.Context(), text("a large one")); err != nil || !d.Extracted {
		t.Errorf("large, later: %+v, %v", d, err)
	}
}

func TestADocumentDoesNotFailForWantOfADesk(t *testing.T) {
	t.Parallel()
	until := make(chan struct{})
	defer close(until)
	s := &shelf{}
	in := document.NewIntake(nil, counter{picky{nil, until}}, s, document.Config{Wait: time.Second, Extract: 20 * time.Millisecond}, 1)
	if d, err := in.Accept(t.Context(), text("wait")); err != nil || d.Extracted {
		t.Fatalf("%+v, %v", d, err)
	}
	other := &shelf{doc: document.Document{ID: 8, Source: "b.txt"}, blob: document.Blob{Body: []byte("hello")}}
	x := document.NewIndexer(in, model{}, other, other)
	if err := x.Index(t.Context(), 1, document.Task{Document: 8}, nil); !errors.Is(err, document.ErrBusy) || len(other.failed) > 0 {
		t.Errorf("%v, failed %v", err, other.failed)
	}
}

func TestManyChunksAreLeftToTheJob(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	m := &encodertest.Model{}
	in := document.NewIntake(nil, counter{m}, s, document.Config{Inline: 3, Cut: chunk.Config{Target: 40}}, 1)
	d, err := in.Accept(t.Context(), text(strings.Repeat("one two three four five six seven. ", 60)))
	if err != nil || d.Extracted {
		t.Fatalf("%+v, %v", d, err)
	}
	var seen []int
	x := document.NewIndexer(in, model{m: m}, s, s)
	if err := x.Index(t.Context(), 1, document.Task{Document: 7, Version: 1}, func(_ context.Context, done, total int) error {
		seen = append(seen, done*1000+total)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(s.chunks) < 10 || len(s.vectors) != len(s.chunks) || len(s.indexed) != 1 || s.indexed[0] != "test-model" {
		t.Errorf("%d chunks, %d vectors, indexed %v", len(s.chunks), len(s.vectors), s.indexed)
	}
	if last := seen[len(seen)-1]; last != len(s.chunks)*1001 {
		t.Errorf("progress %v", seen)
	}
}

func TestIndexingGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	batches := 0
	m := &encodertest.Model{Before: func(context.Context, int) error {
		if batches++; batches == 2 {
			return errors.New("power cut")
		}
		return nil
	}}
	in := document.NewIntake(nil, counter{m}, s, document.Config{Cut: chunk.Config{Target: 32}}, 1)
	if _, err := in.Accept(t.Context(), text(strings.Repeat("one two three four five six seven. ", 200))); err != nil {
		t.Fatal(err)
	}
	x := document.NewIndexer(in, model{m: m}, s, s)
	quiet := func(context.Context, int, int) error { return nil }
	if err := x.Index(t.Context(), 1, document.Task{}, quiet); err == nil || len(s.vectors) != document.Batch {
		t.Fatalf("%v after %d vectors", err, len(s.vectors))
	}
	if err := x.Index(t.Context(), 1, document.Task{}, quiet); err != nil {
		t.Fatal(err)
	}
	if m.Texts() != len(s.chunks) {
		t.Errorf("%d texts embedded for %d chunks", m.Texts(), len(s.chunks))
	}
	cancelled := errors.New("cancelled")
	s.vectors = nil
	if err := x.Index(t.Context(), 1, document.Task{}, func(context.Context, int, int) error { return cancelled }); !errors.Is(err, cancelled) {
		t.Errorf("error %v", err)
	}
}

func TestWithoutModelDocumentsAreIndexedByWords(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	in := intake(s, nil, document.Config{})
	if _, err := in.Accept(t.Context(), text("hello")); err != nil {
		t.Fatal(err)
	}
	if err := document.NewIndexer(in, model{}, s, s).Index(t.Context(), 1, document.Task{}, nil); err != nil || len(s.indexed) != 1 || s.indexed[0] != "" {
		t.Errorf("%v, indexed %v", err, s.indexed)
	}
	stop := errors.New("stopping")
	if err := document.NewIndexer(in, model{err: stop}, s, s).Index(t.Context(), 1, document.Task{}, nil); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestUnreadableDocumentFailsAndItsJobDoesNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		cut  chunk.Config
		want string
	}{
		"no text":  {"<script>x</script>", chunk.Config{}, "unreadable"},
		"too many": {"<p>" + strings.Repeat("one two three. ", 500), chunk.Config{Target: 32, Chunks: 2}, "too_large"},
	} {
		s := &shelf{doc: document.Document{ID: 7, Source: "a.html"}, blob: document.Blob{Body: []byte(c.body)}}
		s.doc.Format.Kind = "html"
		in := document.NewIntake(nil, counter{&encodertest.Model{}}, s, document.Config{Cut: c.cut}, 1)
		if err := document.NewIndexer(in, model{}, s, s).Index(t.Context(), 1, document.Task{}, nil); err != nil || len(s.failed) != 1 || !strings.HasPrefix(s.failed[0], c.want) {
			t.Errorf("%s: %v, failed %v", name, err, s.failed)
		}
	}
}

func TestDocumentThatMovedOnIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := &shelf{moved: true}
	x := document.NewIndexer(intake(s, nil, document.Config{}), model{}, s, s)
	if err := x.Index(t.Context(), 1, document.Task{}, nil); err != nil {
		t.Error(err)
	}
	if err := x.GiveUp(t.Context(), 1, document.Task{}); err != nil {
		t.Error(err)
	}
	s.moved = false
	if err := x.GiveUp(t.Context(), 1, document.Task{}); err != nil || len(s.failed) != 1 {
		t.Errorf("%v, %v", err, s.failed)
	}
}

func TestACallThatDidNotWaitForTheTextIsAnsweredWhenItIsThere(t *testing.T) {
	t.Parallel()
	operation := uuid.New()
	for name, c := range map[string]struct {
		doc  document.Document // beside what all have
		cut  chunk.Config
		lost bool // moved on
		want string
	}{
		"extracted now":     {want: "1 "},
		"extracted before":  {doc: document.Document{Extracted: true, Chunks: 5}, want: "5 "},
		"unreadable":        {doc: document.Document{Format: extract.Format{Kind: "html"}}, want: "0 invalid"},
		"too large":         {cut: chunk.Config{Target: 32, Chunks: 1}, want: "0 too_large"},
		"failed before":     {doc: document.Document{State: document.Failed, Reason: "too_large", Extracted: true}, want: "0 too_large"},
		"given up before":   {doc: document.Document{State: document.Failed, Reason: "internal", Extracted: true}, want: "0 internal"},
		"deleted, replaced": {lost: true, want: "0 conflict"},
	} {
		c.doc.ID, c.doc.Source = 7, "a.txt"
		body := "one"
		if c.doc.Format.Kind == "html" {
			body = "<script>x</script>"
		} else if c.cut.Chunks > 0 {
			body = strings.Repeat("one two three. ", 500)
		}
		s := &shelf{doc: c.doc, blob: document.Blob{Body: []byte(body)}, moved: c.lost}
		in := document.NewIntake(nil, counter{&encodertest.Model{}}, s, document.Config{Cut: c.cut}, 1)
		x := document.NewIndexer(in, model{}, s, s)
		if err := x.Index(t.Context(), 1, document.Task{Document: 7, Operation: operation}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := operation.String() + " " + c.want; len(s.answered) != 1 || s.answered[0] != want {
			t.Errorf("%s: answered %q, want %q", name, s.answered, want)
		}
		if s.doc.State == document.Failed && len(s.indexed) > 0 {
			t.Errorf("%s: a failed document is indexed", name)
		}
		if err := x.Index(t.Context(), 1, document.Task{Document: 7}, nil); err != nil || len(s.answered) != 1 {
			t.Errorf("%s: without an operation: %v, answered %q", name, err, s.answered)
		}
		s.answered = nil
		if err := x.GiveUp(t.Context(), 1, document.Task{Document: 7, Operation: operation}); err != nil || len(s.answered) != 1 || c.lost != strings.HasSuffix(s.answered[0], "conflict") {
			t.Errorf("%s: given up: %v, answered %q", name, err, s.answered)
		}
	}
}

func TestWhoMayDelete(t *testing.T) {
	t.Parallel()
	d := document.Document{Principal: "user:1"}
	for _, c := range []struct {
		who  tenant.Identity
		want bool
	}{
		{tenant.Identity{Principal: "user:1", Role: tenant.Member}, true},
		{tenant.Identity{Principal: "user:1", Role: tenant.Viewer}, false},
		{tenant.Identity{Principal: "user:2", Role: tenant.Member}, false},
		{tenant.Identity{Principal: "user:2", Role: tenant.Admin}, true},
		{tenant.Identity{Principal: "user:3", Superuser: true}, true},
		{tenant.Identity{}, false},
	} {
		if got := d.MayDelete(c.who); got != c.want {
			t.Errorf("%+v: %v", c.who, got)
		}
	}
	if (document.Document{}).MayDelete(tenant.Identity{Role: tenant.Member}) {
		t.Error("nobody may delete what nobody added")
	}
}

func TestWhileAModelIsChangedWhatIsNewGetsTheVectorsOfBoth(t *testing.T) {
	t.Parallel()
	old, next := &encodertest.Model{ID: "old"}, &encodertest.Model{ID: "next"}
	quiet := func(context.Context, int, int) error { return nil }
	for name, c := range map[string]struct {
		state  document.State
		model  string
		others map[string]*encodertest.Model
		want   []string
	}{
		"new":                 {document.Indexing, "", map[string]*encodertest.Model{"old": old, "next": next}, []string{"old", "next"}},
		"of before":           {document.Indexed, "old", map[string]*encodertest.Model{"old": old, "next": next}, []string{"next"}},
		"found by words only": {document.Indexed, "", map[string]*encodertest.Model{"old": old, "next": next}, []string{"old", "next"}},
		"the new one missing": {document.Indexing, "", map[string]*encodertest.Model{"old": old, "next": nil}, []string{"old"}},
		"the old one missing": {document.Indexing, "", map[string]*encodertest.Model{"old": nil, "next": next}, []string{"next"}},
		"both missing":        {document.Indexed, "old", map[string]*encodertest.Model{"old": nil, "next": nil}, []string{""}},
	} {
		s := &shelf{searched: "old", wanted: "next", doc: document.Document{ID: 7, State: c.state, Model: c.model, Extracted: true, Chunks: 1}}
		s.chunks = []document.Chunk{{ID: 1}}
		if err := document.NewIndexer(intake(s, nil, document.Config{}), model{others: c.others}, s, s).Index(t.Context(), 1, document.Task{}, quiet); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(s.indexed, c.want) {
			t.Errorf("%s: indexed with %q, want %q", name, s.indexed, c.want)
		}
	}
}
