package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/services/gateway"
)

// two are two gateways of one instance.
func two(t testing.TB) (w *world, both [2]*world) {
	t.Helper()
	w = newWorld(t)
	other := w.at(w.gateway(w.Connect(w.Config("gateway"))))
	return w, [2]*world{w, other}
}

func TestAKeyHoldsAtEveryGateway(t *testing.T) {
	t.Parallel()
	w, both := two(t)
	h := map[string]string{"Authorization": "Bearer " + w.token("1", "s1"), "Idempotency-Key": "k-1"}
	first := both[0].call("POST", "/api/v1/projects/", `{"name":"p"}`, h)
	if first.status != 201 || first.header.Get("CC-Durability") != "committed" {
		t.Fatalf("%d %v", first.status, first.header)
	}
	again := both[1].call("POST", "/api/v1/projects/", `{"name":"p"}`, h)
	if again.status != 201 || again.header.Get("Idempotent-Replayed") != "true" || again.body != first.body || again.header.Get("CC-Durability") != "committed" {
		t.Errorf("at the other gateway: %d %v", again.status, again.header)
	}
	if got := both[1].call("POST", "/api/v1/projects/", `{"name":"q"}`, h); got.status != 422 || !strings.Contains(got.body, "Idempotency-Key") {
		t.Errorf("another body at the other gateway: %d %s", got.status, got.body)
	}
	h["Authorization"] = "Bearer " + w.token("2", "s2")
	if got := both[1].call("POST", "/api/v1/projects/", `{"name":"q"}`, h); got.status != 201 || got.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("the key of somebody else: %d %s", got.status, got.body)
	}
}

func TestAWriteIsInHandForBothGatewaysAndCanBeWaitedForAtEither(t *testing.T) {
	t.Parallel()
	w, both := two(t)
	held := w.held["deleteDocument"]
	h := map[string]string{"Authorization": "Bearer " + w.token("1", "s1"), "Idempotency-Key": "k-1"}
	first := make(chan answer, 1)
	go func() { first <- both[0].call("DELETE", "/api/v1/knowledge/documents/1", "", h) }()
	bustest.Await(w.Env, held)
	for i, g := range both {
		if got := g.call("DELETE", "/api/v1/knowledge/documents/1", "", h); got.status != 409 || got.header.Get("Retry-After") == "" || got.header.Get("CC-Durability") != "" {
			t.Errorf("in hand, at gateway %d: %d %v", i, got.status, got.header)
		}
	}
	held <- struct{}{}
	if got := <-first; got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}

	h["Idempotency-Key"], h["Prefer"] = "k-2", "respond-async"
	later := both[0].call("DELETE", "/api/v1/knowledge/documents/1", "", h)
	if later.status != 202 || later.header.Get("Preference-Applied") != "respond-async" || later.header.Get("CC-Durability") != "stream" {
		t.Fatalf("%d %v", later.status, later.header)
	}
	bustest.Await(w.Env, held)
	if got := both[1].call("DELETE", "/api/v1/knowledge/documents/1", "", h); got.status != 202 || got.header.Get("Location") != later.header.Get("Location") {
		t.Errorf("answered 202 before, now at the other gateway: %d %v", got.status, got.header)
	}
	delete(h, "Prefer")
	ended := make(chan answer, 1)
	viewer := map[string]string{"Authorization": "Bearer " + w.token("2", "s2")}
	go func() { ended <- both[1].call("GET", later.header.Get("Location")+"?wait=20", "", viewer) }()
	held <- struct{}{}
	var op struct {
		Status     string
		HTTPStatus int     `json:"http_status"`
		CreatedBy  string  `json:"created_by"`
		StartedAt  *string `json:"started_at"`
	}
	got := <-ended
	if err := json.Unmarshal([]byte(got.body), &op); err != nil || op.Status != "succeeded" || op.HTTPStatus != 204 || op.CreatedBy != "user:1" || op.StartedAt == nil {
		t.Errorf("%d %s, %v", got.status, got.body, err)
	}
	list := both[1].call("GET", "/api/v1/operations?status=succeeded&limit=1", "", viewer)
	var page struct {
		Items    []struct{ ID, Operation string }
		Next     *string
		Complete bool
	}
	if err := json.Unmarshal([]byte(list.body), &page); err != nil || len(page.Items) != 1 || page.Next == nil || page.Complete || // nobody serves federation here

		page.Items[0].Operation != "deleteDocument" || !strings.HasSuffix(later.header.Get("Location"), page.Items[0].ID) {
		t.Errorf("listed: %d %s, %v", list.status, list.body, err)
	}
	if got := both[1].call("GET", later.header.Get("Location"), "", map[string]string{"Authorization": "Bearer " + w.token("3", "s3")}); got.status != 404 {
		t.Errorf("somebody from outside of the project: %d %s", got.status, got.body)
	}
}

func TestEveryWriteOfTheContractSaysWhatHoldsForAllWrites(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			delivery, _ := op.Extensions["x-delivery"].(string)
			if delivery != "command" && delivery != "upload" {
				continue
			}
			for _, name := range []string{"Idempotency-Key", "Prefer"} {
				if op.Parameters.GetByInAndName("header", name) == nil {
					t.Errorf("%s %s: no parameter %s", method, path, name)
				}
			}
			if op.Responses.Value("202") == nil {
				t.Errorf("%s %s: no answer 202", method, path)
			}
			for status, res := range op.Responses.Map() {
				if status[0] == '2' && res.Value.Headers["CC-Durability"] == nil {
					t.Errorf("%s %s: %s without CC-Durability", method, path, status)
				}
			}
		}
	}
}
