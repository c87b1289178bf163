package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// remains is where the number of a deleted project is found, and why. What people
// put into it is found nowhere.
var remains = map[string]string{
	`auth\.project_deletions\.(project_id|purges)`:                                                 "the proof",
	`auth\.(audit_entries\.(target|call_id)|outbox\.data)`:                                         "the instance's audit log: that the project was made and purged, and who asked for it later",
	`stream EVENTS evt\.instance\.(auth|gateway)\.call\.recorded\.v1`:                              "the same, on its way there",
	`(auth|knowledge|ingestion|research|jobs|federation)\.inbox\.project_id`:                       "which facts were heard, by their ids",
	`(knowledge|ingestion|research|jobs|federation)\.outbox\.(project_id|subject|headers|data)`:    "that it was purged",
	`auth\.outbox\.(project_id|subject|headers)`:                                                   "that it is deleted",
	`auth\.operations\.project_id`:                                                                 "the answer of the deletion",
	`(auth|knowledge|ingestion|research|jobs|federation)\.closed_projects\.project_id`:             "that nothing is written for it any more",
	`knowledge\.generations\.project_id`:                                                           "that nothing is accepted for it any more",
	`stream EVENTS evt\.p\d+\.auth\.project\.(deleting|deleted)\.v1`:                               "that it is deleted, and gone",
	`stream EVENTS evt\.p\d+\.(knowledge|ingestion|research|jobs|federation)\.project\.purged\.v1`: "that it was purged",
	`stream EVENTS evt\.instance\.auth\.user\.registered\.v1`:                                      "that somebody came by an invitation to it",
	`file keys/grants/\S+`: "the grant that was revoked, whose name does not come back",
	`file logs/\S+`:        "lines tell whose work it was",
}

// TestNothingOfADeletedProjectIsFound fills a project with all that there is,
// deletes it, and reads everything that the product keeps for its number and for
// what was put into it.
func TestNothingOfADeletedProjectIsFound(t *testing.T) {
	t.Parallel()
	const marker, id = "planted7c1f", 1_804_289_383 // a number that nothing else has
	p := here(t, dataDir(t), "--no-sample")
	dsn, err := os.ReadFile(filepath.Join(p.dir, "keys", "postgres.dsn"))
	if err != nil {
		t.Fatal(err)
	}
	admin := open(t, string(dsn))
	admin.MustExec(fmt.Sprintf(`ALTER SEQUENCE auth.projects_project_id_seq RESTART %d`, id))
	owner := p.owner()
	var made struct{ ID int64 }
	if owner.json("POST", "/api/v1/projects", map[string]string{"name": "The " + marker}, 201, &made, "Idempotency-Key", "made"); made.ID != id {
		t.Fatalf("project %d", made.ID)
	}
	fill(t, p, owner, id, marker)
	// Sharing takes a second instance, whose heartbeats are signed.
	admin.MustExec(`INSERT INTO federation.shares (project_id, instance, name) VALUES ($1, 'far', $2)`, id, marker)
	looked := func() (number, planted map[string]int, counts map[string]int) {
		number, planted = map[string]int{}, map[string]int{}
		counts = p.everything(t, func(where string, value []byte) {
			if strings.Contains(where, strconv.Itoa(id)) || bytes.Contains(value, []byte(strconv.Itoa(id))) {
				number[where]++
			}
			if bytes.Contains(value, []byte(marker)) {
				planted[where]++
			}
		})
		return number, planted, counts
	}
	before, plantedBefore, _ := looked()
	for _, where := range []string{
		"auth.projects.name", "auth.memberships.project_id", "auth.invitations.email", "auth.api_keys.name", "auth.service_accounts.name", "auth.project_quotas.project_id",
		"auth.audit_entries.project_id", "auth.operations.body", "knowledge.documents.title", "knowledge.chunks.body", "knowledge.blobs.name", "knowledge.jobs.project_id",
		"ingestion.schemas.team", "federation.shares.name", "stream KV_OPERATIONS", "stream OBJ_blobs", "stream EXT_", "stream DEAD", "stream EVENTS", "stream LIVE", "file keys/grants",
	} {
		if !slices.ContainsFunc(append(keysOf(before), keysOf(plantedBefore)...), func(found string) bool { return strings.HasPrefix(found, where) }) {
			t.Errorf("the project has nothing in %s: this test proves nothing about it", where)
		}
	}

	deletion := fmt.Sprintf("/api/v1/projects/%d", id)
	owner.json("DELETE", deletion, nil, 204, nil, "Idempotency-Key", "gone")
	if h := owner.json("DELETE", deletion, nil, 204, nil, "Idempotency-Key", "gone"); h.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same call again: %v", h)
	}
	owner.json("DELETE", deletion, nil, 404, nil)
	var proof struct {
		FinishedAt *time.Time `json:"finished_at"`
		Purges     []struct {
			Service             string
			Removed, Left, Kept int
			Parts               []struct {
				Name                string
				Removed, Left, Kept int
				Why                 string
			}
		}
	}
	for end := time.Now().Add(patience); proof.FinishedAt == nil; {
		if owner.json("GET", deletion+"/deletion", nil, 200, &proof); time.Now().After(end) {
			t.Fatalf("the purge does not end: %+v\n%s", proof, p.log)
		}
	}
	var services []string
	for _, x := range proof.Purges {
		services = append(services, x.Service)
		if x.Left != 0 || len(x.Parts) < 6 || x.Removed == 0 {
			t.Errorf("%+v", x)
		}
		for _, part := range x.Parts {
			if (part.Kept > 0) != (part.Why != "") {
				t.Errorf("%s keeps %+v", x.Service, part)
			}
		}
	}
	for _, s := range append(stack.Schemas(), auth.Migrations) {
		if !slices.Contains(services, s.Name) {
			t.Errorf("%s has rows and has proved nothing: %v", s.Name, services)
		}
	}
	other, _ := p.guest(owner, 1, "other@example.org", "admin")
	other.json("GET", deletion+"/deletion", nil, 404, nil)
	owner.json("POST", "/api/v1/projects", map[string]string{"name": "The " + marker}, 404, nil, "Idempotency-Key", "made")

	// What a grant held is taken away by another part, when it has heard.
	var left []string
	var counts map[string]int
	for end := time.Now().Add(patience); ; {
		var number, planted map[string]int
		number, planted, counts = looked()
		left = nil
		for where, n := range number {
			if reason(where) == "" {
				left = append(left, fmt.Sprintf("%d times its number in %s", n, where))
			}
		}
		delete(planted, "auth.audit_entries.target") // its name, in the instance's entry of who deleted it
		for where, n := range planted {
			left = append(left, fmt.Sprintf("%d times what was put into it in %s", n, where))
		}
		if len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	slices.Sort(left)
	for _, l := range left {
		t.Error(l)
	}
	if counts["rows"] < 500 || counts["messages"] < 20 || counts["files"] < 20 {
		t.Errorf("looked at %v only", counts)
	}
}

