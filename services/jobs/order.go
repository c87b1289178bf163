package jobs

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

// orderFor is the job of a schedule that is due: its tags say whose it is, and since when.
func orderFor(s schedule.Schedule, task string, due time.Time) job.Order {
	tags := map[string]json.RawMessage{}
	_ = json.Unmarshal(s.Tags, &tags) // an object: it was checked
	tags["schedule_id"] = json.RawMessage(strconv.FormatInt(s.ID, 10))
	tags["due_at"] = json.RawMessage(strconv.Quote(due.UTC().Format(time.RFC3339)))
	b, _ := json.Marshal(tags) // of JSON
	return job.Order{ID: task, Type: s.Task, Input: s.Params, Tags: b, By: s.By, Priority: s.Priority}
}
