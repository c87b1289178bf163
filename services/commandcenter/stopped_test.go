package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// stopping is the product of real parts, one process each as far as stopping
// goes, and what every operation answers while all of them are there.
type stopping struct {
	*attacker
	dir     string
	names   []string // of the services, each of which may be away
	parts   map[string]*product
	healthy map[string]int
}

// servicesOfTheContract are those behind the gateway; auth, whose commands may
// end what the others are called with, comes last.
func servicesOfTheContract(t testing.TB) (names []string) {
	t.Helper()
	for _, op := range attackedOps(t) {
		if op.service != "gateway" && op.service != "auth" && !slices.Contains(names, op.service) {
			names = append(names, op.service)
		}
	}
	return append(names, "auth")
}

// TestAnyServiceCanBeStopped stops each service in turn and calls every operation
// of the contract, so that one that is added there is held to this without a line
// here: its writes are answered 202 and run once when it is back, everything else
// of it is 503 with a time to come back, and all other services go on.
func TestAnyServiceCanBeStopped(t *testing.T) {
	t.Parallel()
	s := &stopping{dir: dataDir(t), names: servicesOfTheContract(t), parts: map[string]*product{}, healthy: map[string]int{}}
	base := serving(t, s.dir, "nats", "postgres", "--nats", "127.0.0.1:0")
	base.awaitReady()
	if code, out, errs := run(t, "migrate", "--data-dir", s.dir, "--nats-url", base.nats); code != 0 {
		t.Fatalf("migrate: %d %s%s", code, out, errs)
	}
	for _, name := range s.names {
		s.parts[name] = serving(t, s.dir, name, "--ops", "127.0.0.1:0")
	}
	for _, name := range s.names {
		s.parts[name].awaitReady()
	}
	edge := serving(t, s.dir, "gateway", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0")
	edge.awaitReady()
	s.attacker = newAttacker(t, edge)
	with := s.arrange("with everybody")
	for _, op := range s.ops {
		if op.service == "gateway" && !calm(op) || op.service != "gateway" && !reads(op) && !toWrite(op) {
			continue
		}
		got := s.call(with, op, "")
		s.healthy[op.id] = got.status
		if where := got.header.Get("Location"); got.status == http.StatusAccepted && where != "" { // else a notice of its protocol
			s.healthy[op.id] = s.end(op, where)
		}
		if got.status >= 500 {
			t.Errorf("%s: %d while everybody is there: %s", op.id, got.status, got.body)
		}
	}
	for _, name := range s.names {
		s.without(name)
	}
	s.once()
	edge.stop()
	for _, name := range s.names {
		s.parts[name].stop()
	}
	base.stop()
}

// reads reports whether an operation is asked and changes nothing, toWrite whether
// it is durable before its service has it.
func reads(op attackedOp) bool   { return op.delivery == "request" && op.method == http.MethodGet }
func toWrite(op attackedOp) bool { return op.delivery == "command" || op.delivery == "upload" }

// calm are the gateway's own operations that say the same whoever is away.
func calm(op attackedOp) bool {
	return op.delivery == "edge" && !slices.Contains([]string{"readiness", "detailedHealthCheck", "metrics"}, op.id)
}

// needs are operations whose answer another service has a part in.
var needs = map[string][]string{
	"getProjectStats": {"knowledge", "research"}, "exportAudit": {"auth"}, "exportProject": {"auth", "federation", "ingestion", "jobs", "knowledge", "research"},
	"listJobs": {"ingestion", "knowledge"}, "listActiveJobs": {"ingestion", "knowledge"}, "getJobStatistics": {"ingestion", "knowledge"},
}

// joined makes a round a part of a name.
var joined = strings.NewReplacer(" ", "")

// things are what the calls of one round are about.
type things struct {
	round string
	path  map[string]map[string]string // of an operation, by parameter
}

// arrange makes what writes need to have an effect. The names say who made it.
func (s *stopping) arrange(round string) things {
	s.t.Helper()
	x := things{round: round, path: map[string]map[string]string{}}
	made := func(into, param, field, path string, body map[string]any) string {
		var answer map[string]any
		s.who.json("POST", path, body, http.StatusCreated, &answer)
		id := fmt.Sprint(answer[field])
		if n, ok := answer[field].(float64); ok {
			id = fmt.Sprint(int64(n))
		}
		x.path[into] = map[string]string{param: id}
		return id
	}
	before := s.heard()
	for _, op := range []string{"updateProject", "deleteProject"} {
		made(op, "project_id", "id", "/api/v1/projects", map[string]any{"name": op + " " + round})
	}
	s.until(func() bool { return s.heard() >= before+2 }) // it forgets the caller then
	for _, op := range []string{"updateServiceAccount", "deleteServiceAccount"} {
		made(op, "account_id", "id", "/api/v1/service-accounts", map[string]any{"name": op + " " + round})
	}
	made("deleteDocument", "document_id", "id", "/api/v1/knowledge/documents/text", map[string]any{"title": "d " + round, "category": "c", "content": "to be deleted " + round, "source_file": "d " + round})
	made("deleteJudgements", "judgements_id", "id", "/api/v1/knowledge/judgements", judgedSet("gone "+strings.ReplaceAll(round, "/", "-")))
	set := made("startEvaluation", "judgements_id", "id", "/api/v1/knowledge/judgements", judgedSet("kept"))
	delete(x.path, "startEvaluation")
	for _, op := range []string{"deleteEvaluation", "applyEvaluation"} {
		made(op, "evaluation_id", "id", "/api/v1/knowledge/evaluations", map[string]any{"judgements_id": json.Number(set), "modes": []string{"keyword"}})
	}
	for _, op := range []string{"updateTechnology", "deleteTechnology"} {
		made(op, "technology_id", "id", "/api/v1/technologies/", map[string]any{"title": op + " " + round})
	}
	for _, op := range []string{"updateResearchTask", "updateTaskStatus", "updateTaskProgress", "deleteResearchTask"} {
		made(op, "task_id", "id", "/api/v1/research-tasks/", map[string]any{"title": op + " " + round})
	}
	made("deleteSource", "source_id", "id", "/api/ingestion/sources", map[string]any{"name": "gone", "type": "rss", "url": "https://feed.example.com/" + url.PathEscape(round), "enabled": false})
	for _, op := range []string{"attachTaskDocument", "deleteTaskDocument"} {
		made(op, "task_id", "id", "/api/v1/research-tasks/", map[string]any{"title": op + " " + round})
	}
	x.path["deleteTaskDocument"]["attachment_id"] = s.who.attached(x.path["deleteTaskDocument"]["task_id"])
	made("deleteEventSchema", "schema_id", "id", "/api/v1/events/schemas", map[string]any{"team": "gone", "noun": "thing", "fact": "s" + joined.Replace(round), "version": 1, "schema": map[string]any{"type": "object"}})
	for _, op := range []string{"admitInstance", "removeInstance"} {
		slug := strings.ToLower(op) + "-" + strings.ReplaceAll(round, " ", "-")
		s.who.json("POST", "/api/v1/federation/instances", map[string]any{"slug": slug}, http.StatusCreated, nil)
		x.path[op] = map[string]string{"slug": slug}
	}
	for _, id := range []string{"1", x.path["updateProject"]["project_id"], x.path["deleteProject"]["project_id"]} {
		s.who.json("GET", "/api/v1/projects/"+id, nil, 200, nil) // the gateway knows the caller there
	}
	return x
}

var heardMemberships = regexp.MustCompile(`(?m)^cc_bus_consumed_seconds_count\{consumer="follow-gateway-auth\.membership\.changed[^}]*\} (\d+)$`)

// heard is how many changes of memberships the gateway has heard of.
func (s *stopping) heard() int {
	s.t.Helper()
	_, _, text, err := s.who.do("GET", "/metrics", "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, m := range heardMemberships.FindAllSubmatch(text, -1) {
		one, err := strconv.Atoi(string(m[1]))
		if err != nil {
			s.t.Fatal(err)
		}
		n += one
	}
	return n
}

func (s *stopping) until(done func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("it does not come\n%s", s.p.log)
		}
	}
}

