package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// body runs a JSON body of createThing through its checks.
func body(t testing.TB, c *Contract, in string) (string, []errs.Field) {
	t.Helper()
	out, present, fields, err := c.Operation("createThing").Body.JSON(nil, []byte(in))
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	if len(fields) == 0 && present != (len(out) > 0) {
		t.Errorf("%s: present = %v, out = %q", in, present, out)
	}
	return string(out), fields
}

func TestABodyIsRebuiltFromWhatTheContractDeclares(t *testing.T) {
	t.Parallel()
	c := load(t)
	for in, want := range map[string]string{
		`{"name":"abc"}`:                                                 `{"colour":"red","name":"abc","on":true}`,
		`{"name":"old","name":"new"}`:                                    `{"colour":"red","name":"new","on":true}`,
		`{"name":"abc","colour":null,"on":false}`:                        `{"colour":null,"name":"abc","on":false}`,
		`{"name":"abc","count":3.0,"small":1e2}`:                         `{"colour":"red","count":3,"name":"abc","on":true,"small":100}`,
		`{"name":"abc","at":"2026-01-02T03:04:05+02:00"}`:                `{"at":"2026-01-02T01:04:05Z","colour":"red","name":"abc","on":true}`,
		`{"name":"abc","at":"2026-01-02T03:04:05.5"}`:                    `{"at":"2026-01-02T03:04:05.5Z","colour":"red","name":"abc","on":true}`,
		`{"name":"abc","at":"2026-01-02"}`:                               `{"at":"2026-01-02T00:00:00Z","colour":"red","name":"abc","on":true}`,
		`{"name":"\"\\\n\r\t"}`:                                          `{"colour":"red","name":"\"\\\n\r\t","on":true}`,
		`{"name":"\u0001é<"}`:                                            `{"colour":"red","name":"\u0001é<","on":true}`,
		`{"name":"abc","free":{"z":1,"a":["<",null,{"q":1.50}]}}`:        `{"colour":"red","free":{"a":["<",null,{"q":1.50}],"z":1},"name":"abc","on":true}`,
		`{"name":"abc","labels":{"b":"2","a":"1"}}`:                      `{"colour":"red","labels":{"a":"1","b":"2"},"name":"abc","on":true}`,
		`{"name":"abc","closed":{}}`:                                     `{"closed":{},"colour":"red","name":"abc","on":true}`,
		`{"name":"abc","either":3}`:                                      `{"colour":"red","either":3,"name":"abc","on":true}`,
		`{"name":"abc","pick":{"kind":"x"}}`:                             `{"colour":"red","name":"abc","on":true,"pick":{"kind":"x"}}`,
		`{"name":"abc","any":[1,"x"]}`:                                   `{"any":[1,"x"],"colour":"red","name":"abc","on":true}`,
		`{"name":"abc","any":null}`:                                      `{"any":null,"colour":"red","name":"abc","on":true}`,
		`{"name":"abc","children":[{"name":"xy"}]}`:                      `{"children":[{"name":"xy"}],"colour":"red","name":"abc","on":true}`,
		`{"name":"abc","mail":"a@b.io","link":"https://x/y","list":[1]}`: `{"colour":"red","link":"https://x/y","list":[1],"mail":"a@b.io","name":"abc","on":true}`,
		`{"name":"abc","uid":"6f0a4c52-1f0e-5d0b-9b33-6d5a0c6f7a10"}`:    `{"colour":"red","name":"abc","on":true,"uid":"6f0a4c52-1f0e-5d0b-9b33-6d5a0c6f7a10"}`,
		`{"name":"abc","count":9007199254740993,"count":1,"step":1.5}`:   `{"colour":"red","count":1,"name":"abc","on":true,"step":1.5}`,
		`{"name":"abc","day":"2026-02-28","not":"fine","ratio":0.5}`:     `{"colour":"red","day":"2026-02-28","name":"abc","not":"fine","on":true,"ratio":0.5}`,
	} {
		got, fields := body(t, c, in)
		if len(fields) > 0 {
			t.Errorf("%s: %+v", in, fields)
			continue
		}
		if got != want {
			t.Errorf("%s\n = %s\nwant %s", in, got, want)
		}
	}
}

