package serve

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/jobs/internal/job"
	"github.com/commandcenter/commandcenter/services/jobs/internal/schedule"
)

// Handlers answer the operations. All fields are needed.
type Handlers struct {
	Jobs      job.Book
	Schedules schedule.Book
	// Order is the job of a schedule that is due.
	Order func(s schedule.Schedule, task string, due time.Time) job.Order
	// Made notes the job of a run.
	Made func(ctx context.Context, p tenant.Project, s schedule.Schedule, due time.Time, job int64) error
}

// Operations are the operations of the contract that the service answers.
func Operations() []string {
	return []string{
		"createJob", "updateJob", "dispatchJob", "retryJob", "getJobLog", "listJobTypes", "listJobs", "getJob", "deleteJob", "cancelJob", "getJobProgress", "listActiveJobs", "getJobStatistics",
		"createSchedule", "listSchedules", "getSchedule", "updateSchedule", "deleteSchedule", "executeSchedule", "enableSchedule", "disableSchedule",
		"getScheduleStatistics", "listDueSchedules", "listUpcomingRuns", "listScheduleRuns",
	}
}

// Register binds every operation to its handler: bus.Request for reads and for
// what carries a secret, bus.Command for every other write.
func (h *Handlers) Register(s *bus.Server) {
	bus.Request(s, "listJobs", h.listJobs)
	bus.Request(s, "listJobTypes", h.types)
	bus.Command(s, "createJob", h.createJob)
	bus.Command(s, "updateJob", h.updateJob)
	bus.Command(s, "dispatchJob", h.dispatchJob)
	bus.Command(s, "retryJob", h.retryJob)
	bus.Request(s, "getJobLog", h.log)
	bus.Request(s, "getJob", h.getJob)
	bus.Command(s, "deleteJob", h.deleteJob)
	bus.Command(s, "cancelJob", h.cancelJob)
	bus.Request(s, "getJobProgress", h.progress)
	bus.Request(s, "listActiveJobs", h.activeJobs)
	bus.Request(s, "getJobStatistics", h.statistics)
	bus.Command(s, "createSchedule", h.createSchedule)
	bus.Request(s, "listSchedules", h.listSchedules)
	bus.Request(s, "getSchedule", h.getSchedule)
	bus.Command(s, "updateSchedule", h.updateSchedule)
	bus.Command(s, "deleteSchedule", h.deleteSchedule)
	bus.Command(s, "executeSchedule", h.execute)
	bus.Command(s, "enableSchedule", h.enable(true))
	bus.Command(s, "disableSchedule", h.enable(false))
	bus.Request(s, "getScheduleStatistics", h.scheduleStatistics)
	bus.Request(s, "listDueSchedules", h.dueSchedules)
	bus.Request(s, "listUpcomingRuns", h.upcoming)
	bus.Request(s, "listScheduleRuns", h.runs)
}
