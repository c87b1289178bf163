package ingestion_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/ingestion"
)

// loopback opens this machine to sources.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// field is the service as main builds it, with what it says of sources.
type field struct {
	*bustest.Env
	t        *testing.T
	db       *pg.DB
	delivery map[string]string
	fetched  chan *ingestionv1.DocumentFetched
	gone     chan *ingestionv1.DocumentGone
	ended    chan *ingestionv1.RunEnded
	said     chan string

	mu  sync.Mutex
	now time.Time // zero: of the machine
}

func operations(t *testing.T) map[string]string {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../gateway/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if fmt.Sprint(op.Extensions["x-service"]) == ingestion.Name {
				out[op.OperationID] = fmt.Sprint(op.Extensions["x-delivery"])
			}
		}
	}
	return out
}

func newField(t *testing.T, edit ...func(*ingestion.Config)) *field {
	t.Helper()
	f := &field{
		t: t, delivery: operations(t), fetched: make(chan *ingestionv1.DocumentFetched, 1000), gone: make(chan *ingestionv1.DocumentGone, 100), ended: make(chan *ingestionv1.RunEnded, 100),
		said: make(chan string, 100),
	}
	own := bus.Contract{
		Serves: slices.Collect(maps.Keys(f.delivery)), Publishes: events.SaidBy("ingestion"), Hears: events.ConsumedBy("ingestion"), TakesCommands: true, External: true, DeadLetters: true,
		Jobs: true, Live: true, Objects: true,
	}
	f.Env = bustest.Start(t, []string{"ingestion", "knowledge", "auth"}, bustest.WithContract("ingestion", own))
	f.db = pgtest.New(t, ingestion.Migrations)
	c := ingestion.DefaultConfig()
	c.Pause, c.Poll = 0, 100*time.Millisecond
	for _, e := range edit {
		e(&c)
	}
	m, err := ingestion.New(ingestion.Deps{DB: f.db, Bus: f.Bus("ingestion"), Log: obs.Discard(), Secrets: secrettest.Ring(t), Allow: loopback, Version: "1.0.0", Now: f.clock}, c)
	if err != nil {
		t.Fatal(err)
	}
	if listed := slices.Sorted(slices.Values(m.Operations)); !slices.Equal(listed, slices.Sorted(maps.Keys(f.delivery))) {
		t.Errorf("listed: %v", listed)
	}
	b := f.Bus("knowledge")
	f.Run(
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *ingestionv1.DocumentFetched) { f.fetched <- e }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *ingestionv1.DocumentGone) { f.gone <- e }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *ingestionv1.RunEnded) { f.ended <- e }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *ingestionv1.SourceAdded) { f.said <- "added " + e.GetName() }),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *ingestionv1.SourceChanged) {
			f.said <- fmt.Sprintf("changed %s v%d", e.GetName(), e.GetVersion())
		}),
		bus.Follow(b, func(_ context.Context, _ bus.Meta, e *ingestionv1.SourceRemoved) {
			f.said <- fmt.Sprintf("removed v%d", e.GetVersion())
		}),
	)
	for _, p := range m.Parts {
		f.Run(p)
	}
	return f
}

func (f *field) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now.IsZero() {
		return time.Now()
	}
	return f.now
}

// call asks an operation in a project, and returns its status and answer.
func (f *field) call(p tenant.Project, role tenant.Role, operation, payload string) (int, map[string]any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), bustest.Patience)
	defer cancel()
	target, who := bus.Target{Service: "ingestion", Operation: operation, Project: p}, bustest.Person(1, p, role)
	var a *bus.Answer
	var err error
	if f.delivery[operation] == "command" {
		a, err = f.Bus("gateway").Command(ctx, target, who, []byte(payload), bus.CommandOptions{})
	} else {
		a, err = f.Bus("gateway").Request(ctx, target, who, []byte(payload))
	}
	if err != nil {
		return 0, map[string]any{"kind": string(errs.KindOf(err)), "error": err.Error()}
	}
	out := map[string]any{}
	if len(a.Body) > 0 && a.Body[0] == '{' {
		if err := json.Unmarshal(a.Body, &out); err != nil {
			f.t.Fatal(err)
		}
	} else {
		out["text"] = string(a.Body)
	}
	return a.Status, out
}

