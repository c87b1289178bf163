package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/torture"
)

// crowd is everybody who uses the product while its parts are killed.
type crowd struct {
	t     testing.TB
	p     *product
	token atomic.Value // of the owner; login again replaces it
	stop  chan struct{}
	wg    sync.WaitGroup
	done  atomic.Int64 // writes that were done

	mu      sync.Mutex
	things  []*torture.Thing
	answers map[string]int
	silent  int
	orphans int
	strange []string
}

func (x *crowd) thing(kind, name string) *torture.Thing {
	t := &torture.Thing{Kind: kind, Name: name}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.things = append(x.things, t)
	return t
}

func (x *crowd) oddly(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.strange = append(x.strange, fmt.Sprintf(format, args...))
}

func (x *crowd) stopped() bool {
	select {
	case <-x.stop:
		return true
	default:
		return false
	}
}

// write is one command, with all that it needs to be sent again.
type write struct {
	op, method, path, contentType string
	body                          []byte
	key                           string
	upload                        bool
	prefer                        string
}

// send sends w until somebody says how it ended, as a client does that was told
// how: the same key again when no answer comes, or one that asks for it, and the
// operation of a 202 until it is not pending. It is false when nobody said so in
// time.
func (x *crowd) send(w write) (status int, answer []byte, ended bool) {
	who := x.p.caller("")
	who.http = &http.Client{Timeout: 20 * time.Second}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		who.token, _ = x.token.Load().(string)
		headers := []string{"Idempotency-Key", w.key}
		if w.prefer != "" {
			headers = append(headers, "Prefer", w.prefer)
		}
		status, h, answer, err := who.do(w.method, w.path, w.contentType, w.body, headers...)
		x.count(w, status, err)
		switch {
		case err == nil && status == 202:
			return x.outcome(who, w, h.Get("Location"))
		case err == nil && status < 300:
			return status, answer, true
		case err == nil && !passing(status, h):
			x.oddly("%s %s: %d %s", w.op, w.path, status, answer)
			return status, answer, true
		case status == 401:
			x.login()
		}
		pause()
	}
	return 0, nil, false
}

func (x *crowd) count(w write, status int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.silent++
	} else {
		x.answers[fmt.Sprint(status)]++
	}
	if w.upload && (err != nil || status >= 400) {
		x.orphans++
	}
}

// passing reports whether an answer asks to come again.
func passing(status int, h http.Header) bool {
	switch status {
	case 503, 429, 504, 408, 401:
		return true
	case 409: // the first call of the key is in hand
		return h.Get("Retry-After") != ""
	}
	return false
}

// outcome asks for the operation of a 202 until it has ended.
func (x *crowd) outcome(who *caller, w write, location string) (int, []byte, bool) {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		who.token, _ = x.token.Load().(string)
		status, h, body, err := who.do("GET", location+"?wait=5", "", nil)
		var op operation
		switch {
		case err == nil && status == 200:
			if err := json.Unmarshal(body, &op); err != nil {
				x.oddly("%s: %v", location, err)
				return 0, nil, false
			}
			if op.Status == "pending" {
				continue
			}
			answer, merr := json.Marshal(op.Answer)
			if merr != nil || op.HTTPStatus == nil || *op.HTTPStatus >= 300 {
				x.oddly("%s of 202 %s: %s", w.op, location, body)
			}
			if op.HTTPStatus == nil {
				return 0, nil, false
			}
			return *op.HTTPStatus, answer, true
		case err == nil && status == 401:
			x.login()
		case err == nil && !passing(status, h):
			x.oddly("operation %s of an acknowledged %s: %d %s", location, w.op, status, body)
			return 0, nil, false
		}
		pause()
	}
	return 0, nil, false
}

// pause is what a client waits before it comes again.
func pause() { <-time.After(50 * time.Millisecond) }

func (x *crowd) login() {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	c := x.p.caller("")
	body, err := json.Marshal(map[string]string{"email": "owner@commandcenter.local", "password": ownerPassword(x.p)})
	if err != nil {
		x.oddly("login: %v", err)
		return
	}
	if status, _, data, err := c.do("POST", "/api/v1/auth/login", "application/json", body); err == nil && status == 200 && json.Unmarshal(data, &answer) == nil {
		x.token.Store(answer.AccessToken)
	}
}

