package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// mostNeeds is how many jobs one may wait for.
const mostNeeds = 50

// keepTypes is how long types are known before they are asked for again.
const keepTypes = 30 * time.Second

// The refusals of orders.
var (
	ErrNoType  = errs.InvalidField("enum", "there is no such type of job: see /api/v1/jobs/types", "body", "job_type")
	errNeeds   = errs.InvalidField("value_error", "a job needs others of its own service, which the project has", "body", "depends_on")
	errTooMany = errs.InvalidField("too_long", fmt.Sprintf("a job needs at most %d others", mostNeeds), "body", "depends_on")
)

// Type is a kind of job that callers may ask for.
type Type struct {
	Name    string          `json:"job_type"`
	Title   string          `json:"title"`
	Service string          `json:"service"`
	Input   json.RawMessage `json:"input"`  // JSON Schema
	Output  json.RawMessage `json:"output"` // JSON Schema
}

// Order is a job that somebody wants.
type Order struct {
	ID       string // a UUID: what is ordered twice is made once
	Type     string
	Input    json.RawMessage
	Tags     json.RawMessage
	By       string
	Priority int
	Held     bool
	Unique   string
	Needs    []int64 // ids of jobs that are done before
	tasks    []string
}

// Tasks are the UUIDs of the jobs in Needs.
func (o Order) Tasks() []string { return o.tasks }

// Line is something that a job noted.
type Line struct {
	Seq     int       `json:"seq"`
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Attempt int       `json:"attempt"`
	Message string    `json:"message"`
}

// Step is a part of a job that is saved, and is not done again.
type Step struct {
	Name    string    `json:"name"`
	SavedAt time.Time `json:"saved_at"`
}

// Notes are what a job tells of itself.
type Notes struct {
	Lines []Line `json:"lines"`
	Steps []Step `json:"steps"`
}

// Catalogue remembers which types there are, and whose. It is safe for concurrent use.
type Catalogue struct {
	mu    sync.Mutex
	types []Type
	asked time.Time
}

// Types are those of all services, by name.
func (b Book) Types(ctx context.Context) ([]Type, error) {
	b.Known.mu.Lock()
	known, fresh := b.Known.types, b.Now().Sub(b.Known.asked) < keepTypes
	b.Known.mu.Unlock()
	if fresh {
		return known, nil
	}
	all, err := each(b, func(o Owner) ([]Type, error) {
		types, err := b.Ask.Types(ctx, o.Service)
		for i := range types {
			types[i].Service = o.Service
		}
		return types, err
	})
	if err != nil {
		return nil, err
	}
	types := slices.Concat(all...)
	slices.SortStableFunc(types, func(x, y Type) int { return strings.Compare(x.Name, y.Name) })
	b.Known.mu.Lock()
	defer b.Known.mu.Unlock()
	b.Known.types, b.Known.asked = types, b.Now()
	return types, nil
}

// maker is the service that has jobs of the type: [ErrNoType] when none does. It is the one
// that said so last when another service does not answer now.
func (b Book) maker(ctx context.Context, name string) (Owner, error) {
	types, err := b.Types(ctx)
	if err != nil {
		b.Known.mu.Lock()
		types = b.Known.types
		b.Known.mu.Unlock()
	}
	i := slices.IndexFunc(types, func(t Type) bool { return t.Name == name })
	if i < 0 && err != nil {
		return Owner{}, err
	}
	if i < 0 {
		return Owner{}, ErrNoType
	}
	return b.Owners[slices.IndexFunc(b.Owners, func(o Owner) bool { return o.Service == types[i].Service })], nil
}

// Make makes a job of a type, with the service that has it.
func (b Book) Make(ctx context.Context, p tenant.Project, o Order) (Job, error) {
	owner, err := b.maker(ctx, o.Type)
	if err != nil {
		return Job{}, err
	}
	if len(o.Needs) > mostNeeds {
		return Job{}, errTooMany
	}
	var numbers []int64
	for _, id := range o.Needs {
		whose, number, err := b.owner(id)
		if err != nil || whose != owner {
			return Job{}, errNeeds
		}
		if !slices.Contains(numbers, number) {
			numbers = append(numbers, number)
		}
	}
	if len(numbers) > 0 {
		rows, err := b.Ask.Rows(ctx, owner.Service, p, numbers)
		if err != nil {
			return Job{}, err
		}
		if len(rows) != len(numbers) {
			return Job{}, errNeeds
		}
		for _, r := range rows {
			o.tasks = append(o.tasks, r.ID)
		}
	}
	r, err := b.Ask.Make(ctx, owner.Service, p, o)
	if err != nil {
		return Job{}, err
	}
	return shown(owner, int64(p), r, b.Now()), nil
}

// Notes are what the project's job of the id has noted, and its saved steps.
func (b Book) Notes(ctx context.Context, p tenant.Project, id int64) (Notes, error) {
	o, number, err := b.owner(id)
	if err != nil {
		return Notes{}, err
	}
	return b.Ask.Notes(ctx, o.Service, p, number)
}
