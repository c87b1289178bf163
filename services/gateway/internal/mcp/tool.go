package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// project is the argument by which a tool names its project, where the
// operation has it in a header.
const project = "project_id"

// tool is an operation as a tool.
type tool struct {
	sdk  *sdk.Tool
	op   *contract.Operation
	in   map[string]string // where an argument goes: path, query, header or body
	body bool              // the operation has a body
}

// tools makes a tool of each operation that x-mcp names.
func tools(c *contract.Contract) ([]*tool, error) {
	var out []*tool
	var faulty []error
	names := map[string]string{}
	for _, op := range c.Operations {
		if op.Tool == "" {
			continue
		}
		if other := names[op.Tool]; other != "" {
			faulty = append(faulty, fmt.Errorf("x-mcp %s: both %s and %s", op.Tool, other, op.ID))
		}
		names[op.Tool] = op.ID
		t, err := newTool(c, op)
		if err != nil {
			faulty = append(faulty, fmt.Errorf("x-mcp %s: %w", op.Tool, err))
			continue
		}
		out = append(out, t)
	}
	return out, errors.Join(faulty...)
}

func newTool(c *contract.Contract, op *contract.Operation) (*tool, error) {
	spec, shared := operation(c.Document, op)
	t := &tool{op: op, in: map[string]string{}}
	members := map[string]any{}
	var required []string
	var faulty []error
	add := func(name, in string, schema map[string]any, needed bool) {
		if t.in[name] != "" {
			faulty = append(faulty, fmt.Errorf("%s: both in %s and %s", name, t.in[name], in))
		}
		t.in[name], members[name] = in, schema
		if needed {
			required = append(required, name)
		}
	}
	for _, ref := range append(slices.Clone(spec.Parameters), shared...) {
		p := ref.Value
		schema := jsonSchema(p.Schema, 0)
		if p.Description != "" {
			schema["description"] = p.Description
		}
		switch {
		case p.Name == contract.HeaderProject:
			add(project, "header", schema, false)
		case p.In == openapi3.ParameterInPath, p.In == openapi3.ParameterInQuery:
			add(p.Name, p.In, schema, p.Required)
		}
	}
	if spec.RequestBody != nil {
		media := spec.RequestBody.Value.Content.Get("application/json")
		if media == nil || media.Schema.Value == nil || len(media.Schema.Value.Properties) == 0 {
			return nil, errors.New("its body is not a JSON object with members")
		}
		t.body = true
		object := media.Schema.Value
		for _, name := range slices.Sorted(maps.Keys(object.Properties)) {
			add(name, "body", jsonSchema(object.Properties[name], 0), spec.RequestBody.Value.Required && slices.Contains(object.Required, name))
		}
	}
	slices.Sort(required)
	input := map[string]any{"type": "object", "properties": members, "additionalProperties": false}
	if len(required) > 0 {
		input["required"] = required
	}
	text, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	destructive := op.Method == http.MethodDelete
	open := false
	t.sdk = &sdk.Tool{
		Name: op.Tool, Title: spec.Summary, Description: strings.TrimSpace(spec.Summary + ".\n" + spec.Description), InputSchema: json.RawMessage(text),
		Annotations: &sdk.ToolAnnotations{
			Title: spec.Summary, ReadOnlyHint: op.Reads(), DestructiveHint: &destructive, OpenWorldHint: &open,
			IdempotentHint: op.Reads() || op.Method == http.MethodPut || op.Method == http.MethodDelete,
		},
	}
	return t, errors.Join(faulty...)
}

// operation is the operation in the document, and the parameters of its path.
func operation(doc *openapi3.T, op *contract.Operation) (*openapi3.Operation, openapi3.Parameters) {
	for _, path := range []string{op.Path, op.Path + "/"} {
		if item := doc.Paths.Value(path); item != nil {
			if o := item.GetOperation(op.Method); o != nil {
				return o, item.Parameters
			}
		}
	}
	return &openapi3.Operation{}, nil
}

// request is the call of the operation with these arguments.
func (t *tool) request(arguments json.RawMessage) (*http.Request, error) {
	args := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(arguments)) > 0 {
		if err := json.Unmarshal(arguments, &args); err != nil {
			return nil, errors.New("the arguments are not a JSON object")
		}
	}
	path, query, body := t.op.Path, url.Values{}, map[string]json.RawMessage{}
	header := http.Header{"Accept": {"application/json"}}
	for name, value := range args {
		if string(value) == "null" && t.in[name] != "body" {
			continue // models say so for what they leave out
		}
		switch t.in[name] {
		case "path":
			v := text(value)
			if v == "" || v == "." || v == ".." { // it would be the address of something else
				return nil, fmt.Errorf("the argument %s is %q, which names nothing", name, v)
			}
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(v))
		case "query":
			query[name] = texts(value)
		case "header":
			header.Set(contract.HeaderProject, text(value))
		case "body":
			body[name] = value
		default:
			return nil, fmt.Errorf("no argument is called %s; there are %s", name, strings.Join(slices.Sorted(maps.Keys(t.in)), ", "))
		}
	}
	if at := strings.IndexByte(path, '{'); at >= 0 {
		return nil, fmt.Errorf("the argument %s is missing", strings.Trim(path[at:strings.IndexByte(path, '}')+1], "{}"))
	}
	u := &url.URL{Path: path, RawQuery: query.Encode()}
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = unescaped, path
	}
	r := &http.Request{Method: t.op.Method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: http.NoBody}
	if t.body {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = readCloser{bytes.NewReader(data)}, int64(len(data))
	}
	return r, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// text is an argument as it stands in a path or a query: strings without their
// quotes, all else as written.
func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// texts are the values of an argument: those of a list one by one.
func texts(v json.RawMessage) []string {
	var list []json.RawMessage
	if json.Unmarshal(v, &list) != nil {
		return []string{text(v)}
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, text(x))
	}
	return out
}
