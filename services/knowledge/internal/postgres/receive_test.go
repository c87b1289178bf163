package postgres_test

import (
	"fmt"
	"sync"
	"testing"
)

func TestUploadsOfOneNameAtOnceMakeOneDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d, cs, b := draft(1, "a.md", fmt.Sprint("version ", i%3))
			if _, _, err := w.s.Receive(t.Context(), d, cs, b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.want("documents", w.count(1, "documents"), 1)
	w.want("chunks", w.count(1, "chunks"), 1)
	w.want("blobs", w.count(1, "blobs"), 1)
	page, err := w.s.List(t.Context(), 1, "", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.want("a job for each version", w.count(1, "jobs"), page.Documents[0].Version)
}

func TestReceptionBelongsToItsUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, unit := w.db.Unit(t.Context())
	d, cs, b := draft(1, "a.md", "one")
	if _, _, err := w.s.Receive(ctx, d, cs, b); err != nil {
		t.Fatal(err)
	}
	// Whoever looks meanwhile, even within the unit, sees what is committed.
	if _, same, err := w.s.Unchanged(ctx, d); err != nil || same {
		t.Errorf("%v, %v", same, err)
	}
	if lines, g := w.changes(1, 0); lines != nil || g != 0 {
		t.Errorf("an index is told of %v at %d", lines, g)
	}
	unit.Rollback()
	w.want("documents", w.count(1, "documents"), 0)
	w.want("jobs", w.count(1, "jobs"), 0)
	w.want("events", len(w.said(1)), 0)
}
