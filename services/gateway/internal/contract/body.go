package contract

import (
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Body says what an operation reads. The zero value reads nothing.
type Body struct {
	Required bool
	Types    []string // media types of the contract, sorted

	json *schema
	form *schema         // of multipart/form-data and urlencoded forms
	file map[string]bool // form fields that hold a file
	raw  bool            // any other type: the body is the file
}

// Form is how a body of some media type is read.
type Form uint8

// The ways to read a body.
const (
	NoBody    Form = iota // there is none, or nobody reads it
	JSONBody              // one JSON value
	Multipart             // multipart/form-data, files streamed
	URLForm               // application/x-www-form-urlencoded
	RawBody               // the body itself is the file
)

func (c *compiler) body(ref *openapi3.RequestBodyRef, id string) (Body, error) {
	var b Body
	if ref == nil || ref.Value == nil {
		return b, nil
	}
	b.Required = ref.Value.Required
	for name, media := range ref.Value.Content {
		b.Types = append(b.Types, name)
		s, err := c.compile(media.Schema, id)
		if err != nil {
			return b, err
		}
		switch {
		case name == "application/json" || strings.HasSuffix(name, "+json"):
			b.json = s
		case name == "multipart/form-data" || name == "application/x-www-form-urlencoded":
			if s.kind != kObject {
				return b, fmt.Errorf("operation %s: a form has to be an object", id)
			}
			b.form = s
			b.file = map[string]bool{}
			for _, p := range s.props {
				if p.schema.format == "binary" {
					b.file[p.name] = true
				}
			}
			if len(b.file) > 1 {
				return b, fmt.Errorf("operation %s: more than one file in a form", id)
			}
		default:
			b.raw = true
		}
	}
	slices.Sort(b.Types)
	return b, nil
}

// Read tells how a body of this Content-Type is read. A missing type is taken
// for JSON where JSON is read, since clients forget it with small bodies.
func (b *Body) Read(contentType string) (Form, map[string]string, error) {
	if len(b.Types) == 0 {
		return NoBody, nil, nil
	}
	if b.json != nil && (contentType == "" || contentType == "application/json") {
		return JSONBody, nil, nil
	}
	name, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
	case b.json != nil && (name == "application/json" || strings.HasSuffix(name, "+json")):
		if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
			break
		}
		return JSONBody, params, nil
	case name == "multipart/form-data" && slices.Contains(b.Types, name):
		return Multipart, params, nil
	case name == "application/x-www-form-urlencoded" && slices.Contains(b.Types, name):
		return URLForm, params, nil
	case b.raw && (slices.Contains(b.Types, name) || slices.Contains(b.Types, "*/*")):
		return RawBody, params, nil
	}
	return NoBody, nil, errs.New(errs.Unsupported, "the body should be "+orList(b.Types))
}

// JSON checks a JSON body and appends it rebuilt. An empty body, and the
// literal null where the schema does not know it, count as no body at all.
// present says whether anything was appended.
func (b *Body) JSON(dst, body []byte) (out []byte, present bool, fields []errs.Field, err error) {
	at := &loc{name: "body"}
	var f faults
	v, absent, err := b.read(body)
	if err != nil {
		return dst, false, nil, err
	}
	if absent {
		if b.Required {
			f.add(at, "missing", "Field required", nil, nil)
		}
		return dst, false, f.list, nil
	}
	dst = b.json.take(dst, v, at, &f)
	return dst, true, f.list, nil
}

// Nothing says what is wrong with a body that nobody reads: whatever it says would go
// unheeded. An empty one, the literal null, and an object without members say
// nothing.
func Nothing(body []byte) []errs.Field {
	if len(trimSpace(body)) == 0 {
		return nil
	}
	var f faults
	at := &loc{name: "body"}
	v, err := decode(body)
	members, object := v.(map[string]any)
	switch {
	case err != nil, v != nil && !object:
		f.extra(at)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		f.extra(&loc{up: at, name: name})
	}
	return f.list
}

func (b *Body) read(body []byte) (v any, absent bool, err error) {
	if len(trimSpace(body)) == 0 {
		return nil, true, nil
	}
	if v, err = decode(body); err != nil {
		return nil, false, err
	}
	return v, v == nil && !b.json.nullable && !b.json.unconstrained(), nil
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// IsFile reports whether the form field name holds a file.
func (b *Body) IsFile(name string) bool { return b.file[name] }

// IsField reports whether the form declares a plain field of this name.
func (b *Body) IsField(name string) bool {
	return b.form.property(name) != nil && !b.file[name]
}

// IsList reports whether every value of the form field name counts; of any
// other only the last one does.
func (b *Body) IsList(name string) bool {
	p := b.form.property(name)
	return p != nil && p.schema.kind&kArray != 0
}

func (s *schema) property(name string) *property {
	i, ok := slices.BinarySearchFunc(s.props, name, func(p property, n string) int { return strings.Compare(p.name, n) })
	if !ok {
		return nil
	}
	return &s.props[i]
}

// Fields checks the text fields of a form and appends them as a JSON object; a
// field that the contract does not name is at fault. file tells which file fields came along. An empty field that should be a
// number is what browsers send for one left blank: it counts as not sent.
func (b *Body) Fields(dst []byte, values map[string][]string, file map[string]bool) ([]byte, []errs.Field) {
	root := &loc{name: "body"}
	var f faults
	dst = append(dst, '{')
	first := true
	for i := range b.form.props {
		p := &b.form.props[i]
		at := loc{up: root, name: p.name}
		if b.file[p.name] {
			if p.required && !file[p.name] {
				f.add(&at, "missing", "Field required", nil, nil)
			}
			continue
		}
		raw := values[p.name]
		blank := len(raw) == 0 || raw[len(raw)-1] == "" && (p.schema.kind&(kString|kArray) == 0 || p.schema.nullable)
		if blank && p.required {
			f.add(&at, "missing", "Field required", nil, nil)
			continue
		}
		if blank && p.schema.def == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, p.name)
		dst = append(dst, ':')
		if blank {
			dst = append(dst, p.schema.def...)
			continue
		}
		field := param{name: p.name, schema: p.schema}
		dst = field.take(dst, raw, &at, &f)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if b.form.property(name) == nil {
			f.extra(&loc{up: root, name: name})
		}
	}
	return append(dst, '}'), f.list
}