// document and project are what one client has, and writes to.
type document struct {
	*torture.Thing
	id int64
}

// client writes what chance says, to things of its own, one write at a time.
func (x *crowd) client(n int, chance *rand.Rand) {
	var docs []*document
	var projects []*document
	for i := 0; !x.stopped(); i++ {
		key := fmt.Sprintf("c%d-%d", n, i)
		d := &document{}
		switch dice := chance.IntN(20); {
		case dice < 5 || len(docs) < 2:
			d.Thing = x.thing(torture.Document, key+".md")
			x.put(d, key, chance)
			docs = append(docs, d)
		case dice < 9: // the next version of one
			x.put(docs[chance.IntN(len(docs))], key, chance)
		case dice < 13:
			i := chance.IntN(len(docs))
			x.remove(docs[i], key)
			docs = slices.Delete(docs, i, i+1)
		case dice < 15 || len(projects) == 0:
			d.Thing = x.thing(torture.Project, "torture "+key)
			if x.apply(d, write{op: "createProject", method: "POST", path: "/api/v1/projects/", key: key}, map[string]string{"name": d.Name}) {
				projects = append(projects, d)
			}
		default:
			d = projects[chance.IntN(len(projects))]
			x.apply(d, write{op: "updateProject", method: "PATCH", path: fmt.Sprintf("/api/v1/projects/%d", d.id), key: key}, map[string]string{"description": "by " + key})
		}
	}
}

// put writes a version of a document, as text or as a file.
func (x *crowd) put(d *document, key string, chance *rand.Rand) {
	content := fmt.Sprintf("# Note %s\n\nWritten by %s.\n", d.Name, key)
	prefer := []string{"", "", "respond-async", "wait=1"}[chance.IntN(4)]
	if chance.IntN(2) == 0 {
		x.apply(d, write{op: "addTextDocument", method: "POST", path: "/api/v1/knowledge/documents/text", key: key, prefer: prefer},
			map[string]string{"title": d.Name, "content": content, "category": "torture", "source_file": d.Name})
		return
	}
	contentType, body := form(x.t, d.Name, content, "category", "torture")
	x.apply(d, write{op: "addDocument", method: "POST", path: "/api/v1/knowledge/documents", contentType: contentType, body: body, key: key, upload: true, prefer: prefer}, nil)
}

// apply sends a write, and writes down what was said of it.
func (x *crowd) apply(d *document, w write, body any) bool {
	if body != nil {
		w.contentType = "application/json"
		var err error
		if w.body, err = json.Marshal(body); err != nil {
			x.oddly("%s: %v", w.op, err)
			return false
		}
	}
	status, answer, ended := x.send(w)
	switch {
	case !ended:
		d.Unsure++
		return false
	case status >= 300:
		return false
	}
	d.Done++
	x.done.Add(1)
	var named struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal(answer, &named); err != nil || named.ID == 0 {
		x.oddly("%s: no id in %s", w.op, answer)
	}
	if d.id == 0 {
		d.id = named.ID
	}
	if d.id != named.ID {
		x.oddly("twice: %s is %d and %d", d.Name, d.id, named.ID)
	}
	return true
}

func (x *crowd) remove(d *document, key string) {
	if d.id == 0 { // its first write did not end
		return
	}
	status, _, ended := x.send(write{op: "deleteDocument", method: "DELETE", path: fmt.Sprintf("/api/v1/knowledge/documents/%d", d.id), key: key})
	switch {
	case !ended:
		d.DeleteOpen = true
	case status == 204:
		d.Deleted = true
		x.done.Add(1)
	}
}

// team says facts from outside, one in ten of them against its schema, as long as
// there are fewer of these than dead letters are kept of a team.
func (x *crowd) team(nc *nats.Conn) {
	for n := 0; !x.stopped(); n++ {
		name := fmt.Sprintf("fact-%d", n)
		data := map[string]any{"title": name, "content": "The word of " + name + " is told.", "url": name}
		fact := &torture.Thing{Kind: torture.Refused, Name: name}
		if n%10 == 9 && n < 9000 {
			data["title"] = n
		} else {
			fact.Kind = torture.Fact
		}
		x.say(nc, fact, data)
		x.mu.Lock()
		x.things = append(x.things, fact)
		if fact.Kind == torture.Fact {
			x.things = append(x.things, &torture.Thing{Kind: torture.Document, Name: name, Done: fact.Done, Unsure: fact.Unsure})
		}
		x.mu.Unlock()
		pause()
	}
}