func TestEachFaultIsNamedWithItsPlace(t *testing.T) {
	t.Parallel()
	c := load(t)
	for in, want := range map[string]string{
		`{}`:                                              "missing body.name",
		`[]`:                                              "dict_type body",
		`"x"`:                                             "dict_type body",
		`{"name":null}`:                                   "string_type body.name",
		`{"name":7}`:                                      "string_type body.name",
		`{"name":"a"}`:                                    "string_too_short body.name",
		`{"name":"ééé́éé"}`:                               "string_too_long body.name",
		`{"name":"a\u0000b"}`:                             "string_nul body.name",
		`{"name":"abc","colour":"blue"}`:                  "enum body.colour",
		`{"name":"abc","count":-1}`:                       "greater_than_equal body.count",
		`{"name":"abc","count":11}`:                       "less_than_equal body.count",
		`{"name":"abc","count":1.5}`:                      "int_from_float body.count",
		`{"name":"abc","count":"1"}`:                      "int_type body.count",
		`{"name":"abc","count":1e99}`:                     "int_parsing_size body.count",
		`{"name":"abc","small":3000000000}`:               "int_parsing_size body.small",
		`{"name":"abc","ratio":0}`:                        "greater_than body.ratio",
		`{"name":"abc","ratio":1}`:                        "less_than body.ratio",
		`{"name":"abc","ratio":1e999}`:                    "finite_number body.ratio",
		`{"name":"abc","ratio":"x"}`:                      "float_type body.ratio",
		`{"name":"abc","step":0.7}`:                       "multiple_of body.step",
		`{"name":"abc","on":1}`:                           "bool_type body.on",
		`{"name":"abc","at":"yesterday"}`:                 "datetime_parsing body.at",
		`{"name":"abc","day":"2026-02-30"}`:               "date_parsing body.day",
		`{"name":"abc","mail":"a b"}`:                     "value_error body.mail",
		`{"name":"abc","mail":"a@b"}`:                     "value_error body.mail",
		`{"name":"abc","uid":"x"}`:                        "uuid_parsing body.uid",
		`{"name":"abc","link":"x"}`:                       "url_parsing body.link",
		`{"name":"abc","list":[]}`:                        "too_short body.list",
		`{"name":"abc","list":[1,2,3]}`:                   "too_long body.list",
		`{"name":"abc","list":[1,1]}`:                     "unique_items body.list.1",
		`{"name":"abc","list":[1,"x"]}`:                   "int_type body.list.1",
		`{"name":"abc","list":{}}`:                        "list_type body.list",
		`{"name":"abc","labels":{"a":1}}`:                 "string_type body.labels.a",
		`{"name":"abc","labels":{"a":"","b":"","c":""}}`:  "too_long body.labels",
		`{"name":"abc","closed":{"b":1}}`:                 "extra_forbidden body.closed.b",
		`{"name":"abc","admin":true}`:                     "extra_forbidden body.admin",
		`{"name":"abc","id":7}`:                           "extra_forbidden body.id", // read-only
		`{"name":"abc","NAME":"xyz"}`:                     "extra_forbidden body.NAME",
		`{"name":"abc","\ud800":1}`:                       "extra_forbidden body.\uFFFD",
		`{"name":"abc","pick":{"kind":"x","other":1}}`:    "extra_forbidden body.pick.other",
		`{"name":"abc","children":[{"name":"xy","b":1}]}`: "extra_forbidden body.children.0.b",
		`{"name":"abc","either":7}`:                       "value_error body.either",
		`{"name":"abc","either":"x"}`:                     "int_type body.either",
		`{"name":"abc","pick":{}}`:                        "missing body.pick.kind",
		`{"name":"abc","pick":null}`:                      "dict_type body.pick",
		`{"name":"abc","not":"forbidden"}`:                "value_error body.not",
		`{"name":"abc","free":{"a":["\u0000"]}}`:          "string_nul body.free.a.0",
		`{"name":"abc","free":{"\u0000":1}}`:              "string_nul",
		`{"name":"abc","children":[{"name":"xy"},{}]}`:    "missing body.children.1.name",
	} {
		_, fields := body(t, c, in)
		if len(fields) == 0 {
			t.Errorf("%s was taken", in)
			continue
		}
		if got := fields[0].Type + " " + place(fields[0]); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func place(f errs.Field) string {
	words := make([]string, len(f.Loc))
	for i, l := range f.Loc {
		words[i] = fmt.Sprint(l)
	}
	return strings.Join(words, ".")
}

func TestASecretIsNeverRepeated(t *testing.T) {
	t.Parallel()
	c := load(t)
	_, fields := body(t, c, `{"name":"abc","secret":"hunter2"}`)
	if len(fields) != 1 || fields[0].Input != nil || strings.Contains(fields[0].Msg, "hunter2") {
		t.Errorf("fields = %+v", fields)
	}
	_, fields = body(t, c, `{"secret":"hunter2-hunter2"}`)
	if b, _ := json.Marshal(fields); strings.Contains(string(b), "hunter2") {
		t.Errorf("fields = %s", b)
	}
}

func TestLongInputsAndLongListsOfFaultsAreCut(t *testing.T) {
	t.Parallel()
	c := load(t)
	_, fields := body(t, c, `{"name":"`+strings.Repeat("é", 500)+`"}`)
	if in, ok := fields[0].Input.(string); !ok || len(in) > 210 {
		t.Errorf("input = %v", fields[0].Input)
	}
	_, fields = body(t, c, `{"name":"abc","children":[`+strings.TrimSuffix(strings.Repeat("{},", 500), ",")+`]}`)
	if len(fields) != maxFaults {
		t.Errorf("%d faults", len(fields))
	}
}

func TestABodyThatCannotBeReadIsMalformed(t *testing.T) {
	t.Parallel()
	b := load(t).Operation("createThing").Body
	for in, want := range map[string]*errs.Error{
		`{`: ErrJSON, `{} {}`: ErrJSON, `{"a":}`: ErrJSON, "\xff": ErrUTF8,
		strings.Repeat("[", 65) + strings.Repeat("]", 65): ErrDepth,
		`{"name":"[[[["`: ErrJSON,
	} {
		if _, _, _, err := b.JSON(nil, []byte(in)); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", in, err, want)
		}
	}
	deep := `{"name":"abc","any":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`
	if _, _, fields, err := b.JSON(nil, []byte(deep)); err != nil || len(fields) > 0 {
		t.Errorf("60 levels: %v %v", err, fields)
	}
	if _, _, _, err := b.JSON(nil, []byte(`{"name":"`+strings.Repeat("[", 99)+`\""}`)); err != nil {
		t.Errorf("brackets in text: %v", err)
	}
}

func TestNoBodyAndNullAreTheSameWhereNullMeansNothing(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, in := range []string{"", "  \n", "null"} {
		_, present, fields, err := c.Operation("touchParts").Body.JSON(nil, []byte(in))
		if err != nil || present || len(fields) > 0 {
			t.Errorf("optional body %q: present %v, %v, %v", in, present, fields, err)
		}
		_, _, fields, err = c.Operation("createThing").Body.JSON(nil, []byte(in))
		if err != nil || len(fields) != 1 || fields[0].Type != "missing" || place(fields[0]) != "body" {
			t.Errorf("required body %q: %v, %v", in, fields, err)
		}
	}
}

func TestExplicitNullIsKeptForAPatch(t *testing.T) {
	t.Parallel()
	out, _, fields, err := load(t).Operation("touchParts").Body.JSON(nil, []byte(`{"name":null}`))
	if err != nil || len(fields) > 0 || string(out) != `{"name":null}` {
		t.Errorf("%s %v %v", out, fields, err)
	}
}

func TestParametersBecomeTheTypesOfTheContract(t *testing.T) {
	t.Parallel()
	o := load(t).Operation("listParts")
	for query, want := range map[string]string{
		"":                 `"limit":10`,
		"limit=5&limit=7":  `"limit":7`,
		"limit=%207%20":    `"limit":7`,
		"exact=yes":        `"limit":10,"exact":true`,
		"exact=OFF":        `"limit":10,"exact":false`,
		"min=1.5":          `"limit":10,"min":1.5`,
		"tags=1&tags=2":    `"limit":10,"tags":[1,2]`,
		"csv=a,b":          `"limit":10,"csv":["a","b"]`,
		"since=2026-01-02": `"limit":10,"since":"2026-01-02T00:00:00Z"`,
		"id=12":            `"limit":10,"id":12`,
		"id=abc":           `"limit":10,"id":"abc"`,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{"If-Match": {`"v1"`}, "X-Project-Id": {"3"}}
		out, fields := o.Parameters(nil, Values{Path: []string{"42", "abc"}, Query: q, Header: h})
		if len(fields) > 0 {
			t.Errorf("%s: %+v", query, fields)
			continue
		}
		var all map[string]any
		if err := json.Unmarshal([]byte("{"+string(out)+"}"), &all); err != nil {
			t.Errorf("%s: %s: %v", query, out, err)
		}
		if all["project_id"] != 42.0 || all["part"] != "abc" || all["If-Match"] != `"v1"` || all["X-Project-ID"] != nil {
			t.Errorf("%s: %s", query, out)
		}
		for _, member := range strings.Split(want, `,"`) {
			if !strings.Contains(string(out), strings.TrimPrefix(member, `"`)) {
				t.Errorf("%s: %s, want %s", query, out, want)
			}
		}
	}
}

func TestParametersAtFaultAreNamed(t *testing.T) {
	t.Parallel()
	o := load(t).Operation("listParts")
	for query, want := range map[string]string{
		"limit=x": "int_parsing query.limit", "limit=": "int_parsing query.limit", "limit=1.5": "int_parsing query.limit", "limit=01": "int_parsing query.limit",
		"limit=0": "greater_than_equal query.limit", "limit=101": "less_than_equal query.limit", "limit=99999999999999999999": "int_parsing_size query.limit",
		"exact=maybe": "bool_parsing query.exact", "min=x": "float_parsing query.min", "min=NaN": "float_parsing query.min", "min=null": "float_parsing query.min",
		"tags=1&tags=x": "int_parsing query.tags.1", "tags=1&tags=2&tags=3&tags=4": "too_long query.tags",
		"since=x": "datetime_parsing query.since", "id=abcd": "string_too_long query.id", "id=%00": "string_nul query.id", "csv=%ff": "string_unicode query.csv.0",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		out, fields := o.Parameters(nil, Values{Path: []string{"42", "abc"}, Query: q})
		if len(fields) == 0 {
			t.Errorf("%s was taken: %s", query, out)
			continue
		}
		if got := fields[0].Type + " " + place(fields[0]); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	_, fields := o.Parameters(nil, Values{Path: []string{"0", "A1"}, Header: http.Header{"X-Project-Id": {"x"}}})
	if len(fields) != 3 {
		t.Errorf("fields = %+v", fields)
	}
	_, fields = o.Parameters(nil, Values{})
	if len(fields) != 2 || fields[0].Type != "missing" {
		t.Errorf("fields = %+v", fields)
	}
}

func TestAQueryParameterThatIsNotThereIsRefusedUnlessTheContractIsOpen(t *testing.T) {
	t.Parallel()
	open, err := Load([]byte(strings.Replace(doc, "      x-sunset:", "      x-open-query: true\n      x-sunset:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("\xbf", 300) // no character begins in it
	v := Values{Path: []string{"42", "abc"}, Query: url.Values{"limit": {"5"}, "limt": {"5"}, "If-Match": {"x"}, "part": {"y"}, long: {""}}}
	if _, fields := open.Operation("listParts").Parameters(nil, v); len(fields) > 0 {
		t.Errorf("where it is open: %+v", fields)
	}
	_, fields := load(t).Operation("listParts").Parameters(nil, v)
	var got []string
	for _, f := range fields {
		got = append(got, f.Type+" "+place(f))
	}
	if want := []string{"extra_forbidden query.If-Match", "extra_forbidden query.limt", "extra_forbidden query.part", "extra_forbidden query.\uFFFD"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFormsAreReadLikeBodies(t *testing.T) {
	t.Parallel()
	b := load(t).Operation("addFile").Body
	file := map[string]bool{"file": true}
	out, fields := b.Fields(nil, map[string][]string{"kind": {"x"}, "n": {"3"}, "tags": {"a", "b"}}, file)
	if len(fields) > 0 || string(out) != `{"kind":"x","n":3,"size":7,"tags":["a","b"]}` {
		t.Errorf("%s %+v", out, fields)
	}
	out, fields = b.Fields(nil, map[string][]string{"kind": {"x"}, "n": {""}, "size": {""}}, file)
	if len(fields) > 0 || string(out) != `{"kind":"x","size":7}` {
		t.Errorf("%s %+v", out, fields)
	}
	_, fields = b.Fields(nil, map[string][]string{"kind": {""}, "n": {"x"}, "unknown": {"y"}}, nil)
	var got []string
	for _, f := range fields {
		got = append(got, f.Type+" "+place(f))
	}
	if strings.Join(got, ", ") != "missing body.file, string_too_short body.kind, int_parsing body.n, extra_forbidden body.unknown" {
		t.Errorf("= %v", got)
	}
	if !b.IsFile("file") || b.IsFile("kind") || !b.IsField("kind") || b.IsField("file") || b.IsField("unknown") {
		t.Error("fields and files are mixed up")
	}
}

func TestTheContentTypeDecidesHowABodyIsRead(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, tc := range []struct {
		op, kind string
		want     Form
		refused  bool
	}{
		{"createThing", "", JSONBody, false},
		{"createThing", "application/json", JSONBody, false},
		{"createThing", "Application/JSON; charset=UTF-8", JSONBody, false},
		{"createThing", "application/merge-patch+json", JSONBody, false},
		{"createThing", "application/json; charset=latin1", NoBody, true},
		{"createThing", "application/x-www-form-urlencoded", URLForm, false},
		{"createThing", "text/plain", NoBody, true},
		{"createThing", "multipart/form-data; boundary=x", NoBody, true},
		{"createThing", ";;;", NoBody, true},
		{"addFile", "multipart/form-data; boundary=x", Multipart, false},
		{"addFile", "text/markdown; charset=utf-8", RawBody, false},
		{"addFile", "application/json", NoBody, true},
		{"addFile", "", NoBody, true},
		{"listParts", "whatever", NoBody, false},
	} {
		got, _, err := c.Operation(tc.op).Body.Read(tc.kind)
		if got != tc.want || (err != nil) != tc.refused {
			t.Errorf("%s %q = %v, %v", tc.op, tc.kind, got, err)
		}
		if err != nil && errs.KindOf(err) != errs.Unsupported {
			t.Errorf("%s %q: %v", tc.op, tc.kind, err)
		}
	}
}
