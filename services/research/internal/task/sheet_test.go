package task_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"

	"github.com/commandcenter/commandcenter/services/research/internal/task"
)

func line() task.Line {
	return task.Line{Technology: ptr("pgvector"), Task: task.Task{
		ID: 7, Version: 2, CreatedAt: noon, UpdatedAt: noon,
		Draft: task.Draft{
			Title: "=1+1", Description: ptr("two\nlines, and \"more\""), Type: task.AdHocHypothesis, TechnologyID: ptr(int64(3)), RepositoryID: ptr(int64(4)), Notes: ptr("'n"), Findings: ptr("f"),
			AssignedTo: ptr("Jo"), DueDate: ptr(noon.Add(time.Hour)), EstimatedHours: ptr(8), ActualHours: ptr(0),
		},
		State: task.State{Status: task.Blocked, Progress: 40, StartedAt: &noon},
	}}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	t.Parallel()
	plain := task.Line{Task: task.Task{ID: 8, Draft: task.Draft{Title: "Plain", Type: task.Research}, State: task.State{Status: task.Pending}, CreatedAt: noon, UpdatedAt: noon}}
	lines := []task.Line{line(), plain}
	asJSON, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	csv := string(task.WriteCSV(lines, true))
	if !strings.HasPrefix(csv, "id,title,status,") || !strings.Contains(csv, "\n7,'=1+1,blocked,40,") || strings.Contains(string(task.WriteCSV(lines, false)), "title") {
		t.Errorf("%s", csv)
	}
	for name, read := range map[string]func() ([]task.Entry, error){
		"csv": func() ([]task.Entry, error) { return task.ReadCSV("\ufeff" + csv) }, "json": func() ([]task.Entry, error) { return task.ReadJSON("\ufeff" + string(asJSON)) },
	} {
		all, err := read()
		if err != nil || len(all) != 2 {
			t.Errorf("%s: %v, %v", name, all, err)
			continue
		}
		want := line().Draft
		want.TechnologyID = nil // of whoever wrote the file
		if e := all[0]; !e.Same(want) || e.Technology != "pgvector" || *e.Status != task.Blocked || *e.Progress != 40 {
			t.Errorf("%s: %+v, want %+v", name, e, want)
		}
		if e := all[1]; !e.Same(plain.Draft) || e.Technology != "" || e.Type != task.Research {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestWhatCannotBeReadIsNamedByItsLine(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("x\n", task.MaxLines+1)
	for content, want := range map[string]string{
		"": "line 1", "name\nx\n": "line 1 of the CSV has no column title", "title\n\"a\nb\"\n \n": "line 4 of the CSV has no title", "title\n\"a": "line 2 of the CSV cannot be read",
		"title,due_date\nx,tomorrow\n": "line 2 of the CSV has a due_date", "title,progress_percentage\nx,many\n": "that is no number", "title,repository_id\nx,y\n": "repository_id that is no number",
		"title\n" + many: "one more than 1000 tasks",
	} {
		if _, err := task.ReadCSV(content); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", content, err, want)
		}
	}
	for content, want := range map[string]string{
		"{}": "no list of tasks", `[{"title":1}]`: "no list of tasks", `[{"title":"x"},{}]`: "task 2 of the list has no title", `[{"title":"x","due_date":"soon"}]`: "task 1 of the list has a due_date",
		"[" + strings.TrimSuffix(strings.Repeat(`{"title":"x"},`, task.MaxLines+1), ",") + "]": "at most 1000",
	} {
		if _, err := task.ReadJSON(content); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", content, err, want)
		}
	}
	e := task.Entry{Where: "line 3 of the CSV"}
	if err := e.Fault(task.ErrNoTechnology); !strings.Contains(err.Error(), "line 3 of the CSV cannot be taken: technology not found") || errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
	if fails := fmt.Errorf("the database is away"); e.Fault(fails) != fails { //nolint:errorlint // the same one
		t.Error("a fault of ours is blamed on the file")
	}
}