// say sends one fact until the stream has it.
func (x *crowd) say(nc *nats.Conn, fact *torture.Thing, data any) {
	body, err := json.Marshal(data)
	if err != nil {
		x.oddly("%s: %v", fact.Name, err)
		return
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause() {
		m := &nats.Msg{Subject: "ext.p1.docs.document.published.v1", Data: body, Header: nats.Header{jetstream.MsgIDHeader: {fact.Name}}}
		if ack, err := nc.RequestMsg(m, 2*time.Second); err == nil && strings.Contains(string(ack.Data), `"seq"`) {
			fact.Done = 1
			x.done.Add(1)
			return
		}
	}
	fact.Unsure = 1
}

// ears is somebody who listens.
type ears struct {
	mu     sync.Mutex
	ids    []string
	had    map[string]struct{}
	resets int
}

func (e *ears) hear(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids = append(e.ids, id)
	e.had[id] = struct{}{}
}

// lacks counts the ids that were not heard.
func (e *ears) lacks(ids []string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if _, ok := e.had[id]; !ok {
			n++
		}
	}
	return n
}

func (e *ears) reader(name string, wants func(*torture.Said) bool) torture.Reader {
	e.mu.Lock()
	defer e.mu.Unlock()
	return torture.Reader{Name: name, Heard: slices.Clone(e.ids), Resets: e.resets, Wants: wants}
}

// take hears what the durable consumer of the team is given, and acknowledges it.
func (e *ears) take(ctx context.Context, nc *nats.Conn) {
	js, err := jetstream.NewWithDomain(nc, "commandcenter")
	if err != nil {
		return
	}
	for ; ctx.Err() == nil; pause() {
		consumer, err := js.Consumer(ctx, "EVENTS", "grant-docs")
		if err != nil {
			continue
		}
		for ctx.Err() == nil {
			batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(time.Second))
			if err != nil {
				break
			}
			for m := range batch.Messages() {
				if m.DoubleAck(ctx) == nil {
					e.hear(headerOf(m.Headers(), events.HeaderID))
				}
			}
			if batch.Error() != nil {
				break
			}
		}
	}
}

func headerOf(h map[string][]string, name string) string {
	for k, v := range maps.All(h) {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// follow hears a stream of events over HTTP, and comes back with the id of the
// last one whenever it breaks. listening is closed when it first listens.
func (e *ears) follow(ctx context.Context, x *crowd, listening chan<- struct{}) {
	last := ""
	for ; ctx.Err() == nil; pause() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.p.url+"/api/v1/events/stream?internal=true", nil)
		if err != nil {
			return
		}
		token, _ := x.token.Load().(string)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("X-Project-ID", strconv.Itoa(1))
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := (&http.Client{}).Do(req)
		if err != nil {
			continue
		}
		if resp.StatusCode == 401 {
			x.login()
		}
		if resp.StatusCode == 200 && listening != nil {
			close(listening)
			listening = nil
		}
		if resp.StatusCode == 200 {
			last = e.lines(resp, last)
		}
		_ = resp.Body.Close() // read to its end, or broken
	}
}

// lines reads one stream to its end and returns the id of the last event.
func (e *ears) lines(resp *http.Response, last string) string {
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	kind, data, id := "", "", last
	for sc.Scan() {
		name, value, _ := strings.Cut(sc.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if sc.Text() != "" { // a comment
				continue
			}
			var said struct {
				ID string `json:"id"`
			}
			if kind == "reset" {
				e.mu.Lock()
				e.resets++
				e.mu.Unlock()
			} else if json.Unmarshal([]byte(data), &said) == nil && said.ID != "" {
				e.hear(said.ID)
				last = id
			}
			kind, data = "", ""
		}
	}
	return last
}
