package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
)

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
	name := filepath.Base(folder)
	type ingested struct {
		Uploaded, Added, Replaced, Unchanged, Failed int
		Skipped                                      []struct{ Name, Reason string }
	}
	var report ingested
	p.must(&report, "ingest", folder)
	if report.Uploaded != 3 || report.Added != 3 || report.Failed != 0 || len(report.Skipped) != 3 || report.Skipped[0].Name != name+"/.gitignore" || report.Skipped[0].Reason != "hidden" {
		t.Fatalf("ingest %+v", report)
	}
	report = ingested{}
	if p.must(&report, "ingest", folder); report.Unchanged != 3 || report.Uploaded+report.Added+report.Replaced != 0 {
		t.Errorf("the same again: %+v", report)
	}
	if err := os.WriteFile(filepath.Join(folder, "README.md"), []byte(essay+"\nA new line.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report = ingested{}
	if p.must(&report, "ingest", folder); report.Uploaded != 1 || report.Replaced != 1 || report.Unchanged != 2 {
		t.Errorf("one has changed: %+v", report)
	}
	// Another folder with documents of the same names is another folder.
	other := filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.Mkdir(other, 0o700), os.WriteFile(filepath.Join(other, "README.md"), []byte("# Other\n\nA pelican.\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	report = ingested{}
	if p.must(&report, "ingest", other, filepath.Join(folder, "sub")); report.Added != 3 || report.Replaced != 0 {
		t.Errorf("another folder: %+v", report)
	}
	var found []result
	p.must(&found, "search", "walrus", "--mode", "keyword", "--limit", "3")
	if len(found) != 2 || !slices.ContainsFunc(found, func(r result) bool { return r.SourceFile != nil && *r.SourceFile == name+"/sub/README.md" }) {
		t.Fatalf("search %+v", found)
	}
	p.must(&found, "search", "frobnicate", "--category", "code")
	if len(found) != 2 {
		t.Errorf("search in a category %+v", found)
	}
	code, out, errs := p.cc("search", "walrus")
	if code != 0 || !strings.Contains(out, "Another") || !strings.Contains(out, "A walrus sings.") {
		t.Errorf("search for people: %d %s%s", code, out, errs)
	}
	if code, out, _ := runIn(t.Context(), strings.NewReader("# From a pipe\n\nzeppelin\n"), "ingest", "-", "--name", "pipe.md", "--data-dir", p.dir, "--server", p.url); code != 0 || !strings.Contains(out, "1 document indexed (1 new), 1 chunk, in") {
		t.Errorf("ingest -: %d %s", code, out)
	}
	code, out, _ = p.cc("ingest", folder, "--dry-run")
	if code != 0 || out != strings.ReplaceAll("N/README.md\nN/sub/README.md\nN/sub/main.go\n", "N", name) {
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
	busServices(t, p)
	var tailed struct {
		Subject string         `json:"subject"`
		Data    map[string]any `json:"data"`
	}
	p.must(&tailed, "bus", "tail", "evt.*.knowledge.document.indexed.v1", "--since", "1h", "--count", "1")
	if !strings.HasSuffix(tailed.Subject, ".knowledge.document.indexed.v1") || tailed.Data["document_id"] == nil {
		t.Errorf("tail %+v", tailed)
	}
	tailFromNow(t, p)
	followFromNow(t, p)
	tailBack(t, p)
	p.must(nil, "bus", "dead", "list")
	empty := filepath.Join(t.TempDir(), "empty.md")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
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
		{2, []string{"ingest", folder, "/does/not/exist"}},
		{2, []string{"ingest", filepath.Join(folder, "picture.md")}},
		{2, []string{"ingest", empty}},
		{2, []string{"ingest", t.TempDir()}},
		{2, []string{"ingest", "-"}},
		{6, []string{"search", "x", "--mode", "telepathy"}},
		{6, []string{"project", "create", strings.Repeat("x", 300)}},
		{3, []string{"search", "x", "--project", "999999"}},
	} {
		if code, out, errs := p.cc(c.args...); code != c.want {
			t.Errorf("%v: exit code %d, want %d: %s%s", c.args, code, c.want, out, errs)
		}
	}
	for _, args := range [][]string{{"project", "list"}, {"doctor"}, {"federation", "status"}, {"bus", "services"}, {"bus", "dead", "list"}, {"project", "use", "Apollo"}, {"login"}, {"logout"}, {"bus", "tail", "--since", "1h", "--count", "1", "--headers"}} {
		if code, out, errs := p.cc(args...); code != 0 || out+errs == "" {
			t.Errorf("%v for people: exit code %d: %q %s", args, code, out, errs)
		}
	}
	if code, _, errs := run(t, "login", "--email", "nobody@example.org", "--password-stdin", "--server", p.url, "--data-dir", t.TempDir()); code != 2 || !strings.Contains(errs, "standard input") {
		t.Errorf("login without a password: %d %s", code, errs)
	}
	if code, _, errs := run(t, "project", "list", "--server", p.url, "--data-dir", t.TempDir()); code != 3 || !strings.Contains(errs, "commandcenter login") {
		t.Errorf("not logged in: %d %s", code, errs)
	}
	if code, _, errs := run(t, "project", "list", "--server", "http://127.0.0.1:1", "--data-dir", p.dir, "--json"); code != 5 || !strings.Contains(errs, `"exit_code":5`) {
		t.Errorf("nobody there: %d %s", code, errs)
	}
}

// tailFromNow follows what is published from now on, until it has seen enough.
func tailFromNow(t *testing.T, p *product) {
	t.Helper()
	var out bytes.Buffer
	said, ended := &tail{}, make(chan int, 1)
	go func() {
		ended <- cli.Run(t.Context(), []string{"bus", "tail", "evt.*.auth.project.created.v1", "--count", "2", "--headers", "--data-dir", p.dir}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: said})
	}()
	said.await(t, "Following evt.*.auth.project.created.v1")
	for _, name := range []string{"Gemini", "Mercury"} {
		p.must(nil, "project", "create", name)
	}
	select {
	case code := <-ended:
		if code != 0 || !strings.Contains(out.String(), "Gemini") || !strings.Contains(out.String(), "Mercury") || !strings.Contains(strings.ToLower(out.String()), "ce-id") {
			t.Errorf("tail: %d %s%s", code, &out, said)
		}
	case <-time.After(patience):
		t.Errorf("tail does not end: %s", said)
	}
	// Asked to stop, it says nothing of it.
	ctx, cancel := context.WithCancel(t.Context())
	said = &tail{}
	go func() {
		ended <- cli.Run(ctx, []string{"bus", "tail", "--data-dir", p.dir}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: said})
	}()
	said.await(t, "Following evt.>")
	cancel()
	select {
	case code := <-ended:
		if code != 130 || strings.Contains(said.String(), "error") {
			t.Errorf("tail that was stopped: %d %s", code, said)
		}
	case <-time.After(patience):
		t.Errorf("tail does not stop: %s", said)
	}
}

// followFromNow follows the facts of a project: those of before are not among them
// unless they are asked for.
func followFromNow(t *testing.T, p *product) {
	t.Helper()
	write := func(name string) {
		if code, _, errs := runIn(t.Context(), strings.NewReader("A word on "+name+"."), "ingest", "-", "--name", name+".md", "--data-dir", p.dir); code != 0 {
			t.Fatalf("ingest: %d %s", code, errs)
		}
	}
	write("yesterday")
	for _, c := range []struct {
		args []string
		past bool
	}{{nil, false}, {[]string{"--since", "1h"}, true}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		out, said, ended := &tail{}, &tail{}, make(chan int, 1)
		go func() {
			ended <- cli.Run(ctx, append([]string{"bus", "events", "--follow", "--fact", "received", "--data-dir", p.dir}, c.args...), cli.Streams{In: strings.NewReader(""), Out: out, Err: said})
		}()
		said.await(t, "Following.")
		write("tomorrow")
		out.await(t, "tomorrow")
		if strings.Contains(out.String(), "yesterday") != c.past {
			t.Errorf("%v: the past is wanted: %t\n%s", c.args, c.past, out)
		}
		cancel(app.ErrSignal)
		select {
		case code := <-ended:
			if code != 130 || strings.Contains(said.String(), "error") {
				t.Errorf("stopped: %d %s", code, said)
			}
		case <-time.After(patience):
			t.Errorf("it does not stop: %s", said)
		}
	}
}

// tailBack reads what streams keep, of every account, and hears why of what
// none keeps.
func tailBack(t *testing.T, p *product) {
	t.Helper()
	var presence struct{ Subject string }
	if p.must(&presence, "bus", "tail", "hub.>", "--since", "24h", "--count", "1"); !strings.HasPrefix(presence.Subject, "hub.presence.") {
		t.Errorf("presence %+v", presence)
	}
	for _, c := range []struct {
		code          int
		subject, want string
	}{
		{6, "cmd.>", "queue of work"},
		{6, "job.p1.>", "queue of work"},
		{4, "req.>", "no stream keeps"},
		{4, "$SYS.>", "no stream keeps"},
		{4, "nobody.>", "leave --since out"},
		{2, ".a", "subject"},
	} {
		if code, _, errs := p.cc("bus", "tail", c.subject, "--since", "1h"); code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "nats:") && c.code != 2 {
			t.Errorf("%s: %d, want %d: %s", c.subject, code, c.code, errs)
		}
	}
}

