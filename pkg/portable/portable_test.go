package portable_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/portable"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
)

var books = pg.Schema{Name: "books", FS: fstest.MapFS{"000001_books.up.sql": &fstest.MapFile{Data: []byte(`
	CREATE TABLE IF NOT EXISTS volumes (project_id bigint NOT NULL, shelf integer NOT NULL, name text NOT NULL, body text, PRIMARY KEY (project_id, shelf, name));
	SELECT platform.protect('volumes');
	CREATE TABLE IF NOT EXISTS readers (project_id bigint NOT NULL, id integer NOT NULL, name text, pin platform.sealed, PRIMARY KEY (project_id, id));
	SELECT platform.protect('readers', true);
	CREATE TABLE IF NOT EXISTS drafts (project_id bigint NOT NULL PRIMARY KEY, body text);
	SELECT platform.protect('drafts');`)}}}

var plan = portable.Plan{
	Schema: books, Restored: []string{"volumes"}, Evidence: map[string]string{"readers": "who read"}, LeftOut: map[string]string{"drafts": "nobody wants them"},
	Queries: map[string]string{"readers": `SELECT id, upper(name) AS name FROM readers`},
	Columns: map[string][]string{"volumes": {"shelf", "name", "body"}, "readers": {"id", "name"}},
	Values: map[string]func(row []byte) error{"volumes": func(row []byte) error {
		if strings.Contains(string(row), "upside down") {
			return errs.New(errs.Invalid, "shelf: there is none")
		}
		return nil
	}},
}

type world struct {
	t   *testing.T
	db  *pg.DB
	env *bustest.Env
}

