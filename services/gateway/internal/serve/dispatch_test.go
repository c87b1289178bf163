package serve_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

// calls are one good call of every operation that a service answers.
var calls = []struct {
	op, method, path, body string
	user                   int64
	status                 int
	project                tenant.Project
	payload                string
}{
	{"register", "POST", "/api/v1/auth/register", `{"email":"a@b.io","password":"correct horse"}`, 0, 201, 0,
		`{"body":{"email":"a@b.io","password":"correct horse"}}`},
	{"login", "POST", "/api/v1/auth/login", `{"email":"a@b.io","password":"correct horse"}`, 0, 200, 0, `{"body":{"email":"a@b.io","password":"correct horse"}}`},
	{"refreshToken", "POST", "/api/v1/auth/refresh", `{"refresh_token":"r"}`, 0, 200, 0, `{"body":{"refresh_token":"r"}}`},
	{"getCurrentUserInfo", "GET", "/api/v1/auth/me", "", owner, 200, 0, `{}`},
	{"logout", "POST", "/api/v1/auth/logout", "", owner, 200, 0, `{}`},
	{"changePassword", "PUT", "/api/v1/auth/password", `{"old_password":"correct horse","new_password":"battery staple"}`, owner, 200, 0,
		`{"body":{"old_password":"correct horse","new_password":"battery staple"}}`},
	{"resetPassword", "POST", "/api/v1/auth/password-reset", `{"token":"ccp_x","new_password":"battery staple"}`, 0, 200, 0, `{"body":{"token":"ccp_x","new_password":"battery staple"}}`},
	{"showPasswordReset", "POST", "/api/v1/auth/password-reset/show", `{"token":"ccp_x"}`, 0, 200, 0, `{"body":{"token":"ccp_x"}}`},
	{"listSessions", "GET", "/api/v1/auth/sessions", "", owner, 200, 0, `{}`},
	{"endSessions", "DELETE", "/api/v1/auth/sessions", "", owner, 200, 0, `{}`},
	{"endSession", "DELETE", "/api/v1/auth/sessions/6f3c2b1e", "", owner, 204, 0, `{"session_id":"6f3c2b1e"}`},
	{"createProject", "POST", "/api/v1/projects/", `{"name":"p"}`, owner, 201, 0, `{"body":{"name":"p"}}`},
	{"listProjects", "GET", "/api/v1/projects/?limit=5", "", owner, 200, 0, `{"skip":0,"limit":5}`},
	{"getProject", "GET", "/api/v1/projects/1", "", owner, 200, 1, `{"project_id":1}`},
	{"updateProject", "PATCH", "/api/v1/projects/1", `{"description":null}`, owner, 200, 1, `{"project_id":1,"body":{"description":null}}`},
	{"deleteProject", "DELETE", "/api/v1/projects/1", "", owner, 204, 1, `{"project_id":1}`},
	{"getProjectDeletion", "GET", "/api/v1/projects/1/deletion", "", owner, 200, 0, `{"project_id":1}`},
	{"getProjectStats", "GET", "/api/v1/projects/1/stats", "", viewer, 200, 1, `{"project_id":1}`},
	{"listMembers", "GET", "/api/v1/projects/1/members", "", viewer, 200, 1, `{"project_id":1,"skip":0,"limit":100}`},
	{"setMemberRole", "PUT", "/api/v1/projects/1/members/3", `{"role":"admin"}`, owner, 200, 1, `{"project_id":1,"user_id":3,"body":{"role":"admin"}}`},
	{"removeMember", "DELETE", "/api/v1/projects/1/members/3", "", owner, 204, 1, `{"project_id":1,"user_id":3,"revoke_keys":false}`},
	{"leaveProject", "POST", "/api/v1/projects/1/leave", "", viewer, 204, 1, `{"project_id":1}`},
	{"setDefaultProject", "PUT", "/api/v1/projects/1/default", "", viewer, 204, 1, `{"project_id":1}`},
	{"transferProject", "POST", "/api/v1/projects/1/transfer", `{"user_id":3}`, owner, 200, 1, `{"project_id":1,"body":{"user_id":3}}`},
	{"listInvitations", "GET", "/api/v1/projects/1/invitations", "", owner, 200, 1, `{"project_id":1}`},
	{"inviteMember", "POST", "/api/v1/projects/1/invitations", `{"role":"member"}`, owner, 201, 1, `{"project_id":1,"body":{"role":"member"}}`},
	{"revokeInvitation", "DELETE", "/api/v1/projects/1/invitations/4", "", owner, 204, 1, `{"project_id":1,"invitation_id":4}`},
	{"acceptInvitation", "POST", "/api/v1/invitations/accept", `{"token":"cci_x"}`, viewer, 200, 0, `{"body":{"token":"cci_x"}}`},
	{"showInvitation", "POST", "/api/v1/invitations/show", `{"token":"cci_x"}`, 0, 200, 0, `{"body":{"token":"cci_x"}}`},
	{"setLimit", "PUT", "/api/v1/limits/writes", `{"limit":"100/minute"}`, owner, 200, 1, `{"class":"writes","body":{"limit":"100/minute"}}`},
	{"resetLimit", "DELETE", "/api/v1/limits/writes", "", owner, 204, 1, `{"class":"writes"}`},
	{"loginBrowser", "POST", "/api/v1/auth/browser", `{"email":"a@b.io","password":"correct horse"}`, 0, 200, 0, `{"body":{"email":"a@b.io","password":"correct horse"}}`},
	{"beginSignOn", "GET", "/api/v1/auth/oidc/login?return_to=/docs", "", 0, 303, 0, `{"return_to":"/docs"}`},
	{"finishSignOn", "GET", "/api/v1/auth/oidc/callback?code=c&state=s&scope=openid", "", 0, 303, 0, `{"code":"c","state":"s"}`},
	{"rotateSigningKeys", "POST", "/api/v1/auth/signing-keys/rotate", `{"revoke":true}`, superuser, 200, 0, `{"body":{"revoke":true}}`},
	{"listKeys", "GET", "/api/v1/keys?all=true", "", owner, 200, 1, `{"all":true}`},
	{"createKey", "POST", "/api/v1/keys", `{"name":"ci","scopes":["knowledge:read"]}`, viewer, 201, 1, `{"body":{"name":"ci","scopes":["knowledge:read"]}}`},
	{"revokeKey", "DELETE", "/api/v1/keys/6f3c2b1e", "", viewer, 204, 1, `{"key_id":"6f3c2b1e"}`},
	{"rotateKey", "POST", "/api/v1/keys/6f3c2b1e/rotate", `{"overlap_seconds":60}`, viewer, 201, 1, `{"key_id":"6f3c2b1e","body":{"overlap_seconds":60}}`},
	{"listServiceAccounts", "GET", "/api/v1/service-accounts", "", viewer, 200, 1, `{}`},
	{"createServiceAccount", "POST", "/api/v1/service-accounts", `{"name":"ci"}`, owner, 201, 1, `{"body":{"name":"ci","role":"member"}}`},
	{"updateServiceAccount", "PATCH", "/api/v1/service-accounts/3", `{"role":"admin"}`, owner, 200, 1, `{"account_id":3,"body":{"role":"admin"}}`},
	{"deleteServiceAccount", "DELETE", "/api/v1/service-accounts/3", "", owner, 204, 1, `{"account_id":3}`},
	{"createServiceAccountKey", "POST", "/api/v1/service-accounts/3/keys", `{"name":"ci","scopes":["*:read"]}`, owner, 201, 1, `{"account_id":3,"body":{"name":"ci","scopes":["*:read"]}}`},
	{"listUsers", "GET", "/api/v1/users?search=ada&active=true", "", superuser, 200, 0, `{"search":"ada","active":true,"skip":0,"limit":100}`},
	{"getUser", "GET", "/api/v1/users/2", "", superuser, 200, 0, `{"user_id":2}`},
	{"deactivateUser", "POST", "/api/v1/users/2/deactivate", "", superuser, 200, 0, `{"user_id":2}`},
	{"reactivateUser", "POST", "/api/v1/users/2/reactivate", "", superuser, 200, 0, `{"user_id":2}`},
	{"issuePasswordReset", "POST", "/api/v1/users/2/password-reset", `{}`, superuser, 201, 0, `{"user_id":2,"body":{"add_password":false}}`},
	{"queryKnowledgeBase", "POST", "/api/v1/knowledge/query?mode=keyword", `{"query":"x"}`, viewer, 200, 1,
		`{"mode":"keyword","body":{"limit":5,"query":"x"}}`},
	{"listDocuments", "GET", "/api/v1/knowledge/documents", "", viewer, 200, 1, `{"skip":0,"limit":50}`},
	{"addTextDocument", "POST", "/api/v1/knowledge/documents/text", `{"title":"t","content":"c","category":"k"}`, member, 201, 1,
		`{"body":{"category":"k","content":"c","title":"t"}}`},
	{"getDocument", "GET", "/api/v1/knowledge/documents/7", "", viewer, 200, 1, `{"document_id":7}`},
	{"deleteDocument", "DELETE", "/api/v1/knowledge/documents/7?repository_id=3", "", member, 204, 1, `{"repository_id":3,"document_id":7}`},
	{"getKnowledgeStatistics", "GET", "/api/v1/knowledge/statistics?collection=default", "", viewer, 200, 1, `{"collection":"default"}`},
	{"listCollections", "GET", "/api/v1/knowledge/collections", "", viewer, 200, 1, `{}`},
	{"listCategories", "GET", "/api/v1/knowledge/categories", "", viewer, 200, 1, `{}`},
	{"getKnowledgeSettings", "GET", "/api/v1/knowledge/settings", "", viewer, 200, 1, `{}`},
	{"setKnowledgeSettings", "PUT", "/api/v1/knowledge/settings", `{"embedding_model":"bge-small-en-v1.5"}`, owner, 200, 1, `{"body":{"embedding_model":"bge-small-en-v1.5"}}`},
	{"listJudgements", "GET", "/api/v1/knowledge/judgements", "", viewer, 200, 1, `{}`},
	{"importJudgements", "POST", "/api/v1/knowledge/judgements", `{"name":"s","format":"trec","questions":"q\tx","qrels":"q 0 a 1"}`, member, 201, 1,
		`{"body":{"add":false,"format":"trec","name":"s","qrels":"q 0 a 1","questions":"q\tx"}}`},
	{"getJudgements", "GET", "/api/v1/knowledge/judgements/7?limit=5", "", viewer, 200, 1, `{"judgements_id":7,"skip":0,"limit":5}`},
	{"deleteJudgements", "DELETE", "/api/v1/knowledge/judgements/7", "", owner, 204, 1, `{"judgements_id":7}`},
	{"listEvaluations", "GET", "/api/v1/knowledge/evaluations?judgements_id=7", "", viewer, 200, 1, `{"judgements_id":7,"skip":0,"limit":50}`},
	{"startEvaluation", "POST", "/api/v1/knowledge/evaluations", `{"judgements_id":7,"tune":true}`, member, 201, 1,
		`{"body":{"judgements_id":7,"modes":["keyword","vector","hybrid"],"rerank":false,"tune":true}}`},
	{"getEvaluation", "GET", "/api/v1/knowledge/evaluations/7", "", viewer, 200, 1, `{"evaluation_id":7}`},
	{"deleteEvaluation", "DELETE", "/api/v1/knowledge/evaluations/7", "", owner, 204, 1, `{"evaluation_id":7}`},
	{"listEvaluationQueries", "GET", "/api/v1/knowledge/evaluations/7/questions?row=keyword", "", viewer, 200, 1, `{"evaluation_id":7,"row":"keyword","skip":0,"limit":50}`},
	{"getEvaluationRun", "GET", "/api/v1/knowledge/evaluations/7/run", "", viewer, 200, 1, `{"evaluation_id":7}`},
	{"plotEvaluation", "GET", "/api/v1/knowledge/evaluations/7/plot", "", viewer, 200, 1, `{"evaluation_id":7}`},
	{"compareEvaluations", "GET", "/api/v1/knowledge/evaluations/7/comparison?with=8", "", viewer, 200, 1, `{"evaluation_id":7,"with":8}`},
	{"applyEvaluation", "POST", "/api/v1/knowledge/evaluations/7/apply", `{"row":"hybrid"}`, owner, 200, 1, `{"evaluation_id":7,"body":{"row":"hybrid"}}`},
	{"listTechnologies", "GET", "/api/v1/technologies/?search=go&ring=trial", "", viewer, 200, 1, `{"skip":0,"limit":50,"ring":"trial","search":"go"}`},
	{"createTechnology", "POST", "/api/v1/technologies/", `{"title":"Go"}`, member, 201, 1, `{"body":{"domain":"other","priority":3,"relevance_score":50,"status":"discovery","title":"Go"}}`},
	{"getTechnology", "GET", "/api/v1/technologies/7", "", viewer, 200, 1, `{"technology_id":7}`},
	{"updateTechnology", "PATCH", "/api/v1/technologies/7", `{"ring":null,"status":"archived"}`, member, 200, 1, `{"technology_id":7,"body":{"ring":null,"status":"archived"}}`},
	{"deleteTechnology", "DELETE", "/api/v1/technologies/7", "", owner, 204, 1, `{"technology_id":7}`},
	{"listTechnologyMoves", "GET", "/api/v1/technologies/7/moves", "", viewer, 200, 1, `{"technology_id":7}`},
	{"getRadar", "GET", "/api/v1/technologies/radar?since=2026-01-02", "", viewer, 200, 1, `{"since":"2026-01-02"}`},
	{"getRadarSVG", "GET", "/api/v1/technologies/radar.svg?title=x", "", viewer, 200, 1, `{"title":"x"}`},
	{"getRadarPNG", "GET", "/api/v1/technologies/radar.png", "", viewer, 200, 1, `{}`},
	{"getRadarCSV", "GET", "/api/v1/technologies/radar.csv", "", viewer, 200, 1, `{}`},
	{"importRadar", "POST", "/api/v1/technologies/import", `{"csv":"x"}`, member, 200, 1, `{"body":{"csv":"x","dry_run":false}}`},
	{"listJobs", "GET", "/api/v1/jobs?status_filter=failed&limit=5", "", viewer, 200, 1, `{"status_filter":"failed","skip":0,"limit":5}`},
	{"listActiveJobs", "GET", "/api/v1/jobs/active/list?project_id=1", "", viewer, 200, 1, `{"project_id":1,"limit":1000}`},
	{"getJobStatistics", "GET", "/api/v1/jobs/statistics/summary", "", viewer, 200, 1, `{}`},
	{"createSchedule", "POST", "/api/v1/schedules", `{"name":"n","task_type":"call","frequency":"daily"}`, member, 201, 1, `{"body":{"catch_up":"skip","enabled":true,"frequency":"daily","jitter_seconds":0,"name":"n","overlap":"allow","priority":0,"task_type":"call","timezone":"UTC"}}`},
	{"listSchedules", "GET", "/api/v1/schedules?enabled=true", "", viewer, 200, 1, `{"enabled":true,"page":1,"page_size":50}`},
	{"getSchedule", "GET", "/api/v1/schedules/7", "", viewer, 200, 1, `{"schedule_id":7}`},
	{"updateSchedule", "PATCH", "/api/v1/schedules/7", `{"name":"m"}`, member, 200, 1, `{"schedule_id":7,"body":{"name":"m"}}`},
	{"deleteSchedule", "DELETE", "/api/v1/schedules/7", "", member, 204, 1, `{"schedule_id":7}`},
	{"executeSchedule", "POST", "/api/v1/schedules/7/execute", `{"force":true}`, member, 200, 1, `{"schedule_id":7,"body":{"force":true}}`},
	{"enableSchedule", "POST", "/api/v1/schedules/7/enable", "", member, 200, 1, `{"schedule_id":7}`},
	{"disableSchedule", "POST", "/api/v1/schedules/7/disable", "", member, 200, 1, `{"schedule_id":7}`},
	{"getScheduleStatistics", "GET", "/api/v1/schedules/statistics/summary", "", viewer, 200, 1, `{}`},
	{"listDueSchedules", "GET", "/api/v1/schedules/due/list", "", viewer, 200, 1, `{"limit":100}`},
	{"listUpcomingRuns", "GET", "/api/v1/schedules/7/next?limit=3", "", viewer, 200, 1, `{"schedule_id":7,"limit":3}`},
	{"listScheduleRuns", "GET", "/api/v1/schedules/7/runs", "", viewer, 200, 1, `{"schedule_id":7,"limit":50}`},
	{"createJob", "POST", "/api/v1/jobs", `{"job_type":"call","parameters":{"url":"https://example.org"}}`, member, 201, 1, `{"body":{"dispatch":false,"job_type":"call","parameters":{"url":"https://example.org"},"priority":0}}`},
	{"listJobTypes", "GET", "/api/v1/jobs/types", "", viewer, 200, 1, `{}`},
	{"updateJob", "PATCH", "/api/v1/jobs/33", `{"priority":2}`, member, 200, 1, `{"job_id":33,"body":{"priority":2}}`},
	{"dispatchJob", "POST", "/api/v1/jobs/33/dispatch?delay_seconds=5", "", member, 200, 1, `{"job_id":33,"delay_seconds":5}`},
	{"retryJob", "POST", "/api/v1/jobs/33/retry", `{"from_step":"two"}`, member, 200, 1, `{"job_id":33,"body":{"from_step":"two"}}`},
	{"getJobLog", "GET", "/api/v1/jobs/33/log", "", viewer, 200, 1, `{"job_id":33}`},
	{"getJob", "GET", "/api/v1/jobs/33", "", viewer, 200, 1, `{"job_id":33}`},
	{"deleteJob", "DELETE", "/api/v1/jobs/33", "", member, 204, 1, `{"job_id":33}`},
	{"cancelJob", "POST", "/api/v1/jobs/33/cancel", "", member, 200, 1, `{"job_id":33}`},
	{"getJobProgress", "GET", "/api/v1/jobs/33/progress", "", viewer, 200, 1, `{"job_id":33}`},
	{"listResearchTasks", "GET", "/api/v1/research-tasks/?status=blocked&technology_id=3&assigned_to=Jo", "", viewer, 200, 1, `{"skip":0,"limit":100,"status":"blocked","technology_id":3,"assigned_to":"Jo"}`},
	{"createResearchTask", "POST", "/api/v1/research-tasks/", `{"title":"Why?","due_date":"2026-01-31"}`, member, 201, 1, `{"body":{"due_date":"2026-01-31","status":"pending","task_type":"research","title":"Why?"}}`},
	{"getResearchTask", "GET", "/api/v1/research-tasks/7", "", viewer, 200, 1, `{"task_id":7}`},
	{"updateResearchTask", "PATCH", "/api/v1/research-tasks/7", `{"findings":"so"}`, member, 200, 1, `{"task_id":7,"body":{"findings":"so"}}`},
	{"deleteResearchTask", "DELETE", "/api/v1/research-tasks/7", "", member, 204, 1, `{"task_id":7}`},
	{"updateTaskStatus", "PATCH", "/api/v1/research-tasks/7/status?new_status=completed", "null", member, 200, 1, `{"task_id":7,"new_status":"completed"}`},
	{"updateTaskProgress", "PATCH", "/api/v1/research-tasks/7/progress?progress_percentage=40", "null", member, 200, 1, `{"task_id":7,"progress_percentage":40}`},
	{"getTaskStatistics", "GET", "/api/v1/research-tasks/statistics/overview?technology_id=3", "", viewer, 200, 1, `{"technology_id":3}`},
	{"getUpcomingTasks", "GET", "/api/v1/research-tasks/upcoming/list?days=30", "", viewer, 200, 1, `{"days":30,"limit":100}`},
	{"listTaskDocuments", "GET", "/api/v1/research-tasks/7/documents", "", viewer, 200, 1, `{"task_id":7}`},
	{"downloadTaskDocument", "GET", "/api/v1/research-tasks/7/documents/8", "", viewer, 200, 1, `{"task_id":7,"attachment_id":8}`},
	{"deleteTaskDocument", "DELETE", "/api/v1/research-tasks/7/documents/8", "", member, 204, 1, `{"task_id":7,"attachment_id":8}`},
	{"exportResearchTasks", "GET", "/api/v1/research-tasks/export?format=json&after=7", "", viewer, 200, 1, `{"format":"json","after":7,"limit":1000}`},
	{"importResearchTasks", "POST", "/api/v1/research-tasks/import", `{"content":"title\nx"}`, member, 200, 1, `{"body":{"content":"title\nx","dry_run":false,"format":"csv"}}`},
	{"getOverdueTasks", "GET", "/api/v1/research-tasks/overdue/list?limit=5", "", viewer, 200, 1, `{"limit":5}`},
	{"listKnowledgeTemplates", "GET", "/api/v1/knowledge/templates", "", viewer, 200, 1, `{}`},
	{"applyKnowledgeTemplate", "POST", "/api/v1/knowledge/templates/documentation", "", owner, 200, 1, `{"template":"documentation"}`},
	{"listSources", "GET", "/api/ingestion/sources?type=rss&enabled=true", "", viewer, 200, 1, `{"type":"rss","enabled":true,"skip":0,"limit":100}`},
	{"createSource", "POST", "/api/ingestion/sources", `{"name":"Go","type":"rss","url":"https://go.dev/feed"}`, member, 201, 1,
		`{"body":{"name":"Go","type":"rss","url":"https://go.dev/feed","priority":5,"enabled":true}}`},
	{"previewSource", "POST", "/api/ingestion/sources/preview", `{"name":"Go","type":"rss","url":"https://go.dev/feed"}`, member, 200, 1,
		`{"limit":10,"body":{"name":"Go","type":"rss","url":"https://go.dev/feed","priority":5,"enabled":true}}`},
	{"discoverSources", "POST", "/api/ingestion/sources/discover", `{"url":"https://go.dev"}`, member, 200, 1, `{"body":{"url":"https://go.dev"}}`},
	{"exportOPML", "GET", "/api/ingestion/sources/opml", "", viewer, 200, 1, `{}`},
	{"importOPML", "POST", "/api/ingestion/sources/opml", `{"opml":"<opml/>"}`, member, 200, 1, `{"body":{"opml":"<opml/>"}}`},
	{"getSource", "GET", "/api/ingestion/sources/7", "", viewer, 200, 1, `{"source_id":7}`},
	{"updateSource", "PUT", "/api/ingestion/sources/7", `{"enabled":false,"schedule":null}`, member, 200, 1, `{"source_id":7,"body":{"enabled":false,"schedule":null}}`},
	{"deleteSource", "DELETE", "/api/ingestion/sources/7?documents=true", "", owner, 204, 1, `{"source_id":7,"documents":true}`},
	{"triggerManualRun", "POST", "/api/ingestion/sources/7/run", "", member, 202, 1, `{"source_id":7}`},
	{"previewKeptSource", "GET", "/api/ingestion/sources/7/preview", "", member, 200, 1, `{"source_id":7,"limit":10}`},
	{"listSourceRuns", "GET", "/api/ingestion/sources/7/runs", "", viewer, 200, 1, `{"source_id":7,"skip":0,"limit":20}`},
	{"listEventSchemas", "GET", "/api/v1/events/schemas?team=billing", "", viewer, 200, 1, `{"team":"billing"}`},
	{"registerEventSchema", "POST", "/api/v1/events/schemas", `{"team":"billing","noun":"invoice","fact":"paid","version":1,"schema":{"type":"object"}}`, owner, 201, 1,
		`{"body":{"team":"billing","noun":"invoice","fact":"paid","version":1,"schema":{"type":"object"}}}`},
	{"getEventSchema", "GET", "/api/v1/events/schemas/7", "", viewer, 200, 1, `{"schema_id":7}`},
	{"deleteEventSchema", "DELETE", "/api/v1/events/schemas/7", "", owner, 204, 1, `{"schema_id":7}`},
	{"listAudit", "GET", "/api/v1/audit?actor=user:7&outcome=denied&after=0", "", owner, 200, 1, `{"instance":false,"actor":"user:7","outcome":"denied","after":0,"limit":100}`},
	{"getAuditHead", "GET", "/api/v1/audit/head", "", owner, 200, 1, `{"instance":false}`},
	{"listDeadLetters", "GET", "/api/v1/dead-letters?service=knowledge", "", owner, 200, 1, `{"service":"knowledge","after":0,"limit":100}`},
	{"purgeDeadLetters", "DELETE", "/api/v1/dead-letters", "", owner, 200, 1, `{}`},
	{"getDeadLetter", "GET", "/api/v1/dead-letters/7", "", owner, 200, 1, `{"seq":7}`},
	{"discardDeadLetter", "DELETE", "/api/v1/dead-letters/7", "", owner, 204, 1, `{"seq":7}`},
	{"redriveDeadLetter", "POST", "/api/v1/dead-letters/7/redrive", "", owner, 204, 1, `{"seq":7}`},
	{"listInstances", "GET", "/api/v1/federation/instances?status=online", "", owner, 200, 0, `{"status":"online","skip":0,"limit":1000}`},
	{"getInstance", "GET", "/api/v1/federation/instances/north", "", owner, 200, 0, `{"slug":"north"}`},
	{"registerInstance", "POST", "/api/v1/federation/instances", `{"slug":"north","tags":["a"]}`, superuser, 201, 0, `{"body":{"slug":"north","tags":["a"]}}`},
	{"admitInstance", "POST", "/api/v1/federation/instances/north/admit", `{"key":"U"}`, superuser, 200, 0, `{"slug":"north","body":{"key":"U"}}`},
	{"removeInstance", "DELETE", "/api/v1/federation/instances/north", "", superuser, 204, 0, `{"slug":"north"}`},
	{"listShares", "GET", "/api/v1/federation/shares", "", viewer, 200, 1, `{}`},
	{"shareProject", "POST", "/api/v1/federation/shares", `{"instance":"north"}`, owner, 201, 1, `{"body":{"instance":"north"}}`},
	{"unshareProject", "DELETE", "/api/v1/federation/shares/north", "", owner, 204, 1, `{"slug":"north"}`},
	{"searchFederation", "POST", "/api/v1/federation/search", `{"query":"x"}`, viewer, 200, 1, `{"body":{"limit":10,"query":"x","timeout_ms":3000}}`},
	{"listFederatedProjects", "GET", "/api/fed/projects?status=offline", "", 0, 200, 0, `{"status":"offline"}`},
	{"getFederatedProject", "GET", "/api/fed/projects/north", "", 0, 200, 0, `{"slug":"north"}`},
	{"updateFederatedProject", "POST", "/api/fed/projects", `{"slug":"north","name":"North","hub_url":"http://n"}`, 0, 200, 0, `{"body":{"hub_url":"http://n","name":"North","slug":"north"}}`},
}