// ok asks and expects a success.
func (f *field) ok(operation, payload string) map[string]any {
	f.t.Helper()
	status, out := f.call(1, tenant.Admin, operation, payload)
	if status < 200 || status > 299 {
		f.t.Fatalf("%s %s: %d %v", operation, payload, status, out)
	}
	return out
}

// add adds a feed and waits for its first run.
func (f *field) add(name, address, more string) (id int, run *ingestionv1.RunEnded) {
	f.t.Helper()
	x := f.ok("createSource", fmt.Sprintf(`{"body":{"name":%q,"type":"rss","url":%q%s}}`, name, address, more))
	return int(x["id"].(float64)), bustest.Await(f.Env, f.ended)
}

func (f *field) run(id int) *ingestionv1.RunEnded {
	f.t.Helper()
	f.ok("triggerManualRun", fmt.Sprintf(`{"source_id":%d}`, id))
	return bustest.Await(f.Env, f.ended)
}

// site serves a feed that a test changes.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request)
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) set(answer func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// rss is a feed with entries, each a title and a text.
func rss(entries ...[2]string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><rss version="2.0"><channel><title>News</title><link>https://news.example.com/</link><description>d</description>`)
	for _, e := range entries {
		fmt.Fprintf(&b, `<item><title>%s</title><link>https://news.example.com/%s?utm_source=feed</link><guid isPermaLink="false">id-%s</guid><pubDate>Mon, 02 Nov 2026 10:00:00 GMT</pubDate><description>%s</description></item>`, e[0], e[0], e[0], e[1])
	}
	return b.String() + `</channel></rss>`
}

func body(s string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

func TestAFeedIsReadAndOnlyWhatIsNewIsSaid(t *testing.T) {
	t.Parallel()
	f, s := newField(t), newSite(t)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		_, _ = w.Write([]byte(rss([2]string{"a", "first"}, [2]string{"b", "second"})))
	})
	id, run := f.add("News", s.URL, `,"config":{"collection":"press","technology_id":4,"language":"en"}`)
	if got := bustest.Await(f.Env, f.said); got != "added News" {
		t.Errorf("said %q", got)
	}
	if run.GetState() != "done" || run.GetTaken() != 2 {
		t.Fatalf("the first run: %v", run)
	}
	e := bustest.Await(f.Env, f.fetched)
	if e.GetPlace() != "news.example.com/a" || e.GetTitle() != "a" || string(e.GetContent()) != "first" || e.GetVersion() != 1 || e.GetCollection() != "press" || e.GetTechnologyId() != 4 ||
		e.GetCategory() != "News" || e.GetLanguage() != "en" || e.GetContentType() != "text/plain" || !e.GetTyped() || e.GetPublishedAt().AsTime().Day() != 2 || e.GetSize() != 5 {
		t.Errorf("fetched %v", e)
	}
	bustest.Await(f.Env, f.fetched)
	if run := f.run(id); run.GetTaken() != 0 || run.GetState() != "done" {
		t.Errorf("not modified: %v", run)
	}
	s.set(body(rss([2]string{"a", "first, mended"}, [2]string{"b", "second"}, [2]string{"c", "third"})))
	if run := f.run(id); run.GetTaken() != 2 || run.GetUnchanged() != 1 {
		t.Errorf("one changed, one new: %v", run)
	}
	if e := bustest.Await(f.Env, f.fetched); e.GetVersion() != 2 || string(e.GetContent()) != "first, mended" {
		t.Errorf("fetched %v", e)
	}
	runs := f.ok("listSourceRuns", fmt.Sprintf(`{"source_id":%d,"limit":20}`, id))
	if runs["total"].(float64) != 3 || runs["items"].([]any)[1].(map[string]any)["note"] != "not modified" {
		t.Errorf("runs %v", runs)
	}
	x := f.ok("getSource", fmt.Sprintf(`{"source_id":%d}`, id))
	if x["status"] != "success" || x["documents_ingested"].(float64) != 4 || x["next_run"] == nil || x["error_count"].(float64) != 0 {
		t.Errorf("the source: %v", x)
	}
}

