package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// Bounds of schemas and of what is checked against them.
const (
	MaxSchema  = 64 << 10  // bytes
	MaxData    = 192 << 10 // bytes; with what is added to it, it still is an event
	MaxPerTeam = 200       // schemas of one team in one project
)

// The refusals of this package.
var (
	ErrNotFound = errs.New(errs.NotFound, "schema not found")
	ErrOther    = errs.New(errs.Conflict, "another schema is registered for this version: register the next one")
	ErrMany     = errs.Newf(errs.Conflict, "a team may have %d schemas in a project", MaxPerTeam)
)

// Name says of which fact a schema is the form.
type Name struct {
	Team, Noun, Fact string
	Version          int
}

// String is the rest of the subject: "billing.invoice.paid.v1".
func (n Name) String() string {
	return n.Team + "." + n.Noun + "." + n.Fact + ".v" + strconv.Itoa(n.Version)
}

// Schema is the registered form of one fact.
type Schema struct {
	ID           int64
	Name         Name
	Document     json.RawMessage
	RegisteredBy string
	CreatedAt    time.Time
}

// Subject is where the team says the fact.
func (s Schema) Subject(p tenant.Project) string { return "ext." + p.Token() + "." + s.Name.String() }

var (
	team = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)
	word = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)
)

// Check refuses a schema that cannot be registered.
func (s Schema) Check() error {
	switch {
	case !team.MatchString(s.Name.Team):
		return errs.InvalidField("value_error", "a team is lower-case letters, digits and dashes", "body", "team")
	case !word.MatchString(s.Name.Noun):
		return errs.InvalidField("value_error", "a noun is lower-case letters, digits and underscores", "body", "noun")
	case !word.MatchString(s.Name.Fact):
		return errs.InvalidField("value_error", "a fact is lower-case letters, digits and underscores", "body", "fact")
	case s.Name.Version < 1 || s.Name.Version > 1000:
		return errs.InvalidField("value_error", "a version is from 1 to 1000", "body", "version")
	case len(s.Document) > MaxSchema:
		return errs.InvalidField("value_error", fmt.Sprintf("a schema has at most %d bytes", MaxSchema), "body", "schema")
	}
	_, err := s.Compile()
	return err
}

// Same reports whether both describe the same form.
func (s Schema) Same(document json.RawMessage) bool {
	var a, b any
	return json.Unmarshal(s.Document, &a) == nil && json.Unmarshal(document, &b) == nil && reflect.DeepEqual(a, b)
}

// Form checks data.
type Form struct{ of *jsonschema.Schema }

// nowhere refuses to load: a schema is whole in itself.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not part of the schema", url)
}

const root = "urn:commandcenter:schema"

// Compile makes the schema ready for checking.
func (s Schema) Compile() (Form, error) {
	fail := func(err error) (Form, error) {
		return Form{}, errs.InvalidField("value_error", "not a JSON Schema: "+err.Error(), "body", "schema")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.Document))
	if err != nil {
		return fail(err)
	}
	if _, ok := doc.(map[string]any); !ok {
		return fail(errors.New("want an object"))
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.AssertFormat()
	if err := c.AddResource(root, doc); err != nil {
		return fail(err)
	}
	of, err := c.Compile(root)
	if err != nil {
		return fail(err)
	}
	return Form{of}, nil
}

// Read returns the object in data when it fits the form.
func (f Form) Read(data []byte) (map[string]any, error) {
	if len(data) > MaxData {
		return nil, errs.Newf(errs.TooLarge, "the fact has %d bytes, at most %d are allowed", len(data), MaxData)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, errs.Newf(errs.Invalid, "the fact is not JSON: %w", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errs.New(errs.Invalid, "the fact is no JSON object")
	}
	if err := f.of.Validate(v); err != nil {
		return nil, errs.Newf(errs.Invalid, "the fact does not fit its schema: %w", err)
	}
	return object, nil
}
