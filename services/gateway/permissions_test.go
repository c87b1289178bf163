package gateway_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

// permissions is who may do what, written down a second time: by area and kind of
// action, as the product promises it, and not as the contract happens to say it.
// Whoever adds an operation decides here, too.
//
//	area                read     create, change   delete           special
//	accounts            –        –                –                register, login, refresh, password reset: anybody; the rest: whoever is logged in
//	users               super    super            super
//	keys                viewer   viewer (own)     viewer (own)     service accounts: admin
//	projects            viewer   admin            owner            create, list: whoever is logged in; transfer: owner
//	members             viewer   admin            admin            leave, default: viewer; invitations: admin; accept: whoever is logged in
//	limits              viewer   admin            admin
//	knowledge           viewer   member           member (own)     a query is a read
//	events, schemas     viewer   admin            admin            dead letters: admin
//	the audit log       admin                                      that of the instance: super
//	federation          viewer   admin            admin            the catalog: whoever is logged in; instances: super
//	operations          viewer                                     one, by its id: whoever is logged in
//	the product itself  –                                          health, documentation, metrics
var permissions = map[string][]string{
	"public": {
		"register", "login", "loginBrowser", "refreshToken", "beginSignOn", "finishSignOn", "resetPassword", "showPasswordReset", "showInvitation",
		"listFederatedProjects", "getFederatedProject", "updateFederatedProject", // by the key of an instance
		"root", "mainHealthCheck", "liveness", "readiness", "detailedHealthCheck", "metrics", "openapi", "docs", "docsAsset", "ui", "uiAsset", "jwks",
	},
	"authenticated": {
		"getCurrentUserInfo", "logout", "changePassword", "listSessions", "endSessions", "endSession",
		"createProject", "importProject", "listProjects", "getProjectDeletion", "acceptInvitation", "listInstances", "getInstance", "getOperation",
		"callTool", // what a tool does is asked for by its own operation
	},
	"viewer": {
		"getProject", "getProjectStats", "listMembers", "leaveProject", "setDefaultProject", "listLimits",
		"listKeys", "createKey", "revokeKey", "rotateKey", "listServiceAccounts",
		"queryKnowledgeBase", "answerQuestion", "listDocuments", "getDocument", "watchDocument", "getKnowledgeStatistics", "listCollections", "listCategories", "getKnowledgeSettings",
		"listJudgements", "getJudgements", "listEvaluations", "getEvaluation", "listEvaluationQueries", "getEvaluationRun", "plotEvaluation", "compareEvaluations",
		"listKnowledgeTemplates",
		"listShares", "searchFederation", "listEvents", "followEvents", "listEventSchemas", "getEventSchema", "listOperations",
		"listTechnologies", "getTechnology", "listTechnologyMoves", "getRadar", "getRadarSVG", "getRadarPNG", "getRadarCSV",
		"listResearchTasks", "getResearchTask", "getTaskStatistics", "getUpcomingTasks", "getOverdueTasks", "exportResearchTasks", "listTaskDocuments", "downloadTaskDocument",
		"listSources", "getSource", "listSourceRuns", "exportOPML",
		"listJobs", "listActiveJobs", "getJobStatistics", "getJob", "getJobProgress", "watchJob", "listJobTypes", "getJobLog",
		"listSchedules", "getSchedule", "getScheduleStatistics", "listDueSchedules", "listUpcomingRuns", "listScheduleRuns",
	},
	"member": {
		"addDocument", "addTextDocument", "deleteDocument", "importJudgements", "startEvaluation", "createTechnology", "updateTechnology", "importRadar",
		"importResearchTasks", "attachTaskDocument", "deleteTaskDocument", "createResearchTask", "updateResearchTask", "updateTaskStatus", "updateTaskProgress", "deleteResearchTask", // one's own; others' take an admin, which the service asks for
		"createSource", "updateSource", "triggerManualRun", "previewSource", "previewKeptSource", "discoverSources", "importOPML",
		"cancelJob", "deleteJob", "createJob", "updateJob", "dispatchJob", "retryJob",
		"createSchedule", "updateSchedule", "deleteSchedule", "executeSchedule", "enableSchedule", "disableSchedule",
	},
	"admin": {
		"updateProject", "setMemberRole", "removeMember", "listInvitations", "inviteMember", "revokeInvitation", "setLimit", "resetLimit", "setKnowledgeSettings", "deleteJudgements", "deleteEvaluation", "applyEvaluation", "applyKnowledgeTemplate",
		"createServiceAccount", "updateServiceAccount", "deleteServiceAccount", "createServiceAccountKey",
		"shareProject", "unshareProject", "deleteTechnology", "deleteSource", "registerEventSchema", "deleteEventSchema",
		"listDeadLetters", "purgeDeadLetters", "getDeadLetter", "discardDeadLetter", "redriveDeadLetter",
		"listAudit", "getAuditHead", "exportAudit",
	},
	"owner":     {"deleteProject", "transferProject", "exportProject"},
	"superuser": {"rotateSigningKeys", "listUsers", "getUser", "deactivateUser", "reactivateUser", "issuePasswordReset", "registerInstance", "admitInstance", "removeInstance"},
}

func TestThePermissionsOfTheContractAreThoseThatWereDecided(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for permission, ops := range permissions {
		for _, op := range ops {
			if want[op] != "" {
				t.Errorf("%s is decided twice: %s and %s", op, want[op], permission)
			}
			want[op] = permission
		}
	}
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			got := fmt.Sprint(op.Extensions["x-permission"])
			if want[op.OperationID] == "" {
				t.Errorf("%s takes %s: write down in the table of this test who may call it", op.OperationID, got)
			} else if got != want[op.OperationID] {
				t.Errorf("%s takes %s, and was decided to take %s", op.OperationID, got, want[op.OperationID])
			}
			delete(want, op.OperationID)
		}
	}
	if gone := slices.Sorted(maps.Keys(want)); len(gone) > 0 {
		t.Errorf("no operations: %v", gone)
	}
}
