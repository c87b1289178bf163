package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// serving is one `serve` in this process.
func serving(t testing.TB, dir string, args ...string) *product {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	p := &product{t: t, dir: dir, log: &tail{}, events: make(chan map[string]any, 16), pids: map[string]int{}}
	ended := make(chan int, 1)
	go func() {
		code := cli.Run(ctx, append([]string{"serve", "--json", "--log-level", "warn", "--data-dir", dir}, args...), cli.Streams{In: strings.NewReader(""), Out: w, Err: p.log})
		_ = w.Close() // the reader sees the end
		ended <- code
	}()
	p.follow(r)
	p.stop = func() {
		cancel()
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("serve %v ended with %d:\n%s", args, code, p.log)
			}
			ended <- code
		case <-time.After(patience):
			t.Errorf("serve %v does not stop:\n%s", args, p.log)
		}
	}
	return p
}

// TestPartsFindEachOtherInAnyOrder starts the services before what they stand
// on, brings the database up with migrate, and uses the whole.
func TestPartsFindEachOtherInAnyOrder(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	inner := serving(t, dir, "auth", "knowledge", "ingestion", "research", "jobs", "federation", "--ops", "127.0.0.1:0")
	nats := serving(t, dir, "nats", "--nats", "127.0.0.1:0")
	nats.awaitReady()
	postgres := serving(t, dir, "postgres")
	postgres.awaitReady()
	code, out, errs := run(t, "migrate", "--json", "--data-dir", dir, "--nats-url", nats.nats)
	var report struct {
		Schemas []string `json:"schemas"`
		Streams bool     `json:"streams"`
		Owner   bool     `json:"owner_created"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || len(report.Schemas) != 6 || !report.Streams || !report.Owner {
		t.Fatalf("migrate: %d %s%s", code, out, errs)
	}
	if code, out, errs := run(t, "migrate", "--data-dir", dir); code != 0 || !strings.Contains(out, "up to date") {
		t.Errorf("migrate again: %d %s%s", code, out, errs)
	}
	inner.awaitReady()
	edge := serving(t, dir, "gateway", "--http", "127.0.0.1:0")
	edge.awaitReady()
	// What serve runs asks its owner to log in, with the words to type.
	line := "commandcenter login --data-dir " + dir + " --email owner@commandcenter.local --password-stdin < " + filepath.Join(dir, "owner-password")
	for _, args := range [][]string{{"project", "list"}, {"doctor"}} {
		if _, out, errs := run(t, append(args, "--data-dir", dir)...); !strings.Contains(out+errs, line) || !strings.Contains(out+errs, "run by `commandcenter serve`") {
			t.Errorf("%v without a login: %s%s", args, out, errs)
		}
	}
	edge.loginOwner(dir)
	edge.must(nil, "project", "create", "Apart")
	if code, out, errs := run(t, "project", "list", "--data-dir", dir); code != 0 || !strings.Contains(out, "Apart") {
		t.Errorf("the data directory does not say where the gateway is: %d %s%s", code, out, errs)
	}
	var found []result
	edge.must(nil, "ingest", "../../CONTRIBUTING.md")
	edge.must(&found, "search", "commit message")
	if len(found) == 0 {
		t.Error("nothing found")
	}
	if code, _, errs := run(t, "serve", "nats", "--data-dir", dir, "--nats", "127.0.0.1:0"); code != 8 || !strings.Contains(errs, "in use") || !strings.Contains(errs, "waiting up to") {
		t.Errorf("a second NATS: %d %s", code, errs)
	}
	for _, p := range []*product{edge, inner, postgres, nats} {
		p.stop()
	}
}

// TestPartsWaitForServersOfOthers: NATS runs and knows nobody's streams, the
// database has no roles; each part is started before the migrations.
func TestPartsWaitForServersOfOthers(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	users, err := stack.Users("later", settings.Default())
	if err != nil {
		t.Fatal(err)
	}
	nats, err := natsd.Start(t.Context(), natsd.Config{Dir: dir, Addr: "127.0.0.1:0", Users: users, NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nats.Stop(context.Background()) }) // a test
	// Roles belong to the whole server, and other tests use that of pgtest.
	postgres, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: filepath.Join(filepath.Dir(dir), "theirs"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) }) // a test
	where := []string{"--nats-url", nats.ClientURL(), "--database-url", postgres.AdminDSN()}
	var parts []*product
	for _, name := range []string{"knowledge", "ingestion", "research", "jobs", "federation", "auth", "gateway"} {
		parts = append(parts, serving(t, dir, append([]string{name, "--http", "127.0.0.1:0"}, where...)...))
	}
	for _, p := range parts {
		p.log.await(t, "stack.waiting")
	}
	if code, out, errs := run(t, append([]string{"migrate", "--data-dir", dir}, where...)...); code != 0 {
		t.Fatalf("migrate: %d %s%s", code, out, errs)
	}
	for _, p := range parts {
		p.awaitReady()
	}
	edge := parts[len(parts)-1]
	edge.loginOwner(dir)
	edge.must(nil, "project", "list")
	for _, p := range parts {
		p.stop()
	}
}

func TestServersThatDoNotAnswerAreNamedAtOnceAndNothingIsSetUpForThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		say  string
	}{
		"both":     {[]string{"--nats-url", "nats://u:hush@127.0.0.1:1", "--database-url", "postgres://u:hush@127.0.0.1:2/d"}, "127.0.0.1:2"},
		"NATS":     {[]string{"--nats-url", "nats://u:hush@127.0.0.1:1"}, "127.0.0.1:1"},
		"database": {[]string{"--database-url", "postgres://u:hush@127.0.0.1:2/d"}, "127.0.0.1:2"},
		"split":    {[]string{"--split", "--nats-url", "nats://u:hush@127.0.0.1:1"}, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			args := append([]string{"up", "--data-dir", dir, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--wait", "2s"}, c.args...)
			code, _, errs := run(t, args...)
			if code != 5 || !strings.Contains(errs, "waiting for") || !strings.Contains(errs, c.say) || !strings.Contains(errs, "refused") || strings.Contains(errs, "hush") {
				t.Errorf("exit code %d, want 5: %s", code, errs)
			}
			if _, err := os.Stat(filepath.Join(dir, "postgres")); !os.IsNotExist(err) {
				t.Errorf("a private PostgreSQL was set up: %v", err)
			}
		})
	}
	code, _, errs := run(t, "serve", "auth", "--data-dir", dataDir(t), "--wait", "2s")
	if code != 5 || !strings.Contains(errs, "stack.waiting") || !strings.Contains(errs, "migrate") {
		t.Errorf("serve without keys: %d %s", code, errs)
	}
}

func TestDoctorOfAMachineWhereNothingRuns(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	code, out, _ := run(t, "doctor", "--data-dir", dir, "--http", "127.0.0.1:1")
	if code != 7 || !strings.Contains(out, "start it with `commandcenter up`") || !strings.Contains(out, "not there yet") {
		t.Errorf("a fresh machine, where nothing runs: %d, want 7\n%s", code, out)
	}
	keys := filepath.Join(dir, "keys")
	if err := errors.Join(os.MkdirAll(keys, 0o700), os.WriteFile(filepath.Join(keys, "secret"), []byte("x"), 0o644)); err != nil { //nolint:gosec // G306: that is the fault
		t.Fatal(err)
	}
	code, out, _ = run(t, "doctor", "--data-dir", dir, "--http", "127.0.0.1:1")
	if code != 7 || !strings.Contains(out, "chmod 600") {
		t.Errorf("an open key: %d\n%s", code, out)
	}
	code, out, _ = run(t, "doctor", "--json", "--data-dir", dir, "--database-url", "postgres://u:hush@127.0.0.1:1/d", "--nats-url", "nats://127.0.0.1:1", "--server", "http://127.0.0.1:1")
	var findings []struct{ Part, Status, Fix string }
	if err := json.Unmarshal([]byte(out), &findings); err != nil || code != 7 || strings.Contains(out, "hush") {
		t.Fatalf("nothing answers: %d %s", code, out)
	}
	failed := map[string]bool{}
	for _, f := range findings {
		if f.Status == "failed" {
			failed[f.Part] = true
			if f.Fix == "" {
				t.Errorf("%s: no word on how to mend it", f.Part)
			}
		}
	}
	for _, part := range []string{"PostgreSQL", "NATS", "HTTP"} {
		if !failed[part] {
			t.Errorf("%s is not among the failed: %s", part, out)
		}
	}
}

func TestCommandsWithoutAnInstanceSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	for want, args := range map[int][]string{
		3: {"bus", "tail"},
		1: {"migrate", "--no-nats"},
	} {
		code, _, errs := run(t, append(args, "--data-dir", dir)...)
		if code != want || !strings.Contains(errs, "data directory") && !strings.Contains(errs, "--database-url") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
	if code, _, errs := run(t, "bus", "dead", "list", "--data-dir", dir); code != 3 {
		t.Errorf("dead list: %d %s", code, errs)
	}
}
