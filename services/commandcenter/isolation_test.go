package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dweller is a person with a project of its own, in which everything bears its
// secret. Its word is known to all: others search for it.
type dweller struct {
	*caller
	project      int64
	secret, word string
	documents    map[int64]bool
}

// town is one product with several projects that know nothing of one another.
type town struct {
	*attacker
	m         *matrix
	chance    *rand.Rand
	residents []*dweller
	owners    map[string]*dweller // of each UUID, by who saw it first
	numbers   []string            // ids of anything, anybody's
}

// fromEnv is a number that a longer or another run is given.
func fromEnv(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// away are operations that would end what the test stands on, or that are of no
// project and tell of the instance.
var away = []string{
	"logout", "endSession", "endSessions", "changePassword", "deleteProject", "leaveProject", "transferProject", "setLimit", "revokeKey",
	"followEvents", "watchDocument", "watchJob",
}

// TestNothingOfAProjectIsSeenFromAnother lets the people of several projects do
// what comes to their mind, with each other's ids and words, and reads every
// answer for what is not theirs. One project only watches: nothing that it sees
// may change. CC_TEST_STEPS makes it longer, CC_TEST_SEED another one.
func TestNothingOfAProjectIsSeenFromAnother(t *testing.T) {
	t.Parallel()
	steps, seed := fromEnv(t, "CC_TEST_STEPS", 600), fromEnv(t, "CC_TEST_SEED", 1)
	t.Logf("CC_TEST_STEPS=%d CC_TEST_SEED=%d", steps, seed)
	p := here(t, dataDir(t), "--no-sample")
	w := &town{attacker: newAttacker(t, p), chance: rand.New(rand.NewPCG(uint64(seed), 1)), owners: map[string]*dweller{}} //nolint:gosec // G115, G404: a seed
	w.m = &matrix{attacker: w.attacker}
	for i := range 4 {
		w.settle(t, i)
	}
	witness := w.residents[0]
	for _, r := range w.residents {
		w.said(t, r)
	}
	before := w.view(t, witness)
	done := map[string]int{}
	for range steps {
		who := w.residents[1+w.chance.IntN(len(w.residents)-1)]
		op := w.ops[w.chance.IntN(len(w.ops))]
		if slices.Contains(away, op.id) || op.public {
			continue
		}
		c := w.whim(op, who)
		got := w.m.ask(t, c)
		w.read(t, who, c, got)
		if got.status < 300 {
			done[op.id]++
		}
	}
	for id, was := range before {
		if now := w.view(t, witness, id)[id]; !bytes.Equal(was, now) {
			t.Errorf("%s told the witness\n%s\nbefore, and then\n%s", id, was, now)
		}
	}
	if len(done) < 20 {
		t.Errorf("only %d operations were done: %v", len(done), done)
	}
	for _, r := range w.residents {
		w.census(t, r)
	}
	t.Logf("%d operations were done, of %d kinds", total(done), len(done))
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// settle makes a person, a project and something in it.
func (w *town) settle(t *testing.T, i int) {
	t.Helper()
	who := w.m.account(t, fmt.Sprintf("resident%d@example.org", i))
	secret := fmt.Sprintf("secret%d%012x", i, w.chance.Uint64()&0xffffffffffff)
	r := &dweller{caller: w.p.caller(who.token), secret: secret, word: fmt.Sprintf("word%d", i), documents: map[int64]bool{}}
	r.project = r.caller.project("The project of " + secret)
	w.residents = append(w.residents, r)
	named := []string{"X-Project-ID", strconv.FormatInt(r.project, 10)}
	for _, thing := range []struct {
		path string
		body map[string]any
	}{
		{"/api/v1/knowledge/documents/text", map[string]any{"title": secret, "category": secret, "content": "The " + r.word + " of the lighthouse is " + secret}},
		{"/api/v1/knowledge/documents/text", map[string]any{"title": "shared", "category": "docs", "content": "The lamp of the lighthouse, word0 word1 word2 word3, again and again: " + secret}},
		{"/api/v1/events/schemas", map[string]any{"team": secret, "noun": "thing", "fact": "done", "version": 1, "schema": map[string]any{"type": "object"}}},
		{"/api/v1/service-accounts", map[string]any{"name": secret, "role": "viewer"}},
		{"/api/v1/keys", map[string]any{"name": secret, "scopes": []string{"*:read"}}},
		{fmt.Sprintf("/api/v1/projects/%d/invitations", r.project), map[string]any{"role": "viewer", "email": secret + "@example.org"}},
	} {
		var made struct{ ID json.RawMessage }
		r.json("POST", thing.path, thing.body, 201, &made, named...)
		if id := strings.Trim(string(made.ID), `"`); id != "" {
			w.numbers = append(w.numbers, id)
		}
		if strings.HasSuffix(thing.path, "/text") {
			id, _ := strconv.ParseInt(string(made.ID), 10, 64)
			r.documents[id] = true
		}
	}
}

// said waits until all that settling has said can be read.
func (w *town) said(t *testing.T, r *dweller) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		_, _, body, err := r.do("GET", "/api/v1/events?limit=100", "", nil, "X-Project-ID", strconv.FormatInt(r.project, 10))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(body, []byte(`"subject":"evt.`+"p"+strconv.FormatInt(r.project, 10)+`.knowledge.document.indexed.v1"`)) == 2 && bytes.Contains(body, []byte("auth.invitation.created.v1")) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", body)
		}
	}
}

