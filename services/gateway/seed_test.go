package gateway_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/gateway"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// departures are all the places where this contract is not what the seed
// contract says, each with its reason. An operation that is not there yet is
// no departure; what was only added is none either.
var departures = map[string]string{
	"addDocument: body.category: narrowed by minLength, maxLength":             "a category is a word of a list, not a text; an empty one was stored as such",
	"addDocument: body.repository_id: default 1 is gone":                       "repository 1 may be another project's, or nobody's; without one the document belongs to the project",
	"addDocument: body.repository_id: narrowed by minimum":                     ids,
	"addDocument: query.repository_id: default 1 is gone":                      "see its body",
	"addDocument: query.repository_id: narrowed by minimum":                    ids,
	"addDocument: 201.repository_id: may be null":                              "a document need not belong to a repository",
	"deleteDocument: path.document_id: narrowed by minimum":                    ids,
	"deleteDocument: query.repository_id: default 1 is gone":                   "a document is found by its id",
	"deleteDocument: query.repository_id: narrowed by minimum":                 ids,
	"getKnowledgeStatistics: query.repository_id: default 1 is gone":           "without one the whole project is counted",
	"getKnowledgeStatistics: query.repository_id: narrowed by minimum":         ids,
	"getKnowledgeStatistics: 200.repository_id: may be null":                   "see its query",
	"listCategories: query.repository_id: default 1 is gone":                   "without one the whole project is listed",
	"listCategories: query.repository_id: narrowed by minimum":                 ids,
	"queryKnowledgeBase: query.repository_id: default 1 is gone":               "without one the whole project is searched",
	"queryKnowledgeBase: query.repository_id: narrowed by minimum":             ids,
	"queryKnowledgeBase: body.limit: narrowed by maximum":                      "widened: figures of an evaluation need more results than 50, up to 200",
	"getTechnology: path.technology_id: narrowed by minimum":                   ids,
	"updateTechnology: path.technology_id: narrowed by minimum":                ids,
	"deleteTechnology: path.technology_id: narrowed by minimum":                ids,
	"createTechnology: header.X-Project-ID: may not be null":                   "a header is there or is not",
	"createTechnology: header.X-Project-ID: narrowed by minimum":               ids,
	"getSource: path.source_id: narrowed by minimum":                           ids,
	"updateSource: path.source_id: narrowed by minimum":                        ids,
	"deleteSource: path.source_id: narrowed by minimum":                        ids,
	"triggerManualRun: path.source_id: narrowed by minimum":                    ids,
	"createSource: body.project_id: narrowed by minimum":                       ids,
	"listSources: query.project_id: narrowed by minimum":                       ids,
	"listSources: query.skip: narrowed by maximum":                             pages,
	"listTechnologies: query.limit: narrowed by minimum, maximum":              pages,
	"listTechnologies: query.skip: narrowed by minimum, maximum":               pages,
	"createJob: body.job_type: narrowed by minLength, maxLength":               "a type is one of those that there are",
	"createJob: body.project_id: narrowed by minimum":                          ids,
	"createJob: body.created_by: is not there":                                 author,
	"updateJob: path.job_id: narrowed by minimum, maximum":                     whole,
	"updateJob: body.status: is not there":                                     worker,
	"updateJob: body.progress: is not there":                                   worker,
	"updateJob: body.current_step: is not there":                               worker,
	"updateJob: body.result: is not there":                                     worker,
	"updateJob: body.error: is not there":                                      worker,
	"updateJob: body.traceback: is not there":                                  worker,
	"dispatchJob: path.job_id: narrowed by minimum, maximum":                   whole,
	"createSchedule: body.project_id: narrowed by minimum":                     ids,
	"createSchedule: body.created_by: is not there":                            author,
	"createSchedule: body.tags: default map[] is gone":                         "null and nothing mean none, as that did",
	"createSchedule: body.task_parameters: default map[] is gone":              "null and nothing mean none, as that did",
	"createSchedule: body.interval_seconds: narrowed by minimum, maximum":      "no frequency of the seed took it; this one's is a minute to a year",
	"updateSchedule: body.interval_seconds: narrowed by minimum, maximum":      "see above",
	"updateSchedule: path.schedule_id: narrowed by minimum":                    ids,
	"getSchedule: path.schedule_id: narrowed by minimum":                       ids,
	"deleteSchedule: path.schedule_id: narrowed by minimum":                    ids,
	"enableSchedule: path.schedule_id: narrowed by minimum":                    ids,
	"disableSchedule: path.schedule_id: narrowed by minimum":                   ids,
	"executeSchedule: path.schedule_id: narrowed by minimum":                   ids,
	"executeSchedule: body: may not be null":                                   "a body is there or is not",
	"listSchedules: query.project_id: narrowed by minimum":                     ids,
	"listSchedules: query.page: narrowed by maximum":                           "no project has so many",
	"getScheduleStatistics: query.project_id: narrowed by minimum":             ids,
	"executeSchedule: 202.schedule_id: is not there":                           made,
	"executeSchedule: 202.schedule_id: may be missing":                         made,
	"executeSchedule: 202.schedule_name: is not there":                         made,
	"executeSchedule: 202.schedule_name: may be missing":                       made,
	"executeSchedule: 202.job_id: is not there":                                made,
	"executeSchedule: 202.job_id: may be missing":                              made,
	"executeSchedule: 202.executed_at: is not there":                           made,
	"executeSchedule: 202.executed_at: may be missing":                         made,
	"executeSchedule: 202.next_run_at: is not there":                           made,
	"executeSchedule: 202.next_run_at: may be missing":                         made,
	"executeSchedule: 202.message: is not there":                               made,
	"executeSchedule: 202.message: may be missing":                             made,
	"listJobs: query.skip: narrowed by maximum":                                "so far every service has to be asked for all that goes before",
	"listJobs: query.project_id: narrowed by minimum":                          ids,
	"listActiveJobs: query.project_id: narrowed by minimum":                    ids,
	"getJobStatistics: query.project_id: narrowed by minimum":                  ids,
	"getJob: path.job_id: narrowed by minimum, maximum":                        whole,
	"deleteJob: path.job_id: narrowed by minimum, maximum":                     whole,
	"cancelJob: path.job_id: narrowed by minimum, maximum":                     whole,
	"getJobProgress: path.job_id: narrowed by minimum, maximum":                whole,
	"getResearchTask: path.task_id: narrowed by minimum":                       ids,
	"updateResearchTask: path.task_id: narrowed by minimum":                    ids,
	"deleteResearchTask: path.task_id: narrowed by minimum":                    ids,
	"updateTaskStatus: path.task_id: narrowed by minimum":                      ids,
	"updateTaskProgress: path.task_id: narrowed by minimum":                    ids,
	"uploadDocument: operationId: is attachTaskDocument":                       "knowledge has documents as well",
	"uploadDocument: path.task_id: narrowed by minimum":                        ids,
	"listDocuments: operationId: is listTaskDocuments":                         "knowledge has an operation of this name",
	"listDocuments: path.task_id: narrowed by minimum":                         ids,
	"listDocuments: 200.documents[].file_path: is not there":                   "no path of the server is told",
	"listDocuments: 200.documents[].file_path: may be missing":                 "see above",
	"listDocuments: 200.documents[].stored_filename: is not there":             "see above",
	"listDocuments: 200.documents[].stored_filename: may be missing":           "see above",
	"getTaskStatistics: query.technology_id: narrowed by minimum":              ids,
	"getTaskStatistics: query.repository_id: narrowed by minimum":              ids,
	"listResearchTasks: query.technology_id: narrowed by minimum":              ids,
	"listResearchTasks: query.repository_id: narrowed by minimum":              ids,
	"listResearchTasks: query.limit: narrowed by minimum, maximum":             pages,
	"listResearchTasks: query.skip: narrowed by minimum, maximum":              pages,
	"createResearchTask: body.technology_id: narrowed by minimum, maximum":     ids,
	"createResearchTask: body.repository_id: narrowed by minimum, maximum":     ids,
	"createResearchTask: body.estimated_hours: narrowed by maximum":            "the seed took any number, which its database refused with a 500 beyond 32 bits",
	"updateResearchTask: body.actual_hours: narrowed by maximum":               "see above",
	"listProjects: query.limit: narrowed by minimum, maximum":                  pages,
	"listProjects: query.skip: narrowed by minimum, maximum":                   pages,
	"getProject: path.project_id: narrowed by minimum":                         ids,
	"updateProject: path.project_id: narrowed by minimum":                      ids,
	"deleteProject: path.project_id: narrowed by minimum":                      ids,
	"getProjectStats: path.project_id: narrowed by minimum":                    ids,
	"detailedHealthCheck: 200.components.database: is not there":               open,
	"detailedHealthCheck: 200.components.database: may be missing":             open,
	"detailedHealthCheck: 200.components.federation_heartbeat: is not there":   open,
	"detailedHealthCheck: 200.components.federation_heartbeat: may be missing": open,
	"detailedHealthCheck: 200.components.redis: is not there":                  "there is no Redis; the component bus stands for what does its work",
	"detailedHealthCheck: 200.components.redis: may be missing":                "see above",
	"detailedHealthCheck: 200.components.celery: is not there":                 "there is no Celery; jobs run in the services, each a component",
	"detailedHealthCheck: 200.components.celery: may be missing":               "see above",
}

