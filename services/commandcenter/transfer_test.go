package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/archive"
)

// imported follows an import to its end: the status it was answered with and what
// it said.
func (c *caller) imported(file []byte, fields ...string) (status int, answer map[string]any) {
	c.t.Helper()
	contentType, body := form(c.t, "a.tar.gz", string(file), fields...)
	status, h, data, err := c.do("POST", "/api/v1/projects/import", contentType, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for status == 202 {
		var op struct {
			Status string         `json:"status"`
			Code   int            `json:"http_status"`
			Answer map[string]any `json:"answer"`
		}
		c.json("GET", h.Get("Location")+"?wait=20", nil, 200, &op)
		if op.Status != "pending" {
			return op.Code, op.Answer
		}
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		c.t.Fatalf("%d %s", status, data)
	}
	return status, answer
}

func (c *caller) exported(id int64) []byte {
	c.t.Helper()
	status, _, data, err := c.do("GET", fmt.Sprintf("/api/v1/projects/%d/export", id), "", nil)
	if err != nil || status != 200 {
		c.t.Fatalf("export: %d %v %s", status, err, data)
	}
	return data
}

// shape is what of a project has to be the same in its copy.
type shape struct {
	Documents, Schemas, Limits, Description, Tasks any
}

func (c *caller) shapeOf(id int64) (s shape) {
	c.t.Helper()
	here := []string{"X-Project-ID", fmt.Sprint(id)}
	var docs struct{ Items []map[string]any }
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		c.json("GET", "/api/v1/knowledge/documents", nil, 200, &docs, here...)
		indexing := false
		for _, d := range docs.Items {
			indexing = indexing || d["state"] == "indexing"
		}
		if !indexing {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("documents are not indexed: %v", docs.Items)
		}
	}
	for _, d := range docs.Items {
		for _, own := range []string{"id", "job_id", "updated_at", "created_by", "version"} {
			delete(d, own)
		}
	}
	var schemas struct{ Items []map[string]any }
	c.json("GET", "/api/v1/events/schemas", nil, 200, &schemas, here...)
	for _, x := range schemas.Items {
		for _, own := range []string{"id", "subject", "registered_by", "created_at"} {
			delete(x, own)
		}
	}
	var limits []any
	var project map[string]any
	c.json("GET", "/api/v1/limits", nil, 200, &limits, here...)
	c.json("GET", fmt.Sprintf("/api/v1/projects/%d", id), nil, 200, &project)
	var tasks []any
	c.json("GET", "/api/v1/research-tasks/", nil, 200, &tasks, here...)
	return shape{docs.Items, schemas.Items, limits, project["description"], tasks}
}

