package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// Delivery is the way from the edge to the service that answers.
type Delivery string

// The deliveries.
const (
	Request Delivery = "request" // asked and answered
	Command Delivery = "command" // durable before the service sees it
	Upload  Delivery = "upload"  // a command whose bytes go by the object store
	Stream  Delivery = "stream"  // asked, and answered in pieces, the last of which is the whole
	Live    Delivery = "live"    // server-sent events
	Edge    Delivery = "edge"    // answered by the gateway itself
)

// Permission is the least standing that an operation takes.
type Permission string

// The permissions, lowest first. From Viewer on they are roles in the project.
const (
	Public        Permission = "public"
	Authenticated Permission = "authenticated"
	Viewer        Permission = "viewer"
	Member        Permission = "member"
	Admin         Permission = "admin"
	Owner         Permission = "owner"
	Superuser     Permission = "superuser"
)

// Scope says which project an operation works in.
type Scope string

// The scopes.
const (
	NoProject      Scope = "none"
	CurrentProject Scope = "current" // X-Project-ID, else the caller's default
	PathProject    Scope = "path"    // the path parameter project_id
)

// Rate is a limit of calls.
type Rate struct {
	N   int
	Per time.Duration
}

// Watch says how a live operation learns what to tell.
type Watch struct {
	State string   // operation that answers the state
	Job   string   // field of the state that names the job to follow
	Field string   // field of the state that says where it stands
	Until []string // values of Field that end the stream
}

// Operation is one row of the route table.
type Operation struct {
	ID         string
	Method     string
	Path       string // as in the contract, without a final slash
	Tag        string
	Service    string
	Delivery   Delivery
	Permission Permission
	Project    Scope
	Rate       *Rate // nil: the defaults of the instance apply
	Refusals   []int // statuses of the refusals that the rate counts; nil: all
	MaxBody    int64 // bytes; 0: the default of the instance
	Archive    bool  // the body is an archive of a project, which has a bound of its own
	Timeout    time.Duration
	Aliases    []string // other methods that mean the same
	Success    int      // the first 2xx of the contract that is not 202
	Produces   []string // media types of the 2xx answers, sorted
	Challenge  string   // what a caller without credentials is told to show; empty where nothing is asked for
	// SessionOnly says that it takes the session of a person: no API key does.
	SessionOnly bool
	// OpenQuery says that a query parameter which the contract does not name is
	// left unread, and a body as well where it has none. Elsewhere it is refused: a filter that was misspelt would show
	// everything, or have it removed.
	OpenQuery bool
	// Instance is the query parameter with which the operation works in no project
	// and is for whoever is logged in; "" where there is none.
	Instance string
	Tool     string // its name as a tool of the Model Context Protocol; "" where it is none
	Body     Body
	Watch    *Watch // of a live operation

	Deprecated      bool
	DeprecatedSince time.Time // zero unless Deprecated
	Sunset          time.Time // zero unless Deprecated

	PathParams []string // names, in the order of the path
	params     []param
	reads      *bool // as the contract says it, see Reads
}

// Contract is the compiled file.
type Contract struct {
	Operations []*Operation // by path, then method
	JSON       []byte       // the document as JSON, for /openapi.json
	Document   *openapi3.T  // for tests that check answers; do not change it
	byID       map[string]*Operation
}

// Operation returns the operation of this id, nil when there is none.
func (c *Contract) Operation(id string) *Operation { return c.byID[id] }