func TestEveryOperationReachesItsServiceAsTheContractSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range calls {
		var changes []change
		if c.user != 0 {
			changes = append(changes, as(w.auth.token(c.user)))
		}
		got := w.call(c.method, c.path, c.body, changes...)
		if got.status != c.status {
			t.Errorf("%s: %d %s", c.op, got.status, got.body)
			continue
		}
		a := w.bus.last(t)
		if a.target.Operation != c.op || a.target.Project != c.project || a.who.Project != c.project {
			t.Errorf("%s: asked %+v as %+v", c.op, a.target, a.who)
		}
		if !sameJSON(a.payload, c.payload) {
			t.Errorf("%s: payload %s, want %s", c.op, a.payload, c.payload)
		}
		if c.user == 0 != a.who.Anonymous() {
			t.Errorf("%s: asked as %+v", c.op, a.who)
		}
		want := sample(c.op)
		if got.body != string(want.Body) {
			t.Errorf("%s: %s", c.op, got.body)
		}
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

func TestEveryOperationOfTheContractIsCalledByThisTest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]bool{"addDocument": true, "attachTaskDocument": true, "importProject": true, "watchDocument": true, "watchJob": true, "answerQuestion": true} // their own tests
	for _, c := range calls {
		seen[c.op] = true
	}
	for _, op := range contractOf(t).Operations {
		if !op.Own() && !seen[op.ID] {
			t.Errorf("%s: no call in the table", op.ID)
		}
	}
	_ = w
}

