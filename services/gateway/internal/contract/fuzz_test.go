package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// FuzzJSONBody checks that any body is either refused or rebuilt into JSON that
// the contract accepts, that rebuilding again changes nothing, and that nothing
// undeclared comes through.
func FuzzJSONBody(f *testing.F) {
	for _, s := range []string{
		`{"name":"abc"}`, `{"name":"abc","list":[1,2],"free":{"a":[{}]},"at":"2026-01-02"}`, `null`, `[]`, `{"name":"\ud800"}`,
		`{"name":"abc","pick":{"kind":"x"},"either":1e0,"any":"\u0000"}`, `{"name":"abc","closed":{"b":1},"labels":{"a":"b"}}`, `{"count":-0}`,
	} {
		f.Add([]byte(s))
	}
	c := load(f)
	b := c.Operation("createThing").Body
	schema := c.Document.Components.Schemas["Thing"].Value
	f.Fuzz(func(t *testing.T, in []byte) {
		out, present, fields, err := b.JSON(nil, in)
		if err != nil || len(fields) > 0 {
			for _, field := range fields {
				if _, err := json.Marshal(field); err != nil {
					t.Fatalf("a fault that cannot be said: %v", err)
				}
			}
			return
		}
		if !present {
			t.Fatalf("%q: a required body went missing", in)
		}
		var v, sent map[string]any
		if err := errors.Join(json.Unmarshal(out, &v), json.Unmarshal(in, &sent)); err != nil {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
		for _, members := range []map[string]any{v, sent} {
			for name := range members {
				if b.json.property(name) == nil {
					t.Fatalf("%q let %q through", in, name)
				}
			}
		}
		if bytes.Contains(out, []byte(`\u0000`)) {
			t.Fatalf("%q let NUL through: %q", in, out)
		}
		if err := schema.VisitJSON(v, openapi3.VisitAsRequest()); err != nil {
			t.Fatalf("%q became %q, which the contract refuses: %v", in, out, err)
		}
		again, _, fields, err := b.JSON(nil, out)
		if err != nil || len(fields) > 0 || !bytes.Equal(again, out) {
			t.Fatalf("%q became %q and then %q (%v, %v)", in, out, again, fields, err)
		}
	})
}

// FuzzAgreement checks that what the reference validator refuses is refused. It
// is told what the house adds to the contract: what an object does not declare is
// at fault, unless it says that it is open.
func FuzzAgreement(f *testing.F) {
	for _, s := range []string{`{"name":"abc","count":3}`, `{"name":1}`, `{"name":"abc","more":1}`, `{"name":"abc","pick":{"kind":"x","b":1}}`, `{"name":"abc","free":{"b":1}}`, `{"name":"abc","list":[1,1]}`, `{"name":"abc","either":7}`, `{"name":"abc","not":"forbidden"}`} {
		f.Add(s)
	}
	c := load(f)
	b := c.Operation("createThing").Body
	schema := load(f).Document.Components.Schemas["Thing"].Value
	shut(schema)
	f.Fuzz(func(t *testing.T, in string) {
		var v any
		if json.Unmarshal([]byte(in), &v) != nil {
			return
		}
		_, _, fields, err := b.JSON(nil, []byte(in))
		taken := err == nil && len(fields) == 0
		if refused := schema.VisitJSON(v, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation()); refused != nil && taken {
			object, ok := v.(map[string]any)
			if ok {
				delete(object, "at") // which is read more kindly: times without an offset
				refused = schema.VisitJSON(object, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation())
			}
			if refused != nil {
				t.Fatalf("%q was taken, but: %v", in, refused)
			}
		}
	})
}

// shut has a schema say what it leaves unsaid of members that it does not declare.
// The parts of an allOf declare one object together.
func shut(s *openapi3.Schema) {
	if len(s.AllOf) > 1 {
		s.Type, s.Properties = &openapi3.Types{"object"}, openapi3.Schemas{}
		for _, part := range s.AllOf {
			maps.Copy(s.Properties, part.Value.Properties)
			s.Required = append(s.Required, part.Value.Required...)
		}
		s.AllOf = nil
	}
	if more := s.AdditionalProperties; more.Has == nil && more.Schema == nil && len(s.Properties) > 0 {
		no := false
		s.AdditionalProperties.Has = &no
	}
	refs := slices.Concat(slices.Collect(maps.Values(s.Properties)), s.AnyOf, s.OneOf)
	if s.Items != nil {
		refs = append(refs, s.Items)
	}
	for _, ref := range refs {
		shut(ref.Value)
	}
}

func FuzzParameters(f *testing.F) {
	f.Add("limit=1&tags=2&tags=x&csv=a,b&id=%00&min=1e5", "42", "abc")
	f.Add("exact=yes&since=2026-01-02T03:04:05Z", "0", "")
	o := load(f).Operation("listParts")
	f.Fuzz(func(t *testing.T, query, project, part string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		out, fields := o.Parameters(nil, Values{Path: []string{project, part}, Query: q, Header: http.Header{"If-Match": {part}}})
		if len(fields) > 0 {
			if _, err := json.Marshal(fields); err != nil {
				t.Fatal(err)
			}
			return
		}
		var v struct {
			Project int64  `json:"project_id"`
			Part    string `json:"part"`
			Limit   int    `json:"limit"`
		}
		if err := json.Unmarshal([]byte("{"+string(out)+"}"), &v); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if v.Project < 1 || v.Part != part || v.Limit < 1 || v.Limit > 100 {
			t.Fatalf("%q became %s", query, out)
		}
	})
}

func BenchmarkSmallBody(b *testing.B) {
	body := load(b).Operation("createThing").Body
	in := []byte(`{"name":"abc","colour":"green","count":3,"on":true,"at":"2026-01-02T03:04:05Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, fields, err := body.JSON(make([]byte, 0, 512), in); err != nil || len(fields) > 0 {
			b.Fatal(fields, err)
		}
	}
}

func BenchmarkParameters(b *testing.B) {
	o := load(b).Operation("listParts")
	q := url.Values{"limit": {"7"}, "exact": {"true"}}
	path := []string{"42", "abc"}
	b.ReportAllocs()
	for b.Loop() {
		if _, fields := o.Parameters(make([]byte, 0, 256), Values{Path: path, Query: q}); len(fields) > 0 {
			b.Fatal(fields)
		}
	}
}
