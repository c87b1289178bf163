package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An import is held where it takes in rows, twice: its operation tells how far it is
// while nothing moves, further the second time, and how it ended once it goes on.
func TestAnImportTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	var made struct{ ID int64 }
	owner.json("POST", "/api/v1/projects", map[string]any{"name": "Apollo"}, 201, &made)
	in := []string{"X-Project-ID", fmt.Sprint(made.ID)}
	owner.json("POST", "/api/v1/events/schemas", map[string]any{"team": "billing", "noun": "invoice", "fact": "paid", "version": 1, "schema": map[string]any{"type": "object"}}, 201, nil, in...)
	for i := range 3 {
		owner.json("POST", "/api/v1/knowledge/documents/text", map[string]any{"title": fmt.Sprint("Note ", i), "category": "handbook", "content": fmt.Sprint("Note number ", i)}, 201, nil, in...)
	}
	owner.shapeOf(made.ID) // what is indexed by now writes no more
	file := owner.exported(made.ID)

	dsn, err := os.ReadFile(filepath.Join(p.dir, "keys", "postgres.dsn"))
	if err != nil {
		t.Fatal(err)
	}
	// hold keeps a table from taking rows in until it is let go.
	hold := func(table string) (release func()) {
		t.Helper()
		tx, err := open(t, string(dsn)).Beginx()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(`LOCK TABLE ` + table + ` IN SHARE MODE`); err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	}
	schemas, documents := hold("ingestion.schemas"), hold("knowledge.documents")
	contentType, body := form(t, "a.tar.gz", string(file), "name", "Apollo 2")
	status, h, data, err := owner.do("POST", "/api/v1/projects/import", contentType, body, "Prefer", "respond-async")
	if err != nil || status != 202 {
		t.Fatalf("import: %d %v %s", status, err, data)
	}
	type progress struct {
		Done, Total int64
		Doing       string
	}
	type operation struct {
		ID, Status string
		Progress   *progress
		Code       int `json:"http_status"`
	}
	// until returns what the operation tells, there and in the list, once it is so.
	until := func(what string, is func(o operation) bool) operation {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(patience); ; {
			var one operation
			var all struct{ Items []operation }
			owner.json("GET", "/api/v1/operations?instance=true&limit=1", nil, 200, &all)
			owner.json("GET", h.Get("Location"), nil, 200, &one)
			if is(one) && len(all.Items) == 1 && all.Items[0].ID == one.ID && is(all.Items[0]) {
				return one
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: it is %+v %+v, and in the list %+v", what, one, one.Progress, all.Items)
			}
		}
	}
	importing := func(o operation) bool {
		return o.Status == "pending" && o.Progress != nil && o.Progress.Doing == "importing" && o.Progress.Done > 0 && o.Progress.Done < o.Progress.Total
	}
	first := until("held at the schemas", importing).Progress
	schemas()
	second := until("held at the documents", func(o operation) bool { return importing(o) && o.Progress.Done > first.Done }).Progress
	if second.Total != first.Total {
		t.Errorf("%+v, and then %+v", first, second)
	}
	documents()
	if o := until("let go", func(o operation) bool { return o.Status != "pending" }); o.Status != "succeeded" || o.Code != 201 || o.Progress != nil {
		t.Errorf("it ended as %+v", o)
	}
}
