package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"

	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

// paper is a document with a content of its own.
func paper(name, content string) task.Document {
	d, err := task.Named(name)
	if err != nil {
		panic(err)
	}
	d.SHA256, d.Size, d.UploadedBy, d.UploadedAt = content, 3, "user:1", noon
	d.File = task.File{SHA256: content, Size: 3, Bucket: "blobs", Name: "p1/" + name}
	return d
}

func rows(t *testing.T, db *pg.DB, table string) (n int) {
	t.Helper()
	if err := pgtest.Admin(t, db).Get(&n, `SELECT count(*) FROM research.`+table); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADocumentIsAtItsTaskUntilItGoes(t *testing.T) {
	t.Parallel()
	db, technologies, b := books(t, &noon)
	tech := add(t, technologies, 1, "Go", nil)
	x, y := open(t, b, 1, "Why?", func(d *task.Draft) { d.TechnologyID = &tech.ID }), open(t, b, 1, "How?", nil)
	s := postgres.NewTasks(db)
	if _, err := b.Attach(t.Context(), 2, x.ID, paper("a.md", "aa")); !errors.Is(err, task.ErrNotFound) {
		t.Errorf("to another project's: %v", err)
	}
	got, err := b.Attach(t.Context(), 1, x.ID, paper("a.md", "aa"))
	if err != nil || got.Version != 2 || len(got.Documents) != 1 || got.Documents[0].Filename != "a.md" || got.Documents[0].Size != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	// The same bytes again are kept once.
	if got, err := b.Attach(t.Context(), 1, y.ID, paper("b.md", "aa")); err != nil || len(got.Documents) != 1 || rows(t, db, "task_files") != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	all, err := b.List(t.Context(), 1, task.Filter{Limit: 10})
	if err != nil || len(all) != 2 || len(all[0].Documents) != 1 || len(all[1].Documents) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	d, err := b.Document(t.Context(), 1, y.ID, 2)
	if err != nil || d.File.Name != "p1/a.md" || d.Filename != "b.md" || d.SHA256 != "aa" {
		t.Errorf("%+v, %v", d, err)
	}
	for what, err := range map[string]error{
		"of another task": second(b.Document(t.Context(), 1, x.ID, 2)), "of another project": second(b.Document(t.Context(), 2, y.ID, 2)), "removed there": b.RemoveDocument(t.Context(), 1, x.ID, 2, "user:1", true),
	} {
		if !errors.Is(err, task.ErrNoDocument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := b.RemoveDocument(t.Context(), 1, y.ID, 2, "user:7", false); !errors.Is(err, task.ErrNotUploaded) {
		t.Errorf("by somebody else: %v", err)
	}
	if err := b.RemoveDocument(t.Context(), 1, y.ID, 2, "user:1", false); err != nil {
		t.Error(err)
	}
	if names, err := s.Referred(t.Context(), 1, []string{"p1/a.md", "p1/b.md"}); err != nil || fmt.Sprint(names) != "[p1/a.md]" {
		t.Errorf("%v, %v", names, err)
	}
	if now, err := b.Get(t.Context(), 1, y.ID); err != nil || now.Version != 3 || len(now.Documents) != 0 || now.Documents == nil {
		t.Errorf("%+v, %v", now, err)
	}
	if err := technologies.Delete(t.Context(), 1, tech.ID); err != nil {
		t.Fatal(err)
	}
	if n, m := rows(t, db, "task_documents"), rows(t, db, "task_files"); n != 0 || m != 0 {
		t.Errorf("%d documents and %d files are left", n, m)
	}
	var said []string
	if err := pgtest.Admin(t, db).Select(&said, `SELECT subject FROM research.outbox WHERE subject LIKE '%.document.%' ORDER BY id`); err != nil || strings.Count(strings.Join(said, " "), "attached") != 2 || strings.Count(strings.Join(said, " "), "removed") != 2 {
		t.Errorf("%v, %v", said, err)
	}
}

func TestATaskHasFiftyDocumentsAndNoMore(t *testing.T) {
	t.Parallel()
	db, _, b := books(t, &noon)
	x := open(t, b, 1, "Why?", nil)
	var every sync.WaitGroup
	failed := make(chan error, 60)
	for i := range 60 {
		every.Go(func() {
			if _, err := b.Attach(t.Context(), 1, x.ID, paper(fmt.Sprint(i, ".md"), fmt.Sprint(i%7))); err != nil {
				failed <- err
			}
		})
	}
	every.Wait()
	close(failed)
	n := 0
	for err := range failed {
		if n++; !errors.Is(err, task.ErrManyDocuments) {
			t.Error(err)
		}
	}
	if n != 10 || rows(t, db, "task_documents") != 50 || rows(t, db, "task_files") != 7 {
		t.Errorf("%d were refused", n)
	}
}

func TestDocumentsOfAnArchiveAreKept(t *testing.T) {
	t.Parallel()
	db, _, b := books(t, &noon)
	x := open(t, b, 1, "Why?", nil)
	s := postgres.NewTasks(db)
	d := paper("a.md", "aa")
	d.ID, d.TaskID = 7, x.ID
	if err := s.RestoreDocument(t.Context(), 1, d); errs.KindOf(err) != errs.Invalid {
		t.Errorf("without bytes: %v", err)
	}
	for _, content := range []string{"aa", "bb"} {
		if err := s.KeepFile(t.Context(), 1, task.File{SHA256: content, Size: 3, Bucket: "blobs", Name: "p1/" + content}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RestoreDocument(t.Context(), 1, d); err != nil {
		t.Fatal(err)
	}
	if err := s.RestoreDocument(t.Context(), 1, d); errs.KindOf(err) != errs.Conflict {
		t.Errorf("twice: %v", err)
	}
	if d.ID, d.TaskID = 8, 99; !errors.Is(s.RestoreDocument(t.Context(), 1, d), task.ErrNotFound) {
		t.Error("of no task")
	}
	if err := s.Tidy(t.Context(), 1); err != nil || rows(t, db, "task_files") != 1 {
		t.Errorf("%v", err)
	}
	if got, err := b.Document(t.Context(), 1, x.ID, 7); err != nil || got.Filename != "a.md" {
		t.Errorf("%+v, %v", got, err)
	}
}
