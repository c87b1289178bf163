package serve_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
)

// TestACallThatTookItsCallersPlaceIsAnsweredAgain: project 9 is somebody else's, as
// one is that the caller has deleted.
func TestACallThatTookItsCallersPlaceIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var found *bus.Answer
	var failure error
	var last asked
	w.bus.answered = func(a asked) (*bus.Answer, error) { last = a; return found, failure }
	key, token := with("Idempotency-Key", "k1"), as(w.auth.token(owner))
	for name, c := range map[string]struct {
		answer  *bus.Answer
		err     error
		path    string
		changes []change
		status  int
		asks    bool
	}{
		"it was done":               {&bus.Answer{Status: 204}, nil, "/api/v1/projects/9", []change{token, key}, 204, true},
		"it was not":                {nil, nil, "/api/v1/projects/9", []change{token, key}, 404, true},
		"nobody knows":              {nil, errs.New(errs.Unavailable, "silent"), "/api/v1/projects/9", []change{token, key}, 404, true},
		"its answer says more":      {&bus.Answer{Status: 200, Body: []byte(`{"name":"secret"}`)}, nil, "/api/v1/projects/9", []change{token, key}, 404, true},
		"it goes on":                {&bus.Answer{Status: 202, Pending: true}, nil, "/api/v1/projects/9", []change{token, key}, 404, true},
		"no key":                    {&bus.Answer{Status: 204}, nil, "/api/v1/projects/9", []change{token}, 404, false},
		"no such number":            {&bus.Answer{Status: 204}, nil, "/api/v1/projects/x", []change{token, key}, 422, false},
		"nobody":                    {&bus.Answer{Status: 204}, nil, "/api/v1/projects/9", []change{key}, 401, false},
		"still a member, with less": {&bus.Answer{Status: 204}, nil, "/api/v1/projects/1", []change{as(w.auth.token(viewer)), key}, 204, true},
	} {
		found, failure, last = c.answer, c.err, asked{}
		before := w.bus.count()
		got := w.call("DELETE", c.path, "", c.changes...)
		if got.status != c.status || (last.key != "") != c.asks || w.bus.count() != before {
			t.Errorf("%s: %d %s, asked %+v", name, got.status, got.body, last)
		}
		if c.status == 204 && (got.header.Get("Idempotent-Replayed") != "true" || got.header.Get("CC-Durability") != "committed" || last.target.Operation != "deleteProject") {
			t.Errorf("%s: %v, asked %+v", name, got.header, last)
		}
	}
	found, last = &bus.Answer{Status: 204}, asked{}
	w.call("DELETE", "/api/v1/projects/9", "", token, key)
	if last.target.Project != 9 || last.who.Principal != "user:1" || last.payload != `{"project_id":9}` {
		t.Errorf("asked %+v", last)
	}
	if got := w.call("GET", "/api/v1/projects/9", "", token, key); got.status != 404 {
		t.Errorf("a read: %d", got.status)
	}
	if got := w.call("PATCH", "/api/v1/projects/9", `{"name":"x"}`, token, key); got.status != 404 {
		t.Errorf("a write with a body: %d", got.status)
	}
}