func judgedSet(name string) map[string]any {
	return map[string]any{"name": name, "format": "json", "questions": `{"id":"q","text":"lamp","relevant":[{"source":"t"}]}`}
}

// of is the call of an operation in this round.
func (x things) of(a *attacker, op attackedOp) attackCall {
	c := a.fresh(op)
	c.method = op.method
	if _, ok := c.path["project_id"]; ok {
		c.path["project_id"] = "1"
	}
	for name, value := range x.path[op.id] {
		c.path[name] = value
	}
	switch op.id {
	case "createProject", "createServiceAccount":
		c.body = map[string]any{"name": op.id + " " + x.round}
	case "updateProject":
		c.body = map[string]any{"description": x.round}
	case "updateServiceAccount":
		c.body = map[string]any{"role": "viewer"}
	case "setLimit":
		c.path["class"], c.body = "writes", map[string]any{"limit": "3000/minute"}
	case "admitInstance":
		c.body = map[string]any{}
	case "addTextDocument":
		c.body = map[string]any{"title": "t " + x.round, "category": "c", "content": "text of " + x.round, "source_file": "t " + x.round}
	case "addDocument":
		c.file = "u " + x.round + ".md"
		c.body = map[string]any{"category": "c"}
	case "attachTaskDocument":
		c.file = "f " + x.round + ".md"
	case "importJudgements":
		c.body = judgedSet("imported")
	case "startEvaluation":
		c.body = map[string]any{"judgements_id": 2147480000} // of none: at most a few are under way
	case "applyEvaluation":
		c.body = map[string]any{} // of one that has not tuned, whether it is done or not
	case "createTechnology":
		c.body = map[string]any{"title": "t " + x.round}
	case "updateTechnology":
		c.body = map[string]any{"notes": x.round}
	case "createResearchTask":
		c.body = map[string]any{"title": "t " + x.round}
	case "updateResearchTask":
		c.body = map[string]any{"findings": x.round}
	case "importResearchTasks":
		c.body = map[string]any{"content": "title\ni " + x.round + "\n"}
	case "updateTaskStatus":
		c.query.Set("new_status", "in_progress")
	case "updateTaskProgress":
		c.query.Set("progress_percentage", "40")
	case "importRadar":
		c.body = map[string]any{"csv": "name,ring,quadrant\n" + x.round + ",adopt,tools\n"}
	case "importOPML":
		c.body = map[string]any{"opml": `<opml><body><outline xmlUrl="https://feed.example.com/list/` + url.PathEscape(x.round) + `"/></body></opml>`}
	case "registerEventSchema":
		c.body = map[string]any{"team": "kept", "noun": "thing", "fact": "r" + joined.Replace(x.round), "version": 1, "schema": map[string]any{"type": "object"}}
	}
	return c
}