// Reasons that hold for many.
const (
	ids    = "ids begin at 1"
	author = "it is whoever calls"
	worker = "what a job is at is said by its worker: anybody could have a cancelled job run on paper"
	made   = "the job is made when it is answered, by 200; 202 means that the write waits for its service"
	whole  = "ids begin at 1, and stay below what a browser can count to"
	open   = "components are a map, so that a new part needs no new contract; this one is always in it"
	pages  = "the seed took negative and unbounded limits, which its database refused with a 500"
)

// schema is a schema of either version of OpenAPI, as far as it is compared.
type schema map[string]any

type document struct {
	root    map[string]any
	schemas map[string]any
}

func read(t *testing.T, data []byte) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(data, &d.root); err != nil {
		t.Fatal(err)
	}
	d.schemas = d.root["components"].(map[string]any)["schemas"].(map[string]any)
	return d
}

// resolve follows references and folds the two ways of saying "or null".
func (d document) resolve(v any) (s schema, nullable bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return schema{}, false
	}
	if ref, ok := m["$ref"].(string); ok {
		parts := strings.Split(ref, "/")
		group := d.root["components"].(map[string]any)[parts[2]].(map[string]any)
		return d.resolve(group[parts[3]])
	}
	if all, ok := m["allOf"].([]any); ok && len(all) == 1 {
		s, nullable = d.resolve(all[0])
		return s, nullable || m["nullable"] == true
	}
	if branches, ok := m["anyOf"].([]any); ok {
		var rest []any
		for _, b := range branches {
			if bm, ok := b.(map[string]any); ok && bm["type"] == "null" {
				nullable = true
				continue
			}
			rest = append(rest, b)
		}
		if len(rest) == 1 {
			s, inner := d.resolve(rest[0])
			out := schema{}
			for k, v := range s {
				out[k] = v
			}
			if def, ok := m["default"]; ok {
				out["default"] = def
			}
			return out, nullable || inner
		}
	}
	return m, m["nullable"] == true
}