// shelve keeps one volume.
func shelve(ctx context.Context, tx *sqlx.Tx, p int64, row []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO volumes SELECT $1, r.shelf, r.name, r.body FROM jsonb_to_record($2) AS r (shelf integer, name text, body text)`, p, string(row))
	return err
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, db: pgtest.New(t, books), env: bustest.New(t, "books", "gateway", "auth")}
	s := bus.NewServer(w.env.Bus("books"), bus.ServerConfig{Service: "books", DB: w.db})
	refers := func(_ context.Context, _ *sqlx.Tx, _ tenant.Project, table string, row []byte) (*portable.Object, error) {
		if table == "volumes" && strings.Contains(string(row), "thick") {
			return &portable.Object{SHA256: "ab", Size: 2, Body: []byte("ab")}, nil
		}
		return nil, nil
	}
	importer := portable.Importer{
		Rows: map[string]func(ctx context.Context, to portable.Destination, row []byte) (bool, error){
			"volumes": func(ctx context.Context, to portable.Destination, row []byte) (bool, error) {
				switch {
				case strings.Contains(string(row), "odd"):
					return false, nil
				case strings.Contains(string(row), "bad"):
					return false, errs.New(errs.Conflict, "a bad volume")
				}
				return true, w.db.InTenant(ctx, to.Project, func(ctx context.Context, tx *sqlx.Tx) error { return shelve(ctx, tx, int64(to.Project), row) })
			},
		},
		Object: func(_ context.Context, _ portable.Destination, o portable.Object) error {
			if o.Size > 10 {
				return errs.New(errs.TooLarge, "too thick")
			}
			return nil
		},
		End: func(context.Context, portable.Destination) error { return nil },
	}
	if err := portable.Serve(s, portable.Exporter{DB: w.db, Plan: plan, Refers: refers}, importer); err != nil {
		t.Fatal(err)
	}
	w.env.Run(s)
	return w
}

func (w *world) fill(p int64, n int, body string) {
	w.t.Helper()
	err := w.db.InTenant(w.t.Context(), 7, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO volumes SELECT $1, g % 3, 'v' || lpad(g::text, 4, '0'), $3 FROM generate_series(1, $2) g`, p, n, body)
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO readers (project_id, id, name) VALUES ($1, 1, 'jo'), ($1, 2, 'al')`, p)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) page(p int32, cursor []byte) (*platformv1.ExportPage, error) {
	return bus.CallInternal[*platformv1.ExportPage](w.t.Context(), w.env.Bus("gateway"), "books", "exportPage", &platformv1.ExportPageRequest{ProjectId: p, Cursor: cursor})
}

func (w *world) part(q *platformv1.RestorePartRequest) (*platformv1.RestorePart, error) {
	if q.ProjectId == 0 {
		q.ProjectId, q.UserId = 8, 3
	}
	return bus.CallInternal[*platformv1.RestorePart](w.t.Context(), w.env.Bus("auth"), "books", "restorePart", q)
}

// all follows the cursors to the end.
func (w *world) all(p int32) (rows map[string][]string, pages, objects int) {
	w.t.Helper()
	rows = map[string][]string{}
	for cursor := []byte(nil); ; pages++ {
		page, err := w.page(p, cursor)
		if err != nil {
			w.t.Fatal(err)
		}
		for line := range strings.Lines(string(page.GetRows())) {
			rows[page.GetTable()] = append(rows[page.GetTable()], line)
		}
		objects += len(page.GetObjects())
		if cursor = page.GetCursor(); len(cursor) == 0 {
			return rows, pages + 1, objects
		}
	}
}

func TestEverythingOfAProjectComesInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(7, 120, "thick")
	rows, pages, objects := w.all(7)
	if len(rows["volumes"]) != 120 || len(rows["readers"]) != 2 || len(rows["drafts"]) != 0 || pages < 3 || objects != 120 {
		t.Errorf("%d volumes, readers %v, %d pages, %d objects", len(rows["volumes"]), rows["readers"], pages, objects)
	}
	if rows["readers"][0] != `{"id": 1, "name": "JO"}`+"\n" {
		t.Errorf("a reader as %s", rows["readers"][0])
	}
	seen := map[string]bool{}
	for _, r := range rows["volumes"] {
		if seen[r] || strings.Contains(r, "project_id") {
			t.Errorf("%s", r)
		}
		seen[r] = true
	}
	if rows, _, _ := w.all(9); len(rows["volumes"])+len(rows["readers"]) != 0 {
		t.Errorf("of another project: %v", rows)
	}
	first, err := w.page(7, nil)
	if err != nil || first.GetSchemaVersion() != 1 || first.GetCommonVersion() == 0 || first.GetLeftOut()["drafts"] == "" || first.GetLeftOut()["outbox"] == "" {
		t.Errorf("%v %v", first, err)
	}
	now := fmt.Sprintf(`"o":%d,"b":%d}`, first.GetSchemaVersion(), first.GetCommonVersion())
	for name, cursor := range map[string]string{"no JSON": "x", "another key": `{"t":"volumes","k":["1"],` + now} {
		if _, err := w.page(7, []byte(cursor)); errs.KindOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, cursor := range map[string]string{"a table that is gone": `{"t":"zebras",` + now, "an older schema": `{"t":"volumes","o":0,"b":1}`} {
		if _, err := w.page(7, []byte(cursor)); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPageOfLargeRowsIsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(7, 10, strings.Repeat("x", 200<<10))
	rows, pages, _ := w.all(7)
	if len(rows["volumes"]) != 10 || pages < 4 {
		t.Errorf("%d volumes in %d pages", len(rows["volumes"]), pages)
	}
}

func TestWhatIsTakenInIsCheckedAndAllOrNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	row := func(name string) string {
		b, _ := json.Marshal(map[string]any{"shelf": 1, "name": name})
		return string(b) + "\n"
	}
	got, err := w.part(&platformv1.RestorePartRequest{Step: "rows", Table: "volumes", Rows: []byte(row("a") + row("odd") + row("b"))})
	if err != nil || got.GetRestored() != 2 || got.GetLeftOut() != 1 {
		t.Errorf("%v %v", got, err)
	}
	if got, err := w.part(&platformv1.RestorePartRequest{Step: "rows", Table: "readers", Rows: []byte("{}\n{}\n")}); err != nil || got.GetLeftOut() != 2 {
		t.Errorf("evidence: %v %v", got, err)
	}
	for name, q := range map[string]*platformv1.RestorePartRequest{
		"of a project":    {Step: "rows", Table: "volumes", Rows: []byte(`{"project_id":7,"shelf":1,"name":"x"}` + "\n")},
		"another case":    {Step: "rows", Table: "volumes", Rows: []byte(`{"Shelf":1,"name":"x"}` + "\n")},
		"no object":       {Step: "rows", Table: "volumes", Rows: []byte("7\n")},
		"evidence forged": {Step: "rows", Table: "readers", Rows: []byte(`{"pin":"1234"}` + "\n")},
		"a bad row":       {Step: "rows", Table: "volumes", Rows: []byte(row("c") + row("bad"))},
		"a table of none": {Step: "rows", Table: "outbox", Rows: []byte("{}\n")},
		"left out":        {Step: "rows", Table: "drafts", Rows: []byte("{}\n")},
		"a newer schema":  {Step: "begin", SchemaVersion: 2},
		"newer tables":    {Step: "begin", SchemaVersion: 1, CommonVersion: 1000},
		"an object":       {Step: "object", Object: &platformv1.PortableObject{Size: "11"}},
	} {
		if _, err := w.part(q); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "archive is refused") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		row("c") + row("bad"):          "books/volumes/000002.ndjson, line 42: a bad volume",
		row("c") + row("upside down"):  "books/volumes/000002.ndjson, line 42: shelf: there is none",
		`{"shelf":1,"pages":3}` + "\n": `books/volumes/000002.ndjson, line 41: volumes has no column "pages"`,
	} {
		_, err := w.part(&platformv1.RestorePartRequest{Step: "rows", Table: "volumes", Rows: []byte(name), Part: "books/volumes/000002.ndjson", Line: 41})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for name, q := range map[string]*platformv1.RestorePartRequest{
		"no step": {Step: "x"}, "no size": {Step: "object", Object: &platformv1.PortableObject{}}, "nobody": {Step: "end", ProjectId: 8},
	} {
		if _, err := w.part(q); errs.KindOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, q := range []*platformv1.RestorePartRequest{{Step: "begin", SchemaVersion: 1}, {Step: "object", Object: &platformv1.PortableObject{Size: "1"}}, {Step: "end"}} {
		if _, err := w.part(q); err != nil {
			t.Errorf("%s: %v", q.GetStep(), err)
		}
	}
	if rows, _, _ := w.all(8); len(rows["volumes"]) != 2 {
		t.Errorf("taken in: %v", rows)
	}
	if rows, _, _ := w.all(7); len(rows["volumes"]) != 0 {
		t.Errorf("in the project that the rows name: %v", rows)
	}
}

func TestAPlanHasAPlaceForEveryTable(t *testing.T) {
	t.Parallel()
	all := []pg.Holding{{Table: "volumes"}, {Table: "readers"}, {Table: "drafts"}}
	for _, common := range []string{"outbox", "outbox_promises", "inbox", "operations", "jobs", "job_logs", "job_steps", "held_facts", "closed_projects"} {
		all = append(all, pg.Holding{Table: common})
	}
	if err := plan.Check(all); err != nil {
		t.Error(err)
	}
	twice, silent := plan, plan
	twice.Restored, silent.Evidence = []string{"volumes", "readers"}, map[string]string{"readers": ""}
	wider := append([]pg.Holding{{Table: "volumes", Columns: []string{"shelf", "isbn"}}}, all[1:]...)
	formless := plan
	formless.Columns = map[string][]string{"volumes": {"shelf"}}
	for want, err := range map[string]error{"isbn": plan.Check(wider), "readers is exported": formless.Check(all)} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	unsaid := plan
	unsaid.LeftOut = map[string]string{"drafts": ""}
	for want, err := range map[string]error{
		"several places": twice.Check(all), "not taken in, without a reason": silent.Check(all), "left out without a reason": unsaid.Check(all),
		"holds rows of projects": plan.Check(append(all, pg.Holding{Table: "maps"})), "no table with rows": plan.Check(all[1:]),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := portable.Serve(nil, portable.Exporter{Plan: plan}, portable.Importer{}); err == nil {
		t.Error("an importer without functions fits the plan")
	}
}
