package serve_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/serve"
)

const operationPath = "/api/v1/operations/p1.knowledge.0198c0de-0000-7000-8000-000000000001"

func TestACallerSaysHowLongAWriteIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) { c.CommandWait, c.MaxWait = 5*time.Second, 30*time.Second })
	pending := false
	w.bus.command = func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error) {
		if pending {
			return &bus.Answer{Status: 202, Pending: true, OperationID: "auth.x"}, nil
		}
		return sample("createProject"), nil
	}
	for _, c := range []struct {
		prefer  string
		pending bool
		wait    time.Duration // -1: not at all
		applied string
	}{
		{"", true, 5 * time.Second, ""},
		{"respond-async", true, -1, "respond-async"},
		{"respond-async", false, -1, ""}, // it was quicker
		{"Respond-Async; x=1", true, -1, "respond-async"},
		{"wait=10", true, 10 * time.Second, "wait=10"},
		{"wait=2", false, 2 * time.Second, "wait=2"},
		{`return=minimal, WAIT = "7" ;a="b,c", wait=9`, true, 7 * time.Second, "wait=7"},
		{"respond-async, wait=10", true, 10 * time.Second, "respond-async, wait=10"},
		{"wait=0", true, -1, "wait=0"},
		{"wait=3600", true, 30 * time.Second, "wait=30"},
		{"wait=99999999999999999999999", true, 30 * time.Second, "wait=30"},
		{"wait=-1", true, 5 * time.Second, ""},
		{"wait=soon", true, 5 * time.Second, ""},
		{`note="respond-async, wait=1"`, true, 5 * time.Second, ""},
	} {
		pending = c.pending
		got := w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), with("Prefer", c.prefer))
		a := w.bus.last(t)
		if a.wait != c.wait || got.header.Get("Preference-Applied") != c.applied {
			t.Errorf("%s: waited %v and applied %q, want %v and %q", c.prefer, a.wait, got.header.Get("Preference-Applied"), c.wait, c.applied)
		}
		if strings.Contains(a.payload, "refer") {
			t.Errorf("the preference is part of the command: %s", a.payload)
		}
	}
	two := w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), with("Prefer", "respond-async"),
		func(r *http.Request) { r.Header.Add("Prefer", "wait=3") })
	if two.header.Get("Preference-Applied") != "respond-async, wait=3" {
		t.Errorf("on two lines: %v", two.header)
	}
}

// Long waits are the streams of a caller: they are bounded, and a preference
// beyond the bound is left aside.
func TestWhoWaitsLongKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *serve.Config, _ *serve.Deps) {
		c.CommandWait, c.MaxWait, c.MaxInFlight, c.MaxPerUser = time.Second, time.Minute, 1, 1
	})
	inside, free := make(chan time.Duration, 1), make(chan struct{})
	w.bus.command = func(_ bus.Target, _ tenant.Identity, _ []byte, o bus.CommandOptions) (*bus.Answer, error) {
		inside <- o.Wait
		<-free
		return sample("createProject"), nil
	}
	done := make(chan int, 1)
	go func() {
		done <- w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), with("Prefer", "wait=60")).status
	}()
	if got := <-inside; got != time.Minute {
		t.Errorf("waits %v", got)
	}
	if got := w.call("GET", "/api/v1/projects", "", as(w.auth.token(owner))); got.status != 200 {
		t.Errorf("meanwhile: %d %s", got.status, got.body)
	}
	close(free)
	again := make(chan answer, 1)
	go func() {
		a := answer{status: 503}
		for a.status == 503 { // a call that has its answer may not have left yet
			a = w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)))
		}
		again <- a
	}()
	<-inside
	if a, b := <-done, (<-again).status; a != 201 || b != 201 {
		t.Errorf("%d, %d", a, b)
	}
}