// operationsOf lists the operations of a document by canonical route.
func (d document) operations() map[string]map[string]any {
	out := map[string]map[string]any{}
	for path, item := range d.root["paths"].(map[string]any) {
		shared, _ := item.(map[string]any)["parameters"].([]any)
		for method, op := range item.(map[string]any) {
			if !slices.Contains([]string{"get", "put", "post", "patch", "delete"}, method) {
				continue
			}
			o := op.(map[string]any)
			own, _ := o["parameters"].([]any)
			o["parameters"] = append(slices.Clone(shared), own...)
			out[route(method, path)] = o
		}
	}
	return out
}

func route(method, path string) string {
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	return strings.ToUpper(method) + " " + path
}

// comparison collects where one operation departs.
type comparison struct {
	seed, ours document
	id         string
	found      []string
}

func (c *comparison) depart(where, format string, args ...any) {
	c.found = append(c.found, c.id+": "+where+": "+fmt.Sprintf(format, args...))
}

func (c *comparison) operation(seed, ours map[string]any) {
	c.id = seed["operationId"].(string)
	if ours["operationId"] != c.id {
		c.depart("operationId", "is %v", ours["operationId"])
	}
	c.parameters(seed, ours)
	c.body(seed["requestBody"], ours["requestBody"])
	theirs := ours["responses"].(map[string]any)
	for status, r := range seed["responses"].(map[string]any) {
		if status[0] != '2' {
			continue
		}
		mine, ok := theirs[status]
		if !ok {
			c.depart(status, "is not answered")
			continue
		}
		was, _ := c.seed.resolve(r)
		is, _ := c.ours.resolve(mine)
		from, has := content(was)["application/json"]
		if !has {
			continue
		}
		to, ok := content(is)["application/json"]
		if !ok {
			c.depart(status, "is not JSON")
			continue
		}
		c.schema(status, from, to, true)
	}
}