func TestTheSameDocumentOfTwoSourcesIsOne(t *testing.T) {
	t.Parallel()
	f, s, other := newField(t), newSite(t), newSite(t)
	s.set(body(rss([2]string{"a", "as the first has it"})))
	other.set(body(rss([2]string{"a", "as the second has it"}, [2]string{"b", "its own"})))
	first, run := f.add("First", s.URL, "")
	if run.GetTaken() != 1 {
		t.Fatalf("run %v", run)
	}
	second, run := f.add("Second", other.URL, "")
	if run.GetTaken() != 1 || run.GetUnchanged() != 1 {
		t.Errorf("the second: %v", run)
	}
	// The first one goes, and the second one's word counts.
	f.ok("deleteSource", fmt.Sprintf(`{"source_id":%d,"documents":true}`, first))
	if run := f.run(second); run.GetTaken() != 1 {
		t.Errorf("taken over: %v", run)
	}
	for range 2 {
		bustest.Await(f.Env, f.fetched)
	}
	if e := bustest.Await(f.Env, f.fetched); e.GetVersion() != 2 || string(e.GetContent()) != "as the second has it" {
		t.Errorf("fetched %v", e)
	}
	f.ok("deleteSource", fmt.Sprintf(`{"source_id":%d,"documents":true}`, second))
	gone := map[string]bool{bustest.Await(f.Env, f.gone).GetPlace(): true, bustest.Await(f.Env, f.gone).GetPlace(): true}
	if !gone["news.example.com/a"] || !gone["news.example.com/b"] {
		t.Errorf("gone %v", gone)
	}
}

func TestASourceThatFailsIsAskedLaterAndThenLeftAlone(t *testing.T) {
	t.Parallel()
	f, s := newField(t, func(c *ingestion.Config) { c.Poll = time.Minute }), newSite(t)
	s.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	x := f.ok("createSource", fmt.Sprintf(`{"body":{"name":"N","type":"rss","url":%q}}`, s.URL))
	id := int(x["id"].(float64))
	var before time.Time
	for n := 1; n <= 10; n++ {
		if run := f.run(id); run.GetState() != "failed" || !strings.Contains(run.GetError(), "500 Internal Server Error") {
			t.Fatalf("run %d: %v", n, run)
		}
		x = f.ok("getSource", fmt.Sprintf(`{"source_id":%d}`, id))
		if x["error_count"].(float64) != float64(n) || x["status"] != "error" {
			t.Errorf("after %d: %v", n, x)
		}
		if n == 10 {
			break
		}
		next, err := time.Parse(time.RFC3339Nano, x["next_run"].(string))
		if err != nil || n > 6 && !next.After(before.Add(10*time.Minute)) {
			t.Errorf("after %d the next is at %v, before at %v (%v)", n, next, before, err)
		}
		before = next
	}
	if x["parked_since"] == nil || x["next_run"] != nil {
		t.Errorf("after ten: %v", x)
	}
	s.set(body(rss([2]string{"a", "x"})))
	if run := f.run(id); run.GetTaken() != 1 {
		t.Errorf("by hand: %v", run)
	}
	if x = f.ok("getSource", fmt.Sprintf(`{"source_id":%d}`, id)); x["parked_since"] != nil || x["next_run"] == nil || x["error_count"].(float64) != 0 {
		t.Errorf("well again: %v", x)
	}
}

func TestAFeedThatMovesIsFollowedAndOneThatIsGoneIsDisabled(t *testing.T) {
	t.Parallel()
	f, s := newField(t), newSite(t)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/old":
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
		default:
			_, _ = w.Write([]byte(rss([2]string{"a", "x"})))
		}
	})
	id, run := f.add("N", s.URL+"/old", "")
	if run.GetTaken() != 1 {
		t.Fatalf("run %v", run)
	}
	bustest.Await(f.Env, f.said)
	if got := bustest.Await(f.Env, f.said); got != "changed N v2" {
		t.Errorf("said %q", got)
	}
	if x := f.ok("getSource", fmt.Sprintf(`{"source_id":%d}`, id)); x["url"] != s.URL+"/new" {
		t.Errorf("it is at %v", x["url"])
	}
	s.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	if run := f.run(id); run.GetState() != "failed" {
		t.Errorf("gone: %v", run)
	}
	if x := f.ok("getSource", fmt.Sprintf(`{"source_id":%d}`, id)); x["enabled"] != false || x["status"] != "disabled" || x["next_run"] != nil {
		t.Errorf("gone: %v", x)
	}
	if status, out := f.call(1, tenant.Member, "triggerManualRun", fmt.Sprintf(`{"source_id":%d}`, id)); status != 0 || out["kind"] != string(errs.Malformed) {
		t.Errorf("run of a disabled source: %d %v", status, out)
	}
}

