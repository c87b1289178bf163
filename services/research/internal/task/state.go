package task

import (
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Status is how far a task has come.
type Status string

// The statuses. The first three are open.
const (
	Pending    Status = "pending"
	InProgress Status = "in_progress"
	Blocked    Status = "blocked"
	Completed  Status = "completed"
	Cancelled  Status = "cancelled"
)

// Statuses are all of them, Open those of a task that is still to be done. They are
// constants.
var (
	Statuses = []Status{Pending, InProgress, Blocked, Completed, Cancelled}
	Open     = Statuses[:3]
)

// follows are the statuses that may come after one.
var follows = map[Status][]Status{
	Pending:    {InProgress, Blocked, Cancelled, Completed},
	InProgress: {Blocked, Completed, Cancelled, Pending},
	Blocked:    {InProgress, Pending, Cancelled, Completed},
	Completed:  {InProgress},
	Cancelled:  {Pending},
}

// State is where a task stands. It is completed if and only if its progress is 100 and
// CompletedAt is there.
type State struct {
	Status      Status     `json:"status" db:"status"`
	Progress    int        `json:"progress_percentage" db:"progress_percentage"` // 0 to 100
	StartedAt   *time.Time `json:"started_at" db:"started_at"`                   // when it was in progress first
	CompletedAt *time.Time `json:"completed_at" db:"completed_at"`
}

// Step is what somebody asks of a state; nil asks nothing.
type Step struct {
	Status   *Status `json:"status"`
	Progress *int    `json:"progress_percentage"`
}

// Next is the state after a step at a time. It is the only way from one state to another,
// whichever operation asks. What is as it is asks nothing: so a form may send the whole
// task. Then:
//
//   - progress alone moves the status along: 100 completes, less reopens what was
//     completed, more than 0 begins what is pending;
//   - who completes is at 100, and who reopens is at 99 or less;
//   - a status and a progress that contradict each other are refused, as is a status
//     that may not come after the present one (Conflict).
func (s State) Next(step Step, now time.Time) (State, error) {
	to, progress := s.Status, s.Progress
	if step.Progress != nil {
		progress = *step.Progress
	}
	if progress < 0 || progress > 100 {
		return s, errs.InvalidField("out_of_range", "progress_percentage is from 0 to 100", "body", "progress_percentage")
	}
	if step.Status != nil {
		to = *step.Status
	}
	if !slices.Contains(Statuses, to) {
		return s, errs.InvalidField("enum", "status is one of pending, in_progress, blocked, completed, cancelled", "body", "status")
	}
	switch asked := progress != s.Progress; {
	case to == s.Status && !asked:
		return s, nil
	case to == s.Status:
		to = s.led(progress)
	case asked && (to == Completed) != (progress == 100):
		return s, errs.InvalidField("contradiction", "a task is completed if and only if its progress is 100", "body", "progress_percentage")
	}
	if to != s.Status && !slices.Contains(follows[s.Status], to) {
		return s, errs.Newf(errs.Conflict, "a research task that is %s cannot become %s", s.Status, to)
	}
	out := State{Status: to, Progress: progress, StartedAt: s.StartedAt}
	switch {
	case to == Completed:
		out.Progress, out.CompletedAt = 100, &now
	case s.Status == Completed:
		out.Progress = min(progress, 99)
	}
	if to == InProgress && out.StartedAt == nil {
		out.StartedAt = &now
	}
	return out, nil
}

// led is the status to which a progress leads.
func (s State) led(progress int) Status {
	switch {
	case progress == 100:
		return Completed
	case s.Status == Completed, s.Status == Pending && progress > 0:
		return InProgress
	}
	return s.Status
}

// Check says whether a task can be in this state.
func (s State) Check() error {
	done := s.Status == Completed
	if !slices.Contains(Statuses, s.Status) || s.Progress < 0 || s.Progress > 100 || done != (s.Progress == 100) || done != (s.CompletedAt != nil) {
		return errs.InvalidField("contradiction", "no research task can be in this state: completed are those with a progress of 100 and a completed_at", "body", "status")
	}
	return nil
}
