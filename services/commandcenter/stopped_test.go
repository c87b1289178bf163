package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
	"testing"
)

// TestAnyServiceMayBeStopped stops one service after the other, calls every
// operation of the contract, and starts it again: commands are accepted and
// done later, reads are told to come back, and what belongs to others goes on.
func TestAnyServiceMayBeStopped(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	base := serving(t, dir, "nats", "postgres", "--nats", "127.0.0.1:0")
	base.awaitReady()
	if code, out, errs := run(t, "migrate", "--data-dir", dir, "--nats-url", base.nats); code != 0 {
		t.Fatalf("migrate: %d %s%s", code, out, errs)
	}
	services := map[string]*product{}
	names := servicesOfTheContract(t)
	start := func(name string) {
		services[name] = serving(t, dir, name, "--ops", "127.0.0.1:0")
		services[name].awaitReady()
	}
	for _, name := range names {
		start(name)
	}
	edge := serving(t, dir, "gateway", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0")
	edge.awaitReady()
	edge.loginOwner(dir)
	a := newAttacker(t, edge)
	var kept, deleted struct {
		ID int64 `json:"id"`
	}
	a.who.json("POST", "/api/v1/projects/", map[string]string{"name": "kept"}, 201, &kept)
	a.who.json("POST", "/api/v1/projects/", map[string]string{"name": "deleted"}, 201, &deleted)
	for _, name := range names {
		a.login(t) // known for the minute that a standing is believed
		for _, id := range []int64{kept.ID, deleted.ID} {
			a.who.json("GET", fmt.Sprintf("/api/v1/projects/%d", id), nil, 200, nil)
		}
		a.who.json("GET", "/api/v1/knowledge/documents", nil, 200, nil)
		services[name].stop()
		waiting := a.whileStopped(t, name, fmt.Sprint(kept.ID), fmt.Sprint(deleted.ID))
		start(name)
		a.afterwards(t, name, waiting)
	}
	for _, p := range slices.Concat(slices.Collect(maps.Values(services)), []*product{edge, base}) {
		p.stop()
	}
}

// servicesOfTheContract are those behind the gateway; auth, whose commands may
// end what the others are called with, comes last.
func servicesOfTheContract(t *testing.T) (names []string) {
	t.Helper()
	for _, op := range attackedOps(t) {
		if op.service != "gateway" && op.service != "auth" && !slices.Contains(names, op.service) {
			names = append(names, op.service)
		}
	}
	return append(names, "auth")
}

// waitingCall is a command that was accepted, and its operation.
type waitingCall struct {
	call      attackCall
	operation string
}

// whileStopped calls everything, and names the operations that were accepted.
func (a *attacker) whileStopped(t *testing.T, stopped, kept, deleted string) (waiting map[string]waitingCall) {
	t.Helper()
	waiting = map[string]waitingCall{}
	var mu sync.Mutex
	var calls sync.WaitGroup
	for _, op := range a.ops {
		c := a.fresh(op)
		if _, ok := c.path["project_id"]; ok {
			c.path["project_id"] = kept
		}
		if op.id == "deleteProject" {
			c.path["project_id"] = deleted
		}
		own := op.service == stopped
		if op.id == "detailedHealthCheck" { // 503 with each service's state, of some seconds ago
			continue
		}
		if !own && (op.method != http.MethodGet || len(c.path) > 0 || op.delivery == "live") {
			continue
		}
		calls.Go(func() {
			c.header.Set("Prefer", "respond-async")
			c.header.Set("Idempotency-Key", "stopped-"+op.id)
			if op.project == "current" { // whatever an operation makes the default
				c.header.Set("X-Project-ID", "1")
			}
			got, _, ok := a.ask(t, c)
			if !ok {
				return
			}
			switch {
			case !own:
				if got.status >= 500 {
					t.Errorf("%s is stopped, and %s of %s answers %d: %s", stopped, op.id, op.service, got.status, got.body)
				}
			case op.delivery == "command" || op.delivery == "upload":
				if got.status != http.StatusAccepted || got.header.Get("Location") == "" || got.header.Get("Cc-Durability") != "stream" {
					t.Errorf("%s is stopped, and the command %s answers %d: %s", stopped, op.id, got.status, got.body)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				waiting[op.id] = waitingCall{c, path.Base(got.header.Get("Location"))}
			default:
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
					t.Errorf("%s is stopped, and %s answers %d, Retry-After %q: %s", stopped, op.id, got.status, got.header.Get("Retry-After"), got.body)
				}
			}
		})
	}
	calls.Wait()
	for op, w := range waiting {
		var o operation
		a.who.json("GET", "/api/v1/operations/"+w.operation, nil, 200, &o)
		if o.Status != "pending" || o.Operation != op {
			t.Errorf("%s is stopped, and its %s is %+v", stopped, op, o)
		}
	}
	return waiting
}

// afterwards waits for the end of each, as the contract says that it ends, and
// sends it again: it has been done, and is not done twice.
func (a *attacker) afterwards(t *testing.T, service string, waiting map[string]waitingCall) {
	t.Helper()
	for _, op := range a.ops {
		w, ok := waiting[op.id]
		if !ok {
			continue
		}
		var o operation
		for o.Status == "" || o.Status == "pending" || o.Status == "running" {
			status, _, body, err := a.who.do("GET", "/api/v1/operations/"+w.operation+"?wait=10", "", nil)
			if status == http.StatusNotFound && op.id == "deleteProject" { // with the project, for everybody
				break
			}
			if err != nil || status != http.StatusOK || json.Unmarshal(body, &o) != nil {
				t.Fatalf("%s is back, and the operation of %s: %v %d %s", service, op.id, err, status, body)
			}
		}
		if o.Status == "" {
			continue
		}
		if o.HTTPStatus == nil || *o.HTTPStatus >= 500 || !slices.Contains(op.answers, fmt.Sprint(*o.HTTPStatus)) {
			text, _ := json.Marshal(o)
			t.Errorf("%s is back, and %s ended as %s", service, op.id, text)
			continue
		}
		again, _, _ := a.ask(t, w.call)
		if again.status != *o.HTTPStatus || again.status < 300 && again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s is back, and %s, which ended with %d, is answered %d when it is sent again: %s", service, op.id, *o.HTTPStatus, again.status, again.body)
		}
	}
}
