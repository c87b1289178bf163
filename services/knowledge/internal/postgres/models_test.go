package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/postgres"
)

// choosing is a store where the choice "x" has the vectors "x@1", and none has m1.
func choosing(t *testing.T) *world {
	t.Helper()
	db := pgtest.New(t, knowledge.Migrations)
	return &world{t, db, postgres.New(db, func(choice string) string {
		if choice == "" {
			return model
		}
		return choice + "@1"
	})}
}

func (w *world) models(p tenant.Project) string {
	w.Helper()
	now, wanted, err := w.s.Models(w.Context(), p)
	if err != nil {
		w.Fatal(err)
	}
	return now + " " + wanted
}

func (w *world) swap(p tenant.Project, to string, atOnce, want bool) {
	w.Helper()
	if swapped, err := w.s.Swap(w.Context(), p, to, atOnce); err != nil || swapped != want {
		w.Errorf("swap to %s: %v, %v", to, swapped, err)
	}
}

func TestSearchesChangeTheirModelWhenAllDocumentsHaveItsVectors(t *testing.T) {
	t.Parallel()
	w := choosing(t)
	a, b := w.receive(1, "a.md", "one", "two"), w.receive(1, "b.md", "three")
	w.want("before any vector", w.models(1), " m1")
	w.embed(a, model)
	w.embed(b, model)
	w.want("first", w.models(1), "m1 m1")
	other := w.receive(2, "c.md", "four")
	w.embed(other, model)
	if err := w.s.Choose(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	w.want("chosen", w.models(1), "m1 x@1")
	w.want("the other project", w.models(2), "m1 m1")
	if n, err := w.s.Backlog(t.Context(), "", model, 10); err != nil || n != 0 {
		t.Errorf("queued %d for the instance's model, %v", n, err)
	}
	if n, err := w.s.Backlog(t.Context(), "x", "x@1", 10); err != nil || n != 2 {
		t.Errorf("queued %d, %v", n, err)
	}
	if n, err := w.s.Backlog(t.Context(), "x", "x@1", 10); err != nil || n != 0 {
		t.Errorf("queued %d again, %v", n, err)
	}
	said, before := len(w.said(1)), index.State{Model: model}
	_, before.Generation = w.changes(1, 0)
	w.embed(a, "x@1")
	w.swap(1, "x@1", false, false)
	st, err := w.s.Statistics(t.Context(), 1, "", 0)
	if err != nil || st.Model != model || st.Embedded != 3 || st.Next != "x@1" || st.NextEmbedded != 2 {
		t.Errorf("half way: %+v, %v", st, err)
	}
	if lines, g := w.changes(1, before.Generation); len(lines) > 0 || g != before.Generation || len(w.said(1)) != said {
		t.Errorf("what nobody searches yet was told of: %v", lines)
	}
	// What comes meanwhile is to have both.
	fresh := w.receive(1, "d.md", "five")
	w.embed(fresh, model)
	w.embed(b, "x@1")
	w.swap(1, "x@1", false, false)
	w.embed(fresh, "x@1")
	w.want("vectors of both", w.count(1, "embeddings"), 8)
	w.swap(1, "x@1", false, true)
	w.swap(1, "x@1", false, false)
	w.want("changed", w.models(1), "x@1 x@1")
	if _, err := w.s.Changes(t.Context(), 1, before, nil, nil); !errors.Is(err, index.ErrTooOld) {
		t.Errorf("an index of before goes on: %v", err)
	}
	if n, err := w.s.Clean(t.Context(), 1, 3); err != nil || n != 4 {
		t.Errorf("cleaned %d, %v", n, err)
	}
	w.want("vectors", w.count(1, "embeddings"), 4)
	w.want("of the other project", w.count(2, "embeddings"), 1)
	uses, err := w.s.Uses(t.Context(), 0, 10)
	w.want("uses", fmt.Sprint(uses, err), "[{1 x x@1 true} {2  m1 true}] <nil>")
	if st, err := w.s.Statistics(t.Context(), 1, "", 0); err != nil || st.Model != "x@1" || st.Embedded != 4 || st.Next != "" {
		t.Errorf("in the end: %+v, %v", st, err)
	}
}

func TestAChoiceThatIsTakenBackLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := choosing(t)
	a, b := w.receive(1, "a.md", "one"), w.receive(1, "b.md", "two")
	w.embed(a, model)
	w.embed(b, model)
	if err := w.s.Choose(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	if n, err := w.s.Backlog(t.Context(), "x", "x@1", 10); err != nil || n != 2 {
		t.Fatalf("queued %d, %v", n, err)
	}
	w.embed(a, "x@1")
	if err := w.s.Choose(t.Context(), 1, ""); err != nil {
		t.Fatal(err)
	}
	if n, err := w.s.Backlog(t.Context(), "", model, 10); err != nil || n != 1 {
		t.Fatalf("queued %d, %v", n, err)
	}
	w.embed(a, model) // the job finds all vectors there
	w.embed(b, model) // the job of before, which nobody needs any more
	w.want("vectors", w.count(1, "embeddings"), 2)
	w.swap(1, model, false, false)
	if err := w.s.Choose(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	if n, err := w.s.Backlog(t.Context(), "x", "x@1", 10); err != nil || n != 2 {
		t.Errorf("chosen again, queued %d, %v", n, err)
	}
}

func TestADocumentThatWasGivenUpDoesNotKeepTheOthersFromTheNewModel(t *testing.T) {
	t.Parallel()
	w := choosing(t)
	a, b := w.receive(1, "a.md", "one"), w.receive(1, "b.md", "two")
	w.embed(a, model)
	w.embed(b, model)
	if err := w.s.Choose(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Backlog(t.Context(), "x", "x@1", 10); err != nil {
		t.Fatal(err)
	}
	w.embed(a, "x@1")
	// The processes died at every try of the other one's job.
	pgtest.Admin(t, w.db).MustExec(`UPDATE knowledge.jobs SET state = 'dead', finished_at = now()`)
	n, err := w.s.Stranded(t.Context(), 10, func(ctx context.Context, p tenant.Project, x document.Task) error {
		return w.s.GaveUp(ctx, p, x, "broken")
	})
	if err != nil || n != 1 {
		t.Fatalf("given up %d, %v", n, err)
	}
	got, err := w.s.Get(t.Context(), 1, b.ID)
	if err != nil || got.State != document.Indexed || got.Model != model || got.Error != "broken" {
		t.Errorf("%+v, %v", got, err)
	}
	if n, err := w.s.Stranded(t.Context(), 10, func(context.Context, tenant.Project, document.Task) error { return nil }); err != nil || n != 0 {
		t.Errorf("given up %d times more, %v", n, err)
	}
	w.swap(1, "x@1", false, true)
	if n, err := w.s.Backlog(t.Context(), "x", "x@1", 10); err != nil || n != 0 {
		t.Errorf("queued %d, %v: it would be tried for ever", n, err)
	}
}

func TestWhichModelIsSearchedIsNotedWhereItWasNot(t *testing.T) {
	t.Parallel()
	w := choosing(t)
	for p := range tenant.Project(3) {
		w.embed(w.receive(p+1, "a.md", "one"), "m0")
	}
	admin := pgtest.Admin(t, w.db)
	admin.MustExec(`DELETE FROM knowledge.models`) // as before there was the table
	w.want("by the documents", w.models(1), "m0 m1")
	w.embed(w.receive(1, "b.md", "two"), model) // notes the one of before
	w.want("noted", w.models(1), "m0 m1")
	for _, want := range []int{2, 0} {
		if n, err := w.s.Adopt(t.Context(), 10); err != nil || n != want {
			t.Errorf("noted %d, want %d, %v", n, want, err)
		}
	}
	// Vectors that nobody can search any more are not waited for.
	w.swap(2, model, true, true)
	w.want("at once", w.models(2), "m1 m1")
}

func TestAProjectThatIsGoneChoosesNothing(t *testing.T) {
	t.Parallel()
	w := choosing(t)
	if err := w.s.Choose(t.Context(), 1, "x"); err != nil {
		t.Fatal(err)
	}
	if name, err := w.s.Chosen(t.Context(), 1); err != nil || name != "x" {
		t.Errorf("chosen %q, %v", name, err)
	}
	if name, err := w.s.Chosen(t.Context(), 2); err != nil || name != "" {
		t.Errorf("chosen by another project %q, %v", name, err)
	}
	if err := w.s.Purge(t.Context(), 1, purge.Order{Service: "knowledge", Consumer: "c", Message: "m", Version: 4}); err != nil {
		t.Fatal(err)
	}
	w.want("choices", w.count(1, "models"), 0)
	if err := w.s.Choose(t.Context(), 1, strings.Repeat("y", 3)); !errors.Is(err, document.ErrClosed) {
		t.Errorf("a purged project chose: %v", err)
	}
}