// busServices reads what has been done, commands included.
func busServices(t *testing.T, p *product) {
	t.Helper()
	var services []struct {
		Name, Version string
		Operations    []struct {
			Operation, Delivery string
			Requests            int     `json:"num_requests"`
			Mean                float64 `json:"average_seconds"`
			P99                 float64 `json:"p99_seconds"`
		}
	}
	p.must(&services, "bus", "services")
	seen := map[string]bool{}
	for _, s := range services {
		for _, o := range s.Operations {
			seen[s.Name+" "+o.Operation+" "+o.Delivery] = o.Requests > 0 && o.Mean > 0 && o.P99 > 0
		}
	}
	for _, want := range []string{"knowledge addDocument command", "auth createProject command", "knowledge queryKnowledgeBase request", "auth resolveAccess internal"} {
		if !seen[want] {
			t.Errorf("nothing about %s, which was called: %+v", want, services)
		}
	}
	if code, out, errs := p.cc("bus", "services"); code != 0 || !strings.Contains(out, "addDocument") || !strings.Contains(out, "P99") {
		t.Errorf("for people: %d %s%s", code, out, errs)
	}
}

// deadLetters puts a command on the stream that nobody can run, and follows it
// to where such messages end.
func deadLetters(t *testing.T, p *product, nc *nats.Conn) {
	for range 2 {
		if err := nc.Publish("cmd.instance.auth.noSuchOperation", []byte("{}")); err != nil {
			t.Fatal(err)
		}
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
	for len(letters) < 2 {
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
	for want, args := range map[string][]string{seq: {"list"}, "  data      {}\n": {"show", seq}} {
		if code, out, errs := p.cc(append([]string{"bus", "dead"}, args...)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	for want, args := range map[string][]string{"Dead letter " + seq + " is removed.\n": {"discard", seq}, "Removed 0 letters.\n": {"purge", "--project", "4711"}} {
		if code, out, errs := p.cc(append([]string{"bus", "dead"}, args...)...); code != 0 || out != want {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
	var purged struct{ Removed, Kept int }
	if p.must(&purged, "bus", "dead", "purge", "--service", "auth"); purged.Removed != 1 || purged.Kept != 0 {
		t.Errorf("purged %+v of the one that was left", purged)
	}
	if code, _, errs := p.cc("bus", "dead", "purge"); code != 2 || !strings.Contains(errs, "--all") {
		t.Errorf("purge of nobody said whose: %d %s", code, errs)
	}
	if code, _, errs := p.cc("bus", "dead", "redrive", seq); code != 4 {
		t.Errorf("redrive of what is gone: %d %s", code, errs)
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

func TestVersionsCompletionsAndExitCodesAreTold(t *testing.T) {
	t.Parallel()
	var v struct{ Version, Go string }
	if code, out, _ := run(t, "version", "--json"); code != 0 || json.Unmarshal([]byte(out), &v) != nil || v.Version == "" || v.Go == "" {
		t.Errorf("version: %d %s", code, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, _ := run(t, "completion", shell); code != 0 || len(out) < 1000 {
			t.Errorf("completion %s: %d, %d bytes", shell, code, len(out))
		}
	}
	if code, out, _ := run(t, "exit-codes"); code != 0 || !strings.Contains(out, "130") {
		t.Errorf("exit-codes: %d %s", code, out)
	}
}

// sealedSecrets rotates the sealing keys of a product that runs.
func sealedSecrets(t *testing.T, p *product) {
	type sealed struct {
		Service, Column, Key string
		Primary              bool
		Values, Unreadable   int
	}
	var before, after, third []sealed
	p.must(&before, "secrets", "status")
	if len(before) != 1 || before[0].Service != "auth" || before[0].Values < 1 || !before[0].Primary {
		t.Fatalf("sealed: %+v", before)
	}
	p.must(&after, "secrets", "rotate")
	if len(after) != 1 || after[0].Key == before[0].Key || after[0].Values != before[0].Values || !after[0].Primary {
		t.Errorf("%+v after %+v", after, before)
	}
	p.must(&after, "secrets", "rotate", "--announce")
	p.must(&third, "secrets", "rotate")
	if text, err := os.ReadFile(filepath.Join(p.dir, "keys", "sealing.json")); err != nil || strings.Count(string(text), "keyData") != 2 || third[0].Key == after[0].Key {
		t.Errorf("%d keys in the ring, %v; %+v", strings.Count(string(text), "keyData"), err, third)
	}
	var e []auditEntry // oldest first
	owner := p.owner()
	owner.auditedWhen(func(all []auditEntry) bool {
		e = slices.DeleteFunc(all, func(e auditEntry) bool { return e.Operation != "rotateSecrets" })
		slices.Reverse(e)
		return len(e) == 3
	})
	if len(e) != 3 || !strings.HasPrefix(e[0].Actor, "operator:") || e[0].Outcome != "ok" ||
		!slices.Contains(e[0].Target, named{"key", third[0].Key}) || !slices.Contains(e[0].Target, named{"values", strconv.Itoa(third[0].Values)}) ||
		!slices.Contains(e[1].Target, named{"step", "announce"}) {
		t.Errorf("audit log of the rotations: %+v", e)
	}
	var found []struct{ Part, Status, Detail string }
	if code, out, errs := p.cc("doctor", "--json"); json.Unmarshal([]byte(out), &found) != nil {
		t.Errorf("doctor: %d\n%s%s", code, out, errs)
	}
	if i := slices.IndexFunc(found, func(f struct{ Part, Status, Detail string }) bool { return f.Part == "secrets" }); i < 0 || found[i].Status != "ok" {
		t.Errorf("doctor of secrets: %+v", found)
	}
}
