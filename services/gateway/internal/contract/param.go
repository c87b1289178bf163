package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Headers that the edge itself acts on; they are checked like any parameter
// and not passed on.
const (
	HeaderProject     = "X-Project-ID"
	HeaderIdempotency = "Idempotency-Key"
	HeaderPrefer      = "Prefer"
)

// param is one compiled parameter.
type param struct {
	name     string
	in       string // path, query, header or cookie
	index    int    // among the path's parameters
	required bool
	edge     bool // for the edge alone
	split    bool // one comma separated value instead of a repeated one
	schema   *schema
}

func (c *compiler) param(in *openapi3.Parameter) (param, error) {
	p := param{name: in.Name, in: in.In, required: in.Required}
	if in.Content != nil {
		return p, fmt.Errorf("parameter %s: content is not supported", in.Name)
	}
	switch in.In {
	case openapi3.ParameterInPath, openapi3.ParameterInQuery, openapi3.ParameterInCookie:
	case openapi3.ParameterInHeader:
		p.name = http.CanonicalHeaderKey(in.Name)
		p.edge = strings.EqualFold(in.Name, HeaderProject) || strings.EqualFold(in.Name, HeaderIdempotency) || strings.EqualFold(in.Name, HeaderPrefer)
	default:
		return p, fmt.Errorf("parameter %s: parameters in %s are not supported", in.Name, in.In)
	}
	if in.Style != "" && in.Style != openapi3.SerializationForm && in.Style != openapi3.SerializationSimple {
		return p, fmt.Errorf("parameter %s: style %s is not supported", in.Name, in.Style)
	}
	s, err := c.compile(in.Schema, in.Name)
	if err != nil {
		return p, err
	}
	if s.kind&kObject != 0 {
		return p, fmt.Errorf("parameter %s: objects are not supported", in.Name)
	}
	p.schema = s
	p.split = in.In == openapi3.ParameterInHeader || in.Explode != nil && !*in.Explode
	if p.edge {
		return p, nil
	}
	p.name = in.Name // as the contract spells it, in the payload
	return p, nil
}

// Values are the raw parameters of one request.
type Values struct {
	Path   []string // in the order of the path's segments, unescaped
	Query  url.Values
	Header http.Header
	// Secure says that the call came over TLS: of a cookie that has a twin with the
	// prefix __Host-, that one alone is looked at, since any server of the domain may
	// have set the other.
	Secure bool
}

const hostPrefix = "__Host-"

// Parameters checks the raw parameters and appends them as members of a JSON
// object, without the braces. The second result lists what is wrong; the bytes
// mean nothing then.
func (o *Operation) Parameters(dst []byte, v Values) ([]byte, []errs.Field) {
	var f faults
	first := true
	for i := range o.params {
		p := &o.params[i]
		raw, sent := p.find(v)
		if p.in == openapi3.ParameterInCookie && v.Secure && o.takesCookie(hostPrefix+p.name) {
			continue
		}
		at := loc{up: &loc{name: p.in}, name: p.name}
		if !sent {
			if p.required {
				f.add(&at, "missing", "Field required", nil, nil)
				continue
			}
			if p.schema.def == nil {
				continue
			}
		}
		began := len(dst)
		if !p.edge {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = appendString(dst, p.name)
			dst = append(dst, ':')
		}
		if sent {
			dst = p.take(dst, raw, &at, &f)
		} else {
			dst = append(dst, p.schema.def...)
		}
		if p.edge {
			dst = dst[:began]
		}
	}
	if !o.OpenQuery {
		o.foreign(v.Query, &f)
	}
	return dst, f.list
}

// OfInstance reports whether a call with this query works in no project, see
// [Operation.Instance]. A value that is none is refused with the other parameters.
func (o *Operation) OfInstance(query url.Values) bool {
	p := o.flag()
	if p == nil {
		return false
	}
	raw, sent := p.find(Values{Query: query})
	if !sent {
		return false
	}
	yes, _ := p.schema.coerce(raw[len(raw)-1])
	return yes == true
}

// flag is the parameter of [Operation.Instance], nil without one that is true or
// false.
func (o *Operation) flag() *param {
	i := slices.IndexFunc(o.params, func(p param) bool {
		return p.in == openapi3.ParameterInQuery && p.name == o.Instance && p.schema.kind == kBoolean
	})
	if o.Instance == "" || i < 0 {
		return nil
	}
	return &o.params[i]
}

