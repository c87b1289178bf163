package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/chunk"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/extract"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

const model = "m1"

// world is a store on a database of its own.
type world struct {
	*testing.T
	db *pg.DB
	s  *postgres.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := pgtest.New(t, knowledge.Migrations)
	return &world{t, db, postgres.New(db, func(string) string { return model })}
}

// draft is a document with a chunk for each text.
func draft(p tenant.Project, source string, texts ...string) (document.Document, []document.Chunk, document.Blob) {
	body := []byte(strings.Join(texts, "\n"))
	d := document.Document{
		Project: p, Collection: "default", Source: source, Title: source, Category: "docs", Format: extract.Format{Kind: extract.Markdown},
		ContentType: "text/markdown", Size: int64(len(body)), SHA256: document.Digest(body), Extracted: true, CreatedBy: 3, Principal: "user:3",
	}
	var cs []document.Chunk
	for i, t := range texts {
		cs = append(cs, document.Chunk{Ordinal: i, Hash: [32]byte([]byte(fmt.Sprintf("%-32.32s", t))), Chunk: chunk.Chunk{Text: t, Path: []string{"A", "B"}, Symbol: "s", Kind: "paragraph", Line: i + 1, Page: i + 5, Tokens: 3}})
	}
	return d, cs, document.Blob{SHA256: d.SHA256, Size: d.Size, Body: body}
}

func (w *world) receive(p tenant.Project, source string, texts ...string) document.Document {
	w.Helper()
	d, cs, b := draft(p, source, texts...)
	d, changed, err := w.s.Receive(w.Context(), d, cs, b)
	if err != nil || !changed {
		w.Fatalf("receive: changed %v, %v", changed, err)
	}
	return d
}

// embed gives all chunks of a document a vector and ends its indexing.
func (w *world) embed(d document.Document, model string) {
	w.Helper()
	todo, err := w.s.Unembedded(w.Context(), d, model, -1, 100)
	if err != nil {
		w.Fatal(err)
	}
	vs := make([][]float32, len(todo))
	for i := range vs {
		vs[i] = []float32{float32(todo[i].ID), 1}
	}
	if err := w.s.Embedded(w.Context(), d, model, todo, vs); err != nil {
		w.Fatal(err)
	}
	if err := w.s.Indexed(w.Context(), d, model); err != nil {
		w.Fatal(err)
	}
}

// changes are what an index would be told, as short lines.
func (w *world) changes(p tenant.Project, since int64) (lines []string, generation int64) {
	w.Helper()
	now, err := w.s.Changes(w.Context(), p, index.State{Generation: since}, func(q index.Passage) error {
		lines = append(lines, fmt.Sprintf("+%d:%s:%v", q.Document, q.Body, q.Vector != nil))
		return nil
	}, func(d int64) { lines = append(lines, fmt.Sprintf("-%d", d)) })
	if err != nil {
		w.Fatal(err)
	}
	return lines, now.Generation
}

// said are the events in the outbox, by name, oldest first.
func (w *world) said(p tenant.Project) (names []string) {
	w.Helper()
	err := w.db.InTenant(w.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &names, `SELECT subject FROM outbox WHERE project_id = $1 ORDER BY id`, int64(p))
	})
	if err != nil {
		w.Fatal(err)
	}
	for i, n := range names {
		names[i] = strings.Join(strings.Split(n, ".")[2:5], ".")
	}
	return names
}

