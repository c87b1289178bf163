package task

import (
	"bytes"
	"context"
	"reflect"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Filter chooses among the tasks of a project; what is empty chooses all, and all that
// is said has to be so.
type Filter struct {
	Status       Status
	TechnologyID int64
	RepositoryID int64
	AssignedTo   string
	Skip         int
	Limit        int
}

// Due chooses open tasks by when they are due: from From, before Until.
type Due struct {
	Statuses    []Status
	From, Until time.Time // From may be zero
	Limit       int
}

// Statistics are counts of the tasks of a project.
type Statistics struct {
	ByStatus map[Status]int `json:"by_status"` // every status
	Total    int            `json:"total"`
	Overdue  int            `json:"overdue_count"`
	Upcoming int            `json:"upcoming_count"`
	// The first few that are due, by when they are.
	OverdueTasks  []Brief `json:"overdue_tasks"`
	UpcomingTasks []Brief `json:"upcoming_tasks"`
}

// Brief is a task in few words.
type Brief struct {
	ID      int64     `json:"id"`
	Title   string    `json:"title"`
	DueDate time.Time `json:"due_date"`
}

// Keeper keeps the tasks of projects. It says what changed, in the same transaction.
type Keeper interface {
	// Insert gives each an id, and refuses all with [ErrMany] and [ErrNoTechnology].
	Insert(ctx context.Context, p tenant.Project, tasks ...Task) error
	// Update hands a task to change while nobody else may change it, and keeps what comes
	// back under the next version, unless it is the same. by is who did it.
	Update(ctx context.Context, p tenant.Project, id int64, by string, change func(Task) (Task, error)) (Task, error)
	// Delete removes one unless may refuses, or returns [ErrNotFound].
	Delete(ctx context.Context, p tenant.Project, id int64, may func(Task) error) error
	// Get returns one, or [ErrNotFound].
	Get(ctx context.Context, p tenant.Project, id int64) (Task, error)
	// List returns a page, what changed last first.
	List(ctx context.Context, p tenant.Project, f Filter) ([]Task, error)
	// Due returns those that are due, the first one first.
	Due(ctx context.Context, p tenant.Project, d Due) ([]Task, error)
	// Attach puts a document to a task, as its next version, or refuses with
	// [ErrManyDocuments].
	Attach(ctx context.Context, p tenant.Project, id int64, d Document) (Task, error)
	// Document returns one of a task, with its file, or [ErrNoDocument].
	Document(ctx context.Context, p tenant.Project, id, document int64) (Document, error)
	// Detach removes one unless may refuses; by is who does it.
	Detach(ctx context.Context, p tenant.Project, id, document int64, by string, now time.Time, may func(Document) error) error
	// Lines are tasks of which the ids are higher than after, in the order of these.
	Lines(ctx context.Context, p tenant.Project, f Filter, after int64) ([]Line, error)
	// Statistics counts; of f, technology and repository are looked at.
	Statistics(ctx context.Context, p tenant.Project, f Filter, overdue, upcoming Due) (Statistics, error)
}

// Book holds the tasks of every project.
type Book struct {
	Keeper
	Now func() time.Time
}

// Add keeps a new task, which is pending before the step.
func (b Book) Add(ctx context.Context, p tenant.Project, d Draft, step Step, by string) (Task, error) {
	t, err := b.Make(d, step, by)
	if err != nil {
		return Task{}, err
	}
	all := []Task{t}
	err = b.Insert(ctx, p, all...)
	return all[0], err
}

// Make is a new task that has no id yet.
func (b Book) Make(d Draft, step Step, by string) (Task, error) {
	now := b.Now()
	if err := d.Normalise(); err != nil {
		return Task{}, err
	}
	state, err := State{Status: Pending}.Next(step, now)
	return Task{Draft: d, State: state, Version: 1, CreatedBy: by, CreatedAt: now, UpdatedAt: now}, err
}

// Change has edit change what is said of a task, and ask for a step. version is the one
// that the caller has read, 0 for whichever there is; another one is [ErrMoved].
func (b Book) Change(ctx context.Context, p tenant.Project, id, version int64, by string, edit func(*Draft, *Step) error) (Task, error) {
	now := b.Now()
	return b.Update(ctx, p, id, by, func(t Task) (Task, error) {
		if version > 0 && version != t.Version {
			return t, ErrMoved
		}
		d, step := t.clone(), Step{}
		if err := edit(&d, &step); err != nil {
			return t, err
		}
		if err := d.Normalise(); err != nil {
			return t, err
		}
		if now.After(t.UpdatedAt) { // who waits for another, or has another clock, is later all the same
			t.UpdatedAt = now
		}
		state, err := t.Next(step, t.UpdatedAt)
		t.Draft, t.State = d, state
		return t, err
	})
}

// Remove deletes a task for somebody who made it, to whom it is assigned, or who may
// delete any.
func (b Book) Remove(ctx context.Context, p tenant.Project, id int64, by string, whoever bool) error {
	return b.Delete(ctx, p, id, func(t Task) error {
		if whoever || t.CreatedBy == by || t.AssignedTo != nil && *t.AssignedTo == by {
			return nil
		}
		return ErrNotYours
	})
}

// RemoveDocument deletes a document for somebody who uploaded it, or who may delete any.
func (b Book) RemoveDocument(ctx context.Context, p tenant.Project, id, document int64, by string, whoever bool) error {
	return b.Detach(ctx, p, id, document, by, b.Now(), func(d Document) error {
		if whoever || d.UploadedBy == by {
			return nil
		}
		return ErrNotUploaded
	})
}

// shown are how many tasks the statistics name.
const shown = 5

// Upcoming is what is due within days.
func (b Book) Upcoming(days, limit int) Due {
	now := b.Now()
	return Due{Statuses: []Status{Pending, InProgress}, From: now, Until: now.AddDate(0, 0, days), Limit: limit}
}

// Overdue is what should have been done.
func (b Book) Overdue(limit int) Due { return Due{Statuses: Open, Until: b.Now(), Limit: limit} }

// Count counts the tasks of a technology and a repository, or all; upcoming is what is
// due within a week.
func (b Book) Count(ctx context.Context, p tenant.Project, f Filter) (Statistics, error) {
	return b.Statistics(ctx, p, f, b.Overdue(shown), b.Upcoming(7, shown))
}

// clone is d with values of its own: whoever edits it leaves d as it was.
func (d Draft) clone() Draft {
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Pointer && !f.IsNil() {
			own := reflect.New(f.Type().Elem())
			own.Elem().Set(f.Elem())
			f.Set(own)
		}
	}
	if d.Metadata != nil {
		*d.Metadata = bytes.Clone(*d.Metadata)
	}
	return d
}
