package federation_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation"
)

var root = tenant.Identity{Principal: "user:1", UserID: 1, Superuser: true}

// ask asks an operation of the service and decodes the answer.
func (w *world) ask(op string, who tenant.Identity, payload string, out any) (status int, err error) {
	w.Helper()
	target := bus.Target{Service: federation.Name, Operation: op, Project: who.Project}
	var a *bus.Answer
	switch op {
	case "admitInstance", "removeInstance", "shareProject", "unshareProject":
		a, err = w.env.Bus(bustest.Edge).Command(w.Context(), target, who, []byte(payload), bus.CommandOptions{Wait: bustest.Patience})
	default:
		a, err = w.env.Bus(bustest.Edge).Request(w.Context(), target, who, []byte(payload))
	}
	if err != nil {
		return 0, err
	}
	if out != nil {
		if err := json.Unmarshal(a.Body, out); err != nil {
			w.Fatalf("%s: %v in %s", op, err, a.Body)
		}
	}
	return a.Status, nil
}

func (w *world) must(op string, who tenant.Identity, payload string, out any) {
	w.Helper()
	if _, err := w.ask(op, who, payload, out); err != nil {
		w.Fatalf("%s %s: %v", op, payload, err)
	}
}

func (w *world) refused(kind errs.Kind, op string, who tenant.Identity, payload string) {
	w.Helper()
	if _, err := w.ask(op, who, payload, nil); errs.KindOf(err) != kind {
		w.Errorf("%s %s: %v, want %s", op, payload, err, kind)
	}
}

// facts hands on what is said of instances beside their statuses.
func (w *world) facts() <-chan string {
	w.Helper()
	out := make(chan string, 16)
	for _, fact := range []string{"registered", "removed"} {
		_, err := w.env.Bus("watcher").Conn().Subscribe("evt.instance.federation.instance."+fact+".v1", func(m *nats.Msg) {
			var e struct {
				InstanceID string `json:"instance_id"`
				Source     string `json:"source"`
				Reason     string `json:"reason"`
			}
			if err := json.Unmarshal(m.Data, &e); err != nil {
				w.Error(err)
			}
			out <- strings.TrimSpace(fact + " " + e.InstanceID + " " + e.Source + e.Reason)
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	return out
}

func (w *world) hears(facts <-chan string, want string) {
	w.Helper()
	select {
	case got := <-facts:
		if got != want {
			w.Fatalf("%q, want %q", got, want)
		}
	case <-time.After(bustest.Patience):
		w.Fatalf("nobody says %q", want)
	}
}

type registered struct {
	APIKey   string         `json:"api_key"`
	Instance map[string]any `json:"instance"`
}

func TestAnInstanceIsRegisteredAdmittedAndRemovedBySuperusersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *federation.Config) { c.Unknown = "list" })
	w.await("us:>online")
	facts := w.facts()
	anybody := tenant.Identity{Principal: "user:2", UserID: 2}
	var r registered
	if status, err := w.ask("registerInstance", root, `{"body":{"slug":"apollo","name":"Apollo","hub_url":"https://apollo.example","tags":["go"]}}`, &r); err != nil || status != 201 {
		t.Fatal(status, err)
	}
	if r.Instance["status"] != "offline" || r.Instance["heartbeats"] != 0.0 || r.Instance["admitted"] != true || r.Instance["source"] != "api" || !strings.HasPrefix(r.APIKey, "ccf_") {
		t.Errorf("%+v", r)
	}
	w.hears(facts, "registered apollo api")
	w.refused(errs.Conflict, "registerInstance", root, `{"body":{"slug":"apollo"}}`)
	w.refused(errs.Invalid, "registerInstance", root, `{"body":{"slug":"gemini","key":"no key"}}`)
	for _, op := range []string{"registerInstance", "admitInstance", "removeInstance"} {
		w.refused(errs.Forbidden, op, anybody, `{"slug":"apollo","body":{"slug":"gemini"}}`)
	}
	if err := w.hub.Announce(t.Context(), "apollo", nil, beat("apollo", time.Now())); err != nil {
		t.Fatal(err)
	}
	w.await("apollo:offline>online")
	// Nobody has registered this one: it is listed, and nothing is said.
	if err := w.hub.Announce(t.Context(), "gemini", nil, beat("gemini", time.Now())); err != nil {
		t.Fatal(err)
	}
	w.eventually("it is listed", func() bool { return w.list(`{}`).Total == 3 })
	if i := w.list(`{}`).Instances[2]; i["slug"] != "gemini" || i["admitted"] != false || i["status"] != "online" {
		t.Errorf("%v", i)
	}
	var admitted map[string]any
	w.must("admitInstance", root, `{"slug":"gemini"}`, &admitted)
	w.hears(facts, "registered gemini api")
	w.await("gemini:>online")
	if admitted["admitted"] != true {
		t.Errorf("%v", admitted)
	}
	w.must("removeInstance", root, `{"slug":"gemini"}`, nil)
	w.hears(facts, "removed gemini removed")
	w.refused(errs.NotFound, "getInstance", anybody, `{"slug":"gemini"}`)
	w.refused(errs.NotFound, "admitInstance", root, `{"slug":"gemini"}`)
	w.refused(errs.Conflict, "removeInstance", root, `{"slug":"us"}`)
}

