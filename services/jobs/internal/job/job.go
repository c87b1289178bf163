package job

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is a job as its owner keeps it, in the words of the package jobs.
type Row struct {
	ID              string          `json:"id"`
	Number          int64           `json:"number"`
	Kind            string          `json:"kind"`
	Payload         json.RawMessage `json:"payload"`
	Tags            json.RawMessage `json:"tags"`
	Priority        int             `json:"priority"`
	MaxAttempts     int             `json:"max_attempts"`
	State           string          `json:"state"`
	Principal       string          `json:"principal"`
	Progress        int             `json:"progress"`
	Total           int             `json:"total"`
	Message         string          `json:"message"`
	Result          json.RawMessage `json:"result"`
	Error           string          `json:"error"`
	Attempts        int             `json:"attempts"`
	CancelRequested bool            `json:"cancel_requested"`
	Unique          string          `json:"unique_key"`
	BusyMS          int64           `json:"busy_ms"`
	Spent           json.RawMessage `json:"spent"`
	CreatedAt       time.Time       `json:"created_at"`
	NextAttemptAt   time.Time       `json:"next_attempt_at"`
	BegunAt         time.Time       `json:"begun_at"`    // zero before the first try
	FinishedAt      time.Time       `json:"finished_at"` // zero until it is over
}

// Status is where a job stands, in the words of the contract.
type Status string

// All of them. The last three are final.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Statuses lists them in the order of a job's life.
func Statuses() []Status { return []Status{Pending, Running, Completed, Failed, Cancelled} }

// states says which states of a row each status stands for: the one place where
// the two meet.
var states = map[Status][]string{
	Pending:   {"held", "queued", "released"},
	Running:   {"running"},
	Completed: {"done"},
	Failed:    {"failed", "dead"},
	Cancelled: {"cancelled"},
}

// States are the states of rows that have the status; none for a word that is no status.
func (s Status) States() []string { return slices.Clone(states[s]) }

// Active are the states of jobs that are not over.
func Active() []string { return append(Pending.States(), Running.States()...) }

// StatusOf is the status of a state. One that this version does not know is pending:
// nothing has come of the job yet that could be told.
func StatusOf(state string) Status {
	for _, s := range Statuses() {
		if slices.Contains(states[s], state) {
			return s
		}
	}
	return Pending
}

// Final reports whether a job of the status changes no more.
func (s Status) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Job is a job in the words of the contract.
type Job struct {
	ID            int64           `json:"id"`
	ProjectID     int64           `json:"project_id"`
	Type          string          `json:"job_type"`
	Parameters    json.RawMessage `json:"parameters"`
	Tags          json.RawMessage `json:"tags"`
	TaskID        string          `json:"celery_task_id"`
	Status        Status          `json:"status"`
	Progress      int             `json:"progress"` // 0 to 100
	Step          *string         `json:"current_step"`
	Result        json.RawMessage `json:"result"`
	Error         *string         `json:"error"`
	CreatedBy     *int64          `json:"created_by"`
	CreatedAt     time.Time       `json:"created_at"`
	StartedAt     *time.Time      `json:"started_at"`
	CompletedAt   *time.Time      `json:"completed_at"`
	Duration      *float64        `json:"duration_seconds"`
	Service       string          `json:"service"`
	State         string          `json:"state"`
	Priority      int             `json:"priority"`
	Attempts      int             `json:"attempts"`
	MaxAttempts   int             `json:"max_attempts"`
	NextAttemptAt *time.Time      `json:"next_attempt_at"` // of one that waits
	Cancelling    bool            `json:"cancel_requested"`
	Unique        *string         `json:"unique_key"`
	Busy          float64         `json:"busy_seconds"`
	Spent         json.RawMessage `json:"spent"`
}

// shown says what a row of the owner is like at a time.
func shown(o Owner, project int64, r Row, now time.Time) Job {
	j := Job{
		ID: o.public(r.Number), ProjectID: project, Type: r.Kind, Parameters: object(r.Payload), Tags: object(r.Tags), TaskID: r.ID,
		Status: StatusOf(r.State), Progress: percent(r), Step: words(r.Message), Result: object(r.Result), Error: words(r.Error),
		CreatedBy: user(r.Principal), CreatedAt: r.CreatedAt, StartedAt: at(r.BegunAt), CompletedAt: at(r.FinishedAt),
		Service: o.Service, State: r.State, Priority: r.Priority, Attempts: r.Attempts, MaxAttempts: r.MaxAttempts, Cancelling: r.CancelRequested,
		Unique: words(r.Unique), Busy: float64(r.BusyMS) / 1000, Spent: spent(r.Spent),
	}
	if j.Status == Pending {
		j.NextAttemptAt = at(r.NextAttemptAt)
	}
	end := r.FinishedAt
	if end.IsZero() {
		end = now
	}
	if !r.BegunAt.IsZero() {
		d := max(0, end.Sub(r.BegunAt).Seconds())
		j.Duration = &d
	}
	return j
}

// percent is how much of the job is done.
func percent(r Row) int {
	switch {
	case r.State == "done":
		return 100
	case r.Total <= 0:
		return 0
	}
	return int(min(100, max(0, int64(r.Progress)*100/int64(r.Total))))
}

// object is v where it is a JSON object. Another value stands in one, since the
// contract has objects: {"value": v}.
func object(v json.RawMessage) json.RawMessage {
	v = bytes.TrimSpace(v)
	switch {
	case len(v) == 0 || string(v) == "null":
		return json.RawMessage("null")
	case v[0] == '{':
		return v
	}
	return json.RawMessage(`{"value":` + string(v) + `}`)
}

// spent is what an owner of an older version does not tell.
func spent(v json.RawMessage) json.RawMessage {
	if len(v) == 0 {
		return json.RawMessage("{}")
	}
	return v
}

func words(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// user is the id in "user:7"; nil for a program and for a service.
func user(principal string) *int64 {
	id, ok := strings.CutPrefix(principal, "user:")
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