// Load reads and compiles a document. The error lists everything that is wrong.
func Load(file []byte) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		return nil, fmt.Errorf("read contract: %w", err)
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil { //nolint:forbidigo // nothing is waited for
		return nil, fmt.Errorf("contract: %w", err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("contract as JSON: %w", err)
	}
	c := &Contract{JSON: text, Document: doc, byID: map[string]*Operation{}}
	comp := &compiler{done: map[*openapi3.Schema]*schema{}}
	var faulty []error
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o, err := comp.operation(path, method, item, op)
			if err != nil {
				faulty = append(faulty, fmt.Errorf("%s %s: %w", method, path, err))
				continue
			}
			o.Challenge, o.SessionOnly = challenge(doc, op), sessionOnly(op)
			c.byID[o.ID] = o
			c.Operations = append(c.Operations, o)
		}
	}
	comp.name(c.Operations)
	faulty = append(faulty, c.checkAcross()...)
	if len(faulty) > 0 {
		return nil, fmt.Errorf("contract: %w", errors.Join(faulty...))
	}
	sort.Slice(c.Operations, func(i, j int) bool {
		a, b := c.Operations[i], c.Operations[j]
		return a.Path < b.Path || a.Path == b.Path && a.Method < b.Method
	})
	return c, nil
}

// checkAcross checks what one operation says of another.
func (c *Contract) checkAcross() []error {
	var faulty []error
	for _, o := range c.Operations {
		if o.Watch == nil {
			continue
		}
		of := c.byID[o.Watch.State]
		if of == nil || of.Delivery != Request || !slices.Equal(of.PathParams, o.PathParams) {
			faulty = append(faulty, fmt.Errorf("%s: x-live-state %q is no request with the same path parameters", o.ID, o.Watch.State))
		}
	}
	return faulty
}

func (c *compiler) operation(path, method string, item *openapi3.PathItem, op *openapi3.Operation) (*Operation, error) {
	o := &Operation{ID: op.OperationID, Method: method, Path: canonical(path), Deprecated: op.Deprecated}
	if o.ID == "" {
		return nil, errors.New("operationId is missing")
	}
	if len(op.Tags) > 0 {
		o.Tag = op.Tags[0]
	}
	for _, segment := range strings.Split(o.Path, "/") {
		if strings.HasPrefix(segment, "{") {
			o.PathParams = append(o.PathParams, strings.Trim(segment, "{}"))
		}
	}
	if err := o.extensions(op.Extensions); err != nil {
		return nil, err
	}
	params := append(openapi3.Parameters{}, op.Parameters...)
	for _, shared := range item.Parameters {
		if params.GetByInAndName(shared.Value.In, shared.Value.Name) == nil {
			params = append(params, shared)
		}
	}
	for _, ref := range params {
		p, err := c.param(ref.Value)
		if err != nil {
			return nil, err
		}
		p.index = slices.Index(o.PathParams, p.name)
		o.params = append(o.params, p)
	}
	var err error
	if o.Body, err = c.body(op.RequestBody, o.ID); err != nil {
		return nil, err
	}
	o.answers(op)
	return o, o.check()
}

// challenge is the value of WWW-Authenticate that follows from the security of
// an operation. There is no registered scheme for a key in a header; what is
// commonly written names the header.
func challenge(doc *openapi3.T, op *openapi3.Operation) string {
	either := doc.Security
	if op.Security != nil {
		either = *op.Security
	}
	var out []string
	for _, all := range either {
		for name := range all {
			ref := doc.Components.SecuritySchemes[name]
			if ref == nil {
				continue
			}
			said := ""
			switch s := ref.Value; {
			case s.Type == "http" && s.Scheme != "":
				said = strings.ToUpper(s.Scheme[:1]) + s.Scheme[1:]
			case s.Type == "apiKey" && s.In == openapi3.ParameterInHeader:
				said = fmt.Sprintf("ApiKey header=%q", s.Name)
			}
			if said != "" && !slices.Contains(out, said) {
				out = append(out, said)
			}
		}
	}
	slices.Sort(out)
	if slices.Contains(out, "Bearer") { // that does for a key, too
		return "Bearer"
	}
	return strings.Join(out, ", ")
}

// session is the security scheme of operations that a key may not call.
const session = "session"

func sessionOnly(op *openapi3.Operation) bool {
	if op.Security == nil {
		return false
	}
	for _, all := range *op.Security {
		if _, ok := all[session]; ok {
			return true
		}
	}
	return false
}

