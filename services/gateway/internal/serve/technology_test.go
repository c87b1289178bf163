package serve_test

import "github.com/commandcenter/commandcenter/pkg/bus"

// technologySample is what the research service answers, nil for what it does not.
func technologySample(operation string) *bus.Answer {
	status, body := 200, ""
	switch operation {
	case "listTechnologies":
		body = `{"total":1,"items":[` + technologyRow + `],"page":1,"page_size":50}`
	case "createTechnology", "getTechnology", "updateTechnology":
		if operation[0] == 'c' {
			status = 201
		}
		body = technologyRow
	case "deleteTechnology":
		status = 204
	case "listTechnologyMoves":
		body = `{"items":[{"technology_id":7,"version":1,"from_status":null,"to_status":"discovery","from_ring":null,"to_ring":"assess","moved_by":"user:1","moved_at":"2026-01-02T03:04:05Z"}]}`
	case "getRadar":
		body = `{"at":"2026-01-02","since":"2025-10-03","quadrants":["tools"],"rings":[{"name":"adopt","radius":1}],"blips":[{"number":1,"technology_id":7,"title":"Go","status":"discovery","quadrant":"tools","ring":"assess","movement":"none","x":0,"y":0}]}`
	case "getRadarSVG", "getRadarPNG", "getRadarCSV":
		kind := map[string]string{"getRadarSVG": "image/svg+xml", "getRadarPNG": "image/png", "getRadarCSV": "text/csv; charset=utf-8"}[operation]
		return &bus.Answer{Status: 200, Header: map[string]string{"Content-Type": kind}, Body: []byte("a file")}
	case "importRadar":
		body = `{"added":1,"changed":0,"unchanged":0,"items":[{"title":"Go","outcome":"added"}]}`
	case "listResearchTasks", "getUpcomingTasks", "getOverdueTasks":
		body = `[` + taskRow + `]`
	case "createResearchTask", "getResearchTask", "updateResearchTask", "updateTaskStatus", "updateTaskProgress":
		if operation[0] == 'c' {
			status = 201
		}
		body = taskRow
	case "deleteResearchTask":
		status = 204
	case "attachTaskDocument":
		body = taskRow
	case "listTaskDocuments":
		body = `{"documents":[{"id":8,"filename":"a.md","content_type":"text/markdown","size":3,"sha256":"00","uploaded_by":"user:1","uploaded_at":"2026-01-02T03:04:05Z"}]}`
	case "downloadTaskDocument":
		return &bus.Answer{Status: 200, Header: map[string]string{"Content-Type": "text/markdown", "Content-Disposition": "attachment; filename=a.md"}, Body: []byte("a file")}
	case "deleteTaskDocument":
		status = 204
	case "exportResearchTasks":
		return &bus.Answer{Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(`[` + taskRow + `]`)}
	case "importResearchTasks":
		body = `{"added":1,"ids":[7]}`
	case "getTaskStatistics":
		body = `{"by_status":{"pending":1},"total":1,"overdue_count":0,"upcoming_count":0,"overdue_tasks":[],"upcoming_tasks":[]}`
	default:
		return nil
	}
	return &bus.Answer{Status: status, Body: []byte(body)}
}

const technologyRow = `{"id":7,"title":"Go","vendor":null,"domain":"other","status":"discovery","ring":null,"quadrant":null,"radar_ring":"assess","radar_quadrant":"tools","relevance_score":50,"priority":3,"description":null,"notes":null,"use_cases":null,"documentation_url":null,"repository_url":null,"website_url":null,"tags":null,"latency_ms":null,"throughput_qps":null,"integration_difficulty":null,"integration_time_estimate_days":null,"maturity_level":null,"stability_score":null,"cost_tier":null,"cost_monthly_usd":null,"dependencies":null,"alternatives":null,"last_hn_mention":null,"hn_score_avg":null,"github_stars":null,"github_last_commit":null,"version":1,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`

const taskRow = `{"id":7,"title":"Why?","description":null,"status":"pending","task_type":"research","technology_id":null,"repository_id":null,"user_notes":null,"findings":null,"assigned_to":null,"due_date":null,` +
	`"estimated_hours":null,"actual_hours":null,"uploaded_documents":null,"started_at":null,"completed_at":null,"progress_percentage":0,"metadata_":null,"version":1,"created_by":"user:1",` +
	`"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