func TestAProjectComesBackAsItWasExported(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	var made struct{ ID int64 }
	owner.json("POST", "/api/v1/projects", map[string]any{"name": "Apollo", "description": "to the moon"}, 201, &made)
	in := []string{"X-Project-ID", fmt.Sprint(made.ID)}
	for i, text := range []string{"Deploys go out on Fridays. The rollback is one command: ship back.", "Lunch is at noon.", "Lunch is at noon."} {
		owner.json("POST", "/api/v1/knowledge/documents/text", map[string]any{
			"title": fmt.Sprint("Note ", i), "category": "handbook", "collection": "team", "content": text, "source_file": fmt.Sprint("note", i, ".md"),
		}, 201, nil, in...)
	}
	contentType, body := form(t, "code/main.go", "package main\n\nfunc main() {}\n", "category", "source")
	if status, _, answer, err := owner.do("POST", "/api/v1/knowledge/documents", contentType, body, in...); err != nil || status != 201 {
		t.Fatalf("upload: %d %v %s", status, err, answer)
	}
	owner.json("POST", "/api/v1/events/schemas", map[string]any{"team": "billing", "noun": "invoice", "fact": "paid", "version": 1, "schema": map[string]any{"type": "object"}}, 201, nil, in...)
	owner.json("PUT", "/api/v1/limits/reads", map[string]any{"limit": "2000/minute"}, 200, nil, in...)
	var key, invitation map[string]any
	owner.json("POST", "/api/v1/keys", map[string]any{"name": "planted", "scopes": []string{"*:read"}}, 201, &key, in...)
	owner.json("POST", fmt.Sprintf("/api/v1/projects/%d/invitations", made.ID), map[string]any{"role": "member"}, 201, &invitation)

	owner.json("PUT", "/api/v1/knowledge/settings", map[string]any{"alpha": 0.3, "languages": []string{"en", "de"}}, 200, nil, in...)
	owner.json("POST", "/api/v1/knowledge/judgements", judgedSet("apollo"), 201, nil, in...)
	var technology, task struct{ ID json.Number }
	owner.json("POST", "/api/v1/technologies/", map[string]any{"title": "Saturn V"}, 201, &technology, in...)
	owner.json("POST", "/api/v1/research-tasks/", map[string]any{"title": "Will it fly?", "technology_id": technology.ID, "due_date": "2030-01-31", "metadata_": map[string]any{"k": 1}, "status": "completed"}, 201, &task, in...)
	attachment := owner.attached(task.ID.String(), in...)
	before := owner.shapeOf(made.ID)
	file := owner.exported(made.ID)
	members := map[string]string{}
	content, err := archive.Read(bytes.NewReader(file), archive.Bounds{Bytes: 1 << 30, Object: 1 << 30, Members: 1000}, archive.Visitor{
		Rows: func(service, table string, _ int, lines []byte) error {
			members[service+"."+table] += string(lines)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if content.Manifest.Objects != 4 || content.Manifest.Rows["knowledge"]["documents"] != 4 || !strings.Contains(members["auth.memberships"], "owner@commandcenter.local") {
		t.Errorf("manifest %+v, members %s", content.Manifest, members["auth.memberships"])
	}
	for _, table := range []string{"auth.api_keys", "auth.invitations"} {
		if members[table] != "" {
			t.Errorf("%s is exported: %s", table, members[table])
		}
	}

	path := filepath.Join(t.TempDir(), "apollo.tar.gz")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said, errs := p.cc("project", "verify", path); code != 0 || !strings.Contains(said, "Sound") {
		t.Errorf("verify: %d %s %s", code, said, errs)
	}
	status, answer := owner.imported(file)
	if status != 409 {
		t.Errorf("a name that is in use: %d %v", status, answer)
	}
	if status, answer = owner.imported(file, "name", "Apollo 2"); status != 201 || answer["name"] != "Apollo 2" {
		t.Fatalf("import: %d %v", status, answer)
	}
	var mine struct {
		Items []struct{ Operation, Status string }
	}
	if owner.json("GET", "/api/v1/operations?instance=true&limit=1", nil, 200, &mine); len(mine.Items) != 1 || mine.Items[0].Operation != "importProject" || mine.Items[0].Status != "succeeded" {
		t.Errorf("operations of the instance: %v", mine)
	}
	id := int64(answer["id"].(float64))
	if after := owner.shapeOf(id); !reflect.DeepEqual(before, after) {
		t.Errorf("it was\n%v\nand is\n%v", before, after)
	}
	if status, _, text, err := owner.do("GET", "/api/v1/research-tasks/"+task.ID.String()+"/documents/"+attachment, "", nil, "X-Project-ID", fmt.Sprint(id)); err != nil || status != 200 || string(text) != "# Because" {
		t.Errorf("a file at a task of the copy: %d %s %v", status, text, err)
	}
	var found any
	owner.json("POST", "/api/v1/knowledge/query", map[string]any{"query": "rollback command"}, 200, &found, "X-Project-ID", fmt.Sprint(id))
	if text := fmt.Sprint(found); !strings.Contains(text, "ship back") {
		t.Errorf("a search in the copy finds %s", text)
	}
	var set struct {
		Alpha     float64
		Languages []string
	}
	var judged []struct {
		Name                  string
		Questions, Judgements int
	}
	owner.json("GET", "/api/v1/knowledge/settings", nil, 200, &set, "X-Project-ID", fmt.Sprint(id))
	owner.json("GET", "/api/v1/knowledge/judgements", nil, 200, &judged, "X-Project-ID", fmt.Sprint(id))
	if set.Alpha != .3 || len(set.Languages) != 2 || len(judged) != 1 || judged[0].Name != "apollo" || judged[0].Questions != 1 || judged[0].Judgements != 1 {
		t.Errorf("the copy is searched by %+v and judged by %+v", set, judged)
	}
	var keys any
	owner.json("GET", "/api/v1/keys", nil, 200, &keys, "X-Project-ID", fmt.Sprint(id))
	if strings.Contains(fmt.Sprint(keys), "planted") {
		t.Errorf("keys went along: %v", keys)
	}
	var entries struct{ Entries []map[string]any }
	owner.json("GET", "/api/v1/audit?operation=exportProject", nil, 200, &entries, in...)
	if len(entries.Entries) != 1 {
		t.Errorf("audit log of the export: %v", entries.Entries)
	}
	owner.json("GET", "/api/v1/audit?instance=true&operation=importProject", nil, 200, &entries)
	if len(entries.Entries) != 2 {
		t.Errorf("audit log of the imports: %v", entries.Entries)
	}
	// How they ended, newest first: one is refused, the other has made a project.
	owner.auditedWhen(func(all []auditEntry) bool {
		all = slices.DeleteFunc(all, func(e auditEntry) bool { return e.Operation != "finishImport" })
		for _, e := range all { // that it was begun is found by its operation
			i := slices.IndexFunc(e.Target, func(n named) bool { return n.Name == "operation_id" })
			began := owner.audited("instance=true&operation=importProject&target=" + url.QueryEscape(e.Target[i].Value))
			if len(began) != 1 || !slices.Contains(began[0].Target, e.Target[i+1]) || slices.Contains(began[0].Target, named{"id", "0"}) {
				t.Errorf("the import of %+v was begun by %+v", e, began)
			}
		}
		return len(all) == 2 && all[0].Reason == "conflict" && all[1].Outcome == "ok" && all[1].Actor == all[0].Actor &&
			slices.Contains(all[1].Target, named{"project_id", fmt.Sprint(id)})
	})
	for query, want := range map[string]string{"operation=importProjekt": "'importProject'", "outcome=fine": "'denied'", "actor=nobody@example.org": "nobody with this e-mail"} {
		for _, at := range []string{"/api/v1/audit?", "/api/v1/audit/export?"} {
			var refusal map[string]any
			field, _, _ := strings.Cut(query, "=")
			owner.json("GET", at+query, nil, 422, &refusal)
			if text := fmt.Sprint(refusal); !strings.Contains(text, want) || !strings.Contains(text, field) {
				t.Errorf("%s%s: %s", at, query, text)
			}
		}
	}
}

// forged is an archive that nobody exported.
func forged(t *testing.T, fill func(w *archive.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Head{Project: "Forged", Services: map[string]archive.Schemas{"auth": {}, "knowledge": {}, "federation": {}, "ingestion": {}, "jobs": {}, "research": {}}})
	if err == nil {
		err = errors.Join(fill(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAForgedArchiveGivesNothingAway(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	owner := p.owner()
	owner.json("POST", "/api/v1/auth/register", map[string]any{"email": "eve@example.org", "password": "a long enough phrase 7"}, 201, nil)
	eve := p.login("eve@example.org", "a long enough phrase 7")
	const text = "the forged text"
	s := sha256.Sum256([]byte(text))
	sum := hex.EncodeToString(s[:])
	document := func(more string) []byte {
		return []byte(`{"id":1,"collection":"c","source":"f.md","title":"f","titled":true,"category":"x","content_type":"text/markdown","sha256":"` + sum + `","created_by":1,"principal":"user:1","job_id":"` +
			`b2c1b1f6-42ab-5c08-8a82-07297b86139e","state":"indexed","created_at":"2026-01-02T03:04:05Z"` + more + "}\n")
	}
	file := forged(t, func(w *archive.Writer) error {
		return errors.Join(
			w.Rows("auth", "memberships", []byte(`{"user_id":2,"role":"owner"}`+"\n")),
			w.Rows("auth", "project_quotas", []byte(`{"class":"reads","calls":900000,"seconds":60,"raised":true,"set_by":1}`+"\n")),
			w.Rows("auth", "projects", []byte(`{"owner":"owner@commandcenter.local","name":"Theirs","description":"d"}`+"\n")),
			w.Rows("federation", "shares", []byte(`{"instance":"far","name":"all of it"}`+"\n")),
			w.Object("knowledge", sum, int64(len(text)), strings.NewReader(text)), w.Rows("knowledge", "documents", document("")))
	})
	status, made := eve.imported(file)
	if status != 201 {
		t.Fatalf("%d %v", status, made)
	}
	id := fmt.Sprint(int64(made["id"].(float64)))
	in := []string{"X-Project-ID", id}
	var people []map[string]any
	eve.json("GET", "/api/v1/projects/"+id+"/members", nil, 200, &people)
	var docs struct{ Items []map[string]any }
	eve.json("GET", "/api/v1/knowledge/documents", nil, 200, &docs, in...)
	var limits, shares any
	eve.json("GET", "/api/v1/limits", nil, 200, &limits, in...)
	eve.json("GET", "/api/v1/federation/shares", nil, 200, &shares, in...)
	if len(people) != 1 || people[0]["email"] != "eve@example.org" || len(docs.Items) != 1 || docs.Items[0]["created_by"] != "user:2" ||
		strings.Contains(fmt.Sprint(limits), "raised:true") || fmt.Sprint(shares) != "[]" {
		t.Errorf("people %v, documents %v, limits %v, shares %v", people, docs.Items, limits, shares)
	}
	var theirs struct{ Total int }
	if owner.json("GET", "/api/v1/knowledge/documents", nil, 200, &theirs); theirs.Total != 0 {
		t.Errorf("%d documents in another project", theirs.Total)
	}

	var before, after []map[string]any
	eve.json("GET", "/api/v1/projects/", nil, 200, &before)
	good := eve.exported(int64(made["id"].(float64)))
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 0xff
	one := func(service, table, row string) []byte {
		return forged(t, func(w *archive.Writer) error { return w.Rows(service, table, []byte(row+"\n")) })
	}
	withBytes := func(more string) []byte {
		return forged(t, func(w *archive.Writer) error {
			return errors.Join(w.Object("knowledge", sum, int64(len(text)), strings.NewReader(text)), w.Rows("knowledge", "documents", append(document(""), document(more)...)))
		})
	}
	const line1, line2 = "000001.ndjson, line 1: ", "knowledge/documents/000001.ndjson, line 2: "
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"damaged": {damaged, ""}, "cut off": {good[:len(good)/2], "cut off"}, "no archive": {[]byte("hello"), "gzip"},
		"a table of nobody":      {one("knowledge", "embeddings", "{}"), line1 + `knowledge has no table "embeddings"`},
		"keys":                   {one("auth", "api_keys", "{}"), line1 + `auth has no table "api_keys"`},
		"an owner":               {one("auth", "projects", `{"owner_id":1,"name":"x"}`), "auth/projects/" + line1 + `projects has no column "owner_id"`},
		"a member's right":       {one("auth", "memberships", `{"user_id":2,"is_superuser":true}`), "auth/memberships/" + line1 + `memberships has no column "is_superuser"`},
		"a limit of nobody":      {one("auth", "project_quotas", `{"class":"everything","calls":1,"seconds":1}`), "auth/project_quotas/" + line1 + "class"},
		"of another project":     {one("auth", "audit_heads", `{"project_id":1,"seq":1,"hash":""}`), line1 + "it is of project 1"},
		"bytes of another":       {forged(t, func(w *archive.Writer) error { return w.Rows("knowledge", "documents", document("")) }), line1 + "no object"},
		"what no upload takes":   {withBytes(`,"category":""`), line2 + "category must not be empty"},
		"a document's project":   {withBytes(`,"project_id":1`), line2 + "it is of project 1"},
		"a column of nobody":     {withBytes(`,"embedding":[1]`), line2 + `documents has no column "embedding"`},
		"made tomorrow":          {withBytes(`,"created_at":"2999-01-01T00:00:00Z"`), line2 + "created_at"},
		"a repository of nobody": {withBytes(`,"repository_id":0`), line2 + "repository_id: 0 is none"},
		"a path that climbs":     {withBytes(`,"source":"../../f.md"`), line2 + "source"},
		"a schema that is none":  {one("ingestion", "schemas", `{"team":"../x","noun":"a","fact":"b","version":1,"document":{}}`), line1 + "a team is"},
		"a share of everything":  {one("federation", "shares", `{"instance":"far","name":"x","all":true}`), "federation/shares/" + line1 + `shares has no column "all"`},
	} {
		status, answer := eve.imported(c.file, "name", "Bad")
		if detail := fmt.Sprint(answer["detail"]); status != 422 || !strings.Contains(detail, "archive is refused") || !strings.Contains(detail, c.want) {
			t.Errorf("%s: %d %v, want %q", name, status, answer, c.want)
		}
		// Without a server it is refused for the same.
		path := filepath.Join(t.TempDir(), "a.tar.gz")
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, said := p.cc("project", "verify", path); code != 6 || !strings.Contains(said, c.want) {
			t.Errorf("%s: verify ended with %d: %s, want %q", name, code, said, c.want)
		}
	}
	if eve.json("GET", "/api/v1/projects/", nil, 200, &after); len(after) != len(before) {
		t.Errorf("%d projects, there were %d", len(after), len(before))
	}
	// Each was refused before anything was taken in: not even a number was.
	var next struct{ ID int64 }
	if eve.json("POST", "/api/v1/projects/", map[string]any{"name": "next"}, 201, &next); fmt.Sprint(next.ID-1) != id {
		t.Errorf("the project after %s is %d", id, next.ID)
	}
	if status, _, _, err := eve.do("GET", "/api/v1/projects/1/export", "", nil); err != nil || status != 404 {
		t.Errorf("an export of another's project: %d %v", status, err)
	}
}
