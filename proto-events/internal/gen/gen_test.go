package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/descriptorpb"

	events "github.com/commandcenter/commandcenter/proto-events"
	"github.com/commandcenter/commandcenter/proto-events/golden"
)

const root = "../.."

func TestTheCommittedFilesAreWhatTheCatalogueSays(t *testing.T) {
	t.Parallel()
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is out of date: run make gen (%v)", name, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(root, "schemas", "*.json"))
	if err != nil || len(there) != len(events.Catalogue()) {
		t.Errorf("%d schemas for %d facts (%v)", len(there), len(events.Catalogue()), err)
	}
}

func TestRunWritesEverythingIntoAnEmptyFolderAndRemovesStaleSchemas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "schemas", "gone.v1.json")
	if err := replace(stale, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	byHand := filepath.Join(dir, "golden", "auth.project.deleted.v1.json")
	if err := replace(byHand, []byte(`{"project_id":5,"version":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("a stale schema is still there: %v", err)
	}
	if got, err := os.ReadFile(byHand); err != nil || string(got) != `{"project_id":5,"version":1}` {
		t.Errorf("an example was changed to %s (%v)", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "golden", "auth.project.deleted.v1.hex")); err != nil || string(got) != "08051801\n" {
		t.Errorf("binary example %q (%v)", got, err)
	}
	for _, d := range events.Catalogue() {
		for _, name := range []string{"schemas/" + d.ID() + ".json", "golden/" + d.ID() + ".json", "golden/" + d.ID() + ".hex"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRunRefusesAnExampleThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := replace(filepath.Join(dir, "golden", "auth.project.deleted.v1.json"), []byte(`{"project_id":"x"}`)); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err == nil {
		t.Error("no error")
	}
}

func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	said, err := readComments(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range events.Catalogue() {
		text, err := golden.Files.ReadFile(d.ID() + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var example map[string]any
		if err := json.Unmarshal(text, &example); err != nil {
			t.Fatal(err)
		}
		var schema struct {
			ID         string `json:"$id"`
			Required   []string
			Properties map[string]struct{ Type any }
		}
		if err := json.Unmarshal([]byte(renderJSON(schemaOf(d, said))), &schema); err != nil {
			t.Fatalf("the schema of %s is no JSON: %v", d.ID(), err)
		}
		if schema.ID != d.Schema() {
			t.Errorf("schema %s says it is %s", d.Schema(), schema.ID)
		}
		for _, name := range schema.Required {
			if _, ok := example[name]; !ok {
				t.Errorf("%s: example lacks %s", d.ID(), name)
			}
		}
		for name, value := range example {
			if want := schema.Properties[name].Type; !fits(value, want) {
				t.Errorf("%s: %s is %v, schema wants %v", d.ID(), name, value, want)
			}
		}
	}
}

func fits(value, want any) bool {
	if _, ok := value.(map[string]any); ok {
		choices, _ := want.([]any)
		return want == "object" || len(choices) > 0 && choices[0] == "object"
	}
	if choices, ok := want.([]any); ok {
		want = choices[0]
	}
	switch value.(type) {
	case string:
		return want == "string"
	case float64:
		return want == "integer" || want == "number"
	case bool:
		return want == "boolean"
	case []any:
		return want == "array"
	}
	return false
}

func TestEveryFactAndEveryMessageSaysWhatItMeans(t *testing.T) {
	t.Parallel()
	said, err := readComments(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range events.Catalogue() {
		m := d.Type().ProtoReflect().Descriptor()
		if said.message(m) == "" {
			t.Errorf("%s has no comment", d.Name)
		}
		if said.field(m.Fields().ByName("project_id")) == "" || said.field(m.Fields().ByName("version")) == "" {
			t.Errorf("%s: project_id or version without a meaning", d.Name)
		}
	}
}

// Descriptors of protobuf itself have kinds that no fact has yet.
func TestSchemasAndExamplesCoverKindsThatNoFactHasYet(t *testing.T) {
	t.Parallel()
	m := (&descriptorpb.UninterpretedOption{}).ProtoReflect()
	schema := renderJSON(body(m.Descriptor(), &comments{}))
	for _, want := range []string{`"type": "array"`, `"type": "number"`, `"contentEncoding": "base64"`, `"type": "boolean"`} {
		if !strings.Contains(schema, want) {
			t.Errorf("schema lacks %s: %s", want, schema)
		}
	}
	example := (&descriptorpb.SourceCodeInfo_Location{}).ProtoReflect()
	fill(example)
	if example.Get(example.Descriptor().Fields().ByName("path")).List().Len() != 1 {
		t.Errorf("example of a list: %v", example)
	}
	if got := typeName(example.Descriptor().Fields().ByName("path")); got != "list of int32" {
		t.Errorf("type name %q", got)
	}
}

func TestKeysAndTextsAreQuotedWhereYAMLNeedsIt(t *testing.T) {
	t.Parallel()
	got := renderYAML(object{
		{"plain", "a: b # c"}, {"$ref", "x"}, {"empty", object{}}, {"none", list{}},
		{"nested", list{object{{"a", 1}, {"b", true}}}},
	})
	want := "plain: \"a: b # c\"\n\"$ref\": \"x\"\nempty: {}\nnone: []\nnested:\n  - a: 1\n    b: true\n"
	if got != want {
		t.Errorf("wrote\n%s\nwant\n%s", got, want)
	}
}
