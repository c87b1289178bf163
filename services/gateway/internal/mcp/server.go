package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// maxAnswer bounds the answer of a tool, in bytes: a model has no use for more.
const maxAnswer = 1 << 20

// enveloped is how many times its size an answer may have in its message: it is there
// as JSON and as a text, and either may write a byte as six.
const enveloped = 13

// wait is how long a tool waits for a write to end, in seconds, before it says
// that it goes on.
const wait = 30

// Server answers messages of the protocol.
type Server struct {
	http  *sdk.StreamableHTTPHandler
	edge  http.Handler
	tools []*tool
}

// peer carries the address of the caller through the SDK, and allowed the names of
// the tools that the caller may use: it hands headers on and nothing else. What a
// caller sends under these names is overwritten.
const (
	peer    = "Cc-Peer"
	allowed = "Cc-Tools"
)

// New offers the tools of the contract. Calls of tools go to edge, with the
// credentials, the address and the trace of the message.
func New(c *contract.Contract, name, version string, edge http.Handler, log *slog.Logger) (*Server, error) {
	offered, err := tools(c)
	if err != nil {
		return nil, err
	}
	s := &Server{edge: edge, tools: offered}
	server := sdk.NewServer(&sdk.Implementation{Name: strings.ToLower(name), Title: name, Version: version}, &sdk.ServerOptions{
		Logger:       log,
		Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{}}, // nobody is told of changes: there are no sessions
		Instructions: "Search and fill the knowledge base of a project of " + name + ". project_id chooses the project; without it, it is the caller's default. " +
			"Writes answer when they are done, or after " + strconv.Itoa(wait) + " seconds with an operation that goes on.",
	})
	for _, t := range offered {
		server.AddTool(t.sdk, func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			return s.call(ctx, t, r)
		})
	}
	server.AddReceivingMiddleware(onlyAllowed)
	s.http = sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
		// Without sessions every gateway answers every message. Localhost needs no
		// guard of its own: nobody comes in without credentials.
		Stateless: true, JSONResponse: true, DisableLocalhostProtection: true, PropagateRequestCancellation: true,
		Logger: log, MaxRequestBodyBytes: -1, // the edge has read the body, bounded
	})
	return s, nil
}

// onlyAllowed leaves those tools in a list that the caller may use.
func onlyAllowed(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
		res, err := next(ctx, method, r)
		list, ok := res.(*sdk.ListToolsResult)
		if err != nil || !ok {
			return res, err
		}
		var names []string
		if extra := r.GetExtra(); extra != nil {
			names = extra.Header.Values(allowed)
		}
		list.Tools = slices.DeleteFunc(list.Tools, func(t *sdk.Tool) bool { return !slices.Contains(names, t.Name) })
		return list, nil
	}
}

// call calls the operation behind a tool. Its refusals are results, so that the
// model can read them and do better.
func (s *Server) call(ctx context.Context, t *tool, m *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	r, err := t.request(m.Params.Arguments)
	if err != nil {
		return failed(err.Error()), nil
	}
	if m.Extra == nil {
		return failed("the call came without its headers"), nil
	}
	from := m.Extra.Header
	for _, name := range []string{"Authorization", "X-Api-Key", "Traceparent", "Tracestate", "User-Agent", "X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		if v := from.Values(name); len(v) > 0 {
			r.Header[name] = v
		}
	}
	if r.Header.Get(contract.HeaderProject) == "" && t.op.Project == contract.CurrentProject {
		if v := from.Get(contract.HeaderProject); v != "" { // of the connection as a whole
			r.Header.Set(contract.HeaderProject, v)
		}
	}
	if t.op.Delivery == contract.Command {
		r.Header.Set("Prefer", "wait="+strconv.Itoa(wait))
	}
	r.RemoteAddr, r.RequestURI, r.Host = from.Get(peer), r.URL.RequestURI(), "mcp"
	w := &recorder{header: http.Header{}, most: maxAnswer}
	s.edge.ServeHTTP(w, r.WithContext(ctx))
	if w.over {
		return failed(fmt.Sprintf("the answer is larger than %d KiB: ask for less, by a limit or a filter", maxAnswer>>10)), nil
	}
	return result(w.code(), w.body.Bytes()), nil
}

func failed(why string) *sdk.CallToolResult {
	return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: why}}}
}

// result is an answer as a result: text for models, and JSON for programs.
// Lists are members of an object, as older revisions want it.
func result(status int, body []byte) *sdk.CallToolResult {
	body = bytes.TrimSpace(body)
	if status >= http.StatusBadRequest {
		return failed(refusal(status, body))
	}
	if len(body) == 0 {
		body = []byte(`{"status":"done"}`)
	}
	out := &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: string(body)}}}
	switch {
	case !json.Valid(body):
	case body[0] == '{':
		out.StructuredContent = json.RawMessage(body)
	default:
		out.StructuredContent = map[string]any{"items": json.RawMessage(body)}
	}
	return out
}

// refusal is a problem in words.
func refusal(status int, body []byte) string {
	var p struct {
		Title  string          `json:"title"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		return strconv.Itoa(status) + " " + http.StatusText(status)
	}
	var detail string
	var faults []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	switch {
	case json.Unmarshal(p.Detail, &detail) == nil:
	case json.Unmarshal(p.Detail, &faults) == nil:
		for i, f := range faults {
			if i > 0 {
				detail += "; "
			}
			if len(f.Loc) > 0 {
				detail += fmt.Sprint(f.Loc[len(f.Loc)-1]) + ": "
			}
			detail += f.Msg
		}
	}
	if detail == "" {
		return p.Title
	}
	return detail
}

// recorder keeps an answer of bounded size.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	most   int
	over   bool
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(b) > w.most {
		w.over = true
		return 0, http.ErrBodyNotAllowed
	}
	return w.body.Write(b)
}

func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