// whim is a call that the contract knows, of a project that is mostly the
// caller's, with ids and words that are anybody's.
func (w *town) whim(op attackedOp, who *dweller) attackCall {
	c := w.fresh(op)
	c.header.Set("Authorization", "Bearer "+who.token)
	c.header.Set("X-Forwarded-For", w.m.address())
	project := who.project
	if w.chance.IntN(4) == 0 {
		project = w.residents[w.chance.IntN(len(w.residents))].project
	}
	one := func(list []string) string { return list[w.chance.IntN(len(list))] }
	words := []string{"word0", "word1", "word2", "word3", "lighthouse", "docs", "default"}
	for _, ref := range op.params {
		switch p := ref.Value; {
		case p.Name == "project_id" && p.In == "path":
			c.path[p.Name] = strconv.FormatInt(project, 10)
		case p.Name == "X-Project-ID":
			c.header.Set(p.Name, strconv.FormatInt(project, 10))
		case p.In == "path" && p.Name != "slug":
			c.path[p.Name] = one(w.numbers)
			if c.path[p.Name] == "" {
				c.path[p.Name] = "1"
			}
		case p.In == "query" && p.Schema.Value.Type.Is("string") && len(p.Schema.Value.Enum) == 0 && p.Schema.Value.Pattern == "" && w.chance.IntN(3) == 0:
			c.query.Set(p.Name, one(words))
		case p.In == "query" && p.Schema.Value.Type.Is("integer") && w.chance.IntN(4) == 0:
			c.query.Set(p.Name, strconv.Itoa(w.chance.IntN(10)))
		}
	}
	for name, value := range c.body {
		if _, text := value.(string); text && len(op.body.Properties[name].Value.Enum) == 0 {
			switch name {
			case "query":
				c.body[name] = one(words)
			case "name", "title", "content", "description", "category":
				c.body[name] = fmt.Sprintf("%s %s %d", one(words), who.secret, w.chance.IntN(1000))
			}
		}
	}
	delete(c.body, "owner")
	delete(c.body, "expires_at")
	return c
}

var (
	uuids   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	places  = regexp.MustCompile(`"project_id":\s*"?(\d+)|\bp(\d+)\.[a-z]+\.`)
	request = regexp.MustCompile(`"request_id":"[^"]*"`)
	// where is a place in the stream of all projects: what is behind it is told by
	// its number, which rises with what anybody says.
	where = regexp.MustCompile(`"position":"\d+-\d+"}$`)
)

