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
	"syscall"
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
	t.Run("sealed secrets", func(t *testing.T) { sealedSecrets(t, p.in(t)) })
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

func TestTheDeathOfPostgreSQLIsTheLastWord(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p, stop, ended := begin(t, dir, "--no-sample")
	defer stop()
	p.awaitReady()
	lock, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(lock), "\n", 2)[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		lines := strings.Split(strings.TrimSpace(p.log.String()), "\n")
		if last := lines[len(lines)-1]; code != 1 || !strings.Contains(last, "private PostgreSQL server ended by itself (signal: killed)") {
			t.Errorf("exit code %d, and the last line is %s", code, last)
		}
	case <-time.After(patience):
		t.Fatalf("it goes on without PostgreSQL:\n%s", p.log)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
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