func TestEveryAnswerToAWriteSaysWhereItIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer *bus.Answer
		err    error
		want   string
	}{
		"done":      {&bus.Answer{Status: 201, Body: sample("createProject").Body, Committed: true}, nil, "committed"},
		"replayed":  {&bus.Answer{Status: 201, Body: sample("createProject").Body, Committed: true, Replayed: true}, nil, "committed"},
		"a job":     {&bus.Answer{Status: 202, Pending: true, Committed: true, OperationID: "auth.x"}, nil, "committed"},
		"waits":     {&bus.Answer{Status: 202, Pending: true, OperationID: "auth.x"}, nil, "stream"},
		"not known": {nil, errs.New(errs.Unavailable, "no"), ""},
		"in hand":   {nil, errs.New(errs.Conflict, "in hand").After(time.Second), ""},
	} {
		w := newWorld(t)
		w.bus.command = func(bus.Target, tenant.Identity, []byte, bus.CommandOptions) (*bus.Answer, error) {
			return c.answer, c.err
		}
		if got := w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner))); got.header.Get("CC-Durability") != c.want {
			t.Errorf("%s: %q, want %q", name, got.header.Get("CC-Durability"), c.want)
		}
	}
}

func TestAnOperationIsAnsweredWhenItEndsToWhoWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int32
	w.bus.operation = func(_ tenant.Identity, id string) (*bus.OperationState, error) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if asked.Add(1) < 3 {
			return &bus.OperationState{ID: id, Operation: "addDocument", Principal: "user:3", Pending: true, AcceptedAt: at}, nil
		}
		return &bus.OperationState{
			ID: id, Operation: "addDocument", Principal: "user:3", AcceptedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(2 * time.Second),
			Answer: sample("addDocument"),
		}, nil
	}
	token := as(w.auth.token(member))
	for _, ask := range []func() answer{
		func() answer { return w.call("GET", operationPath+"?wait=10", "", token) },
		func() answer { return w.call("GET", operationPath, "", token, with("Prefer", "wait=10")) },
	} {
		asked.Store(0)
		got := ask()
		if d := got.json(t); d["status"] != "succeeded" || asked.Load() != 3 || d["started_at"] != "2026-01-02T03:04:06Z" || d["finished_at"] != "2026-01-02T03:04:07Z" || d["created_by"] != "user:3" {
			t.Errorf("asked %d times: %s", asked.Load(), got.body)
		}
	}
	if got := w.call("GET", operationPath, "", token, with("Prefer", "wait=3")); got.header.Get("Preference-Applied") != "" {
		t.Errorf("nothing was waited for: %v", got.header)
	}
	asked.Store(0)
	if got := w.call("GET", operationPath, "", token); got.json(t)["status"] != "pending" || asked.Load() != 1 {
		t.Errorf("without a wish: asked %d times, %s", asked.Load(), got.body)
	}
	if got := w.call("GET", operationPath+"?wait=x", "", token); got.status != 422 {
		t.Errorf("nonsense: %d", got.status)
	}
}

func TestAWaitForAnOperationEndsInTimeAndWithTheGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inside := make(chan struct{}, 1000)
	w.bus.operation = func(_ tenant.Identity, id string) (*bus.OperationState, error) {
		inside <- struct{}{}
		return &bus.OperationState{ID: id, Operation: "addDocument", Principal: "user:3", Pending: true}, nil
	}
	token := as(w.auth.token(member))
	if got := w.call("GET", operationPath+"?wait=1", "", token); got.status != 200 || got.json(t)["status"] != "pending" {
		t.Errorf("%d %s", got.status, got.body)
	}
	for len(inside) > 0 {
		<-inside
	}
	done := make(chan answer, 3)
	for range 3 {
		go func() { done <- w.call("GET", operationPath+"?wait=20", "", token) }()
	}
	if got := <-done; got.status != 429 { // two streams a caller
		t.Errorf("the third at once: %d %s", got.status, got.body)
	}
	w.edge.Drain()
	for range 2 {
		if got := <-done; got.status != 200 {
			t.Errorf("drained: %d %s", got.status, got.body)
		}
	}
}