func (o *Operation) takesCookie(name string) bool {
	return slices.ContainsFunc(o.params, func(p param) bool { return p.in == openapi3.ParameterInCookie && p.name == name })
}

// foreign refuses the query parameters that the operation does not have.
func (o *Operation) foreign(query url.Values, f *faults) {
	var names []string
	for name := range query {
		if !slices.ContainsFunc(o.params, func(p param) bool { return p.in == openapi3.ParameterInQuery && p.name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		f.extra(&loc{up: &loc{name: openapi3.ParameterInQuery}, name: name})
	}
}

func (p *param) find(v Values) ([]string, bool) {
	var raw []string
	switch p.in {
	case openapi3.ParameterInPath:
		if p.index < len(v.Path) {
			raw = v.Path[p.index : p.index+1]
		}
	case openapi3.ParameterInQuery:
		raw = v.Query[p.name]
	case openapi3.ParameterInCookie:
		if c, err := (&http.Request{Header: v.Header}).Cookie(p.name); err == nil {
			raw = []string{c.Value}
		}
	default:
		raw = v.Header[http.CanonicalHeaderKey(p.name)]
	}
	return raw, len(raw) > 0
}

func (p *param) take(dst []byte, raw []string, at *loc, f *faults) []byte {
	if p.schema.kind&kArray == 0 {
		return p.schema.takeRaw(dst, raw[len(raw)-1], at, f)
	}
	if p.split {
		raw = strings.Split(raw[len(raw)-1], ",")
	}
	items := make([]any, len(raw))
	for i, r := range raw {
		here := loc{up: at, index: i}
		if !utf8.ValidString(r) {
			f.add(&here, "string_unicode", "Input should be valid UTF-8", nil, nil)
			return dst
		}
		items[i] = r
		if p.schema.items == nil {
			continue
		}
		v, ok := p.schema.items.coerce(r)
		if !ok {
			p.schema.items.unparsed(r, &here, f)
			return dst
		}
		items[i] = v
	}
	return p.schema.takeArray(dst, items, at, f)
}

// takeRaw takes the text of a parameter or form field.
func (s *schema) takeRaw(dst []byte, raw string, at *loc, f *faults) []byte {
	if !utf8.ValidString(raw) {
		f.add(at, "string_unicode", "Input should be valid UTF-8", nil, nil)
		return dst
	}
	v, ok := s.coerce(raw)
	if !ok {
		s.unparsed(raw, at, f)
		return dst
	}
	return s.take(dst, v, at, f)
}

// coerce reads text as the type that the schema wants.
func (s *schema) coerce(raw string) (any, bool) {
	switch {
	case s.kind == 0 && len(s.any)+len(s.one) > 0:
		for _, b := range append(s.any, s.one...) {
			if v, ok := b.coerce(raw); ok {
				var f faults
				if b.take(nil, v, nil, &f); len(f.list) == 0 {
					return v, true
				}
			}
		}
		return raw, true
	case s.kind == 0 || s.kind&kString != 0:
		return raw, true
	case s.kind&kInteger != 0 && s.kind&kNumber == 0:
		text := strings.TrimSpace(raw)
		return json.Number(text), isInteger(text)
	case s.kind&kNumber != 0:
		text := strings.TrimSpace(raw)
		return json.Number(text), json.Valid([]byte(text)) && isNumber(text)
	case s.kind&kBoolean != 0:
		switch strings.ToLower(raw) {
		case "true", "1", "yes", "on", "t", "y":
			return true, true
		case "false", "0", "no", "off", "f", "n":
			return false, true
		}
	}
	return nil, false
}

func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func isNumber(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9')
}

func (s *schema) unparsed(raw string, at *loc, f *faults) {
	typ, msg := "value_error", "Input cannot be read"
	switch {
	case s.kind&kInteger != 0 && s.kind&kNumber == 0:
		typ, msg = "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
	case s.kind&kNumber != 0:
		typ, msg = "float_parsing", "Input should be a valid number, unable to parse string as a number"
	case s.kind&kBoolean != 0:
		typ, msg = "bool_parsing", "Input should be a valid boolean, unable to interpret input"
	}
	f.add(at, typ, msg, s.shown(raw), nil)
}
