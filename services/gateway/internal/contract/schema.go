package contract

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// kind is a set of JSON types; zero stands for any.
type kind uint8

const (
	kString kind = 1 << iota
	kNumber
	kInteger
	kBoolean
	kArray
	kObject
)

func kindOf(name string) (kind, error) {
	switch name {
	case openapi3.TypeString:
		return kString, nil
	case openapi3.TypeNumber:
		return kNumber, nil
	case openapi3.TypeInteger:
		return kInteger, nil
	case openapi3.TypeBoolean:
		return kBoolean, nil
	case openapi3.TypeArray:
		return kArray, nil
	case openapi3.TypeObject:
		return kObject, nil
	}
	return 0, fmt.Errorf("type %q", name)
}

// schema is one compiled schema of a request. See take.go for what it does.
type schema struct {
	kind     kind
	nullable bool
	secret   bool   // its input is never repeated in an answer
	def      []byte // JSON of the default; nil without one

	format  string
	pattern *regexp.Regexp
	minLen  uint64
	maxLen  *uint64

	min, max, multiple *float64
	minOpen, maxOpen   bool

	enum     []string // the JSON of each value
	enumText string   // for the message
	opID     bool     // the values are the operationIds of the contract, and those of enum

	items      *schema
	minItems   uint64
	maxItems   *uint64
	uniqueItem bool

	props    []property // by name
	required []string
	open     bool    // takes members that it does not declare: additionalProperties, or a free object
	extraOf  *schema // what those have to be; nil for anything
	minProps uint64
	maxProps *uint64

	any, one []*schema
	not      *schema
}

type property struct {
	name     string
	required bool
	schema   *schema
}

// compiler compiles each schema once, so that recursive ones end.
type compiler struct {
	done map[*openapi3.Schema]*schema
	ids  []*schema // that take the operationIds of the contract
}

func (c *compiler) compile(ref *openapi3.SchemaRef, at string) (*schema, error) {
	if ref == nil || ref.Value == nil {
		return &schema{open: true}, nil
	}
	in := ref.Value
	if s, ok := c.done[in]; ok {
		return s, nil
	}
	s := &schema{}
	c.done[in] = s
	if err := unknownWords(in); err != nil {
		return nil, fmt.Errorf("schema %s: %w", at, err)
	}
	if len(in.AllOf) > 0 {
		merged, err := mergeAll(in)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", at, err)
		}
		in = merged
	}
	for _, step := range []func(*schema, *openapi3.Schema, string) error{
		c.scalars, c.object, c.compound, c.values,
	} {
		if err := step(s, in, at); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// unknownWords refuses what take does not enforce.
func unknownWords(in *openapi3.Schema) error {
	var words []string
	for word, used := range map[string]bool{
		"const": in.Const != nil, "prefixItems": in.PrefixItems != nil, "contains": in.Contains != nil,
		"patternProperties": in.PatternProperties != nil, "dependentSchemas": in.DependentSchemas != nil,
		"propertyNames": in.PropertyNames != nil, "if": in.If != nil,
		"discriminator": in.Discriminator != nil && len(in.OneOf) == 0 && len(in.AnyOf) == 0,
	} {
		if used {
			words = append(words, word)
		}
	}
	if len(words) > 0 {
		sort.Strings(words)
		return fmt.Errorf("%s cannot be checked in requests", strings.Join(words, ", "))
	}
	return nil
}

// mergeAll folds allOf into one schema: the members must be plain objects, or
// a single reference that the schema around it only annotates.
func mergeAll(in *openapi3.Schema) (*openapi3.Schema, error) {
	if len(in.AllOf) == 1 && len(in.Properties) == 0 && len(in.Required) == 0 {
		out := *in.AllOf[0].Value
		out.Nullable = out.Nullable || in.Nullable
		if in.Default != nil {
			out.Default = in.Default
		}
		if len(out.AllOf) > 0 {
			return mergeAll(&out)
		}
		return &out, nil
	}
	out := *in
	out.AllOf = nil
	out.Properties = openapi3.Schemas{}
	out.Required = slices.Clone(in.Required)
	object := openapi3.Types{openapi3.TypeObject}
	out.Type = &object
	for name, p := range in.Properties {
		out.Properties[name] = p
	}
	for _, ref := range in.AllOf {
		m := ref.Value
		if len(m.AllOf) > 0 {
			var err error
			if m, err = mergeAll(m); err != nil {
				return nil, err
			}
		}
		if len(m.AnyOf)+len(m.OneOf) > 0 || m.Not != nil || !m.Type.Is(openapi3.TypeObject) {
			return nil, fmt.Errorf("allOf of anything but plain objects cannot be checked in requests")
		}
		for name, p := range m.Properties {
			if _, twice := out.Properties[name]; twice {
				return nil, fmt.Errorf("allOf declares %q twice", name)
			}
			out.Properties[name] = p
		}
		out.Required = append(out.Required, m.Required...)
	}
	return &out, nil
}

func (c *compiler) scalars(s *schema, in *openapi3.Schema, at string) error {
	for _, name := range in.Type.Slice() {
		if name == openapi3.TypeNull {
			s.nullable = true
			continue
		}
		k, err := kindOf(name)
		if err != nil {
			return fmt.Errorf("schema %s: %w", at, err)
		}
		s.kind |= k
	}
	s.nullable = s.nullable || in.Nullable
	s.format, s.secret = in.Format, in.Format == "password"
	s.minLen, s.maxLen = in.MinLength, in.MaxLength
	s.min, s.max, s.multiple = in.Min, in.Max, in.MultipleOf
	if in.ExclusiveMin.Value != nil {
		s.min, s.minOpen = in.ExclusiveMin.Value, true
	}
	if in.ExclusiveMax.Value != nil {
		s.max, s.maxOpen = in.ExclusiveMax.Value, true
	}
	s.minOpen = s.minOpen || in.ExclusiveMin.IsTrue()
	s.maxOpen = s.maxOpen || in.ExclusiveMax.IsTrue()
	if in.Pattern == "" {
		return nil
	}
	re, err := regexp.Compile(in.Pattern)
	if err != nil {
		return fmt.Errorf("schema %s: pattern: %w", at, err)
	}
	s.pattern = re
	return nil
}

func (c *compiler) object(s *schema, in *openapi3.Schema, at string) error {
	names := make([]string, 0, len(in.Properties))
	for name := range in.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		ref := in.Properties[name]
		if ref.Value != nil && ref.Value.ReadOnly {
			continue
		}
		p, err := c.compile(ref, at+"."+name)
		if err != nil {
			return err
		}
		s.props = append(s.props, property{name: name, schema: p, required: slices.Contains(in.Required, name)})
	}
	for _, name := range in.Required {
		if _, declared := in.Properties[name]; !declared {
			s.required = append(s.required, name)
		}
	}
	s.minProps, s.maxProps = in.MinProps, in.MaxProps
	more := in.AdditionalProperties
	switch {
	case more.Schema != nil:
		of, err := c.compile(more.Schema, at+".*")
		if err != nil {
			return err
		}
		s.open, s.extraOf = true, of
	case more.Has != nil:
		s.open = *more.Has
	default:
		s.open = len(in.Properties) == 0
	}
	return nil
}