func content(s schema) map[string]any {
	out := map[string]any{}
	m, _ := s["content"].(map[string]any)
	for kind, media := range m {
		out[kind] = media.(map[string]any)["schema"]
	}
	return out
}

func (c *comparison) parameters(seed, ours map[string]any) {
	mine := map[string]schema{}
	for _, p := range ours["parameters"].([]any) {
		s, _ := c.ours.resolve(p)
		mine[fmt.Sprint(s["in"], ".", s["name"])] = s
	}
	for _, p := range seed["parameters"].([]any) {
		was, _ := c.seed.resolve(p)
		name := fmt.Sprint(was["in"], ".", was["name"])
		is, ok := mine[name]
		delete(mine, name)
		if !ok {
			c.depart(name, "is not taken")
			continue
		}
		if is["required"] == true && was["required"] != true {
			c.depart(name, "is required now")
		}
		c.schema(name, was["schema"], is["schema"], false)
	}
	for name, is := range mine {
		if is["required"] == true {
			c.depart(name, "is required and new")
		}
	}
}

func (c *comparison) body(seed, ours any) {
	if seed == nil {
		if ours != nil {
			if b, _ := c.ours.resolve(ours); b["required"] == true {
				c.depart("body", "is required and new")
			}
		}
		return
	}
	if ours == nil {
		c.depart("body", "is not read")
		return
	}
	was, _ := c.seed.resolve(seed)
	is, _ := c.ours.resolve(ours)
	if is["required"] == true && was["required"] != true {
		c.depart("body", "is required now")
	}
	mine := content(is)
	for kind, s := range content(was) {
		if _, ok := mine[kind]; !ok {
			c.depart("body", "%s is not read", kind)
			continue
		}
		c.schema("body", s, mine[kind], false)
	}
}

// schema compares what both sides know: an answer may gain fields, and must not
// lose any or become null; a request may ask for less, and must not for more.
func (c *comparison) schema(where string, seed, ours any, answer bool) {
	was, wasNull := c.seed.resolve(seed)
	is, isNull := c.ours.resolve(ours)
	if was["type"] != nil && is["type"] != was["type"] {
		c.depart(where, "is %v, not %v", is["type"], was["type"])
		return
	}
	if answer && isNull && !wasNull {
		c.depart(where, "may be null")
	}
	if !answer && wasNull && !isNull {
		// Where null is sent for a parameter, nothing is: they are texts.
		if !strings.HasPrefix(where, "query.") {
			c.depart(where, "may not be null")
		}
	}
	if def, ok := was["default"]; ok && !answer && def != nil && is["default"] != def {
		c.depart(where, "default %v is gone", def)
	}
	c.bounds(where, was, is, answer)
	if items, ok := was["items"]; ok {
		c.schema(where+"[]", items, is["items"], answer)
	}
	c.members(where, was, is, answer)
}

// bounds notes new limits, except on the length of texts that had none: every
// text needs one.
func (c *comparison) bounds(where string, was, is schema, answer bool) {
	if answer {
		return
	}
	var narrower []string
	for _, word := range []string{"minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"} {
		before, had := was[word]
		after, has := is[word]
		if has && (!had || before != after) {
			narrower = append(narrower, word)
		}
	}
	if len(narrower) > 0 && !slices.Equal(narrower, []string{"maxLength"}) && !slices.Equal(narrower, []string{"maxItems"}) {
		c.depart(where, "narrowed by %s", strings.Join(narrower, ", "))
	}
}