// call sends the call of an operation within the time that the operation has.
func (s *stopping) call(x things, op attackedOp, key string) attacked {
	s.t.Helper()
	c := x.of(s.attacker, op)
	if key != "" {
		c.header.Set("Idempotency-Key", key)
	}
	if toWrite(op) {
		c.header.Set("Prefer", "wait=1")
	}
	got, _, ok := s.ask(s.t, c)
	if !ok {
		s.t.Errorf("%s: cannot be sent", op.id)
	}
	return got
}

// end waits until a write is done, and returns its status.
func (s *stopping) end(op attackedOp, location string) int {
	s.t.Helper()
	var o operation
	deadline := time.Now().Add(patience)
	for o.HTTPStatus == nil {
		s.who.json("GET", location+"?wait=20", nil, 200, &o)
		if time.Now().After(deadline) {
			s.t.Errorf("%s: %s does not end: %+v", op.id, location, o)
			return 0
		}
	}
	if o.Operation != op.id {
		s.t.Errorf("%s: its operation is %+v", op.id, o)
	}
	if op.delivery == "upload" && *o.HTTPStatus < 400 && o.Answer["id"] == nil { // what its 202 could not have
		s.t.Errorf("%s: its answer has no id: %+v", op.id, o)
	}
	return *o.HTTPStatus
}

// without stops a service, calls everything, and starts it again.
func (s *stopping) without(name string) {
	t := s.t
	t.Helper()
	x := s.arrange("without " + name)
	s.parts[name].stop()
	var mu sync.Mutex
	var all sync.WaitGroup
	accepted := map[string]string{} // where, by operation
	others := map[string]string{}
	for _, op := range s.ops {
		key := name + " " + op.id
		all.Go(func() {
			switch {
			case slices.Contains(needs[op.id], name):
				s.away(x, op)
			case op.service != name:
				if where := s.goesOn(x, op, name); where != "" {
					mu.Lock()
					defer mu.Unlock()
					others[op.id] = where
				}
			case toWrite(op):
				where := s.waits(x, op, key)
				mu.Lock()
				defer mu.Unlock()
				accepted[op.id] = where
			default:
				s.away(x, op)
			}
		})
	}
	all.Wait()
	if len(accepted) == 0 {
		t.Errorf("%s takes no write", name)
	}
	if name == "auth" {
		s.withoutAuth()
	}
	s.parts[name] = serving(t, s.dir, name, "--ops", "127.0.0.1:0")
	s.parts[name].awaitReady()
	for _, op := range s.ops {
		if where := others[op.id]; where != "" {
			if status := s.end(op, where); status != s.healthy[op.id] {
				t.Errorf("%s without %s: %d, with it %d", op.id, name, status, s.healthy[op.id])
			}
		}
		where := accepted[op.id]
		if where == "" {
			continue
		}
		if status := s.end(op, where); status != s.healthy[op.id] {
			t.Errorf("%s waited for %s: %d, want %d as ever", op.id, name, status, s.healthy[op.id])
		}
		again := s.call(x, op, name+" "+op.id)
		if again.status != s.healthy[op.id] || again.header.Get("Idempotent-Replayed") == "" && again.status < 400 {
			t.Errorf("%s once more: %d %v %s", op.id, again.status, again.header, again.body)
		}
	}
	for _, op := range s.ops {
		if op.service == name && reads(op) {
			if got := s.call(x, op, ""); got.status != s.healthy[op.id] {
				t.Errorf("%s when %s is back: %d, want %d: %s", op.id, name, got.status, s.healthy[op.id], got.body)
			}
		}
	}
}