func TestCredentialsAreSentAndShownToNobody(t *testing.T) {
	t.Parallel()
	f, s := newField(t), newSite(t)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "geheim-7" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(rss([2]string{"a", "x"})))
	})
	id, run := f.add("N", s.URL, `,"credentials":{"username":"u","password":"geheim-7"}`)
	if run.GetTaken() != 1 {
		t.Fatalf("run %v", run)
	}
	x := f.ok("getSource", fmt.Sprintf(`{"source_id":%d}`, id))
	if text := fmt.Sprint(x); x["has_credentials"] != true || strings.Contains(text, "geheim") {
		t.Errorf("shown %s", text)
	}
	// Not to another host.
	status, out := f.call(1, tenant.Member, "updateSource", fmt.Sprintf(`{"source_id":%d,"body":{"url":"https://evil.example.com/"}}`, id))
	if status != 0 || !strings.Contains(fmt.Sprint(out), "credentials") {
		t.Errorf("another host: %d %v", status, out)
	}
	if x := f.ok("updateSource", fmt.Sprintf(`{"source_id":%d,"body":{"credentials":null,"name":"M"}}`, id)); x["has_credentials"] != false || x["name"] != "M" {
		t.Errorf("without: %v", x)
	}
	if run := bustest.Await(f.Env, f.ended); !strings.Contains(run.GetError(), "401") {
		t.Errorf("without: %v", run)
	}
}

func TestALargeDocumentTravelsAsAnObject(t *testing.T) {
	t.Parallel()
	f, s := newField(t), newSite(t)
	large := strings.Repeat("word ", 20_000)
	s.set(body(rss([2]string{"a", large})))
	f.add("N", s.URL, "")
	e := bustest.Await(f.Env, f.fetched)
	if len(e.GetContent()) != 0 || !strings.HasPrefix(e.GetObject(), "p1/") || e.GetSize() < 90_000 {
		t.Errorf("fetched %d bytes, object %q of %d", len(e.GetContent()), e.GetObject(), e.GetSize())
	}
	r, err := f.Bus("ingestion").GetObject(t.Context(), bus.ObjectRef{Bucket: bus.BucketBlobs, Name: e.GetObject(), SHA256: e.GetSha256(), Size: int64(e.GetSize())})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestSourcesBelongToTheirProject(t *testing.T) {
	t.Parallel()
	f, s := newField(t), newSite(t)
	s.set(body(rss([2]string{"a", "x"})))
	id, _ := f.add("N", s.URL, "")
	for _, op := range []string{"getSource", "triggerManualRun", "previewKeptSource", "listSourceRuns"} {
		if status, out := f.call(2, tenant.Owner, op, fmt.Sprintf(`{"source_id":%d,"limit":5}`, id)); status != 0 || out["kind"] != string(errs.NotFound) {
			t.Errorf("%s: %d %v", op, status, out)
		}
	}
	for op, payload := range map[string]string{"updateSource": `{"source_id":%d,"body":{"name":"mine"}}`, "deleteSource": `{"source_id":%d}`} {
		if status, out := f.call(2, tenant.Owner, op, fmt.Sprintf(payload, id)); status != 0 || out["kind"] != string(errs.NotFound) {
			t.Errorf("%s: %d %v", op, status, out)
		}
	}
	if _, out := f.call(2, tenant.Owner, "listSources", `{"limit":100}`); out["total"].(float64) != 0 {
		t.Errorf("listed %v", out)
	}
	if status, out := f.call(2, tenant.Owner, "createSource", fmt.Sprintf(`{"body":{"name":"x","type":"rss","url":%q,"project_id":1}}`, s.URL)); status != 0 || out["kind"] != string(errs.Invalid) {
		t.Errorf("in another project: %d %v", status, out)
	}
	for _, op := range []string{"createSource", "previewSource"} {
		if status, out := f.call(1, tenant.Viewer, op, `{"body":{"name":"x","type":"rss","url":"https://example.com/"}}`); status != 0 || out["kind"] != string(errs.Forbidden) {
			t.Errorf("%s by a viewer: %d %v", op, status, out)
		}
	}
	f.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 2})
	purged := make(chan string, 1)
	f.Env.Run(bus.Follow(f.Bus("auth"), func(_ context.Context, _ bus.Meta, e *platformv1.ProjectPurged) { purged <- e.GetService() }))
	bustest.Eventually(f.Env, func() bool {
		_, out := f.call(1, tenant.Owner, "listSources", `{"limit":100}`)
		return out["total"] == 0.0
	})
}