func TestAReadOfASilentServiceIsAskedAgainAndAWriteIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.RequestTimeout = 10 * time.Millisecond })
	w.bus.request = nil
	token := w.auth.token(owner)
	if got := w.call("GET", "/api/v1/knowledge/collections", "", as(token)); got.status != 503 || got.header.Get("Retry-After") != "5" || !strings.Contains(got.body, `"knowledge does not answer"`) {
		t.Errorf("a read: %d, Retry-After %q, %s", got.status, got.header.Get("Retry-After"), got.body)
	}
	if got := w.call("POST", "/api/v1/knowledge/query", `{"query":"x"}`, as(token)); got.status != 503 {
		t.Errorf("a search: %d", got.status)
	}
	if got := w.call("PUT", "/api/v1/auth/password", `{"old_password":"a-good-old-one","new_password":"a-good-new-one"}`, as(token)); got.status != 504 {
		t.Errorf("a write: %d %s", got.status, got.body)
	}
}

func TestEveryKindOfFailureBecomesItsStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.auth.token(owner)
	for kind, status := range map[errs.Kind]int{
		errs.Malformed: 400, errs.Unauthenticated: 401, errs.Forbidden: 403, errs.NotFound: 404, errs.Conflict: 409, errs.Precondition: 412,
		errs.TooLarge: 413, errs.Unsupported: 415, errs.Invalid: 422, errs.RateLimited: 429, errs.Internal: 500, errs.Upstream: 502,
		errs.Unavailable: 503, errs.Timeout: 504,
	} {
		w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
			return nil, errs.New(kind, "the reason is pq: relation missing").After(3 * time.Second)
		}
		got := w.call("GET", "/api/v1/knowledge/collections", "", as(token), with("X-Request-ID", "req-1"))
		if got.status != status {
			t.Errorf("%s: %d", kind, got.status)
			continue
		}
		d := got.json(t)
		if d["request_id"] != "req-1" || got.header.Get("X-Request-ID") != "req-1" || d["instance"] != "/api/v1/knowledge/collections" {
			t.Errorf("%s: %v", kind, d)
		}
		if kind == errs.Internal && strings.Contains(got.body, "pq:") {
			t.Errorf("an internal text got out: %s", got.body)
		}
		if (status == 409 || status == 429 || status == 503) != (got.header.Get("Retry-After") == "3") {
			t.Errorf("%s: Retry-After = %q", kind, got.header.Get("Retry-After"))
		}
	}
	if logs := w.logs.String(); !strings.Contains(logs, "pq: relation missing") || !strings.Contains(logs, `"request_id"`) && !strings.Contains(logs, "http.request") {
		t.Error("the reason is not in the log")
	}
}

func TestACommandThatIsNotDoneYetIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.command = func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error) {
		return &bus.Answer{Status: 202, Pending: true, OperationID: "knowledge.0198c0de-0000-7000-8000-000000000001"}, nil
	}
	got := w.call("DELETE", "/api/v1/knowledge/documents/7", "", as(w.auth.token(member)), with("Idempotency-Key", "k-1"))
	if got.status != 202 || got.header.Get("Location") != "/api/v1/operations/p1.knowledge.0198c0de-0000-7000-8000-000000000001" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	if d := got.json(t); d["status"] != "pending" || d["operation"] != "deleteDocument" {
		t.Errorf("%v", d)
	}
	if key := w.bus.last(t).key; key != "k-1" {
		t.Errorf("key = %q", key)
	}
}

// What the service has said so far is no answer: it reads like success.
func TestAnAcceptedCommandReadsTheSameWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const id = "knowledge.0198c0de-0000-7000-8000-000000000001"
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	a := &bus.Answer{
		Status: 202, Pending: true, OperationID: id, AcceptedAt: at, Body: sample("addDocument").Body, Header: map[string]string{"Location": "/elsewhere"},
	}
	w.bus.command = func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error) { return a, nil }
	w.bus.operation = func(_ tenant.Identity, got string) (*bus.OperationState, error) {
		return &bus.OperationState{ID: got, Operation: "addDocument", Principal: "user:3", Pending: true, AcceptedAt: a.AcceptedAt, Answer: a}, nil
	}
	got := w.upload(part{"category", "", "docs"}, part{"file", `="a.md"`, "# Hello"})
	d := got.json(t)
	if got.status != 202 || got.header.Get("Location") != "/api/v1/operations/p1."+id || d["id"] != "p1."+id || d["accepted_at"] != "2026-01-02T03:04:05.000678Z" ||
		d["http_status"] != nil || d["status"] != "pending" || d["answer"] != nil {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if asked := w.call("GET", got.header.Get("Location"), "", as(w.auth.token(member))); asked.body != got.body {
		t.Errorf("accepted as %s\nasked for: %s", got.body, asked.body)
	}
}

func TestTheOutcomeOfACommandCanBeAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const id = "knowledge.0198c0de-0000-7000-8000-000000000001"
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var asked tenant.Identity
	state := &bus.OperationState{ID: id, Operation: "deleteDocument", Pending: true, AcceptedAt: at}
	w.bus.operation = func(who tenant.Identity, got string) (*bus.OperationState, error) {
		asked = who
		if !strings.HasPrefix(got, "knowledge.") {
			t.Errorf("asked for %s, of a service that there is not", got)
		}
		if got != id {
			return nil, errs.New(errs.NotFound, "no such operation")
		}
		return state, nil
	}
	token := as(w.auth.token(member))
	if d := w.call("GET", "/api/v1/operations/p1."+id, "", token).json(t); d["status"] != "pending" || d["finished_at"] != nil {
		t.Errorf("%v", d)
	}
	if asked.Project != 1 || asked.Principal != "user:3" {
		t.Errorf("asked as %+v", asked)
	}
	state.Progress = &outbox.Progress{Done: 3, Total: 8, Doing: "importing"}
	if d := w.call("GET", "/api/v1/operations/p1."+id, "", token).json(t); fmt.Sprint(d["progress"]) != "map[doing:importing done:3 total:8]" {
		t.Errorf("%v", d)
	}
	state = &bus.OperationState{ID: id, Operation: "deleteDocument", AcceptedAt: at, FinishedAt: at, Answer: &bus.Answer{Status: 204}}
	if d := w.call("GET", "/api/v1/operations/p1."+id, "", token).json(t); d["status"] != "succeeded" || d["http_status"] != 204.0 || d["answer"] != nil {
		t.Errorf("%v", d)
	}
	state = &bus.OperationState{ID: id, Operation: "deleteDocument", AcceptedAt: at, FinishedAt: at, Err: errs.New(errs.NotFound, "document not found")}
	d := w.call("GET", "/api/v1/operations/p1."+id, "", token).json(t)
	if d["status"] != "failed" || d["http_status"] != 404.0 || d["answer"].(map[string]any)["detail"] != "document not found" {
		t.Errorf("%v", d)
	}
	for _, path := range []string{"p1.knowledge.other", "p1.nobody." + id[len("knowledge."):], "p9." + id, "x." + id, "p1"} {
		if got := w.call("GET", "/api/v1/operations/"+path, "", token); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

// A write may be the end of its caller's place in the project.
func TestWhoGaveAWriteIsToldItsEndFromOutsideItsProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const id = "auth.0198c0de-0000-7000-8000-000000000001"
	state := &bus.OperationState{ID: id, Operation: "leaveProject", Principal: "user:3", FinishedAt: time.Now(), Answer: &bus.Answer{Status: 200, Body: []byte(`{"name":"secret"}`)}}
	var asked tenant.Identity
	w.bus.operation = func(who tenant.Identity, _ string) (*bus.OperationState, error) {
		asked = who
		return state, nil
	}
	got := w.call("GET", "/api/v1/operations/p9."+id, "", as(w.auth.token(member)))
	if d := got.json(t); got.status != 200 || d["status"] != "succeeded" || d["http_status"] != 200.0 || d["answer"] != nil {
		t.Errorf("%d %s", got.status, got.body)
	}
	if asked.Project != 9 || asked.Role != tenant.NoRole || asked.Principal != "user:3" {
		t.Errorf("asked as %+v", asked)
	}
	state.Principal = "user:4"
	if got := w.call("GET", "/api/v1/operations/p9."+id, "", as(w.auth.token(member))); got.status != 404 {
		t.Errorf("of somebody else: %d", got.status)
	}
	if d := w.call("GET", "/api/v1/operations/p9."+id, "", as(w.auth.token(stranger))).json(t); d["answer"] == nil {
		t.Errorf("inside: %v", d)
	}
}

func TestAReplayedAnswerSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.command = func(tg bus.Target, _ tenant.Identity, _ []byte, _ bus.CommandOptions) (*bus.Answer, error) {
		a := sample(tg.Operation)
		a.Replayed, a.Header = true, map[string]string{"CC-Search-Mode": "hybrid"}
		return a, nil
	}
	got := w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), with("Idempotency-Key", "k"))
	if got.header.Get("Idempotent-Replayed") != "true" || got.header.Get("CC-Search-Mode") != "hybrid" {
		t.Errorf("%v", got.header)
	}
	if got := w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), with("Idempotency-Key", strings.Repeat("k", 256))); got.status != 422 {
		t.Errorf("a long key: %d", got.status)
	}
}

func TestInputThatIsNotInOrderIsRefusedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := as(w.auth.token(owner))
	for _, c := range []struct {
		name, method, path, body string
		changes                  []change
		status                   int
	}{
		{"no such path", "GET", "/api/v1/nothing", "", nil, 404},
		{"empty segment", "GET", "/api/v1/projects//stats", "", nil, 404},
		{"encoded slash", "GET", "/api/v1/projects/1%2F2", "", nil, 422},
		{"no such method", "PUT", "/api/v1/projects/1", "{}", nil, 405},
		{"made-up method", "BREW", "/api/v1/projects/1", "", nil, 405},
		{"not acceptable", "GET", "/api/v1/projects", "", []change{with("Accept", "text/html, application/json;q=0")}, 406},
		{"media type", "POST", "/api/v1/projects", "name=x", []change{with("Content-Type", "text/plain")}, 415},
		{"compressed", "POST", "/api/v1/projects", "{}", []change{with("Content-Encoding", "gzip")}, 415},
		{"not JSON", "POST", "/api/v1/projects", "{", nil, 400},
		{"too deep", "POST", "/api/v1/projects", `{"name":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, nil, 400},
		{"too large", "POST", "/api/v1/projects", `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, nil, 413},
		{"no body", "POST", "/api/v1/projects", "", nil, 422},
		{"null body", "POST", "/api/v1/projects", "null", nil, 422},
		{"empty name", "POST", "/api/v1/projects", `{"name":""}`, nil, 422},
		{"query", "GET", "/api/v1/projects?limit=0", "", nil, 422},
		{"query escape", "GET", "/api/v1/projects?limit=%zz", "", nil, 400},
		{"query size", "GET", "/api/v1/projects?" + strings.Repeat("a=1&", 300), "", nil, 400},
		{"path", "GET", "/api/v1/projects/abc", "", nil, 422},
		{"path below one", "GET", "/api/v1/projects/0", "", nil, 422},
		{"path beyond all", "GET", "/api/v1/projects/99999999999999999999", "", nil, 404},
		{"header", "GET", "/api/v1/knowledge/collections", "", []change{with("X-Project-ID", "one")}, 422},
		{"header below one", "GET", "/api/v1/knowledge/collections", "", []change{with("X-Project-ID", "0")}, 422},
	} {
		got := w.call(c.method, c.path, c.body, append([]change{token}, c.changes...)...)
		if got.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, got.status, got.body, c.status)
		}
		if got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: content type %q", c.name, got.header.Get("Content-Type"))
		}
		if c.status == 405 && got.header.Get("Allow") != "DELETE, GET, HEAD, OPTIONS, PATCH" {
			t.Errorf("%s: Allow = %q", c.name, got.header.Get("Allow"))
		}
	}
	if n := w.bus.count(); n != 0 {
		t.Errorf("%d calls got through", n)
	}
}

func TestABodyOfUnknownLengthIsBoundedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.call("POST", "/api/v1/projects", `{"name":"`+strings.Repeat("x", 70<<10)+`"}`, as(w.auth.token(owner)), func(r *http.Request) { r.ContentLength = -1 })
	if got.status != 413 {
		t.Errorf("%d", got.status)
	}
}

func TestBothSlashFormsAndHeadAndOptionsAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := as(w.auth.token(owner))
	for _, path := range []string{"/api/v1/projects", "/api/v1/projects/", "/api/v1/projects/1", "/api/v1/projects/1/"} {
		if got := w.call("GET", path, "", token); got.status != 200 {
			t.Errorf("GET %s: %d", path, got.status)
		}
		got := w.call("HEAD", path, "", token)
		if got.status != 200 || got.body != "" || got.header.Get("Content-Length") == "0" {
			t.Errorf("HEAD %s: %d %v", path, got.status, got.header)
		}
		got = w.call("OPTIONS", path, "")
		if got.status != 204 || !strings.Contains(got.header.Get("Allow"), "GET, HEAD") {
			t.Errorf("OPTIONS %s: %d %v", path, got.status, got.header)
		}
	}
	if got := w.call("OPTIONS", "/nothing", ""); got.status != 404 {
		t.Errorf("OPTIONS of nothing: %d", got.status)
	}
}

