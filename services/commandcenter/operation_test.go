package main_test

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

// operation is what becomes of a write.
type operation struct {
	Status     string         `json:"status"`
	Operation  string         `json:"operation"`
	HTTPStatus *int           `json:"http_status"`
	Answer     map[string]any `json:"answer"`
	AcceptedAt string         `json:"accepted_at"`
	StartedAt  *string        `json:"started_at"`
	FinishedAt *string        `json:"finished_at"`
}

// TestAWriteOutlivesItsGatewayAndTheAbsenceOfItsService goes through two
// gateways of real parts, one of which is started again.
func TestAWriteOutlivesItsGatewayAndTheAbsenceOfItsService(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	base := serving(t, dir, "nats", "postgres", "--nats", "127.0.0.1:0")
	base.awaitReady()
	if code, out, errs := run(t, "migrate", "--data-dir", dir, "--nats-url", base.nats); code != 0 {
		t.Fatalf("migrate: %d %s%s", code, out, errs)
	}
	auth := serving(t, dir, "auth", "federation", "ingestion", "research", "jobs", "--ops", "127.0.0.1:0")
	auth.awaitReady()
	gateway := func() *product {
		p := serving(t, dir, "gateway", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0")
		p.awaitReady()
		return p
	}
	one, two := gateway(), gateway()
	two.loginOwner(dir)
	owner := two.owner()
	write := func(p *product, content string, want int, more ...string) (h map[string][]string, answer map[string]any) {
		t.Helper()
		body := map[string]string{"title": "a.md", "category": "docs", "content": content}
		return p.caller(owner.token).json("POST", "/api/v1/knowledge/documents/text", body, want, &answer, append(more, "Idempotency-Key", "k-1")...), answer
	}
	first, _ := write(one, "A heron stands.", 202, "Prefer", "respond-async")
	location := first["Location"][0]
	if first["Cc-Durability"][0] != "stream" || first["Preference-Applied"][0] != "respond-async" {
		t.Errorf("%v", first)
	}
	if again, _ := write(two, "A heron stands.", 202, "Prefer", "wait=0"); again["Location"][0] != location {
		t.Errorf("the same key at the other gateway: %v", again)
	}
	write(two, "A stork stands.", 422)
	late, elsewhere := lateWrites(t, two, owner)
	id := path.Base(location)
	if code, _, errs := two.cc("operation", "wait", id, "--timeout", "300ms"); code != 5 || !strings.Contains(errs, "still pending") {
		t.Errorf("while knowledge is away: %d %s", code, errs)
	}
	one.stop()

	waited := make(chan string, 1)
	go func() {
		_, out, errs := two.cc("operation", "wait", location, "--json", "--timeout", "1m")
		waited <- out + errs
	}()
	knowledge := serving(t, dir, "knowledge", "--ops", "127.0.0.1:0")
	knowledge.awaitReady()
	var op operation
	if out := <-waited; json.Unmarshal([]byte(out), &op) != nil || op.Status != "succeeded" || op.Operation != "addTextDocument" || op.HTTPStatus == nil || *op.HTTPStatus != 201 ||
		op.StartedAt == nil || op.FinishedAt == nil || op.Answer["filename"] == nil {
		t.Fatalf("waited for: %s", out)
	}
	for role, op := range late {
		var end operation
		owner.json("GET", op+"?wait=20", nil, 200, &end, "X-Project-ID", elsewhere)
		if want := map[string]int{"removed": 404, "demoted": 403, "still a member": 201}[role]; end.HTTPStatus == nil || *end.HTTPStatus != want {
			t.Errorf("the write of somebody %s: %+v, want %d", role, end, want)
		}
	}
	one = gateway()
	for _, p := range []*product{one, two} {
		h, answer := write(p, "A heron stands.", 201)
		if h["Idempotent-Replayed"] == nil || h["Cc-Durability"][0] != "committed" || answer["id"] != op.Answer["id"] {
			t.Errorf("sent again: %v %v", h, answer)
		}
		write(p, "A stork stands.", 422)
	}
	var page struct{ Total int }
	if two.owner().json("GET", "/api/v1/knowledge/documents", nil, 200, &page); page.Total != 1 {
		t.Errorf("%d documents, want 1", page.Total)
	}
	gone := two.owner().json("DELETE", "/api/v1/knowledge/documents/99", nil, 202, nil, "Prefer", "respond-async")
	if code, out, _ := two.cc("operation", "wait", gone.Get("Location")); code != 4 || !strings.Contains(out, "failed (404)") {
		t.Errorf("a write that is refused: %d %s", code, out)
	}
	var listed struct {
		Items    []operation `json:"items"`
		Complete bool        `json:"complete"`
	}
	two.must(&listed, "operation", "list")
	if len(listed.Items) != 2 || !listed.Complete || listed.Items[0].Operation != "deleteDocument" || listed.Items[0].Status != "failed" || listed.Items[1].Status != "succeeded" {
		t.Errorf("listed %+v", listed)
	}
	if code, out, errs := two.cc("operation", "list", "--status", "failed"); code != 0 || !strings.Contains(out, "failed 404") || strings.Contains(out, "addTextDocument") {
		t.Errorf("list for people: %d %s%s", code, out, errs)
	}
	for _, p := range []*product{knowledge, one, two, auth, base} {
		p.stop()
	}
}
