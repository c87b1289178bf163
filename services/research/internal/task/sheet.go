package task

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/research/internal/sheet"
)

// Line is a task in a file that goes to other programs. Its technology has a title, since
// ids are of a project.
type Line struct {
	Task
	Technology *string `json:"technology" db:"technology"`
}

// MaxLines bounds the tasks of a file that is taken in: they are added in one transaction.
const MaxLines = 1_000

// heads are the columns of a CSV.
var heads = []string{
	"id", "title", "status", "progress_percentage", "task_type", "technology", "repository_id", "assigned_to", "due_date", "estimated_hours", "actual_hours",
	"description", "user_notes", "findings", "started_at", "completed_at", "created_at", "updated_at",
}

// WriteCSV writes lines, with a head where there is to be one.
func WriteCSV(lines []Line, head bool) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if head {
		_ = w.Write(heads) // a buffer takes all
	}
	for _, l := range lines {
		_ = w.Write([]string{ // a buffer takes all
			strconv.FormatInt(l.ID, 10), sheet.Inert(l.Title), string(l.Status), strconv.Itoa(l.Progress), string(l.Type), text(l.Technology), digits(l.RepositoryID), text(l.AssignedTo), at(l.DueDate),
			digits(l.EstimatedHours), digits(l.ActualHours), text(l.Description), text(l.Notes), text(l.Findings), at(l.StartedAt), at(l.CompletedAt), at(&l.CreatedAt), at(&l.UpdatedAt),
		})
	}
	w.Flush()
	return out.Bytes()
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return sheet.Inert(*s)
}

func digits[N int | int64](n *N) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(int64(*n), 10)
}

func at(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Entry is a task of a file that is taken in.
type Entry struct {
	Draft
	Step
	Technology string `json:"technology"` // a title, or ""
	Due        string `json:"due_date"`   // as people write it
	Where      string `json:"-"`          // in the file
}

// fault says what is wrong with an entry.
func (e Entry) fault(format string, args ...any) error {
	return errs.InvalidField("file", e.Where+" "+fmt.Sprintf(format, args...), "body", "content")
}

// Fault puts the place of the entry before what is wrong with it.
func (e Entry) Fault(err error) error {
	if k := errs.KindOf(err); k == errs.Invalid || k == errs.Conflict || k == errs.NotFound {
		return e.fault("cannot be taken: %s", errs.As(err).Public())
	}
	return err
}

// ready reads the due date, and looks whether there is a title.
func (e *Entry) ready() error {
	if strings.TrimSpace(e.Title) == "" {
		return e.fault("has no title")
	}
	if e.Type == "" {
		e.Type = Research
	}
	if e.DueDate = nil; strings.TrimSpace(e.Due) == "" {
		return nil
	}
	due, err := ParseTime(e.Due)
	if err != nil {
		return e.fault("has a due_date that is none: %s", err)
	}
	e.DueDate = &due
	return nil
}

// ReadJSON reads a list of tasks, as they are written, or with their title alone.
func ReadJSON(content string) ([]Entry, error) {
	var all []Entry
	if err := json.Unmarshal([]byte(strings.TrimPrefix(content, "\ufeff")), &all); err != nil {
		return nil, errs.InvalidField("file", "the content is no list of tasks: "+err.Error(), "body", "content")
	}
	if len(all) > MaxLines {
		return nil, errs.InvalidField("file", fmt.Sprintf("at most %d tasks are taken at a time", MaxLines), "body", "content")
	}
	for i := range all {
		all[i].Where = fmt.Sprintf("task %d of the list", i+1)
		if all[i].Technology != "" {
			all[i].TechnologyID = nil // it is of whoever wrote the file
		}
		if err := all[i].ready(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ReadCSV reads such a file, its columns in any order, of which only title has to be
// there. What is not read is the id and what follows from the rest.
func ReadCSV(content string) ([]Entry, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(content, "\ufeff")))
	r.FieldsPerRecord = -1
	head, err := r.Read()
	columns := map[string]int{}
	for i, name := range head {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	if _, ok := columns["title"]; err != nil || !ok {
		return nil, Entry{Where: "line 1 of the CSV"}.fault("has no column title")
	}
	var all []Entry
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			return nil, Entry{Where: fmt.Sprintf("line %d of the CSV", broken.StartLine)}.fault("cannot be read: %s", broken.Err)
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		e := Entry{Where: fmt.Sprintf("line %d of the CSV", line)}
		if len(all) == MaxLines {
			return nil, e.fault("is one more than %d tasks", MaxLines)
		}
		cell := func(name string) string {
			if i, ok := columns[name]; ok && i < len(record) {
				return sheet.Live(strings.TrimSpace(record[i]))
			}
			return ""
		}
		if err := e.read(cell); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
}

// read takes the cells of a line.
func (e *Entry) read(cell func(name string) string) error {
	e.Title, e.Type, e.Technology, e.Due = cell("title"), Type(cell("task_type")), cell("technology"), cell("due_date")
	if s := Status(cell("status")); s != "" {
		e.Status = &s
	}
	for _, x := range []struct {
		name string
		into **string
	}{{"assigned_to", &e.AssignedTo}, {"description", &e.Description}, {"user_notes", &e.Notes}, {"findings", &e.Findings}} {
		if s := cell(x.name); s != "" {
			*x.into = &s
		}
	}
	for _, x := range []struct {
		name string
		into **int
	}{{"progress_percentage", &e.Progress}, {"estimated_hours", &e.EstimatedHours}, {"actual_hours", &e.ActualHours}} {
		s := cell(x.name)
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			return e.fault("has a %s that is no number: %.40q", x.name, s)
		}
		*x.into = &n
	}
	if s := cell("repository_id"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return e.fault("has a repository_id that is no number: %.40q", s)
		}
		e.RepositoryID = &n
	}
	return e.ready()
}