// read looks for what is not the caller's.
func (w *town) read(t *testing.T, who *dweller, c attackCall, got attacked) {
	t.Helper()
	sent := c.text()
	head := &bytes.Buffer{}
	_ = got.header.Write(head) // into memory
	text := head.String() + request.ReplaceAllString(string(got.body), "")
	for _, other := range w.residents {
		if other != who && strings.Contains(text, other.secret) {
			t.Errorf("%s: %d tells what is another project's: %s", c, got.status, text)
		}
	}
	if got.status >= 500 && !(got.status == 503 && c.op.id == "answerQuestion") { // which has no language model here
		t.Errorf("%s: %d %s", c, got.status, got.body)
	}
	if got.status >= 300 {
		return
	}
	for _, id := range uuids.FindAllString(string(got.body), -1) {
		if strings.Contains(sent, id) {
			continue
		}
		if first := w.owners[id]; first == nil {
			w.owners[id] = who
		} else if first != who && c.op.project != "none" {
			t.Errorf("%s tells %s, which is of project %d: %s", c, id, first.project, got.body)
		}
	}
	if c.op.project == "none" {
		return
	}
	for _, found := range places.FindAllStringSubmatch(string(got.body), -1) {
		if id := found[1] + found[2]; id != strconv.FormatInt(who.project, 10) {
			t.Errorf("%s tells of project %s: %s", c, id, got.body)
		}
	}
	var added struct{ Documents []struct{ ID int64 } }
	if c.op.id == "applyKnowledgeTemplate" && json.Unmarshal(got.body, &added) == nil {
		for _, d := range added.Documents {
			who.documents[d.ID] = true
		}
	}
	var made struct{ ID json.Number }
	if json.Unmarshal(got.body, &made) == nil && made.ID != "" {
		w.numbers = append(w.numbers, made.ID.String())
		if id, err := made.ID.Int64(); err == nil && got.status == http.StatusCreated && (c.op.id == "addTextDocument" || c.op.id == "addDocument") {
			who.documents[id] = true
		}
	}
}

// view is what the reads of a project answer: all of them, or those named.
func (w *town) view(t *testing.T, who *dweller, only ...string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, op := range w.ops {
		reads := op.method == http.MethodGet || op.id == "queryKnowledgeBase"
		if op.id == "exportProject" { // is recorded, tells when it was made, and has a test of its own
			continue
		}
		if !reads || op.project == "none" || op.delivery == "live" || op.id == "listKeys" || len(only) > 0 && !slices.Contains(only, op.id) {
			continue
		}
		c := w.fresh(op)
		c.header.Set("Authorization", "Bearer "+who.token)
		c.header.Set("X-Forwarded-For", w.m.address())
		c.header.Set("X-Project-ID", strconv.FormatInt(who.project, 10))
		if _, ok := c.path["project_id"]; ok {
			c.path["project_id"] = strconv.FormatInt(who.project, 10)
		}
		if op.id == "queryKnowledgeBase" {
			c.body = map[string]any{"query": "the lighthouse of word1", "limit": 50}
			c.query.Set("mode", "keyword")
		}
		got := w.m.ask(t, c)
		w.read(t, who, c, got)
		head := &bytes.Buffer{}
		h := got.header.Clone()
		for name := range h {
			if name == "Date" || name == "X-Request-Id" || name == "Content-Length" && op.id == "listEvents" || strings.HasPrefix(strings.ToLower(name), "ratelimit") || strings.HasPrefix(strings.ToLower(name), "x-ratelimit") {
				h.Del(name)
			}
		}
		_ = h.Write(head) // into memory
		out[op.id] = append(head.Bytes(), where.ReplaceAll(request.ReplaceAll(got.body, nil), nil)...)
	}
	return out
}

// census compares what a project is told to hold with what its person has put
// there.
func (w *town) census(t *testing.T, r *dweller) {
	t.Helper()
	var page struct {
		Items []struct{ ID int64 }
		Total int
	}
	r.json("GET", "/api/v1/knowledge/documents?limit=100", nil, 200, &page, "X-Project-ID", strconv.FormatInt(r.project, 10))
	for _, d := range page.Items {
		if !r.documents[d.ID] {
			t.Errorf("project %d holds the document %d, which its person has not put there", r.project, d.ID)
		}
	}
	if page.Total > len(r.documents) {
		t.Errorf("project %d counts %d documents of %d", r.project, page.Total, len(r.documents))
	}
	var stats struct {
		KnowledgeEntryCount int `json:"knowledge_entry_count"`
	}
	r.json("GET", fmt.Sprintf("/api/v1/projects/%d/stats", r.project), nil, 200, &stats)
	if stats.KnowledgeEntryCount != page.Total {
		t.Errorf("project %d counts %d entries and %d documents", r.project, stats.KnowledgeEntryCount, page.Total)
	}
}