func TestAnInstanceUsesTheOriginalFormsWithItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.await("us:>online")
	var r registered
	w.must("registerInstance", root, `{"body":{"slug":"apollo"}}`, &r)
	none := tenant.Identity{Principal: "anonymous"}
	key := `"X-API-Key":"` + r.APIKey + `"`
	w.refused(errs.Unauthenticated, "listFederatedProjects", none, `{}`)
	w.refused(errs.Forbidden, "listFederatedProjects", none, `{"X-API-Key":"ccf_wrong"}`)
	w.refused(errs.Forbidden, "updateFederatedProject", none, `{`+key+`,"body":{"slug":"us","name":"x","hub_url":"http://x"}}`)
	w.refused(errs.Invalid, "updateFederatedProject", none, `{`+key+`,"body":{"slug":"apollo","name":"x","hub_url":"http://x","mesh_namespace":"hub.us"}}`)
	var one map[string]any
	w.must("updateFederatedProject", none, `{`+key+`,"body":{"slug":"apollo","name":"Apollo","hub_url":"http://apollo:9001","tags":["moon"]}}`, &one)
	w.must("getFederatedProject", none, `{`+key+`,"slug":"apollo"}`, &one)
	if one["name"] != "Apollo" || one["hub_url"] != "http://apollo:9001" || one["status"] != "offline" || one["last_heartbeat_at"] != nil || one["mesh_namespace"] != "hub.apollo" || one["id"].(float64) <= 0 {
		t.Errorf("%v", one)
	}
	var list []map[string]any
	w.must("listFederatedProjects", none, `{`+key+`,"status":"online"}`, &list)
	if len(list) != 1 || list[0]["slug"] != "us" || list[0]["last_heartbeat_at"] == nil {
		t.Errorf("%v", list)
	}
	w.refused(errs.NotFound, "getFederatedProject", none, `{`+key+`,"slug":"gemini"}`)
	w.must("removeInstance", root, `{"slug":"apollo"}`, nil)
	w.refused(errs.Forbidden, "listFederatedProjects", none, `{`+key+`}`)
}

func TestStrangersAreIgnoredWhenThePolicySaysSoAndTheCatalogFileNamesTheOthers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "projects.yaml")
	const text = `
projects:
  - slug: apollo
    name: Apollo
    hub_url: http://apollo:8000
    mesh_namespace: hub.apollo
    tags: [python, rag]
    allow_fanout: []
  - slug: us # all of us share one file
    name: Us
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *federation.Config) { c.Unknown, c.Catalog = "ignore", file })
	w.await("us:>online")
	for _, slug := range []string{"gemini", "apollo"} {
		if err := w.hub.Announce(t.Context(), slug, nil, beat(slug, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	w.await("apollo:offline>online")
	if w.heard("unknown") != 1 {
		t.Errorf("%v unknown", w.heard("unknown"))
	}
	l := w.list(`{}`)
	if l.Total != 2 || l.Instances[1]["name"] != "Apollo" || l.Instances[1]["source"] != "file" || l.Instances[0]["source"] != "self" {
		t.Errorf("%+v", l)
	}
}

func TestACatalogFileAtFaultKeepsTheServiceFromStarting(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"twice":          "projects: [{slug: a}, {slug: a}]",
		"entry 2":        "projects: [{slug: a}, {slug: No}]",
		"hub.a":          "projects: [{slug: a, mesh_namespace: veria.mesh}]",
		"slgu":           "projects: [{slgu: a}]",
		"no such file":   "",
		"cannot unmarsh": "projects: 4",
	} {
		file := filepath.Join(t.TempDir(), "projects.yaml")
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := federation.ReadCatalog(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