func TestAKeyIsTheSameQuotedAndBare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for sent, want := range map[string]string{`"k-1"`: "k-1", "k-1": "k-1", `"a\"b\\"`: `a"b\`, `"`: `"`} {
		w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), with("Idempotency-Key", sent))
		if got := w.bus.last(t).key; got != want {
			t.Errorf("%s became %q, want %q", sent, got, want)
		}
	}
	for _, sent := range [][]string{{`""`}, {""}, {"k-1", "k-2"}} {
		twice := func(r *http.Request) { r.Header["Idempotency-Key"] = sent }
		if got := w.call("POST", "/api/v1/projects", `{"name":"p"}`, as(w.auth.token(owner)), twice); got.status != 422 || !strings.Contains(got.body, "Idempotency-Key") {
			t.Errorf("the keys %q: %d %s", sent, got.status, got.body)
		}
	}
}

func TestOperationsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	const id = "0198c0de-0000-7000-8000-000000000001"
	var asked bus.OperationsPage
	var who tenant.Identity
	found := &bus.Operations{More: true, Complete: true, List: []bus.OperationState{
		{ID: "knowledge." + id, Operation: "addDocument", Principal: "user:3", Pending: true, AcceptedAt: at},
		{ID: "auth." + id, Operation: "updateProject", Principal: "user:1", AcceptedAt: at, StartedAt: at, FinishedAt: at, Err: errs.New(errs.Conflict, "taken")},
		{ID: "auth." + id, Operation: "updateProject", Principal: "user:1", AcceptedAt: at, FinishedAt: at, Answer: &bus.Answer{Status: 200}},
	}}
	w.bus.list = func(id tenant.Identity, page bus.OperationsPage) (*bus.Operations, error) {
		who, asked = id, page
		return found, nil
	}
	token := as(w.auth.token(viewer))
	first := w.call("GET", "/api/v1/operations?status=pending&limit=3", "", token).json(t)
	if who.Project != 1 || asked.State != "pending" || asked.Limit != 3 || !asked.Before.IsZero() || strings.Join(asked.Services, " ") != "auth federation ingestion jobs knowledge research" {
		t.Errorf("asked %+v for %+v", asked, who)
	}
	var got []string
	for _, i := range first["items"].([]any) {
		o := i.(map[string]any)
		if _, ok := o["answer"]; ok {
			t.Errorf("an answer is listed: %v", o)
		}
		got = append(got, fmt.Sprint(o["id"], " ", o["status"], " ", o["http_status"], " ", o["created_by"]))
	}
	if want := "p1.knowledge." + id + " pending <nil> user:3,p1.auth." + id + " failed 409 user:1,p1.auth." + id + " succeeded 200 user:1"; strings.Join(got, ",") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if got := w.call("GET", "/api/v1/operations?instance=true", "", token).json(t); who.Project != tenant.Instance || who.Principal != "user:2" || got["items"].([]any)[0].(map[string]any)["id"] != "instance.knowledge."+id {
		t.Errorf("of the instance: asked as %+v, answered %v", who, got)
	}
	// It takes no project: whoever was put out of the last one still sees how they end.
	if got := w.call("GET", "/api/v1/operations?instance=1", "", as(w.auth.token(homeless))); got.status != 200 || who.Project != tenant.Instance || who.Role != tenant.NoRole || who.UserID != homeless {
		t.Errorf("of nobody's project: %d %s as %+v", got.status, got.body, who)
	}
	for path, want := range map[string]int{"": 403, "?instance=false": 403, "?instance=true&instance=false": 403, "?instance=both": 403} {
		if got := w.call("GET", "/api/v1/operations"+path, "", as(w.auth.token(homeless))); got.status != want {
			t.Errorf("%q in no project: %d %s", path, got.status, got.body)
		}
	}
	if got := w.call("GET", "/api/v1/operations?instance=true", "", token, with("X-Project-ID", "9")); got.status != 403 {
		t.Errorf("with somebody else's project: %d", got.status)
	}
	found.More, found.Complete = false, false
	second := w.call("GET", "/api/v1/operations/?cursor="+first["next"].(string), "", token).json(t)
	if !asked.Before.Equal(at) || asked.BeforeID.String() != id || asked.Limit != 50 || asked.State != "" || second["next"] != nil || second["complete"] != false {
		t.Errorf("asked %+v, answered %v", asked, second)
	}
	for path, want := range map[string]int{"?cursor=x": 422, "?cursor=-1." + id: 422, "?cursor=zzzzzzzzzzzzz." + id: 422, "?limit=0": 422, "?limit=201": 422, "?status=done": 422} {
		if got := w.call("GET", "/api/v1/operations"+path, "", token); got.status != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.call("GET", "/api/v1/operations", "", as(w.auth.token(stranger)), with("X-Project-ID", "1")); got.status != 403 {
		t.Errorf("of somebody else's project: %d", got.status)
	}
}
