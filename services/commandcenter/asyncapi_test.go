package main_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	events "github.com/commandcenter/commandcenter/proto-events"
)

// TestTheFactsAreDescribedAsAsyncAPIDemands checks the document that other teams
// read against the schema that the AsyncAPI project publishes, and what a schema
// cannot say: that its references lead somewhere, and that the payloads are
// schemas themselves.
func TestTheFactsAreDescribedAsAsyncAPIDemands(t *testing.T) {
	t.Parallel()
	form := asyncAPISchema(t)
	var doc any
	if err := yaml.Unmarshal(events.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	if err := form.Validate(doc); err != nil {
		t.Errorf("not AsyncAPI 3.0: %v", err)
	}
	eachReference(doc, func(ref string) {
		if _, err := lookUp(doc, ref); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	})
	schemas, err := lookUp(doc, "#/components/schemas")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range schemas.(map[string]any) {
		c := jsonschema.NewCompiler()
		if err := errors.Join(c.AddResource("urn:payload", s), second(c.Compile("urn:payload"))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	channels, err := lookUp(doc, "#/channels")
	if err != nil || len(channels.(map[string]any)) != len(events.Catalogue()) {
		t.Errorf("%d channels for %d facts (%v)", len(channels.(map[string]any)), len(events.Catalogue()), err)
	}

	for name, spoil := range map[string]func(doc map[string]any){
		"another version":      func(doc map[string]any) { doc["asyncapi"] = "4.0.0" },
		"an operation's verb":  func(doc map[string]any) { first(doc["operations"])["action"] = "publish" },
		"a word of nobody":     func(doc map[string]any) { first(doc["channels"])["subject"] = "evt" },
		"no information on it": func(doc map[string]any) { delete(doc, "info") },
	} {
		var doc map[string]any
		if err := yaml.Unmarshal(events.AsyncAPI(), &doc); err != nil {
			t.Fatal(err)
		}
		if spoil(doc); form.Validate(doc) == nil {
			t.Errorf("%s is taken for AsyncAPI 3.0", name)
		}
	}
}

// asyncAPISchema is the official JSON Schema of AsyncAPI 3.0.
func asyncAPISchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	packed, err := os.ReadFile("testdata/asyncapi-3.0.0.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	const id = "http://asyncapi.com/definitions/3.0.0/asyncapi.json"
	if err := c.AddResource(id, doc); err != nil {
		t.Fatal(err)
	}
	form, err := c.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// lookUp follows a reference within the document.
func lookUp(doc any, ref string) (any, error) {
	for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("nothing is below %q", step)
		}
		if doc, ok = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok {
			return nil, fmt.Errorf("there is no %q", step)
		}
	}
	return doc, nil
}

func eachReference(v any, do func(ref string)) {
	switch x := v.(type) {
	case map[string]any:
		for k, below := range x {
			if ref, ok := below.(string); ok && k == "$ref" {
				do(ref)
			}
			eachReference(below, do)
		}
	case []any:
		for _, below := range x {
			eachReference(below, do)
		}
	}
}

func first(v any) map[string]any {
	for _, x := range v.(map[string]any) {
		return x.(map[string]any)
	}
	return nil
}

func second[T any](_ T, err error) error { return err }
