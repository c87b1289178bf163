package serve_test

import "github.com/commandcenter/commandcenter/pkg/bus"

// jobSample is what the jobs service answers, nil for what it does not.
func jobSample(operation string) *bus.Answer {
	switch operation {
	case "listJobs", "listActiveJobs":
		return &bus.Answer{Status: 200, Body: []byte(`{"jobs":[` + jobRow + `],"total":1,"skip":0,"limit":100}`)}
	case "createSchedule":
		return &bus.Answer{Status: 201, Body: []byte(scheduleRow)}
	case "getSchedule", "updateSchedule", "enableSchedule", "disableSchedule":
		return &bus.Answer{Status: 200, Body: []byte(scheduleRow)}
	case "listSchedules":
		return &bus.Answer{Status: 200, Body: []byte(`{"schedules":[` + scheduleRow + `],"total":1,"page":1,"page_size":50,"pages":1}`)}
	case "listDueSchedules":
		return &bus.Answer{Status: 200, Body: []byte(`[` + scheduleRow + `]`)}
	case "deleteSchedule":
		return &bus.Answer{Status: 204}
	case "executeSchedule":
		return &bus.Answer{Status: 200, Body: []byte(`{"schedule_id":7,"schedule_name":"n","job_id":34,"executed_at":"2026-01-02T03:04:05Z","next_run_at":null,"message":"m"}`)}
	case "getScheduleStatistics":
		return &bus.Answer{Status: 200, Body: []byte(`{"total_schedules":1,"enabled_schedules":1,"disabled_schedules":0,"total_runs":0,"successful_runs":0,"failed_runs":0,"success_rate":0,"by_frequency":{"daily":1}}`)}
	case "listUpcomingRuns":
		return &bus.Answer{Status: 200, Body: []byte(`{"timezone":"UTC","items":[{"at":"2026-01-02T03:04:05Z","local":"2026-01-02T03:04:05Z"}]}`)}
	case "listScheduleRuns":
		return &bus.Answer{Status: 200, Body: []byte(`{"items":[{"due_at":"2026-01-02T03:04:05Z","state":"made","job_id":34,"made_at":"2026-01-02T03:04:05Z","ended_at":null,"error":null}]}`)}
	case "createJob":
		return &bus.Answer{Status: 201, Body: []byte(jobRow)}
	case "listJobTypes":
		return &bus.Answer{Status: 200, Body: []byte(`{"items":[{"job_type":"call","title":"t","service":"jobs","input":{},"output":{}}]}`)}
	case "getJobLog":
		return &bus.Answer{Status: 200, Body: []byte(`{"lines":[{"seq":1,"at":"2026-01-02T03:04:05Z","level":"warn","attempt":1,"message":"m"}],"steps":[{"name":"one","saved_at":"2026-01-02T03:04:05Z"}]}`)}
	case "getJob", "cancelJob", "updateJob", "dispatchJob", "retryJob":
		return &bus.Answer{Status: 200, Body: []byte(jobRow)}
	case "deleteJob":
		return &bus.Answer{Status: 204}
	case "getJobProgress":
		return &bus.Answer{Status: 200, Body: []byte(`{"job_id":33,"status":"completed","progress":100,"current_step":null,"is_terminal":true,"is_active":false,"created_at":"2026-01-02T03:04:05Z","started_at":"2026-01-02T03:04:05Z","completed_at":"2026-01-02T03:04:06Z","duration_seconds":1,"celery_status":"done","celery_info":{"service":"knowledge","attempts":1,"max_attempts":5,"next_attempt_at":null,"cancel_requested":false}}`)}
	case "getJobStatistics":
		return &bus.Answer{Status: 200, Body: []byte(`{"total":1,"by_status":{"completed":1},"success_rate":100,"average_duration_seconds":1,"active_jobs":0}`)}
	}
	return nil
}

const jobRow = `{"id":33,"project_id":1,"job_type":"index","parameters":{"document":1},"tags":{},"celery_task_id":"0190e5a0-0000-7000-8000-000000000000","status":"completed","progress":100,"current_step":null,"result":null,"error":null,"created_by":1,"created_at":"2026-01-02T03:04:05Z","started_at":"2026-01-02T03:04:05Z","completed_at":"2026-01-02T03:04:06Z","duration_seconds":1,"service":"knowledge","state":"done","priority":0,"attempts":1,"max_attempts":5,"next_attempt_at":null,"cancel_requested":false,"unique_key":null,"busy_seconds":0.5,"spent":{}}`

const scheduleRow = `{"id":7,"project_id":1,"name":"n","description":null,"task_type":"call","task_parameters":{},"frequency":"daily","cron_expression":null,"interval_seconds":null,"timezone":"UTC","start_time":null,"end_time":null,"enabled":true,"last_run_at":null,"next_run_at":"2026-01-03T00:00:00Z","run_count":0,"success_count":0,"failure_count":0,"missed_count":0,"success_rate":null,"is_active":true,"last_error":null,"last_success_at":null,"last_failure_at":null,"created_by":1,"tags":{},"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","catch_up":"skip","overlap":"allow","jitter_seconds":0,"priority":0}`
