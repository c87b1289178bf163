package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const essay = `# The lighthouse

## Lamps

The keeper of the lighthouse trims the paraffin lamp at dusk, and writes the hour into the logbook.

## Fog

In fog the horn sounds every ninety seconds. Ships answer with two short blasts.
`

type result struct {
	Title      string         `json:"title"`
	Content    string         `json:"content"`
	SourceFile *string        `json:"source_file"`
	Score      float64        `json:"score"`
	Metadata   map[string]any `json:"metadata"`
}

// TestTheMainStory walks register → upload → event → search over real parts,
// then stops and starts again.
func TestTheMainStory(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := here(t, dir, "--no-sample")

	// Somebody registers, and has a project.
	anybody := p.caller("")
	anybody.json("POST", "/api/v1/auth/register", map[string]string{"email": "ada@example.org", "password": "correct horse battery"}, 201, nil)
	ada := p.login("ada@example.org", "correct horse battery")
	var projects []struct {
		ID   int64  `json:"id"`
		Role string `json:"role"`
	}
	ada.json("GET", "/api/v1/projects/", nil, 200, &projects)
	if len(projects) != 1 || projects[0].Role != "owner" {
		t.Fatalf("projects %+v", projects)
	}

	// The event of her upload is heard on the bus.
	nc, err := nats.Connect(p.nats, nats.UserCredentials(filepath.Join(dir, "keys", "admin.creds")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	events := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe(fmt.Sprintf("evt.p%d.knowledge.document.>", projects[0].ID), events); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	contentType, body := form(t, "lighthouse.md", essay, "category", "sea")
	status, _, answer, err := ada.do("POST", "/api/v1/knowledge/documents", contentType, body, "Idempotency-Key", "k1")
	if err != nil || status != 201 {
		t.Fatalf("upload: %d %s %v", status, answer, err)
	}
	again, _, second, err := ada.do("POST", "/api/v1/knowledge/documents", contentType, body, "Idempotency-Key", "k1")
	if err != nil || again != 201 || !bytes.Equal(answer, second) {
		t.Errorf("the same key again: %d %s, want the first answer", again, second)
	}
	var doc struct {
		ID     int64 `json:"id"`
		Chunks int   `json:"chunks_added"`
	}
	if err := json.Unmarshal(answer, &doc); err != nil || doc.Chunks < 1 {
		t.Fatalf("upload: %s %v", answer, err)
	}
	for seen := map[string]bool{}; !seen["received"] || !seen["indexed"]; {
		select {
		case m := <-events:
			parts := strings.Split(m.Subject, ".")
			seen[parts[4]] = true
			if m.Header.Get("ce-id") == "" && m.Header.Get("Ce-Id") == "" {
				t.Errorf("an event without CloudEvents attributes: %v", m.Header)
			}
		case <-time.After(patience):
			t.Fatalf("events %v\n%s", seen, p.log)
		}
	}

	// She finds it; the owner of the instance does not.
	search := func(p *product, as func() *caller, want int) {
		t.Helper()
		var found []result
		as().json("POST", "/api/v1/knowledge/query", map[string]any{"query": "paraffin lamp keeper"}, 200, &found)
		if len(found) < want || want == 0 && len(found) > 0 {
			t.Fatalf("found %+v, want %d\n%s", found, want, p.log)
		}
		if want > 0 && (!strings.Contains(found[0].Content, "paraffin") || found[0].Title == "" || found[0].Score <= 0) {
			t.Errorf("found %+v", found[0])
		}
	}
	search(p, func() *caller { return ada }, 1)
	search(p, p.owner, 0)
	p.owner().json("GET", fmt.Sprintf("/api/v1/knowledge/documents/%d", doc.ID), nil, 404, nil)

	t.Run("commands", func(t *testing.T) { commands(t, p.in(t)) })
	t.Run("dead letters", func(t *testing.T) { deadLetters(t, p.in(t), nc) })
	t.Run("a second instance is refused", func(t *testing.T) {
		code, _, errs := run(t, upArgs(dir)...)
		if code != 8 || !strings.Contains(errs, strconv.Itoa(os.Getpid())) || !strings.Contains(errs, "in use") {
			t.Errorf("exit code %d: %s, want 8 and the pid", code, errs)
		}
	})
	p.stop()

	// It is all there after a restart.
	p = here(t, dir)
	search(p, func() *caller { return p.login("ada@example.org", "correct horse battery") }, 1)
	if p.ready > 3*time.Second && !raceEnabled {
		t.Logf("ready after %s: more than 3 s, is the machine busy?", p.ready)
	}
}

// commands walks the client commands as the owner.
func commands(t *testing.T, p *product) {
	var project struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	p.must(&project, "project", "create", "Apollo", "--use", "--description", "to the moon")
	var list []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	p.must(&list, "project", "list")
	if len(list) != 2 || list[1].ID != project.ID {
		t.Fatalf("projects %+v", list)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{
		"README.md": essay, "sub/README.md": "# Another\n\nA walrus sings.\n", "sub/main.go": "package main\n\n// frobnicate does it.\nfunc frobnicate() {}\n",
		"ignored.md": "secret", ".gitignore": "ignored.md\n", "picture.md": "a\x00b",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var report struct {
		Uploaded int              `json:"uploaded"`
		Failed   int              `json:"failed"`
		Skipped  []map[string]any `json:"skipped"`
		Docs     []map[string]any `json:"documents"`
	}
	p.must(&report, "ingest", folder)
	if report.Uploaded != 3 || report.Failed != 0 || len(report.Skipped) != 1 {
		t.Fatalf("ingest %+v", report)
	}
	p.must(&report, "ingest", folder) // the same again changes nothing
	var found []result
	p.must(&found, "search", "walrus", "--mode", "keyword", "--limit", "3")
	if len(found) != 1 || found[0].SourceFile == nil || *found[0].SourceFile != "sub/README.md" {
		t.Fatalf("search %+v", found)
	}
	p.must(&found, "search", "frobnicate", "--category", "code")
	if len(found) != 1 {
		t.Errorf("search in a category %+v", found)
	}
	code, out, errs := p.cc("search", "walrus")
	if code != 0 || !strings.Contains(out, "Another") || !strings.Contains(out, "A walrus sings.") {
		t.Errorf("search for people: %d %s%s", code, out, errs)
	}
	if code, out, _ := runIn(t.Context(), strings.NewReader("# From a pipe\n\nzeppelin\n"), "ingest", "-", "--name", "pipe.md", "--data-dir", p.dir, "--server", p.url); code != 0 || !strings.Contains(out, "1 documents indexed") {
		t.Errorf("ingest -: %d %s", code, out)
	}
	code, out, _ = p.cc("ingest", folder, "--dry-run")
	if code != 0 || out != "README.md\nsub/README.md\nsub/main.go\n" {
		t.Errorf("dry run: %d %q", code, out)
	}
	var findings []struct{ Part, Status, Detail, Fix string }
	code, out, _ = p.cc("doctor", "--json")
	if err := json.Unmarshal([]byte(out), &findings); err != nil || code != 0 {
		t.Errorf("doctor: %d %s", code, out)
	}
	model := ""
	for _, f := range findings {
		if f.Status == "failed" {
			t.Errorf("doctor: %+v", f)
		}
		if f.Part == "knowledge.model" {
			model = f.Status
		}
	}
	if want := map[bool]string{true: "warning", false: "ok"}[os.Getenv("CC_TEST_MODEL") == ""]; model != want {
		t.Errorf("doctor says of the model %q, want %q: %s", model, want, out)
	}
	var instances struct {
		Instances []struct {
			Self   bool   `json:"self"`
			Status string `json:"status"`
		} `json:"instances"`
	}
	p.must(&instances, "federation", "status")
	if len(instances.Instances) != 1 || !instances.Instances[0].Self || instances.Instances[0].Status != "online" {
		t.Errorf("federation %+v", instances)
	}
	var services []struct {
		Name      string           `json:"name"`
		Endpoints []map[string]any `json:"endpoints"`
	}
	p.must(&services, "bus", "services")
	if len(services) != 3 {
		t.Errorf("services %+v", services)
	}
	var tailed struct {
		Subject string         `json:"subject"`
		Data    map[string]any `json:"data"`
	}
	p.must(&tailed, "bus", "tail", "evt.*.knowledge.document.indexed.v1", "--since", "1h", "--count", "1")
	if !strings.HasSuffix(tailed.Subject, ".knowledge.document.indexed.v1") || tailed.Data["document_id"] == nil {
		t.Errorf("tail %+v", tailed)
	}
	p.must(nil, "bus", "dead", "list")
	for _, c := range []struct {
		want int
		args []string
	}{
		{4, []string{"project", "use", "nothing"}},
		{4, []string{"bus", "dead", "show", "9999"}},
		{2, []string{"bus", "dead", "show", "x"}},
		{2, []string{"search"}},
		{2, []string{"nonsense"}},
		{2, []string{"project", "nonsense"}},
		{2, []string{"search", "x", "--nonsense"}},
		{2, []string{"ingest", "/does/not/exist"}},
		{6, []string{"search", "x", "--mode", "telepathy"}},
		{6, []string{"project", "create", strings.Repeat("x", 300)}},
		{3, []string{"search", "x", "--project", "999999"}},
	} {
		if code, out, errs := p.cc(c.args...); code != c.want {
			t.Errorf("%v: exit code %d, want %d: %s%s", c.args, code, c.want, out, errs)
		}
	}
	for _, args := range [][]string{{"project", "list"}, {"doctor"}, {"federation", "status"}, {"bus", "services"}, {"bus", "dead", "list"}, {"project", "use", "Apollo"}, {"login"}, {"logout"}, {"bus", "tail", "--since", "1h", "--count", "1", "--headers"}} {
		if code, out, errs := p.cc(args...); code != 0 || out == "" {
			t.Errorf("%v for people: exit code %d: %q %s", args, code, out, errs)
		}
	}
	if code, _, errs := run(t, "login", "--email", "nobody@example.org", "--password-stdin", "--server", p.url, "--data-dir", t.TempDir()); code != 1 && code != 3 && code != 6 || errs == "" {
		t.Errorf("login without a password: %d %s", code, errs)
	}
	if code, _, errs := run(t, "project", "list", "--server", p.url, "--data-dir", t.TempDir()); code != 3 || !strings.Contains(errs, "commandcenter login") {
		t.Errorf("not logged in: %d %s", code, errs)
	}
	if code, _, errs := run(t, "project", "list", "--server", "http://127.0.0.1:1", "--data-dir", p.dir, "--json"); code != 5 || !strings.Contains(errs, `"exit_code":5`) {
		t.Errorf("nobody there: %d %s", code, errs)
	}
}

// deadLetters puts a command on the stream that nobody can run, and follows it
// to where such messages end.
func deadLetters(t *testing.T, p *product, nc *nats.Conn) {
	if err := nc.Publish("cmd.instance.auth.noSuchOperation", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	var letters []struct {
		Seq      uint64 `json:"seq"`
		Service  string `json:"service"`
		Subject  string `json:"subject"`
		Error    string `json:"error"`
		Attempts int    `json:"attempts"`
		Data     string `json:"data"`
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for len(letters) == 0 {
		p.must(&letters, "bus", "dead", "list", "--service", "auth")
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no dead letter\n%s", p.log)
		}
	}
	if l := letters[0]; l.Service != "auth" || l.Subject != "cmd.instance.auth.noSuchOperation" || l.Error == "" {
		t.Errorf("letter %+v", l)
	}
	seq := strconv.FormatUint(letters[0].Seq, 10)
	p.must(&letters[0], "bus", "dead", "show", seq)
	if letters[0].Data != "{}" {
		t.Errorf("data %q", letters[0].Data)
	}
	if code, out, errs := p.cc("doctor"); code != 0 || !strings.Contains(out, "bus dead list") {
		t.Errorf("doctor says nothing of it: %d %s%s", code, out, errs)
	}
	for _, args := range [][]string{{"list"}, {"discard", seq}} {
		if code, out, errs := p.cc(append([]string{"bus", "dead"}, args...)...); code != 0 || !strings.Contains(out, seq) {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	if code, _, errs := p.cc("bus", "dead", "redrive", seq); code != 4 {
		t.Errorf("redrive of what is gone: %d %s", code, errs)
	}
}

func TestTheFirstStartAddsASampleThatIsFound(t *testing.T) {
	t.Parallel()
	p := apart(t, dataDir(t))
	e := p.await("sample")
	if n, _ := e["documents"].(float64); n < 3 {
		t.Fatalf("sample %v", e)
	}
	var found []result
	p.must(&found, "search", "what survives a kill")
	if len(found) == 0 || found[0].SourceFile == nil || *found[0].SourceFile != "durability.md" {
		t.Errorf("found %+v", found)
	}
	info, err := os.Stat(filepath.Join(p.dir, "owner-password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("owner-password: %v %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "sample-pending")); !os.IsNotExist(err) {
		t.Errorf("the sample would be added again: %v", err)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test
	taken := ln.Addr().String()
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, "VERSION"), []byte("999.0.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	garbled := t.TempDir()
	if err := os.WriteFile(filepath.Join(garbled, "VERSION"), []byte("\x00\x01what\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		code int
		say  []string
		args []string
	}{
		"HTTP port":     {8, []string{taken, "--http", "CC_HTTP"}, []string{"up", "--http", taken}},
		"NATS port":     {8, []string{taken, "--nats", "CC_NATS"}, []string{"up", "--http", "127.0.0.1:0", "--nats", taken}},
		"no version":    {6, []string{"VERSION", "--data-dir"}, []string{"up", "--data-dir", garbled}},
		"newer version": {6, []string{"999.0.0", "--data-dir"}, []string{"up", "--data-dir", newer}},
		"settings":      {2, []string{"log.format", "http:"}, []string{"up", "--http", "8000", "--log-format", "xml"}},
		"file":          {2, []string{"no such file"}, []string{"up", "--config", "/does/not/exist.yaml"}},
		"service":       {2, []string{"nobody", "knowledge"}, []string{"serve", "nobody"}},
		"two databases": {2, []string{"--database-url"}, []string{"serve", "postgres", "--database-url", "postgres://x/y"}},
		"two buses":     {2, []string{"--nats-url"}, []string{"serve", "nats", "--nats-url", "nats://x:1"}},
	} {
		args := append(c.args, "--json")
		if !slices.Contains(args, "--data-dir") {
			args = append(args, "--data-dir", filepath.Join(t.TempDir(), "data"))
		}
		code, out, errs := run(t, args...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, code, c.code, out, errs)
		}
		for _, want := range c.say {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: no %q in %s", name, want, errs)
			}
		}
	}
}

func TestSettingsCanBeShownAndChanged(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c", "config.yaml")
	cc := func(args ...string) (int, string, string) { return run(t, append(args, "--config", file)...) }
	if code, out, _ := cc("config", "init"); code != 0 || strings.TrimSpace(out) != file {
		t.Fatalf("init: %d %s", code, out)
	}
	if code, _, _ := cc("config", "init"); code != 6 {
		t.Errorf("init again: %d, want 6", code)
	}
	if code, _, _ := cc("config", "init", "--force", "--json"); code != 0 {
		t.Errorf("init --force: %d", code)
	}
	for _, kv := range [][2]string{{"client.server", "https://cc.example.org"}, {"auth.access_life", "10m"}, {"database_url", "postgres://u:hush@h/d"}} {
		if code, _, errs := cc("config", "set", kv[0], kv[1]); code != 0 {
			t.Fatalf("set %v: %d %s", kv, code, errs)
		}
	}
	if _, out, _ := cc("config", "get", "auth.access_life"); out != "10m0s\n" {
		t.Errorf("get: %q", out)
	}
	for _, args := range [][]string{{"config", "list"}, {"config", "list", "--json"}, {"config", "get", "database_url", "--json"}} {
		if code, out, _ := cc(args...); code != 0 || strings.Contains(out, "hush") || !strings.Contains(out, "********") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
	for want, args := range map[int][]string{4: {"config", "get", "no.such"}, 2: {"config", "set", "http", "nonsense"}} {
		if code, _, errs := cc(args...); code != want {
			t.Errorf("%v: %d, want %d: %s", args, code, want, errs)
		}
	}
	if code, _, _ := cc("config", "set", "no.such", "1"); code != 4 {
		t.Errorf("set of an unknown key: %d", code)
	}
	if code, out, _ := cc("config", "path", "--json"); code != 0 || !strings.Contains(out, `"exists":true`) {
		t.Errorf("path: %d %s", code, out)
	}
	if err := os.WriteFile(file, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := cc("project", "list"); code != 2 || !strings.Contains(errs, "nonsense") {
		t.Errorf("a broken file: %d %s", code, errs)
	}
	if code, out, _ := cc("doctor"); code != 7 || !strings.Contains(out, file) {
		t.Errorf("doctor of a broken file: %d %s", code, out)
	}
	if code, _, _ := cc("version"); code != 0 {
		t.Errorf("version with a broken file: %d", code)
	}
}

func TestHelpHasExamplesAndVersionsAreJSON(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"up"}, {"serve"}, {"migrate"}, {"login"}, {"project"}, {"ingest"}, {"search"}, {"bus", "tail"}, {"doctor"}, {"config"}, {"federation", "status"}} {
		if code, out, _ := run(t, append(args, "--help")...); code != 0 || !strings.Contains(out, "Examples:") {
			t.Errorf("%v --help: %d, no examples:\n%s", args, code, out)
		}
	}
	var v struct{ Version, Go string }
	if code, out, _ := run(t, "version", "--json"); code != 0 || json.Unmarshal([]byte(out), &v) != nil || v.Version == "" || v.Go == "" {
		t.Errorf("version: %d %s", code, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, _ := run(t, "completion", shell); code != 0 || len(out) < 1000 {
			t.Errorf("completion %s: %d, %d bytes", shell, code, len(out))
		}
	}
	if code, out, _ := run(t, "exit-codes", "--help"); code != 0 || !strings.Contains(out, "130") {
		t.Errorf("exit-codes: %d %s", code, out)
	}
}