func (w *world) count(p tenant.Project, table string) (n int) {
	w.Helper()
	err := w.db.InTenant(w.Context(), p, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &n, `SELECT count(*) FROM `+table+` WHERE project_id = $1`, int64(p))
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) want(what string, got, want any) {
	w.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestDocumentIsReceivedIndexedAndRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.receive(1, "a.md", "one", "two")
	w.want("state", d.State, document.Indexing)
	got, err := w.s.Get(t.Context(), 1, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Chunks != 2 || got.Embedded != 0 || got.Job != d.Job || got.Generation != 1 || got.Principal != "user:3" || !got.Extracted {
		t.Errorf("%+v", got)
	}
	lines, g := w.changes(1, 0)
	w.want("before vectors", lines, []string{fmt.Sprintf("+%d:one:false", d.ID), fmt.Sprintf("+%d:two:false", d.ID)})
	w.embed(d, model)
	lines, g2 := w.changes(1, g)
	w.want("with vectors", lines, []string{fmt.Sprintf("+%d:one:true", d.ID), fmt.Sprintf("+%d:two:true", d.ID)})
	if lines, _ := w.changes(1, g2); lines != nil {
		t.Errorf("nothing changed, yet %v", lines)
	}
	got, err = w.s.Get(t.Context(), 1, d.ID)
	if err != nil || got.State != document.Indexed || got.Embedded != 2 || got.Model != model {
		t.Errorf("%+v, %v", got, err)
	}
	w.embed(d, model) // a second run of the job
	w.want("events", w.said(1), []string{"knowledge.document.received", "knowledge.document.indexed"})
	w.want("jobs", w.count(1, "jobs"), 1)

	found, generation, err := w.s.Passages(t.Context(), 1, []int64{1, 2, 99})
	if err != nil || len(found) != 2 || generation != g2 {
		t.Fatalf("%v at %d, %v", found, generation, err)
	}
	if p := found[1]; p.Text != "one" || p.Document != d.ID || !slices.Equal(p.Path, []string{"A", "B"}) || p.Line != 1 || p.Page != 5 || p.Chunks != 2 || p.Source != "a.md" {
		t.Errorf("%+v", p)
	}
	around, err := w.s.Around(t.Context(), 1, []int64{1, 2, 99}, 2)
	if err != nil || len(around) != 2 || !slices.Equal(around[1].After, []string{"two"}) || !slices.Equal(around[2].Before, []string{"one"}) || around[2].After != nil {
		t.Errorf("%+v, %v", around, err)
	}
	if other, err := w.s.Around(t.Context(), 2, []int64{1, 2}, 2); err != nil || len(other) != 0 {
		t.Errorf("another project reads %v, %v", other, err)
	}
	if now, err := w.s.Generation(t.Context(), 1); err != nil || now != g2 {
		t.Errorf("generation %d, %v", now, err)
	}
}

func TestSameContentIsTheSameDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.receive(1, "a.md", "one")
	n, cs, b := draft(1, "a.md", "one")
	again, same, err := w.s.Unchanged(t.Context(), n)
	if err != nil || !same || again.ID != d.ID {
		t.Fatalf("%+v, %v, %v", again, same, err)
	}
	again, changed, err := w.s.Receive(t.Context(), n, cs, b)
	if err != nil || changed || again.ID != d.ID || again.Version != 1 {
		t.Errorf("%+v, %v, %v", again, changed, err)
	}
	n.Source = "b.md"
	if _, same, err := w.s.Unchanged(t.Context(), n); err != nil || same {
		t.Errorf("another name is the same document (%v)", err)
	}
	w.want("events", len(w.said(1)), 1)
}

func TestReplacementKeepsWhatBothVersionsShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.receive(1, "a.md", "one", "two", "three", "two")
	w.embed(d, model)
	_, g := w.changes(1, 0)
	n := w.receive(1, "a.md", "zero", "two", "one", "four")
	if n.ID != d.ID || n.Version != 2 || n.State != document.Indexing {
		t.Fatalf("%+v", n)
	}
	lines, _ := w.changes(1, g)
	w.want("chunks", lines, []string{
		fmt.Sprintf("+%d:zero:false", d.ID), fmt.Sprintf("+%d:two:true", d.ID), fmt.Sprintf("+%d:one:true", d.ID), fmt.Sprintf("+%d:four:false", d.ID),
	})
	todo, err := w.s.Unembedded(t.Context(), n, model, -1, 10)
	if err != nil || len(todo) != 2 || todo[0].Text != "zero" || todo[1].Text != "four" || !slices.Equal(todo[0].Path, []string{"A", "B"}) {
		t.Errorf("to embed: %+v, %v", todo, err)
	}
	// The job of the first version comes too late for everything.
	for name, err := range map[string]error{
		"open": func() error {
			_, _, err := w.s.Open(t.Context(), 1, document.Task{Document: d.ID, Version: 1})
			return err
		}(),
		"indexed": w.s.Indexed(t.Context(), d, model),
		"failed":  w.s.Failed(t.Context(), d, "x", "y"),
		"extract": func() error { _, err := w.s.Extracted(t.Context(), d, nil); return err }(),
		"gave up": w.s.GaveUp(t.Context(), 1, document.Task{Document: d.ID, Version: 1}, "x"),
		"vectors": w.s.Embedded(t.Context(), d, model, []document.Chunk{{ID: 3}}, [][]float32{{1}}),
	} {
		if !errors.Is(err, document.ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.want("blobs", w.count(1, "blobs"), 1)
}

func TestNothingOfAProjectIsSeenFromAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.receive(1, "a.md", "alpha")
	b := w.receive(2, "a.md", "beta")
	w.embed(a, model)
	w.embed(b, model)
	if _, err := w.s.Get(t.Context(), 2, a.ID); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := w.s.Delete(t.Context(), 2, a.ID, func(document.Document) error { return nil }); !errors.Is(err, document.ErrNotFound) {
		t.Errorf("delete: %v", err)
	}
	if _, _, err := w.s.Open(t.Context(), 2, document.Task{Document: a.ID, Version: 1}); !errors.Is(err, document.ErrMoved) {
		t.Errorf("open: %v", err)
	}
	lines, _ := w.changes(2, 0)
	w.want("changes", lines, []string{fmt.Sprintf("+%d:beta:true", b.ID)})
	if page, err := w.s.List(t.Context(), 2, "", 0, 10); err != nil || page.Total != 1 || page.Documents[0].ID != b.ID {
		t.Errorf("list: %+v, %v", page, err)
	}
	if found, _, err := w.s.Passages(t.Context(), 2, []int64{1, 2}); err != nil || len(found) != 1 || found[2].Text != "beta" {
		t.Errorf("passages: %v, %v", found, err)
	}
	if st, err := w.s.Statistics(t.Context(), 2, "", 0); err != nil || st.TotalDocuments != 1 || st.Embedded != 1 {
		t.Errorf("statistics: %+v, %v", st, err)
	}
	foreign := b
	foreign.Project = 1 // a forged call: the row is not there for project 1
	if err := w.s.Embedded(t.Context(), foreign, model, []document.Chunk{{ID: 2}}, [][]float32{{1}}); !errors.Is(err, document.ErrMoved) {
		t.Errorf("a vector was put on another project's chunk: %v", err)
	}
	if n, _, err := w.s.Count(t.Context(), 3); err != nil || n != 0 {
		t.Errorf("count of an empty project: %d, %v", n, err)
	}
}

func TestDeletedDocumentIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.receive(1, "a.md", "one")
	w.embed(d, model)
	_, g := w.changes(1, 0)
	no := errors.New("no")
	if err := w.s.Delete(t.Context(), 1, d.ID, func(document.Document) error { return no }); !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
	if err := w.s.Delete(t.Context(), 1, d.ID, func(document.Document) error { return nil }); err != nil {
		t.Fatal(err)
	}
	lines, g2 := w.changes(1, g)
	w.want("changes", lines, []string{fmt.Sprintf("-%d", d.ID)})
	if lines, _ := w.changes(1, 0); lines != nil {
		t.Errorf("a new index is told of %v", lines)
	}
	for _, table := range []string{"documents", "chunks", "embeddings", "blobs"} {
		w.want(table, w.count(1, table), 0)
	}
	w.want("last event", w.said(1)[2], "knowledge.document.deleted")
	// When the removal is forgotten, an index that has not heard of it starts over.
	if err := w.s.Forget(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Changes(t.Context(), 1, index.State{Generation: g}, nil, nil); !errors.Is(err, index.ErrTooOld) {
		t.Errorf("error %v", err)
	}
	if lines, g3 := w.changes(1, g2); lines != nil || g3 != g2 {
		t.Errorf("an index that is up to date is told of %v at %d", lines, g3)
	}
}

func TestBlobsAreCountedAndSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(source, object string, texts ...string) document.Document {
		t.Helper()
		d, cs, b := draft(1, source, texts...)
		b.Body, b.Bucket, b.Name = nil, "blobs", object
		d, _, err := w.s.Receive(t.Context(), d, cs, b)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var gone []string
	sweep := func() []string {
		t.Helper()
		gone = nil
		if _, err := w.s.Sweep(t.Context(), 10, func(_ context.Context, x postgres.Trash) error {
			gone = append(gone, x.Name)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return gone
	}
	a := put("a.md", "o1", "same")
	b := put("b.md", "o2", "same") // the same bytes: o2 goes, an hour later
	w.want("first sweep", sweep(), []string(nil))
	w.want("trash", w.count(1, "trash"), 1)
	yes := func(document.Document) error { return nil }
	if err := w.s.Delete(t.Context(), 1, a.ID, yes); err != nil {
		t.Fatal(err)
	}
	w.want("still referred to", sweep(), []string(nil))
	put("b.md", "o3", "other")
	w.want("replaced", sweep(), []string{"o1"})
	if err := w.s.Discard(t.Context(), document.Submission{Project: 1, Blob: document.Blob{Bucket: "blobs", Name: "o4"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Delete(t.Context(), 1, b.ID, yes); err != nil {
		t.Fatal(err)
	}
	fail := errors.New("no store")
	if _, err := w.s.Sweep(t.Context(), 10, func(context.Context, postgres.Trash) error { return fail }); !errors.Is(err, fail) {
		t.Errorf("error %v", err)
	}
	w.want("after a failure", sweep(), []string{"o3"})
	for _, name := range []string{"p1", "p2", "p3"} {
		if err := w.s.Discard(t.Context(), document.Submission{Project: 1, Blob: document.Blob{Bucket: "blobs", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.Admin(t, w.db).MustExec(`UPDATE knowledge.trash SET due_at = now() - interval '1 minute' WHERE name LIKE 'p%'`)
	gone = nil
	n, err := w.s.Sweep(t.Context(), 1, func(_ context.Context, x postgres.Trash) error {
		if x.Name == "p1" {
			return fail
		}
		gone = append(gone, x.Name)
		return nil
	})
	if n != 2 || !errors.Is(err, fail) {
		t.Errorf("swept %d, %v", n, err)
	}
	w.want("beside what cannot go", gone, []string{"p2", "p3"})
	w.want("in the end", sweep(), []string{"p1"})
	w.want("twice", sweep(), []string(nil))
}

func TestExtractionThatComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n, _, b := draft(1, "a.md", "text")
	n.Extracted = false
	d, _, err := w.s.Receive(t.Context(), n, nil, b)
	if err != nil || d.Extracted {
		t.Fatalf("%+v, %v", d, err)
	}
	lines, _ := w.changes(1, 0)
	w.want("before", lines, []string{fmt.Sprintf("-%d", d.ID)})
	task := document.Task{Document: d.ID, Version: 1}
	d, blob, err := w.s.Open(t.Context(), 1, task)
	if err != nil || string(blob.Body) != "text" {
		t.Fatalf("%q, %v", blob.Body, err)
	}
	_, cs, _ := draft(1, "", "later")
	d.Title = "Found"
	if d, err = w.s.Extracted(t.Context(), d, cs); err != nil || d.Chunks != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	got, blob, err := w.s.Open(t.Context(), 1, task)
	if err != nil || got.Title != "Found" || !got.Extracted || blob.Body != nil {
		t.Errorf("%+v, %q, %v", got, blob.Body, err)
	}
	// A failed replacement leaves nothing of the version before.
	n.SHA256, b.SHA256 = document.Digest([]byte("x")), document.Digest([]byte("x"))
	if d, _, err = w.s.Receive(t.Context(), n, nil, b); err != nil || d.Chunks != 1 || d.Title != "Found" {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := w.s.Failed(t.Context(), d, "unreadable", "why"); err != nil {
		t.Fatal(err)
	}
	got, err = w.s.Get(t.Context(), 1, d.ID)
	if err != nil || got.State != document.Failed || got.Error != "why" || got.Chunks != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	said := w.said(1)
	w.want("last event", said[len(said)-1], "knowledge.document.failed")
	// Once more the same: a failed document is tried again.
	if d, changed, err := w.s.Receive(t.Context(), n, nil, b); err != nil || !changed || d.Version != 3 {
		t.Errorf("%+v, %v, %v", d, changed, err)
	}
}

func TestGivingUpKeepsWhatIsExtracted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.receive(1, "a.md", "one")
	if err := w.s.GaveUp(t.Context(), 1, document.Task{Document: d.ID, Version: 1}, "broken"); err != nil {
		t.Fatal(err)
	}
	if got, err := w.s.Get(t.Context(), 1, d.ID); err != nil || got.State != document.Indexed || got.Error != "broken" || got.Model != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if n, err := w.s.Backlog(t.Context(), "", model, 10); err != nil || n != 0 {
		t.Errorf("queued %d, %v: it would be tried for ever", n, err)
	}
	again, cs, bytes := draft(1, "a.md", "one")
	if _, same, err := w.s.Unchanged(t.Context(), again); err != nil || same {
		t.Errorf("what was given up counts as there: %v, %v", same, err)
	}
	d, changed, err := w.s.Receive(t.Context(), again, cs, bytes)
	if err != nil || !changed || d.Version != 2 {
		t.Errorf("sent again: %+v, %v, %v", d, changed, err)
	}
	w.embed(d, model)
	if _, same, err := w.s.Unchanged(t.Context(), again); err != nil || !same {
		t.Errorf("tried again with success, and still not there: %v, %v", same, err)
	}
	n, _, b := draft(1, "b.md", "two")
	n.Extracted = false
	e, _, err := w.s.Receive(t.Context(), n, nil, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.s.GaveUp(t.Context(), 1, document.Task{Document: e.ID, Version: 1}, "broken"); err != nil {
		t.Fatal(err)
	}
	if got, err := w.s.Get(t.Context(), 1, e.ID); err != nil || got.State != document.Failed {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestADocumentWhoseJobHasDiedIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	operation := uuid.New()
	n, _, b := draft(2, "dead.md", "one")
	n.Extracted, n.Operation = false, operation
	dead, _, err := w.s.Receive(t.Context(), n, nil, b)
	if err != nil {
		t.Fatal(err)
	}
	swept := w.receive(1, "swept.md", "two")
	w.receive(1, "busy.md", "three")
	w.embed(w.receive(1, "indexed.md", "four"), model)
	admin := pgtest.Admin(t, w.db)
	admin.MustExec(`UPDATE knowledge.jobs SET state = 'dead', finished_at = now() WHERE id = $1`, dead.Job)
	admin.MustExec(`DELETE FROM knowledge.jobs WHERE id = $1`, swept.Job)
	given := func() (out []string) {
		t.Helper()
		n, err := w.s.Stranded(t.Context(), 10, func(ctx context.Context, p tenant.Project, x document.Task) error {
			out = append(out, fmt.Sprint(p, " ", x.Document, " ", x.Operation == operation))
			return w.s.GaveUp(ctx, p, x, "its job died")
		})
		if err != nil || n != len(out) {
			t.Fatalf("%d, %v", n, err)
		}
		return out
	}
	w.want("given up", given(), []string{fmt.Sprint("2 ", dead.ID, " true"), fmt.Sprint("1 ", swept.ID, " false")})
	w.want("twice", given(), []string(nil))
	if _, err := w.s.Stranded(t.Context(), 10, nil); err != nil {
		t.Error(err)
	}
}

func TestADocumentThatCannotBeGivenUpDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []int64
	for i := range 4 {
		ids = append(ids, w.receive(1, fmt.Sprintf("%d.md", i), "text").ID)
	}
	admin := pgtest.Admin(t, w.db)
	admin.MustExec(`UPDATE knowledge.jobs SET state = 'dead', finished_at = now()`)
	// A payload of another time cannot be read, and an answer cannot be given.
	admin.MustExec(`UPDATE knowledge.jobs j SET payload = '[]' FROM knowledge.documents d WHERE d.job_id = j.id AND d.id = $1`, ids[0])
	broken := errors.New("no answer")
	var given []int64
	round := func(limit int) (int, error) {
		return w.s.Stranded(t.Context(), limit, func(ctx context.Context, p tenant.Project, x document.Task) error {
			if x.Document == ids[1] {
				return broken
			}
			given = append(given, x.Document)
			return w.s.GaveUp(ctx, p, x, "its job died")
		})
	}
	if n, err := round(2); !errors.Is(err, broken) || n != 2 { // the two that fail fill a step of their own
		t.Errorf("%d given up, %v", n, err)
	}
	w.want("given up", given, ids[2:])
}

func TestDocumentsWithoutVectorsAreQueuedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		d := w.receive(tenant.Project(1+i%2), fmt.Sprintf("%d.md", i), "one")
		if err := w.s.Indexed(t.Context(), d, ""); err != nil {
			t.Fatal(err)
		}
	}
	old := w.receive(1, "old.md", "two")
	w.embed(old, "m0")
	if err := w.s.Indexed(t.Context(), old, ""); err != nil { // the model went away
		t.Fatal(err)
	}
	total := 0
	for range 6 {
		n, err := w.s.Backlog(t.Context(), "", model, 2)
		if err != nil || n > 2 {
			t.Fatalf("queued %d, %v", n, err)
		}
		total += n
	}
	w.want("queued", total, 4)
	d, err := w.s.Get(t.Context(), 1, old.ID)
	if err != nil || d.Job == old.Job || d.State != document.Indexed || d.Model != "m0" {
		t.Errorf("%+v, %v", d, err)
	}
	w.embed(d, model)
	if got, err := w.s.Get(t.Context(), 1, old.ID); err != nil || got.Model != model || got.Embedded != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	w.want("vectors of the old model too, which is searched by until all have the new ones", w.count(1, "embeddings"), 2)
}

func TestPurgedProjectIsEmptyAndClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d, cs, b := draft(1, "a.md", "one")
	b.Body, b.Bucket, b.Name = nil, "blobs", "o1"
	if _, _, err := w.s.Receive(t.Context(), d, cs, b); err != nil {
		t.Fatal(err)
	}
	w.receive(2, "keep.md", "one")
	for range 2 {
		if err := w.s.Purge(t.Context(), 1, purge.Order{Service: "knowledge", Consumer: "c", Message: "m", Version: 4}); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"documents", "chunks", "embeddings", "blobs", "trash", "jobs", "removals"} {
		w.want(table, w.count(1, table), 0)
	}
	w.want("heard", w.count(1, "inbox"), 1)
	if _, _, err := w.s.Receive(t.Context(), d, cs, b); !errors.Is(err, document.ErrClosed) {
		t.Errorf("a purged project took a document: %v", err)
	}
	if _, err := w.s.Changes(t.Context(), 1, index.State{Generation: 1}, nil, nil); !errors.Is(err, index.ErrTooOld) {
		t.Errorf("an index of a purged project goes on: %v", err)
	}
	w.want("the other project", w.count(2, "documents"), 1)
	said := w.said(1)
	w.want("last event", said[len(said)-1], "knowledge.project.purged")
}

func TestListsAndCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, c := range []string{"b", "a", "b"} {
		d, cs, b := draft(1, fmt.Sprintf("%d.md", i), "text", fmt.Sprint(i))
		d.Category = c
		if i == 2 {
			d.Collection, d.Repository, d.Technology = "commandcenter_3", 3, 9
		}
		if _, _, err := w.s.Receive(t.Context(), d, cs, b); err != nil {
			t.Fatal(err)
		}
	}
	names := func(names []string, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	w.want("collections", names(w.s.Collections(t.Context(), 1)), []string{"commandcenter_3", "default"})
	w.want("categories", names(w.s.Categories(t.Context(), 1, "", 0)), []string{"a", "b"})
	w.want("categories of one", names(w.s.Categories(t.Context(), 1, "commandcenter_3", 0)), []string{"b"})
	w.want("categories of a repository beyond 32 bits", len(names(w.s.Categories(t.Context(), 1, "", 1<<31))), 0)
	page, err := w.s.List(t.Context(), 1, "", 1, 1)
	if err != nil || page.Total != 3 || len(page.Documents) != 1 || page.Documents[0].Source != "1.md" {
		t.Errorf("%+v, %v", page, err)
	}
	page, err = w.s.List(t.Context(), 1, "commandcenter_3", 0, 10)
	if err != nil || page.Total != 1 || page.Documents[0].Repository != 3 || page.Documents[0].Technology != 9 {
		t.Errorf("%+v, %v", page, err)
	}
	st, err := w.s.Statistics(t.Context(), 1, "", 0)
	if err != nil || st.TotalDocuments != 3 || st.TotalChunks != 6 || st.Documents["b"] != 2 || st.Chunks["a"] != 2 {
		t.Errorf("%+v, %v", st, err)
	}
	if d, c, err := w.s.Count(t.Context(), 1); err != nil || d != 3 || c != 6 {
		t.Errorf("%d documents, %d chunks, %v", d, c, err)
	}
}

func TestLargeDocumentsAreSavedInBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	texts := make([]string, 1200)
	for i := range texts {
		texts[i] = fmt.Sprintf("text %d", i)
	}
	d := w.receive(1, "big.md", texts...)
	slices.Reverse(texts)
	d = w.receive(1, "big.md", append(texts, "more")...)
	lines, _ := w.changes(1, 0)
	if len(lines) != 1201 || lines[0] != fmt.Sprintf("+%d:text 1199:false", d.ID) || lines[1200] != fmt.Sprintf("+%d:more:false", d.ID) {
		t.Errorf("%d lines, %s … %s", len(lines), lines[0], lines[len(lines)-1])
	}
}