func (c *compiler) compound(s *schema, in *openapi3.Schema, at string) error {
	s.minItems, s.maxItems, s.uniqueItem = in.MinItems, in.MaxItems, in.UniqueItems
	var err error
	if in.Items != nil {
		if s.items, err = c.compile(in.Items, at+"[]"); err != nil {
			return err
		}
	}
	if in.Not != nil {
		if s.not, err = c.compile(in.Not, at+".not"); err != nil {
			return err
		}
	}
	if s.any, err = c.list(in.AnyOf, at+".anyOf"); err != nil {
		return err
	}
	s.one, err = c.list(in.OneOf, at+".oneOf")
	return err
}

func (c *compiler) list(refs openapi3.SchemaRefs, at string) ([]*schema, error) {
	var out []*schema
	for i, ref := range refs {
		s, err := c.compile(ref, fmt.Sprintf("%s[%d]", at, i))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// values compiles enum and default; the default has to pass its own schema.
func (c *compiler) values(s *schema, in *openapi3.Schema, at string) error {
	texts := make([]string, 0, len(in.Enum))
	for _, v := range in.Enum {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("schema %s: enum: %w", at, err)
		}
		s.enum = append(s.enum, string(b))
		if v != nil {
			texts = append(texts, "'"+strings.Trim(string(b), `"`)+"'")
		}
	}
	s.enumText = orList(texts)
	if also, there := in.Extensions["x-operation-id"]; there {
		if err := c.operationIDs(s, also); err != nil {
			return fmt.Errorf("schema %s: x-operation-id: %w", at, err)
		}
	}
	if in.Default == nil {
		// `default: null` and no default look the same in the document; both
		// mean null to a reader of the rebuilt body, so neither is written.
		return nil
	}
	b, err := json.Marshal(in.Default)
	if err != nil {
		return fmt.Errorf("schema %s: default: %w", at, err)
	}
	v, err := decode(b)
	if err != nil {
		return fmt.Errorf("schema %s: default: %w", at, err)
	}
	var f faults
	b = s.take(nil, v, nil, &f)
	if len(f.list) > 0 {
		return fmt.Errorf("schema %s: default: %s", at, f.list[0].Msg)
	}
	s.def = b
	return nil
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
