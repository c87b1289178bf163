package serve_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"
	researchv1 "github.com/commandcenter/commandcenter/proto-events/research/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
)

func (w *world) createProject(me tenant.Identity, name string) answer {
	w.Helper()
	return w.command("createProject", "", instance(me), obj{"body": obj{"name": name, "owner": "somebody else"}})
}

// in is the payload of an operation on the caller's project.
func in(id tenant.Identity, body ...obj) obj {
	p := obj{"project_id": int64(id.Project)}
	if len(body) > 0 {
		p["body"] = body[0]
	}
	return p
}

func TestCreatorBecomesOwnerWhateverTheBodySays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	a := w.command("createProject", "", instance(me), obj{"body": obj{"name": " Alpha ", "owner": "victim@example.org", "description": "d"}}).ok(201)
	if a.str("name") != "Alpha" || a.str("owner") != "jo@example.org" || a.str("role") != "owner" || a.str("description") != "d" {
		t.Errorf("body = %v", a.body)
	}
	for _, key := range []string{"id", "created_at", "updated_at"} {
		if a.body[key] == nil {
			t.Errorf("no %s in %v", key, a.body)
		}
	}
	w.createProject(me, "Alpha").refused(errs.Conflict, "already exists")
	other := w.member("al@example.org")
	w.createProject(other, "Alpha").ok(201)
	for _, name := range []string{"", "   ", strings.Repeat("x", 256)} {
		w.createProject(me, name).refused(errs.Invalid, "")
	}
	if got := w.createProject(me, strings.Repeat("é", 255)).ok(201); got.body["description"] != nil {
		t.Errorf("description = %v, want null", got.body["description"])
	}
	w.command("createProject", "", tenant.Identity{Principal: "user:0"}, obj{"body": obj{"name": "x"}}).refused(errs.Unauthenticated, "")
}

func TestSameKeyCreatesOneProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := instance(w.member("jo@example.org"))
	body := obj{"body": obj{"name": "Alpha"}}
	first := w.command("createProject", "k1", me, body).ok(201)
	again := w.command("createProject", "k1", me, body).ok(201)
	if first.num("id") != again.num("id") {
		t.Errorf("ids %d and %d", first.num("id"), again.num("id"))
	}
	w.command("createProject", "k1", me, obj{"body": obj{"name": "Beta"}}).refused(errs.Invalid, "")
	if n := w.count(`SELECT count(*) FROM projects`); n != 2 {
		t.Errorf("%d projects, want the first one and Alpha", n)
	}
}

func TestListIsMineOldestFirstAndBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	w.member("al@example.org")
	for _, name := range []string{"B", "A"} {
		w.clock.move(time.Second)
		w.createProject(me, name).ok(201)
	}
	names := func(payload obj) (out []string) {
		for _, p := range w.request("listProjects", instance(me), payload).ok(200).list {
			out = append(out, p["name"].(string))
			if p["role"] != "owner" || p["owner"] != "jo@example.org" {
				t.Errorf("project = %v", p)
			}
		}
		return out
	}
	if got := strings.Join(names(nil), ","); got != "Default Project,B,A" {
		t.Errorf("all = %s", got)
	}
	if got := strings.Join(names(obj{"skip": 1, "limit": 1}), ","); got != "B" {
		t.Errorf("page = %s", got)
	}
	if a := w.request("listProjects", instance(me), obj{"skip": 9}).ok(200); a.list == nil || len(a.list) != 0 {
		t.Errorf("beyond = %v, want an empty list", a.list)
	}
	for _, bad := range []obj{{"skip": -1}, {"limit": 0}, {"limit": 1001}} {
		w.request("listProjects", instance(me), bad).refused(errs.Invalid, "")
	}
	w.request("listProjects", nobody, nil).refused(errs.Unauthenticated, "")
}

func TestNobodyReachesTheProjectOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.member("a@example.org"), w.member("b@example.org")
	foreign := in(b)
	for _, payload := range []obj{foreign, {"project_id": 999}, {"project_id": 0}, {}} {
		w.request("getProject", a, payload).refused(errs.NotFound, "not found")
		w.request("getProjectStats", a, payload).refused(errs.NotFound, "not found")
		w.command("deleteProject", "", a, payload).refused(errs.NotFound, "not found")
		p := obj{"project_id": payload["project_id"], "body": obj{"name": "mine"}}
		w.command("updateProject", "", a, p).refused(errs.NotFound, "not found")
	}
	if got := w.access(a.UserID, b.Project, ""); got.GetProjectId() != 0 || got.GetRole() != "" || !got.GetActive() {
		t.Errorf("access to a foreign project: %v", got)
	}
	if got := w.request("getProject", b, in(b)).ok(200); got.str("name") != "Default Project" {
		t.Errorf("own project = %v", got.body)
	}
	w.exec(`DELETE FROM memberships WHERE user_id = $1`, a.UserID)
	if got := w.access(a.UserID, a.Project, ""); got.GetProjectId() != 0 {
		t.Errorf("a removed membership still counts: %v", got)
	}
	if got := w.access(a.UserID, 0, ""); got.GetProjectId() != 0 {
		t.Errorf("a user without project has one: %v", got)
	}
	if got := w.access(999, 0, ""); got.GetUserId() != 0 || got.GetActive() {
		t.Errorf("nobody = %v", got)
	}
}

func TestPatchChangesWhatIsThereAndRefusesNull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	w.createProject(me, "Taken").ok(201)
	patch := func(body obj) answer { return w.command("updateProject", "", me, in(me, body)) }
	if a := patch(obj{"name": "Alpha", "description": "d"}).ok(200); a.str("name") != "Alpha" || a.str("description") != "d" || a.str("role") != "owner" {
		t.Errorf("body = %v", a.body)
	}
	if a := patch(obj{"description": nil}).ok(200); a.str("name") != "Alpha" || a.body["description"] != nil {
		t.Errorf("body = %v", a.body)
	}
	patch(obj{}).ok(200)
	patch(obj{"name": nil}).refused(errs.Invalid, "null")
	patch(obj{"owner": nil}).refused(errs.Invalid, "null")
	patch(obj{"name": "Taken"}).refused(errs.Conflict, "already exists")
	patch(obj{"owner": "stranger@example.org"}).refused(errs.Invalid, "member")
	patch(obj{"owner": "JO@example.org"}).ok(200)

	viewer := me
	viewer.Role = tenant.Member
	w.command("updateProject", "", viewer, in(me, obj{"name": "x"})).refused(errs.Forbidden, "role")

	heir := w.member("al@example.org")
	w.exec(`INSERT INTO memberships (project_id, user_id, role, created_at) VALUES ($1, $2, 'admin', now())`, int64(me.Project), heir.UserID)
	w.command("updateProject", "", w.as(heir.UserID, me.Project), in(me, obj{"owner": "al@example.org"})).refused(errs.Forbidden, "role")
	if a := patch(obj{"owner": "al@example.org"}).ok(200); a.str("owner") != "al@example.org" || a.str("role") != "admin" {
		t.Errorf("after the transfer: %v", a.body)
	}
	if got := w.as(me.UserID, me.Project).Role; got != tenant.Admin {
		t.Errorf("role of the old owner = %q", got)
	}
}

// knowledge answers for the knowledge service, which has that many documents
// of each project.
func (w *world) knowledge(documents int32) {
	w.Helper()
	s := bus.NewServer(w.env.Bus("knowledge"), bus.ServerConfig{})
	bus.Internal(s, "countDocuments", func(context.Context, *knowledgev1.CountDocumentsRequest) (*knowledgev1.CountDocumentsResponse, error) {
		return &knowledgev1.CountDocumentsResponse{Documents: documents, Chunks: 10 * documents}, nil
	})
	w.env.Run(s)
}

// research answers for the research service, which has that many of each.
func (w *world) research(technologies, tasks int32) {
	w.Helper()
	s := bus.NewServer(w.env.Bus("research"), bus.ServerConfig{})
	bus.Internal(s, "countResearch", func(context.Context, *researchv1.CountResearchRequest) (*researchv1.CountResearchResponse, error) {
		return &researchv1.CountResearchResponse{Technologies: technologies, Tasks: tasks}, nil
	})
	w.env.Run(s)
}

func TestStatsCountWhatOtherServicesHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	w.request("getProjectStats", me, in(me)).refused(errs.Unavailable, "")
	w.knowledge(3)
	w.request("getProjectStats", me, in(me)).refused(errs.Unavailable, "")
	w.research(2, 4)
	a := w.request("getProjectStats", me, in(me)).ok(200)
	for key, want := range map[string]int64{"knowledge_entry_count": 3, "repository_count": 0, "technology_count": 2, "research_task_count": 4, "id": int64(me.Project)} {
		if a.num(key) != want {
			t.Errorf("%s = %d, want %d", key, a.num(key), want)
		}
	}
	alone := newWorld(t, func(c *auth.Config) { c.TenantHolders = nil })
	me = alone.member("jo@example.org")
	if a := alone.request("getProjectStats", me, in(me)).ok(200); a.num("knowledge_entry_count") != 0 {
		t.Errorf("body = %v", a.body)
	}
}

