package research_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/research"
)

// upload puts a file to a task, as the edge does.
func (w *world) upload(name, content string, role tenant.Role) (*bus.Answer, error) {
	w.t.Helper()
	ref, err := w.Bus("gateway").PutObjectFor(w.t.Context(), research.Name, 1, name, "text/html", strings.NewReader(content), 32<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := json.Marshal(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call("attachTaskDocument", `{"task_id":1,"body":{},"upload":`+string(b)+`}`, role)
}

func TestTheStoryOfADocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok("createResearchTask", `{"body":{"title":"Why?"}}`, 201)
	a, err := w.upload("../secret/Because.md", "# Because\n", tenant.Member)
	if err != nil || a.Status != 200 || a.Header["ETag"] != `"2"` || !strings.Contains(string(a.Body), `"filename":"Because.md","content_type":"text/markdown","size":10`) {
		t.Fatalf("%+v %v", a, err)
	}
	for _, secret := range []string{"secret/", "bucket", "blobs"} {
		if strings.Contains(string(a.Body), secret) {
			t.Errorf("%s is told: %s", secret, a.Body)
		}
	}
	if list := w.ok("listTaskDocuments", `{"task_id":1}`, 200); len(list["documents"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
	got, err := w.call("downloadTaskDocument", `{"task_id":1,"attachment_id":1}`, tenant.Viewer)
	if err != nil || string(got.Body) != "# Because\n" || got.Header["Content-Type"] != "text/markdown" || got.Header["Content-Disposition"] != "attachment; filename=Because.md" {
		t.Errorf("%+v %v", got, err)
	}
	for name, c := range map[string]struct {
		file, content string
		role          tenant.Role
		want          errs.Kind
	}{
		"a page": {"a.html", "<script>", tenant.Member, errs.Unsupported}, "another type": {"a.pdf", "<script>", tenant.Member, errs.Unsupported}, "by a viewer": {"a.md", "x", tenant.Viewer, errs.Forbidden},
		"too large": {"a.txt", strings.Repeat("x", 25<<20+1), tenant.Member, errs.TooLarge},
	} {
		if _, err := w.upload(c.file, c.content, c.role); errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := strings.Repeat("0123456789abcdef", 3<<20/16)
	if a, err := w.upload("large.txt", large, tenant.Member); err != nil || a.Status != 200 {
		t.Fatalf("%+v %v", a, err)
	}
	if got, err := w.call("downloadTaskDocument", `{"task_id":1,"attachment_id":2}`, tenant.Viewer); err != nil || string(got.Body) != large {
		t.Errorf("a large one: %d bytes, %v", len(got.Body), err)
	}
	for _, payload := range []string{`{"task_id":1,"attachment_id":9}`, `{"task_id":9,"attachment_id":1}`} {
		for _, operation := range []string{"downloadTaskDocument", "deleteTaskDocument"} {
			if _, err := w.call(operation, payload, tenant.Member); errs.KindOf(err) != errs.NotFound {
				t.Errorf("%s %s: %v", operation, payload, err)
			}
		}
	}
	if _, err := w.call("deleteTaskDocument", `{"task_id":1,"attachment_id":1}`, tenant.Viewer); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("by a viewer: %v", err)
	}
	w.ok("deleteTaskDocument", `{"task_id":1,"attachment_id":1}`, 204)
	if x := w.ok("getResearchTask", `{"task_id":1}`, 200); len(x["uploaded_documents"].([]any)) != 1 || x["version"] != 4.0 {
		t.Errorf("%v", x)
	}
	if _, err := w.call("attachTaskDocument", `{"task_id":1,"body":{}}`, tenant.Member); errs.KindOf(err) != errs.Invalid {
		t.Errorf("without a file: %v", err)
	}
	w.hears("task 1 opened, pending", "task 1 changed, pending 0", "task 1 changed, pending 0", "task 1 changed, pending 0", "document 1 attached, text/markdown", "document 2 attached, text/plain", "document 1 removed")
}