// waits gives a write to a service that is away, twice with one key.
func (s *stopping) waits(x things, op attackedOp, key string) (where string) {
	s.t.Helper()
	for range 2 {
		got := s.call(x, op, key)
		at := got.header.Get("Location")
		if got.status != http.StatusAccepted || at == "" || got.header.Get("CC-Durability") != "stream" || where != "" && at != where {
			s.t.Errorf("%s without %s: %d %v %s", op.id, op.service, got.status, got.header, got.body)
			return where
		}
		where = at
	}
	var o operation
	if s.who.json("GET", where, nil, 200, &o); o.Status != "pending" || o.Operation != op.id || o.HTTPStatus != nil {
		s.t.Errorf("%s without %s: its operation is %+v", op.id, op.service, o)
	}
	return where
}

// away asks a service that is away.
func (s *stopping) away(x things, op attackedOp) {
	s.t.Helper()
	got := s.call(x, op, "")
	var problem struct {
		Status    int    `json:"status"`
		RequestID string `json:"request_id"`
	}
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("Content-Type") != "application/problem+json" ||
		json.Unmarshal(got.body, &problem) != nil || problem.Status != got.status || problem.RequestID == "" {
		s.t.Errorf("%s without %s: %d %v %s", op.id, op.service, got.status, got.header, got.body)
	}
}

// goesOn calls an operation of a service that is there. A write may say that it
// is to be asked for later: a service that is busy checks who gave it.
func (s *stopping) goesOn(x things, op attackedOp, without string) (where string) {
	s.t.Helper()
	creates := []string{"createProject", "addDocument", "addTextDocument", "registerEventSchema", "createTechnology", "createResearchTask"}
	want, known := s.healthy[op.id]
	if !known || toWrite(op) && !slices.Contains(creates, op.id) || op.id == "getOperation" {
		return ""
	}
	got := s.call(x, op, "")
	if got.status == http.StatusAccepted {
		return got.header.Get("Location")
	}
	if got.status != want {
		s.t.Errorf("%s without %s: %d, with it %d: %s", op.id, without, got.status, want, got.body)
	}
	return ""
}

// withoutAuth is what README says of that: who is known goes on, and nobody new
// is let in.
func (s *stopping) withoutAuth() {
	s.t.Helper()
	s.who.json("GET", "/.well-known/jwks.json", nil, 200, nil)
	s.who.json("GET", "/api/v1/knowledge/collections", nil, 200, nil)
	for _, headers := range [][]string{{"X-Project-ID", "2147480000"}, {"Authorization", "Bearer cc_00000000_" + strings.Repeat("0", 49)}} {
		h := s.who.json("GET", "/api/v1/knowledge/collections", nil, map[bool]int{true: 503, false: 401}[headers[0] == "X-Project-ID"], nil, headers...)
		if headers[0] == "X-Project-ID" && h.Get("Retry-After") == "" {
			s.t.Errorf("where nobody knows the caller: %v", h)
		}
	}
}

// once looks that what was written is there once.
func (s *stopping) once() {
	s.t.Helper()
	var projects []struct{ Name string }
	s.who.json("GET", "/api/v1/projects?limit=1000", nil, 200, &projects)
	var accounts []struct{ Name string }
	s.who.json("GET", "/api/v1/service-accounts", nil, 200, &accounts)
	var documents struct {
		Items []struct {
			Filename string
			Version  int
		}
	}
	s.who.json("GET", "/api/v1/knowledge/documents?limit=100", nil, 200, &documents)
	seen := map[string]int{}
	for _, p := range append(projects, accounts...) {
		seen[p.Name]++
	}
	for _, d := range documents.Items {
		seen[d.Filename] += d.Version
	}
	rounds := []string{"with everybody"}
	for _, name := range s.names {
		rounds = append(rounds, "without "+name)
	}
	for _, round := range rounds {
		for _, name := range []string{"createProject ", "u ", "t "} {
			name += round
			if strings.HasPrefix(name, "u ") {
				name += ".md"
			}
			if seen[name] != 1 {
				s.t.Errorf("%q is there %d times", name, seen[name])
			}
		}
	}
	for name, n := range seen {
		if n != 1 {
			s.t.Errorf("%q is there %d times", name, n)
		}
	}
}