func TestNullAndNoBodyAreTakenWhereNobodyReadsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []change{with("Content-Type", "application/json"), with("Content-Type", "application/x-www-form-urlencoded")} {
		for _, nothing := range []string{"null", " \n", "{}"} {
			if got := w.call("DELETE", "/api/v1/knowledge/documents/7", nothing, as(w.auth.token(member)), c); got.status != 204 {
				t.Errorf("%q: %d %s", nothing, got.status, got.body)
			}
		}
	}
}

const fixture = `
openapi: 3.0.3
info: {title: Fixture, version: '1'}
paths:
  /old/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    patch:
      operationId: change
      deprecated: true
      x-deprecated-since: '2026-01-01'
      x-sunset: '2026-12-31'
      x-aliases: [put]
      x-service: things
      x-delivery: request
      x-permission: public
      x-project: none
      x-timeout: 1s
      requestBody:
        content:
          application/json: {schema: {type: object, properties: {name: {type: string}}}}
          application/x-www-form-urlencoded: {schema: {type: object, properties: {name: {type: string}}}}
      responses: {'200': {description: done, content: {application/json: {schema: {type: object}}}}}
`

func TestAnAliasMeansTheSameAndWhatWillGoSaysSo(t *testing.T) {
	t.Parallel()
	doc, err := contract.Load([]byte(fixture + edgeStubs))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(_ *serve.Config, d *serve.Deps) { d.Contract = doc })
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		return &bus.Answer{Status: 200, Body: []byte("{}")}, nil
	}
	for _, c := range []struct{ method, body, kind, payload string }{
		{"PUT", `{"name":"x"}`, "application/json", `{"id":"a/b c","body":{"name":"x"}}`},
		{"PATCH", `null`, "application/json", `{"id":"a/b c"}`},
		{"PATCH", ``, "", `{"id":"a/b c"}`},
		{"PATCH", `name=x+y`, "application/x-www-form-urlencoded", `{"id":"a/b c","body":{"name":"x y"}}`},
	} {
		got := w.call(c.method, "/old/a%2Fb%20c", c.body, with("Content-Type", c.kind))
		if got.status != 200 {
			t.Errorf("%s: %d %s", c.method, got.status, got.body)
			continue
		}
		if got.header.Get("Deprecation") != "@1767225600" || got.header.Get("Sunset") != "Thu, 31 Dec 2026 00:00:00 GMT" {
			t.Errorf("%v", got.header)
		}
		if a := w.bus.last(t); !sameJSON(a.payload, c.payload) {
			t.Errorf("payload %s, want %s", a.payload, c.payload)
		}
	}
}

// edgeStubs are the edge operations that every contract has to declare.
var edgeStubs = func() string {
	var b strings.Builder
	for id, path := range map[string]string{
		"root": "/", "mainHealthCheck": "/health", "liveness": "/health/live", "readiness": "/health/ready", "detailedHealthCheck": "/health/detailed",
		"docs": "/docs", "docsAsset": "/docs/{asset}", "ui": "/ui", "uiAsset": "/ui/{asset}", "openapi": "/openapi.json", "jwks": "/jwks.json", "metrics": "/metrics", "getOperation": "/operations/{operation_id}", "listOperations": "/operations",
		"listLimits": "/limits", "listEvents": "/events", "followEvents": "/events/stream", "exportAudit": "/audit/export", "exportProject": "/project/export", "callTool": "/mcp",
	} {
		b.WriteString("  " + path + ":\n    get:\n      operationId: " + id + "\n")
		if i := strings.IndexByte(path, '{'); i >= 0 {
			b.WriteString("      parameters: [{name: " + strings.Trim(path[i:], "{}") + ", in: path, required: true, schema: {type: string}}]\n")
		}
		b.WriteString("      x-service: gateway\n      x-delivery: edge\n      x-permission: public\n      x-project: none\n      responses: {'200': {description: OK}}\n")
	}
	return b.String()
}()

func contractOf(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Load(openAPI())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatASearchLeavesOpenIsForTheInstanceToSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := as(w.auth.token(owner))
	for query, want := range map[string]string{"": "", "?fusion=rrf": `"fusion":"rrf"`, "?explain=true&offset=3": `"explain":true`} {
		if got := w.call("POST", "/api/v1/knowledge/query"+query, `{"query":"x"}`, token); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		payload := w.bus.last(t).payload
		if strings.Contains(payload, `"alpha"`) || strings.Contains(payload, `"fusion"`) != strings.Contains(query, "fusion") || !strings.Contains(payload, want) {
			t.Errorf("%q: payload %s", query, payload)
		}
	}
}

func TestEveryMemberOfAProblemIsInTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.Writes = &contract.Rate{N: 1, Per: time.Hour} })
	w.bus.request = func(bus.Target, tenant.Identity, []byte) (*bus.Answer, error) {
		return nil, errs.New(errs.Internal, "a bug")
	}
	token := as(w.auth.token(owner))
	declared := w.doc.Document.Components.Schemas["Problem"].Value.Properties
	w.call("POST", "/api/v1/projects", `{"name":"x"}`, token)
	for status, got := range map[int]answer{
		500: w.call("GET", "/api/v1/projects", "", token), 429: w.call("POST", "/api/v1/projects", `{"name":"x"}`, token),
		401: w.call("GET", "/api/v1/projects", ""), 404: w.call("GET", "/nothing", ""),
	} {
		if got.status != status {
			t.Errorf("%d: %d", status, got.status)
		}
		for name := range got.json(t) {
			if declared[name] == nil {
				t.Errorf("%d: %s is not declared", status, name)
			}
		}
	}
}