func (c *comparison) members(where string, was, is schema, answer bool) {
	before, _ := was["properties"].(map[string]any)
	after, _ := is["properties"].(map[string]any)
	for name, s := range before {
		mine, ok := after[name]
		if !ok {
			c.depart(where+"."+name, "is not there")
			continue
		}
		c.schema(where+"."+name, s, mine, answer)
	}
	had, has := words(was["required"]), words(is["required"])
	for _, name := range had {
		if answer && !slices.Contains(has, name) {
			c.depart(where+"."+name, "may be missing")
		}
	}
	for _, name := range has {
		if !answer && !slices.Contains(had, name) {
			c.depart(where+"."+name, "is required now")
		}
	}
}

func words(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, w := range list {
		out = append(out, w.(string))
	}
	return out
}

func TestTheContractKeepsWhatTheSeedContractSays(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/seed-openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := contract.Load(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	seed, ours := read(t, data), read(t, compiled.JSON)
	theirs := ours.operations()
	c := &comparison{seed: seed, ours: ours}
	there, all := map[string]int{}, map[string]int{}
	for r, op := range seed.operations() {
		tag := op["tags"].([]any)[0].(string)
		all[tag]++
		if mine, ok := theirs[r]; ok {
			there[tag]++
			c.operation(op, mine)
		}
	}
	for _, d := range c.found {
		if _, ok := departures[d]; !ok {
			t.Errorf("departs without a reason: %s", d)
		}
	}
	for d := range departures {
		if !slices.Contains(c.found, d) {
			t.Errorf("is no departure any more: %s", d)
		}
	}
	for _, tag := range []string{"auth", "knowledge", "main"} {
		if there[tag] < all[tag] && tag != "main" {
			t.Errorf("%s: %d of %d", tag, there[tag], all[tag])
		}
	}
	report(t, seed, theirs, there, all)
}

// report prints how far the whole is.
func report(t *testing.T, seed document, theirs map[string]map[string]any, there, all map[string]int) {
	t.Helper()
	var tags []string
	routers, of := 0, 0
	for tag, n := range all {
		tags = append(tags, tag)
		if tag != "main" {
			routers, of = routers+there[tag], of+n
		}
	}
	sort.Strings(tags)
	second, sockets := 0, 0
	for _, v := range seed.root["x-second-hypothesis-operations"].([]any) {
		op := v.(map[string]any)["operation"].(map[string]any)
		for _, mine := range theirs {
			if mine["operationId"] == op["operationId"] {
				second++
			}
		}
	}
	for _, v := range seed.root["x-websockets"].([]any) {
		if _, ok := theirs[route("get", v.(map[string]any)["path"].(string))]; ok {
			sockets++
		}
	}
	t.Logf("of the seed contract: %d of %d router operations, %d of %d application operations, %d of %d second hypothesis operations, %d of %d WebSockets",
		routers, of, there["main"], all["main"], second, len(seed.root["x-second-hypothesis-operations"].([]any)), sockets, len(seed.root["x-websockets"].([]any)))
	for _, tag := range tags {
		t.Logf("  %-24s %3d of %3d", tag, there[tag], all[tag])
	}
	if of != 165 || all["main"] != 4 {
		t.Errorf("the seed has %d router and %d application operations, not 165 and 4", of, all["main"])
	}
}

func TestEveryOperationThatReadsInputSaysHowItRefusesIt(t *testing.T) {
	t.Parallel()
	doc, err := contract.Load(gateway.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Document.Paths.Map() {
		for method, op := range item.Operations() {
			reads := len(item.Parameters)+len(op.Parameters) > 0 || op.RequestBody != nil
			if reads && op.Responses.Value("422") == nil {
				t.Errorf("%s %s: no 422", method, path)
			}
			if op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: a summary and one tag, please", method, path)
			}
		}
	}
}
