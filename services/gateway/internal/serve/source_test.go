package serve_test

import "github.com/commandcenter/commandcenter/pkg/bus"

// sourceSample is what the ingestion service answers of sources, nil for what it does not.
func sourceSample(operation string) *bus.Answer {
	status, body := 200, ""
	switch operation {
	case "listSources":
		body = `{"total":1,"sources":[` + sourceRow + `]}`
	case "createSource", "getSource", "updateSource":
		if operation[0] == 'c' {
			status = 201
		}
		body = sourceRow
	case "deleteSource":
		status = 204
	case "triggerManualRun":
		return &bus.Answer{
			Status: 202, Header: map[string]string{"Location": "/api/ingestion/sources/7/runs"}, Body: []byte(`{"task_id":"6b1f4d3e-0c8e-4b0e-9e64-0d6d4f2f8a11","source_id":7,"source_name":"Go"}`),
		}
	case "previewSource", "previewKeptSource":
		body = `{"documents":[{"place":"go.dev/a","url":null,"title":"a","author":null,"published_at":null,"content_type":"text/html","size":1,"excerpt":"x"}],"more":false,"unchanged":0,"failed":[],"note":null,"moved_to":null}`
	case "discoverSources":
		body = `{"candidates":[{"type":"rss","name":"Go","url":"https://go.dev/feed","items":1,"why":"it is a feed"}]}`
	case "exportOPML":
		return &bus.Answer{Status: 200, Header: map[string]string{"Content-Type": "text/x-opml; charset=utf-8"}, Body: []byte("<opml/>")}
	case "importOPML":
		body = `{"added":1,"known":0,"sources":[` + sourceRow + `]}`
	case "listSourceRuns":
		body = `{"total":1,"items":[{"id":"6b1f4d3e-0c8e-4b0e-9e64-0d6d4f2f8a11","source_id":7,"trigger":"manual","run_by":"user:1","state":"done","started_at":"2026-01-02T03:04:05Z","finished_at":null,"seen":1,"total":1,"taken":1,"unchanged":0,"elsewhere":0,"gone":0,"failed":0,"bytes":1,"doing":null,"note":null,"error":null}]}`
	default:
		return nil
	}
	return &bus.Answer{Status: status, Body: []byte(body)}
}

const sourceRow = `{"id":7,"project_id":1,"name":"Go","type":"rss","url":"https://go.dev/feed","path":null,"schedule":null,"priority":5,"enabled":true,"config":null,"has_credentials":false,"status":"success","last_run":null,"last_success":null,"last_error":null,"documents_ingested":1,"error_count":0,"next_run":null,"parked_since":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