func reason(where string) string {
	for form, why := range remains {
		if regexp.MustCompile(`^` + form + `$`).MatchString(where) {
			return why
		}
	}
	return ""
}

func keysOf(m map[string]int) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// fill puts something into everything that a project can have, the marker in all
// that people write.
func fill(t *testing.T, p *product, owner *caller, id int64, marker string) {
	t.Helper()
	in := []string{"X-Project-ID", strconv.FormatInt(id, 10)}
	project := fmt.Sprintf("/api/v1/projects/%d", id)
	owner.json("PATCH", project, map[string]any{"description": "About " + marker}, 200, nil)
	p.guest(owner, id, "guest@example.org", "member") // an account is of the instance
	owner.json("POST", project+"/invitations", map[string]any{"role": "viewer", "email": "x" + marker + "@example.org"}, 201, nil)
	owner.json("POST", "/api/v1/keys", map[string]any{"name": marker, "scopes": []string{"*:read"}}, 201, nil, in...)
	var account struct{ ID int64 }
	owner.json("POST", "/api/v1/service-accounts", map[string]any{"name": marker, "role": "viewer"}, 201, &account, in...)
	owner.json("PUT", "/api/v1/limits/writes", map[string]any{"limit": "500/minute"}, 200, nil, in...)
	owner.json("PUT", fmt.Sprintf("/api/v1/projects/%d/default", id), nil, 204, nil)
	owner.json("PUT", "/api/v1/projects/1/default", nil, 204, nil)
	contentType, file := form(t, marker+".md", strings.Repeat("The lighthouse of "+marker+".\n\n", 8000), "category", marker)
	status, _, body, err := owner.do("POST", "/api/v1/knowledge/documents", contentType, file, in...)
	if err != nil || status != 201 {
		t.Fatalf("%d %s %v", status, body, err)
	}
	owner.json("POST", "/api/v1/knowledge/documents/text", map[string]any{"title": marker, "category": marker, "content": marker}, 201, nil, in...)
	h := owner.json("POST", "/api/v1/knowledge/documents/text", map[string]any{"title": marker + "2", "category": marker, "content": marker}, 202, nil, append(in, "Prefer", "respond-async")...)
	owner.json("GET", h.Get("Location")+"?wait=30", nil, 200, nil, in...)
	owner.json("POST", "/api/v1/knowledge/query", map[string]any{"query": marker}, 200, nil, in...)
	// Somebody who may not, which is recorded as well.
	if status, _, _, err := p.caller(owner.token).do("GET", "/api/v1/audit?limit=x", "", nil, in...); err != nil || status != 422 {
		t.Fatalf("%d, %v", status, err)
	}

	creds := filepath.Join(t.TempDir(), "docs.creds")
	p.must(nil, "bus", "grant", "docs", "--project", strconv.FormatInt(id, 10), "--publish", "document.published.v1", "--subscribe", "knowledge.document.indexed.v1", "--out", creds)
	owner.json("POST", "/api/v1/events/schemas", map[string]any{
		"team": "docs", "noun": "document", "fact": "published", "version": 1, "schema": map[string]any{"type": "object", "title": marker, "required": []string{"title"}, "properties": map[string]any{"title": map[string]any{"type": "string"}}},
	}, 201, nil, in...)
	owner.json("POST", "/api/v1/events/schemas", map[string]any{"team": marker, "noun": "document", "fact": "published", "version": 1, "schema": map[string]any{"type": "object"}}, 201, nil, in...)
	nc, err := nats.Connect(p.nats, nats.UserCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	subject := fmt.Sprintf("ext.p%d.docs.document.published.v1", id)
	for _, data := range []string{`{"title":"` + marker + ` of a team","content":"Of ` + marker + `."}`, `{"title":3,"content":"` + marker + `"}`} { // the second is a dead letter
		if _, err := nc.Request(subject, []byte(data), patience); err != nil {
			t.Fatal(err)
		}
	}
	var dead struct{ Items []any }
	var docs struct {
		Items []struct{ State, Title, Filename string }
	}
	for end := time.Now().Add(patience); ; {
		owner.json("GET", "/api/v1/dead-letters", nil, 200, &dead, in...)
		owner.json("GET", "/api/v1/knowledge/documents", nil, 200, &docs, in...)
		indexed := 0
		for _, d := range docs.Items {
			if d.State == "indexed" {
				indexed++
			}
		}
		if len(dead.Items) == 1 && indexed == 4 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not filled: dead letters %v, documents %+v\n%s", dead.Items, docs, p.log)
		}
	}
}
