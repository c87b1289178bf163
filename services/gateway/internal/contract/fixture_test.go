package contract

import (
	"os"
	"strings"
	"testing"
)

// doc is a contract with one of everything that Load understands.
const doc = `
openapi: 3.0.3
info: {title: Fixture, version: '1'}
paths:
  /things/:
    post:
      tags: [things]
      operationId: createThing
      x-service: things
      x-delivery: command
      x-permission: member
      x-project: current
      x-rate-limit: 5/hour
      x-max-body: 1024
      x-timeout: 3s
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: '#/components/schemas/Thing'}}
          application/x-www-form-urlencoded: {schema: {type: object, properties: {name: {type: string}, n: {type: integer}}}}
      responses:
        '201': {description: made, content: {application/json: {schema: {type: object}}}}
        '202': {description: later}
  /things/{project_id}/parts/{part}:
    parameters:
      - {name: project_id, in: path, required: true, schema: {type: integer, minimum: 1}}
      - {name: part, in: path, required: true, schema: {type: string, pattern: '^[a-z]+$'}}
    get:
      operationId: listParts
      deprecated: true
      x-deprecated-since: '2026-01-02'
      x-sunset: '2026-12-31'
      x-service: things
      x-delivery: request
      x-permission: viewer
      x-project: path
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100, default: 10}}
        - {name: exact, in: query, schema: {type: boolean}}
        - {name: min, in: query, schema: {type: number}}
        - {name: tags, in: query, schema: {type: array, maxItems: 3, items: {type: integer}}}
        - {name: csv, in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: since, in: query, schema: {type: string, format: date-time}}
        - {name: id, in: query, schema: {anyOf: [{type: integer}, {type: string, maxLength: 3}]}}
        - {name: If-Match, in: header, schema: {type: string}}
        - {name: X-Project-ID, in: header, schema: {type: integer, minimum: 1}}
      responses:
        '200': {description: parts, content: {application/json: {schema: {type: array, items: {type: string}}}}}
    patch:
      operationId: touchParts
      x-service: things
      x-delivery: command
      x-permission: admin
      x-project: path
      x-aliases: [put]
      requestBody:
        content: {application/json: {schema: {type: object, properties: {name: {type: string, nullable: true}}}}}
      responses: {'204': {description: done}}
  /files:
    post:
      operationId: addFile
      x-service: things
      x-delivery: upload
      x-permission: member
      x-project: current
      requestBody:
        required: true
        content:
          multipart/form-data:
            schema:
              type: object
              required: [file, kind]
              properties:
                file: {type: string, format: binary}
                kind: {type: string, minLength: 1}
                n: {type: integer, nullable: true}
                size: {type: integer, default: 7}
                tags: {type: array, items: {type: string}}
          text/markdown: {schema: {type: string, format: binary}}
      responses: {'201': {description: made}}
  /state/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get:
      operationId: getState
      x-service: things
      x-delivery: request
      x-permission: viewer
      x-project: current
      responses: {'200': {description: state, content: {application/json: {schema: {type: object}}}}}
  /state/{id}/live:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get:
      operationId: watchState
      x-service: things
      x-delivery: live
      x-permission: viewer
      x-project: current
      x-live-state: getState
      x-live-job: run
      x-live-until: phase=done,gone
      responses: {'200': {description: events, content: {text/event-stream: {schema: {type: string}}}}}
  /ping:
    get:
      operationId: ping
      x-service: gateway
      x-delivery: edge
      x-permission: public
      x-project: none
      responses: {'200': {description: pong}}
components:
  schemas:
    Base:
      type: object
      required: [name]
      properties:
        name: {type: string, minLength: 2, maxLength: 5}
    Colour: {type: string, enum: [red, green]}
    Thing:
      allOf:
        - $ref: '#/components/schemas/Base'
        - type: object
          properties:
            id: {type: integer, readOnly: true}
            secret: {type: string, format: password, minLength: 8}
            colour: {allOf: [{$ref: '#/components/schemas/Colour'}], nullable: true, default: red}
            count: {type: integer, minimum: 0, maximum: 10}
            small: {type: integer, format: int32}
            ratio: {type: number, minimum: 0, exclusiveMinimum: true, maximum: 1, exclusiveMaximum: true}
            step: {type: number, multipleOf: 0.5}
            on: {type: boolean, default: true}
            at: {type: string, format: date-time}
            day: {type: string, format: date}
            mail: {type: string, format: email}
            uid: {type: string, format: uuid}
            link: {type: string, format: uri}
            list: {type: array, minItems: 1, maxItems: 2, uniqueItems: true, items: {type: integer}}
            free: {type: object}
            labels: {type: object, maxProperties: 2, additionalProperties: {type: string}}
            closed: {type: object, additionalProperties: false, properties: {a: {type: integer}}}
            either: {oneOf: [{type: integer}, {type: number, minimum: 5}]}
            pick: {anyOf: [{type: object, required: [kind], properties: {kind: {type: string}}}, {type: integer}]}
            not: {type: string, not: {enum: [forbidden]}}
            any: {}
            children: {type: array, items: {$ref: '#/components/schemas/Base'}}
`