func TestDeletionHidesAtOnceAndEndsWhenAllHavePurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.member("jo@example.org")
	w.command("deleteProject", "", me, in(me)).refused(errs.Conflict, "last project")
	second := w.as(me.UserID, tenant.Project(w.createProject(me, "Second").ok(201).num("id")))
	deleting, deleted := make(chan *authv1.ProjectDeleting, 1), make(chan *authv1.ProjectDeleted, 2)
	w.env.Run(
		bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleting) { deleting <- e }),
		bus.Follow(w.edge, func(_ context.Context, _ bus.Meta, e *authv1.ProjectDeleted) { deleted <- e }))

	if a := w.command("deleteProject", "", second, in(second)).ok(204); a.body != nil {
		t.Errorf("body = %v, want none", a.body)
	}
	e := bustest.Await(w.env, deleting)
	if e.GetProjectId() != int32(second.Project) || e.GetRequestedBy() != int32(me.UserID) || e.GetVersion() != 2 {
		t.Errorf("event = %v", e)
	}
	w.request("getProject", second, in(second)).refused(errs.NotFound, "not found")
	w.command("updateProject", "", second, in(second, obj{"name": "x"})).refused(errs.NotFound, "not found")
	w.command("deleteProject", "", second, in(second)).refused(errs.NotFound, "not found")
	if got := w.access(me.UserID, second.Project, ""); got.GetProjectId() != 0 {
		t.Errorf("access = %v", got)
	}
	if n := len(w.request("listProjects", instance(me), nil).ok(200).list); n != 1 {
		t.Errorf("%d projects listed", n)
	}

	// What is not awaited changes nothing; what is ends it, once.
	w.env.Say(&platformv1.ProjectPurged{ProjectId: int32(me.Project), Version: 1, Service: "knowledge"})
	w.env.Say(&platformv1.ProjectPurged{ProjectId: int32(second.Project), Version: e.GetVersion(), Service: "federation"})
	w.env.Say(&platformv1.ProjectPurged{ProjectId: int32(second.Project), Version: e.GetVersion(), Service: "ingestion"})
	w.env.Say(&platformv1.ProjectPurged{ProjectId: int32(second.Project), Version: e.GetVersion(), Service: "research"})
	w.env.Say(&platformv1.ProjectPurged{ProjectId: int32(second.Project), Version: e.GetVersion(), Service: "jobs"})
	w.env.SayAs("purged", &platformv1.ProjectPurged{ProjectId: int32(second.Project), Version: e.GetVersion(), Service: "knowledge"})
	if got := bustest.Await(w.env, deleted); got.GetProjectId() != int32(second.Project) || got.GetVersion() != 3 {
		t.Errorf("event = %v", got)
	}
	if n := w.count(`SELECT count(*) FROM projects WHERE project_id = $1`, int64(second.Project)); n != 0 {
		t.Error("the row is still there")
	}
	w.request("getProject", me, in(me)).ok(200)
}

func TestSuperuserMayDoAllEverywhereAndIsShownAsWhatItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, err := auth.Bootstrap(t.Context(), w.db, auth.First{Email: "owner@localhost"}, cheap())
	if err != nil {
		t.Fatal(err)
	}
	w.login("owner@localhost", o.Password).ok(200)
	me := w.member("jo@example.org")
	root := w.as(o.UserID, me.Project)
	if !root.Superuser || root.Role != tenant.NoRole || root.Project != me.Project {
		t.Fatalf("root = %+v", root)
	}
	if p := w.request("getProject", root, in(me)).ok(200); p.body["role"] != nil {
		t.Errorf("shown as %v in a project of somebody else", p.body["role"])
	}
	if p := w.request("getProject", me, in(me)).ok(200); p.body["role"] != "owner" {
		t.Errorf("its owner is shown as %v", p.body["role"])
	}
	if n := len(w.request("listProjects", instance(root), nil).ok(200).list); n != 1 {
		t.Errorf("%d projects listed, want the own one only", n)
	}
	w.command("deleteProject", "", root, in(me)).refused(errs.Conflict, "last project")
}
