package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/services/knowledge"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/serve"
)

// world is the service as the binary builds it, with a small model, on a bus
// and in a database of its own, asked as the gateway asks.
type world struct {
	testing.TB
	env   *bustest.Env
	edge  *bus.Bus
	db    *pg.DB
	model *encodertest.Model
}

// with changes how a world is built.
type with func(*knowledge.Deps, *knowledge.Config)

// noModel is a world in which the model cannot be had until found is closed.
func noModel(found <-chan struct{}, m *encodertest.Model) with {
	return func(d *knowledge.Deps, _ *knowledge.Config) {
		d.Load = func(ctx context.Context) (encoder.Model, error) {
			select {
			case <-found:
				return m, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			default:
				return nil, &encoder.Failure{Reason: encoder.Unfetchable, Err: errors.New("/home/me/models: no such host")}
			}
		}
	}
}

func newWorld(t testing.TB, change ...with) *world {
	t.Helper()
	w := &world{
		TB: t, env: bustest.Start(t, []string{"auth", "knowledge", "research"}, bustest.WithContract("knowledge", grants())), db: pgtest.New(t, knowledge.Migrations),
		model: &encodertest.Model{},
	}
	w.edge = w.env.Bus(bustest.Edge)
	d := knowledge.Deps{
		DB: w.db, Bus: w.env.Bus("knowledge"), Log: slog.New(slog.DiscardHandler), Registerer: w.env.Registry,
		Load: func(context.Context) (encoder.Model, error) { return w.model, nil },
	}
	c := knowledge.DefaultConfig()
	for _, f := range change {
		f(&d, &c)
	}
	m, err := knowledge.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	w.env.Run(m.Part())
	return w
}

// grants are what the service may do on the bus: what its contracts say, and no
// more.
func grants() bus.Contract {
	return bus.Contract{
		Serves: append(serve.Operations(), "countDocuments"), Publishes: events.SaidBy("knowledge"),
		Hears: append(events.ConsumedBy("knowledge"), events.FollowedBy("knowledge")...), TakesCommands: true, Jobs: true, Objects: true, Live: true,
	}
}

type obj map[string]any

type answer struct {
	w      *world
	op     string
	status int
	id     string // of the operation
	header map[string]string
	raw    []byte
	body   obj
	list   []obj
	err    error
}

func member(p tenant.Project) tenant.Identity { return bustest.Person(7, p, tenant.Member) }

func (w *world) request(op string, id tenant.Identity, payload obj) answer {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), bustest.Patience)
	defer cancel()
	a, err := w.edge.Request(ctx, bus.Target{Service: "knowledge", Operation: op, Project: id.Project}, id, w.json(payload))
	return w.read(op, a, err)
}

func (w *world) command(op, key string, id tenant.Identity, payload obj) answer {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), bustest.Patience)
	defer cancel()
	a, err := w.edge.Command(ctx, bus.Target{Service: "knowledge", Operation: op, Project: id.Project}, id, w.json(payload),
		bus.CommandOptions{Key: key, Wait: bustest.Patience})
	return w.read(op, a, err)
}

func (w *world) json(v any) []byte {
	w.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func (w *world) read(op string, a *bus.Answer, err error) answer {
	w.Helper()
	out := answer{w: w, op: op, err: err}
	if err != nil {
		return out
	}
	out.status, out.id, out.header, out.raw = a.Status, a.OperationID, a.Header, a.Body
	if len(a.Body) > 0 {
		into := any(&out.body)
		if a.Body[0] == '[' {
			into = &out.list
			if strings.HasPrefix(string(a.Body), `["`) {
				return out
			}
		}
		if err := json.Unmarshal(a.Body, into); err != nil {
			w.Fatalf("%s: %v in %s", op, err, a.Body)
		}
	}
	return out
}

// ok fails the test unless the answer has the status and, where the contract
// has a schema for it, its form. Of one that is accepted the body is what it is
// going to be.
func (a answer) ok(status int) answer {
	a.w.Helper()
	if a.err != nil || a.status != status {
		a.w.Fatalf("%s: %d, %v; want %d", a.op, a.status, a.err, status)
	}
	if status == 202 {
		status = 201
	}
	conforms(a.w, a.op, status, a.raw)
	return a
}

func (a answer) refused(kind errs.Kind, words string) {
	a.w.Helper()
	e := errs.As(a.err)
	if e == nil || e.Kind != kind || !strings.Contains(e.Msg, words) {
		a.w.Errorf("%s: %d, %v; want %s with %q", a.op, a.status, a.err, kind, words)
	}
}

func (a answer) num(key string) int64 {
	a.w.Helper()
	n, ok := a.body[key].(float64)
	if !ok {
		a.w.Fatalf("%s: no number %q in %v", a.op, key, a.body)
	}
	return int64(n)
}

var contract = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromFile("../../../gateway/openapi.yaml")
})

// conforms checks an answer's body with the contract.
func conforms(t testing.TB, op string, status int, body []byte) {
	t.Helper()
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range doc.Paths.Map() {
		for _, o := range item.Operations() {
			if o.OperationID != op {
				continue
			}
			res := o.Responses.Status(status)
			if res == nil {
				t.Fatalf("%s: the contract has no %d", op, status)
			}
			media := res.Value.Content.Get("application/json")
			if media == nil {
				return
			}
			var v any
			if err := json.Unmarshal(body, &v); err != nil {
				t.Fatalf("%s: %v", op, err)
			}
			if err := media.Schema.Value.VisitJSON(v); err != nil {
				t.Errorf("%s: the answer is not that of the contract: %v", op, err)
			}
			return
		}
	}
	t.Fatalf("the contract has no operation %s", op)
}

// text adds a document given as text.
func (w *world) text(id tenant.Identity, name, content string, more ...obj) answer {
	w.Helper()
	body := obj{"title": name, "source_file": name, "content": content, "category": "docs"}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	return w.command("addTextDocument", "", id, obj{"body": body})
}

// upload adds a document as the gateway does: an object first.
func (w *world) upload(id tenant.Identity, name, contentType, content string, params, body obj) answer {
	w.Helper()
	ref, err := w.edge.PutObject(w.Context(), id.Project, name, contentType, strings.NewReader(content), 32<<20)
	if err != nil {
		w.Fatal(err)
	}
	payload := obj{"body": body, "upload": ref}
	for k, v := range params {
		payload[k] = v
	}
	return w.command("addDocument", "", id, payload)
}

// indexed waits until the document is indexed and has all its vectors, if
// vectors are wanted.
func (w *world) indexed(id tenant.Identity, doc int64, vectors bool) obj {
	w.Helper()
	var last obj
	w.until(func() bool {
		last = w.request("getDocument", id, obj{"document_id": doc}).ok(200).body
		return last["state"] == "indexed" && (!vectors || last["chunks_embedded"] == last["chunks"])
	})
	return last
}

// until asks again and again until ok; what it waits for is announced by
// nobody whom the test could hear.
func (w *world) until(ok func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), bustest.Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.Fatal("waited in vain")
		}
	}
}

// search asks a question and returns the found source names.
func (w *world) search(id tenant.Identity, query string, params obj, body ...obj) (answer, []string) {
	w.Helper()
	b := obj{"query": query}
	for _, m := range body {
		for k, v := range m {
			b[k] = v
		}
	}
	payload := obj{"body": b}
	for k, v := range params {
		payload[k] = v
	}
	a := w.request("queryKnowledgeBase", id, payload).ok(200)
	var names []string
	for _, r := range a.list {
		names = append(names, r["source_file"].(string))
	}
	return a, names
}