func load(t testing.TB) *Contract {
	t.Helper()
	c, err := Load([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheContractOfThisHouseCompiles(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Operation("addDocument") == nil || len(c.JSON) == 0 {
		t.Error("an operation is missing")
	}
}

func TestARuleThatCannotBeKeptIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown word":       {"x-rate-limit: 5/hour", "x-rate-limits: 5/hour", "not a word"},
		"unknown delivery":   {"x-delivery: edge", "x-delivery: pigeon", "none of"},
		"missing word":       {"      x-permission: public\n", "", "missing"},
		"bad rate":           {"5/hour", "5/fortnight", "rate"},
		"bad refusals":       {"x-rate-limit: 5/hour", "x-rate-limit: 5/hour\n      x-rate-refusals: [200]", "no refusal"},
		"no refusals":        {"x-rate-limit: 5/hour", "x-rate-limit: 5/hour\n      x-rate-refusals: 409", "list of statuses"},
		"refusals of who is": {"x-rate-limit: 5/hour", "x-rate-limit: 5/hour\n      x-rate-refusals: [409]", "public operation"},
		"bad timeout":        {"x-timeout: 3s", "x-timeout: -3s", "above zero"},
		"bad size":           {"x-max-body: 1024", "x-max-body: big", "above zero"},
		"bad day":            {"'2026-12-31'", "'soon'", "x-sunset"},
		"no first day":       {"      x-deprecated-since: '2026-01-02'\n", "", "x-deprecated-since"},
		"no last day":        {"      x-sunset: '2026-12-31'\n", "", "x-sunset"},
		"short notice":       {"'2026-12-31'", "'2026-06-30'", "180 days"},
		"days for nothing":   {"      deprecated: true\n", "", "for what is deprecated"},
		"bad aliases":        {"x-aliases: [put]", "x-aliases: put", "list of methods"},
		"no until":           {"phase=done,gone", "done", "field=value"},
		"unknown state":      {"x-live-state: getState", "x-live-state: nothing", "x-live-state"},
		"no state":           {"      x-live-state: getState\n", "", "x-live-state"},
		"same id twice":      {"operationId: ping", "operationId: getState", "same operation id"},
		"role without one":   {"x-permission: public", "x-permission: viewer", "needs a project"},
		"public in project":  {"x-project: none", "x-project: current", "no project"},
		"edge of a service":  {"x-service: gateway", "x-service: things", "edge"},
		"files by command":   {"x-delivery: upload", "x-delivery: command", "upload"},
		"path without id":    {"x-project: current\n      x-rate-limit", "x-project: path\n      x-rate-limit", "project_id"},
		"pattern":            {"'^[a-z]+$'", "'^(?=a)$'", "regexp"},
		"default":            {"default: 10", "default: 1000", ""},
		"twice in allOf":     {"id: {type: integer, readOnly: true}", "name: {type: string}", "twice"},
		"allOf of a number":  {"- $ref: '#/components/schemas/Base'\n        - type", "- {type: integer}\n        - type", "plain objects"},
		"not yaml":           {"openapi: 3.0.3", "openapi: [", "read contract"},
		"two files":          {"n: {type: integer, nullable: true}", "n: {type: string, format: binary}", "more than one file"},
		"form of a list":     {"schema: {type: object, properties: {name: {type: string}, n: {type: integer}}}", "schema: {type: array, items: {type: string}}", "object"},
		"object in a query":  {"schema: {type: boolean}", "schema: {type: object}", "objects are not supported"},
		"style":              {"explode: false, schema", "style: pipeDelimited, schema", "style"},
		"content":            {"{name: exact, in: query, schema: {type: boolean}}", "{name: exact, in: query, content: {application/json: {schema: {type: boolean}}}}", "content"},
		"no such flag":       {"x-timeout: 3s", "x-instance: nothing", "x-instance is a boolean"},
		"open by a word":     {"x-timeout: 3s", "x-open-query: very", "true or false"},
		"text for a service": {"x-service: gateway", "x-service: 3", "want text"},
	} {
		changed := strings.Replace(doc, c.from, c.to, 1)
		if changed == doc {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := Load([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v, want one about %q", name, err, c.want)
		}
	}
}

func TestAnOperationCarriesWhatTheFileSays(t *testing.T) {
	t.Parallel()
	c := load(t)
	o := c.Operation("createThing")
	if o.Path != "/things" || o.Rate.String() != "5 per 1 hour" || o.MaxBody != 1024 || o.Timeout.Seconds() != 3 || o.Success != 201 || !o.Body.Required {
		t.Errorf("createThing = %+v", o)
	}
	o = c.Operation("listParts")
	if !o.Deprecated || o.Sunset.Year() != 2026 || o.DeprecatedSince.Day() != 2 || len(o.PathParams) != 2 {
		t.Errorf("listParts = %+v", o)
	}
	if o = c.Operation("touchParts"); o.Success != 204 || o.Aliases[0] != "PUT" || o.Body.Required {
		t.Errorf("touchParts = %+v", o)
	}
	if o = c.Operation("watchState"); o.Watch == nil || o.Watch.Job != "run" || o.Watch.Field != "phase" || len(o.Watch.Until) != 2 {
		t.Errorf("watchState = %+v", o.Watch)
	}
	if c.Operation("none") != nil {
		t.Error("an operation that is not there was found")
	}
}

func TestRatesReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10/minute": "10 per 1 minute", "1/second": "1 per 1 second", "3/day": "3 per 1 day",
	} {
		r, err := ParseRate(text)
		if err != nil || r.String() != want {
			t.Errorf("%s = %q, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "5", "0/hour", "-1/hour", "x/hour", "5/"} {
		if _, err := ParseRate(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if got := (Rate{N: 2, Per: 2 * 60 * 60 * 1e9}).String(); got != "2 per 2 hours" {
		t.Errorf("= %q", got)
	}
}