// Own reports whether the gateway answers by itself: what it knows, and streams
// of what it hears.
func (o *Operation) Own() bool { return o.Delivery == Edge || o.Delivery == Live && o.Watch == nil }

// canonical is the form of a path that the router knows: both slash forms are
// one route.
func canonical(path string) string {
	if path == "/" {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

func (o *Operation) answers(op *openapi3.Operation) {
	for code, ref := range op.Responses.Map() {
		status, err := strconv.Atoi(code)
		if err != nil || status < 200 || status > 299 {
			continue
		}
		if status != http.StatusAccepted && (o.Success == 0 || status < o.Success) {
			o.Success = status
		}
		for media := range ref.Value.Content {
			if !slices.Contains(o.Produces, media) {
				o.Produces = append(o.Produces, media)
			}
		}
	}
	if o.Success == 0 {
		o.Success = http.StatusOK
	}
	slices.Sort(o.Produces)
}

// notice is the least time between the word that an operation will go and its
// going.
const notice = 180 * 24 * time.Hour

// check refuses combinations that mean nothing.
func (o *Operation) check() error {
	role := o.Permission != Public && o.Permission != Authenticated && o.Permission != Superuser
	switch {
	case role && o.Project == NoProject:
		return fmt.Errorf("%s: permission %s needs a project", o.ID, o.Permission)
	case o.Project == PathProject && !slices.Contains(o.PathParams, "project_id"):
		return fmt.Errorf("%s: x-project path without {project_id}", o.ID)
	case o.Instance != "" && (o.Project != CurrentProject || o.flag() == nil):
		return fmt.Errorf("%s: x-instance is a boolean query parameter in place of the current project", o.ID)
	case o.Instance != "" && (o.Permission != Viewer || o.Delivery != Edge): // which asks for no role then
		return fmt.Errorf("%s: x-instance is for what everybody may read at the edge", o.ID)
	case o.Permission == Public && o.Project != NoProject:
		return fmt.Errorf("%s: a public operation has no project", o.ID)
	case o.Delivery == Live && o.Watch == nil && o.Service != "gateway":
		return fmt.Errorf("%s: a live operation needs x-live-state", o.ID)
	case o.Delivery == Stream && !o.Reads():
		return fmt.Errorf("%s: a stream is a read: what it writes nobody would record", o.ID)
	case o.Delivery != Upload && (o.Body.raw || len(o.Body.file) > 0):
		return fmt.Errorf("%s: files need x-delivery upload", o.ID)
	case o.Deprecated && (o.DeprecatedSince.IsZero() || o.Sunset.IsZero()):
		return fmt.Errorf("%s: what is deprecated needs x-deprecated-since and x-sunset", o.ID)
	case o.Deprecated && o.Sunset.Sub(o.DeprecatedSince) < notice:
		return fmt.Errorf("%s: x-sunset has to be at least %d days after x-deprecated-since", o.ID, notice/(24*time.Hour))
	case !o.Deprecated && (!o.DeprecatedSince.IsZero() || !o.Sunset.IsZero()):
		return fmt.Errorf("%s: x-deprecated-since and x-sunset are for what is deprecated", o.ID)
	case o.Own() != (o.Service == "gateway"):
		return fmt.Errorf("%s: edge operations, and they alone, are of the service gateway", o.ID)
	}
	return nil
}

// Reads reports whether the operation changes nothing. A GET does not, and all else
// does and is recorded, but for what the contract says: a search is a POST and a
// read, and who comes back from an identity provider logs in by a GET.
func (o *Operation) Reads() bool {
	if o.reads != nil {
		return *o.reads
	}
	return o.Method == http.MethodGet
}

// Level is the word of the scope that an API key has to have in the area of the
// operation: read, write or admin.
func (o *Operation) Level() string {
	switch {
	case o.Permission == Superuser:
		return "admin"
	case o.Reads():
		return "read"
	case o.Permission == Admin, o.Permission == Owner:
		return "admin"
	}
	return "write"
}
