package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research"
	"github.com/commandcenter/commandcenter/services/research/internal/postgres"
	"github.com/commandcenter/commandcenter/services/research/internal/task"
	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

func now() time.Time { return noon }

// books are both of one database.
func books(t *testing.T, at *time.Time) (*pg.DB, technology.Book, task.Book) {
	t.Helper()
	db, clock := pgtest.New(t, research.Migrations), func() time.Time { return *at }
	return db, technology.Book{Keeper: postgres.New(db), Now: clock}, task.Book{Keeper: postgres.NewTasks(db), Now: clock}
}

func open(t *testing.T, b task.Book, p tenant.Project, title string, edit func(*task.Draft)) task.Task {
	t.Helper()
	d := task.New()
	d.Title = title
	if edit != nil {
		edit(&d)
	}
	x, err := b.Add(t.Context(), p, d, task.Step{}, "user:1")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// stepTo asks for a status.
func stepTo(s task.Status) func(*task.Draft, *task.Step) error {
	return func(_ *task.Draft, step *task.Step) error { step.Status = &s; return nil }
}

// facts are what was said of tasks, in order.
func facts(t *testing.T, db *pg.DB) []string {
	t.Helper()
	var all []string
	if err := pgtest.Admin(t, db).Select(&all, `SELECT subject FROM research.outbox WHERE subject LIKE '%.task.%' ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		all[i] = strings.TrimSuffix(s[strings.Index(s, ".task.")+len(".task."):], ".v1")
	}
	return all
}

func TestWhatIsSaidOfATaskIsKept(t *testing.T) {
	t.Parallel()
	_, technologies, b := books(t, &noon)
	x := add(t, technologies, 1, "Go", nil)
	made := open(t, b, 1, "Why?", func(d *task.Draft) {
		*d = task.Draft{
			Title: d.Title, Description: ptr("d"), Type: task.AdHocHypothesis, TechnologyID: &x.ID, RepositoryID: ptr(int64(4)), Notes: ptr("n"), Findings: ptr("f"), AssignedTo: ptr("Jo"),
			DueDate: ptr(noon.Add(time.Hour)), EstimatedHours: ptr(8), ActualHours: ptr(9), Metadata: ptr(json.RawMessage(`{"a":{"b":[1,"x"]}}`)),
		}
	})
	got, err := b.Get(t.Context(), 1, made.ID)
	if err != nil || !got.Same(made) || got.ID != 1 || got.Version != 1 || got.CreatedBy != "user:1" || !got.CreatedAt.Equal(noon) {
		t.Errorf("%+v, %v", got, err)
	}
	changed, err := b.Change(t.Context(), 1, 1, 1, "user:2", func(d *task.Draft, s *task.Step) error {
		d.TechnologyID, d.Metadata, d.DueDate, s.Status = nil, nil, nil, ptr(task.Completed)
		return nil
	})
	if err != nil || changed.Version != 2 {
		t.Fatalf("%+v, %v", changed, err)
	}
	if got, err := b.Get(t.Context(), 1, 1); err != nil || !got.Same(changed) || got.Progress != 100 || !got.CompletedAt.Equal(noon) || got.Metadata != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if same, err := b.Change(t.Context(), 1, 1, 2, "user:2", stepTo(task.Completed)); err != nil || same.Version != 2 {
		t.Errorf("nothing new: %+v, %v", same, err)
	}
}

func TestATaskIsOfItsProjectAndOfATechnologyThere(t *testing.T) {
	t.Parallel()
	_, technologies, b := books(t, &noon)
	other := add(t, technologies, 2, "Go", nil)
	x := open(t, b, 1, "Why?", nil)
	d := task.New()
	d.Title, d.TechnologyID = "Why?", &other.ID
	if _, err := b.Add(t.Context(), 1, d, task.Step{}, "user:1"); !errors.Is(err, task.ErrNoTechnology) {
		t.Errorf("added to another project's technology: %v", err)
	}
	if _, err := b.Change(t.Context(), 1, x.ID, 0, "user:1", func(d *task.Draft, _ *task.Step) error { d.TechnologyID = &other.ID; return nil }); !errors.Is(err, task.ErrNoTechnology) {
		t.Errorf("moved to it: %v", err)
	}
	for what, err := range map[string]error{
		"get": second(b.Get(t.Context(), 2, x.ID)), "change": second(b.Change(t.Context(), 2, x.ID, 0, "user:1", stepTo(task.Blocked))), "delete": b.Remove(t.Context(), 2, x.ID, "user:1", true),
	} {
		if !errors.Is(err, task.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := b.List(t.Context(), 2, task.Filter{Limit: 10}); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if s, err := b.Count(t.Context(), 2, task.Filter{}); err != nil || s.Total != 0 || len(s.ByStatus) != 5 || s.OverdueTasks == nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatBecomesOfATaskIsSaid(t *testing.T) {
	t.Parallel()
	db, technologies, b := books(t, &noon)
	x := add(t, technologies, 1, "Go", nil)
	a := open(t, b, 1, "Why?", func(d *task.Draft) { d.TechnologyID = &x.ID })
	for _, s := range []task.Status{task.InProgress, task.Completed, task.InProgress, task.Cancelled, task.Pending} {
		if _, err := b.Change(t.Context(), 1, a.ID, 0, "user:1", stepTo(s)); err != nil {
			t.Fatal(err)
		}
	}
	kept := open(t, b, 1, "What else?", nil)
	if err := b.Remove(t.Context(), 1, kept.ID, "user:7", false); !errors.Is(err, task.ErrNotYours) {
		t.Errorf("another's: %v", err)
	}
	if err := technologies.Delete(t.Context(), 1, x.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), 1, a.ID); !errors.Is(err, task.ErrNotFound) {
		t.Errorf("its technology is gone: %v", err)
	}
	if err := b.Remove(t.Context(), 1, kept.ID, "user:1", false); err != nil {
		t.Error(err)
	}
	want := "opened changed changed completed changed reopened changed cancelled changed reopened opened removed removed"
	if got := strings.Join(facts(t, db), " "); got != want {
		t.Errorf("said\n%s, want\n%s", got, want)
	}
}

func TestFiltersHoldTogether(t *testing.T) {
	t.Parallel()
	at := noon
	_, technologies, b := books(t, &at)
	x := add(t, technologies, 1, "Go", nil)
	for i, c := range []struct {
		title string
		edit  func(*task.Draft)
		to    task.Status
	}{
		{"a", nil, ""}, {"b", func(d *task.Draft) { d.TechnologyID = &x.ID }, task.Blocked}, {"c", func(d *task.Draft) { d.TechnologyID, d.AssignedTo = &x.ID, ptr("Jo") }, ""},
		{"d", func(d *task.Draft) { d.AssignedTo, d.RepositoryID = ptr("Jo"), ptr(int64(3)) }, task.Blocked}, {"e", func(d *task.Draft) { d.TechnologyID, d.AssignedTo = &x.ID, ptr("Jo") }, task.Blocked},
	} {
		at = noon.Add(time.Duration(i) * time.Second)
		made := open(t, b, 1, c.title, c.edit)
		if c.to == "" {
			continue
		}
		if _, err := b.Change(t.Context(), 1, made.ID, 0, "user:1", stepTo(c.to)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		f    task.Filter
		want string
	}{
		"all": {task.Filter{}, "edcba"}, "a page": {task.Filter{Skip: 1, Limit: 2}, "dc"}, "beyond": {task.Filter{Skip: 5}, ""}, "status": {task.Filter{Status: task.Blocked}, "edb"},
		"technology": {task.Filter{TechnologyID: x.ID}, "ecb"}, "repository": {task.Filter{RepositoryID: 3}, "d"}, "somebody": {task.Filter{AssignedTo: "Jo"}, "edc"}, "somebody else": {task.Filter{AssignedTo: "jo"}, ""},
		"two": {task.Filter{TechnologyID: x.ID, AssignedTo: "Jo"}, "ec"}, "three": {task.Filter{TechnologyID: x.ID, AssignedTo: "Jo", Status: task.Blocked}, "e"},
		"that nothing fits": {task.Filter{RepositoryID: 3, TechnologyID: x.ID}, ""},
	} {
		if c.f.Limit == 0 {
			c.f.Limit = 10
		}
		all, err := b.List(t.Context(), 1, c.f)
		got := ""
		for _, t := range all {
			got += t.Title
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, got, c.want, err)
		}
	}
}

func TestWhatIsDueIsListedAndCounted(t *testing.T) {
	t.Parallel()
	_, technologies, b := books(t, &noon)
	x := add(t, technologies, 1, "Go", nil)
	for i, c := range []struct {
		days float64 // from now
		to   task.Status
	}{
		{-1, ""}, {-2, task.Blocked}, {-3, task.Completed}, {0, ""}, {1, task.InProgress}, {2, task.Blocked}, {6.9, ""}, {7, ""}, {30, task.Cancelled}, {-0.5, task.InProgress},
	} {
		made := open(t, b, 1, fmt.Sprint(c.days), func(d *task.Draft) {
			d.DueDate = ptr(noon.Add(time.Duration(c.days * 24 * float64(time.Hour))))
			if i == 0 {
				d.TechnologyID = &x.ID
			}
		})
		if c.to != "" {
			if _, err := b.Change(t.Context(), 1, made.ID, 0, "user:1", stepTo(c.to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(t, b, 1, "never", nil)
	titles := func(all []task.Task, err error) string {
		var out []string
		for _, t := range all {
			out = append(out, t.Title)
		}
		return fmt.Sprint(out, err)
	}
	for want, d := range map[string]task.Due{
		"[0 1 6.9] <nil>": b.Upcoming(7, 10), "[0 1 6.9 7] <nil>": b.Upcoming(90, 10), "[0] <nil>": b.Upcoming(7, 1), "[-2 -1 -0.5] <nil>": b.Overdue(10),
	} {
		if got := titles(b.Due(t.Context(), 1, d)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	s, err := b.Count(t.Context(), 1, task.Filter{})
	if err != nil || s.Total != 11 || s.Overdue != 3 || s.Upcoming != 3 || fmt.Sprint(s.ByStatus) != "map[blocked:2 cancelled:1 completed:1 in_progress:2 pending:5]" ||
		len(s.OverdueTasks) != 3 || s.OverdueTasks[0].Title != "-2" || s.UpcomingTasks[2].Title != "6.9" || !s.UpcomingTasks[0].DueDate.Equal(noon) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := b.Count(t.Context(), 1, task.Filter{TechnologyID: x.ID}); err != nil || s.Total != 1 || s.Overdue != 1 || s.Upcoming != 0 || len(s.OverdueTasks) != 1 {
		t.Errorf("of one technology: %+v, %v", s, err)
	}
}

// TestEditsOfManyAreExplainedByAnOrderOfThem has many people edit one task at the same
// time. Each edit that is taken makes the next version, so the versions are an order of
// them: done one after another in it, they have to give what each was answered.
func TestEditsOfManyAreExplainedByAnOrderOfThem(t *testing.T) {
	t.Parallel()
	const people, all = 8, 10_000
	var clock sync.Mutex
	at := noon
	_, _, b := books(t, &at)
	b.Now = func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		at = at.Add(time.Millisecond)
		return at
	}
	first := open(t, b, 1, "Why?", nil)
	type edit struct {
		step     task.Step
		findings *string
		version  int64 // that it asks for, 0 for any
		took     task.Task
		err      error
	}
	edits := make([]edit, all)
	var every sync.WaitGroup
	for person := range people {
		r := rand.New(rand.NewPCG(7, uint64(person))) //nolint:gosec // chance, not a secret
		every.Go(func() {
			read := first.Version
			for i := person; i < all; i += people {
				e := &edits[i]
				switch r.IntN(4) {
				case 0:
					e.step.Status = ptr(task.Statuses[r.IntN(len(task.Statuses))])
				case 1:
					e.step.Progress = ptr([]int{0, 1, 50, 99, 100}[r.IntN(5)])
				case 2:
					e.step.Status, e.step.Progress = ptr(task.Statuses[r.IntN(len(task.Statuses))]), ptr(r.IntN(101))
				default:
					e.findings = ptr(fmt.Sprint(i))
				}
				if r.IntN(2) == 0 {
					e.version = read
				}
				e.took, e.err = b.Change(t.Context(), 1, first.ID, e.version, "user:1", func(d *task.Draft, s *task.Step) error {
					*s = e.step
					if e.findings != nil {
						d.Findings = e.findings
					}
					return nil
				})
				if e.err == nil {
					read = e.took.Version
				} else if x, err := b.Get(t.Context(), 1, first.ID); err == nil {
					read = x.Version
				}
			}
		})
	}
	every.Wait()
	by := map[int64][]edit{}
	kinds := map[errs.Kind]int{}
	for _, e := range edits {
		switch kind := errs.KindOf(e.err); kind {
		case "":
			by[e.took.Version] = append(by[e.took.Version], e)
		case errs.Precondition, errs.Conflict, errs.Invalid:
			kinds[kind]++
		default:
			t.Fatal(e.err)
		}
	}
	// done is what the edit makes of a task, at the time of another.
	done := func(e edit, x task.Task, at time.Time) (task.Task, bool) {
		state, err := x.Next(e.step, at)
		if x.State = state; e.findings != nil {
			x.Findings = e.findings
		}
		return x, err == nil
	}
	is := first
	for version := int64(1); len(by[version]) > 0 || version == 1; version++ {
		made, could := 0, 0
		for _, e := range by[version] {
			after, taken := done(e, e.took, e.took.UpdatedAt)
			idle := taken && after.Same(e.took) && (e.version == 0 || e.version == version)
			before, taken := done(e, is, e.took.UpdatedAt)
			maker := taken && before.Same(e.took) && (e.version == 0 || e.version == is.Version) && version > 1
			switch {
			case maker && !idle:
				made++
			case maker:
				could++
			case !idle:
				t.Fatalf("%+v over version %d, which is %+v, gives no %+v", e, is.Version, is, e.took)
			}
		}
		if version > 1 && (made > 1 || made+could == 0) {
			t.Fatalf("%d edits made version %d, and %d more could have", made, version, could)
		}
		for _, e := range by[version] {
			is = e.took
		}
	}
	got, err := b.Get(t.Context(), 1, first.ID)
	if err != nil || !got.Same(is) || got.Version != is.Version {
		t.Errorf("it ends as %+v, the order ends as %+v, %v", got, is, err)
	}
	if int(is.Version) != len(by) && int(is.Version) != len(by)+1 || is.Version < 1000 || kinds[errs.Precondition] == 0 || kinds[errs.Conflict] == 0 || kinds[errs.Invalid] == 0 {
		t.Errorf("%d versions, refused %v: too little happened", is.Version, kinds)
	}
}

func TestTasksOfAnArchiveKeepTheirIDs(t *testing.T) {
	t.Parallel()
	db, _, b := books(t, &noon)
	s := postgres.NewTasks(db)
	d := task.New()
	d.Title = "Old"
	x := task.Task{ID: 2, Draft: d, State: task.State{Status: task.Completed, Progress: 100, CompletedAt: &noon}, Version: 3, CreatedBy: "user:1", CreatedAt: noon, UpdatedAt: noon}
	if err := s.Restore(t.Context(), 1, x); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), 1, x); !errors.Is(err, task.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if x.TechnologyID = ptr(int64(9)); !errors.Is(s.Restore(t.Context(), 1, x), task.ErrNoTechnology) {
		t.Error("of a technology that is not there")
	}
	var ids []int64
	for _, title := range []string{"a", "b"} {
		ids = append(ids, open(t, b, 1, title, nil).ID)
	}
	if !slices.Equal(ids, []int64{1, 3}) {
		t.Errorf("the next are %v", ids)
	}
	if got := strings.Join(facts(t, db), " "); got != "opened completed opened opened" {
		t.Errorf("said %s", got)
	}
	// What the rules exclude, the table does not take either.
	for _, set := range []string{"status = 'completed'", "progress_percentage = 100", "completed_at = now()", "title = ' '", "actual_hours = -1", "metadata = '[]'", "task_type = 'chore'"} {
		err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE tasks SET `+set+` WHERE project_id = 1 AND id = $1`, ids[0])
			return err
		})
		if err == nil {
			t.Errorf("%s was taken", set)
		}
	}
}
