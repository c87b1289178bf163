package task

import (
	"encoding/json"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Task is something that a project wants to find out.
type Task struct {
	ID int64 `json:"id" db:"id"`
	Draft
	State
	Version   int64     `json:"version" db:"version"`       // raised with every change, from 1
	CreatedBy string    `json:"created_by" db:"created_by"` // principal
	CreatedAt time.Time `json:"created_at" db:"created_at"`
	UpdatedAt time.Time `json:"updated_at" db:"updated_at"`
	// Documents are the files at it; nil where nobody read them.
	Documents []Document `json:"uploaded_documents" db:"-"`
}

// Draft is what people say of a task. Empty texts are as good as none.
type Draft struct {
	Title          string           `json:"title" db:"title"`
	Description    *string          `json:"description" db:"description"`
	Type           Type             `json:"task_type" db:"task_type"`
	TechnologyID   *int64           `json:"technology_id" db:"technology_id"` // of the same project
	RepositoryID   *int64           `json:"repository_id" db:"repository_id"` // a number; nobody looks whether it is there
	Notes          *string          `json:"user_notes" db:"user_notes"`
	Findings       *string          `json:"findings" db:"findings"`
	AssignedTo     *string          `json:"assigned_to" db:"assigned_to"` // a name as people write it, or a principal
	DueDate        *time.Time       `json:"due_date" db:"due_date"`
	EstimatedHours *int             `json:"estimated_hours" db:"estimated_hours"`
	ActualHours    *int             `json:"actual_hours" db:"actual_hours"`
	Metadata       *json.RawMessage `json:"metadata_" db:"metadata"` // an object, of whoever keeps one there
}

// Type is what a task is for.
type Type string

// The types.
const (
	Research         Type = "research"
	AdHocHypothesis  Type = "ad_hoc_hypothesis"
	maxTitle              = 255
	maxText               = 20_000 // characters of description, notes and findings
	maxHours              = 1_000_000
	maxMetadata           = 16 << 10 // bytes
	maxMetadataDepth      = 20
)

// New is a draft of which nothing is said yet.
func New() Draft { return Draft{Type: Research} }

// MaxPerProject bounds how many tasks a project may have.
const MaxPerProject = 200_000

// MaxPerTechnology bounds how many tasks go with a technology that is deleted.
const MaxPerTechnology = 10_000

// The refusals.
var (
	ErrNotFound     = errs.New(errs.NotFound, "research task not found")
	ErrNoTechnology = errs.New(errs.NotFound, "technology not found")
	ErrExists       = errs.New(errs.Conflict, "a research task of this id already exists")
	ErrMany         = errs.New(errs.Conflict, "a project has at most 200,000 research tasks: delete some first")
	ErrManyOfOne    = errs.New(errs.Conflict, "the technology has more than 10,000 research tasks, which would go with it: delete some first")
	ErrMoved        = errs.New(errs.Precondition, "the research task has changed since it was read: read it again")
	ErrNotYours     = errs.New(errs.Forbidden, "a research task is deleted by who made it, by whom it is assigned to, or by an admin of the project")
)
