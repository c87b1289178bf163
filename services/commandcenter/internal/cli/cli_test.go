package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func TestEachKindOfFailureHasItsExitCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{usageError{errors.New("x")}, 2},
		{fmt.Errorf("a: %w", usageError{fs.ErrNotExist}), 2},
		{client.ErrNotLoggedIn, 3},
		{&client.APIError{Status: 401}, 3},
		{&client.APIError{Status: 403}, 3},
		{&client.APIError{Status: 404}, 4},
		{&client.APIError{Status: 410}, 4},
		{codedError{errors.New("x"), 4}, 4},
		{&client.APIError{Status: 429}, 5},
		{&client.APIError{Status: 502}, 5},
		{&client.APIError{Status: 503}, 5},
		{&client.APIError{Status: 504}, 5},
		{&client.UnreachableError{Err: errors.New("x")}, 5},
		{context.DeadlineExceeded, 5},
		{fmt.Errorf("migrate: %w", errs.New(errs.Unavailable, "no database")), 5},
		{fmt.Errorf("start nats: %w", &stack.AbsentError{}), 5},
		{&client.APIError{Status: 409}, 6},
		{&client.APIError{Status: 422}, 6},
		{&datadir.NewerError{}, 6},
		{&datadir.DamagedError{}, 6},
		{partlyError{errors.New("x")}, 7},
		{&datadir.InUseError{}, 8},
		{&client.APIError{Status: 500}, 1},
		{fmt.Errorf("gave up: %w", app.ErrSignal), 130},
		{context.Canceled, 130},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

func TestResultsAreReadable(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	e := &env{Streams: Streams{Out: &out, Err: &errs}}
	file := "docs/a.md"
	e.printResults([]client.KnowledgeSearchResult{
		{
			Title: "Guide", Category: "docs", SourceFile: &file, Score: 0.8126,
			Content:  "# Guide\n\n## Start\n\nFirst " + strings.Repeat("word ", 200) + "\x1b[31mred",
			Metadata: map[string]any{"page": 3.0, "heading_path": []any{"Guide"}, "lexical": map[string]any{"score": 2.5}, "vector": map[string]any{"score": 0.5}},
		},
		{Title: "Other", Category: "docs", Content: "short", Metadata: map[string]any{"heading_path": "Other > Deep"}},
	}, false, 0)
	got := out.String()
	for _, want := range []string{" 1. Guide › Start  0.813", "docs/a.md · page 3 · docs · lexical 2.500, vector 0.500", "First word", "…", " 2. Other › Deep", "    short"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "# Guide") || strings.Contains(got, "\x1b") {
		t.Errorf("headings or control characters in\n%s", got)
	}
	for line := range strings.Lines(got) {
		if len([]rune(line)) > 101 {
			t.Errorf("a line of %d characters", len([]rune(line)))
		}
	}
	e.printResults(nil, false, 0)
	if !strings.Contains(errs.String(), "Nothing found") {
		t.Errorf("nothing: %s", errs.String())
	}
	if lines := wrap("a\n  b\x07\n", 50, true); !slices.Equal(lines, []string{"a", "  b"}) {
		t.Errorf("whole: %q", lines)
	}
	if h, rest := leadingHeadings("#hash\ntext"); h != nil || rest != "#hash\ntext" {
		t.Errorf("no heading: %v %q", h, rest)
	}
	if _, rest := leadingHeadings("# Only a heading"); rest != "# Only a heading" {
		t.Errorf("nothing else: %q", rest)
	}
}

func TestProgressIsBarsOrLinesOrNothing(t *testing.T) {
	t.Parallel()
	ok, bad := ingest.Result{Name: "a\nb.md", State: "indexed", Chunks: 3}, ingest.Result{Name: "c.md", State: "refused", Err: errors.New("x")}
	play := func(p progress) {
		p.Begin(2, 2048)
		p.Paused(time.Second, 429)
		p.Paused(time.Second, 429)
		p.Paused(40*time.Second, 503)
		p.Paused(39*time.Second, 503)
		p.Sent(1024)
		p.Sent(1024)
		p.Uploaded(ok)
		p.Uploaded(bad)
		p.Indexed(ok)
		p.End()
	}
	var out bytes.Buffer
	e := &env{Streams: Streams{Err: &out}}
	play(e.progress(t.Context(), true))
	if got := out.String(); !strings.Contains(got, "Uploading 2 files, 2.0 KiB") || !strings.Contains(got, "[1/2] refused c.md") || !strings.Contains(got, "[2/2] indexed a b.md, 3 chunks") || strings.Count(got, "more slowly: the server takes only so many calls a minute.") != 1 || strings.Count(got, "Going on") != 2 || !strings.Contains(got, "Going on in 40s: the server is not ready.") {
		t.Errorf("lines:\n%s", got)
	}
	out.Reset()
	e.json = true
	play(e.progress(t.Context(), true))
	if out.Len() > 0 {
		t.Errorf("with --json: %s", out.String())
	}
	e.json = false
	play(&bars{env: e, ctx: t.Context(), wait: true}) // it ends, although one file was refused
	play(&bars{env: e, ctx: t.Context()})
	if size(3<<20) != "3.0 MiB" || size(7) != "7 bytes" || size(1) != "1 byte" || count(0, "chunk") != "0 chunks" || count(1, "chunk") != "1 chunk" {
		t.Error("sizes")
	}
}

func TestATakenAddressIsFoundBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	err = free(t.Context(), ln.Addr().String(), "--http", "CC_HTTP")
	if exitCode(err) != exitInUse || !strings.Contains(err.Error(), "--http or CC_HTTP") {
		t.Errorf("taken: %v", err)
	}
	if err := free(t.Context(), "127.0.0.1:0", "--http", "CC_HTTP"); err != nil {
		t.Errorf("free: %v", err)
	}
	if err := free(t.Context(), "192.0.2.1:80", "--http", "CC_HTTP"); exitCode(err) != exitUsage {
		t.Errorf("not ours: %v", err)
	}
}

func TestTheSampleIsTheRepositorysOwnDocuments(t *testing.T) { // not parallel: the working directory
	files, from, err := sampleFiles()
	if err != nil || from == "this program" {
		t.Fatalf("from %s: %v", from, err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".md") || strings.Contains(f.Name, "testdata") {
			t.Errorf("%s is in the sample", f.Name)
		}
	}
	t.Chdir(os.TempDir())
	files, from, err = sampleFiles()
	if err != nil || from != "this program" || len(files) < 3 {
		t.Errorf("elsewhere: %d files from %s, %v", len(files), from, err)
	}
}

func TestDoctorNamesClustersThatWereLeftBehind(t *testing.T) {
	t.Parallel()
	f := leftBehind([]pgserver.Leftover{{Home: "/var/lib/commandcenter/aa", DataDir: "/root/x/postgres", Bytes: 3 << 20}, {Home: "/var/tmp/b b", DataDir: "/root/y/postgres", Bytes: 1 << 20}})
	if f.Status != findingWarn || !strings.Contains(f.Detail, "2 clusters (4.0 MiB)") || !strings.Contains(f.Detail, "/root/x/postgres, /root/y/postgres") || !strings.HasSuffix(f.Fix, "rm -r /var/lib/commandcenter/aa '/var/tmp/b b'") {
		t.Errorf("finding %+v", f)
	}
}

func TestCompletionKnowsTheSettings(t *testing.T) {
	t.Parallel()
	keys, _ := completeKeys(nil, nil, "")
	if !slices.Contains(keys, "auth.access_life") {
		t.Errorf("keys %v", keys)
	}
	if keys, _ := completeKeys(nil, []string{"http"}, ""); keys != nil {
		t.Errorf("values are not completed: %v", keys)
	}
}

func TestASourceKeepsTheNameOfItsFolder(t *testing.T) { // not parallel: the working directory
	root := t.TempDir()
	t.Chdir(root)
	for arg, want := range map[string]string{
		"docs": "docs", "./docs/": "docs", "a/docs": "a/docs", "docs/README.md": "docs/README.md", "docs/../b.md": "b.md",
		".": filepath.Base(root), "/srv/docs/": "docs", "../docs": "docs", "/srv/docs/README.md": "README.md", filepath.Join(root, "a/docs"): "a/docs", "/": "",
	} {
		if got := sourceName(arg, ""); got != want {
			t.Errorf("%s is %q, want %q", arg, got, want)
		}
	}
	if got := sourceName("docs", "other/docs/"); got != "other/docs" {
		t.Errorf("with a name: %q", got)
	}
}

func TestPathsThatWouldOverwriteEachOtherAreRefused(t *testing.T) { // not parallel: the working directory
	root := t.TempDir()
	t.Chdir(root)
	for _, f := range []string{"a/docs/README.md", "b/docs/README.md", "here/README.md", "empty/.keep"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o700), os.WriteFile(f, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	names := func(name string, args ...string) string {
		e := &env{Streams: Streams{In: strings.NewReader("text")}}
		files, _, err := e.filesToIngest(args, name)
		if err != nil {
			return "error: " + err.Error()
		}
		var out []string
		for _, f := range files {
			out = append(out, f.Name)
		}
		return strings.Join(out, " ")
	}
	for want, args := range map[string][]string{
		"a/docs/README.md b/docs/README.md": {"a/docs", "b/docs"},
		"a/docs/README.md":                  {"a/docs", "a/docs/README.md", filepath.Join(root, "a/docs")},
		"here/README.md stdin.md":           {"here", "-"},
	} {
		if got := names("", args...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	t.Chdir("here")
	if got := names("", "../a/docs", "../b/docs"); !strings.Contains(got, "--name") || !strings.Contains(got, "a/docs/README.md") || !strings.Contains(got, "b/docs/README.md") {
		t.Errorf("two folders of one name: %s", got)
	}
	if got := names("b-docs", "../b/docs"); got != "b-docs/README.md" {
		t.Errorf("with a name: %s", got)
	}
	for _, args := range [][]string{{"../empty"}, {"../none"}} {
		if got := names("", args...); !strings.HasPrefix(got, "error: ") {
			t.Errorf("%v: %s", args, got)
		}
	}
	if got := names("x", ".", ".."); !strings.Contains(got, "one path") {
		t.Errorf("one name for two: %s", got)
	}
}

func TestWhatWasSkippedIsCountedByReason(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	e := &env{Streams: Streams{Err: &errs}}
	var skipped []ingest.Skipped
	for i := range 7 {
		skipped = append(skipped, ingest.Skipped{Name: fmt.Sprintf("%d.png", i), Reason: "of a type that is not read"})
	}
	e.saySkipped(append(skipped, ingest.Skipped{Name: ".env", Reason: "hidden"}))
	want := "Skipped 8:\n  1 hidden: .env\n  7 of a type that is not read: 0.png, 1.png, 2.png, 3.png, 4.png and 2 more\n"
	if errs.String() != want {
		t.Errorf("%s\nwant %s", &errs, want)
	}
}

func TestTimesHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for s, want := range map[float64]string{0: "", 0.000176: "176µs", 0.0033123: "3.312ms", 0.1023931: "102.4ms", 1.2345: "1.23s"} {
		if got := seconds(s); got != want {
			t.Errorf("%v: %q, want %q", s, got, want)
		}
	}
}

func TestDoctorNamesTheCauseOnce(t *testing.T) {
	t.Parallel()
	component := func(part, status, fix string) finding {
		return finding{Part: part, Status: status, Detail: "does not work", Fix: fix, component: true}
	}
	found := explain([]finding{
		fine("settings", "x"), fail(partPostgres, "refused", "start it"), component("auth", findingFail, "see the log"), component("auth.database", findingFail, "see the log"),
		component("database", findingFail, "see the log"), component("federation_heartbeat", findingFail, ""), component("knowledge", findingWarn, "long advice"),
		component("knowledge.model", findingWarn, "long advice"), component("bus", findingOK, ""), fail("disk", "full", "make room"),
	})
	var out bytes.Buffer
	e := &env{Streams: Streams{Out: &out}}
	e.printFindings(found)
	got := out.String()
	for want, n := range map[string]int{"mend PostgreSQL first": 3, "because of auth.database": 1, "because of knowledge.model": 1, "long advice": 1, "see the log": 0, "make room": 1} {
		if strings.Count(got, want) != n {
			t.Errorf("%q is there %d times, want %d:\n%s", want, strings.Count(got, want), n, got)
		}
	}
	column := len([]rune("✓ ")) + len("federation_heartbeat") + 2
	for line := range strings.Lines(got) {
		if r := []rune(line); r[column-1] != ' ' || r[column] == ' ' {
			t.Errorf("not aligned: %q", line)
		}
	}
	err := verdict(found)
	if exitCode(err) != exitPartly || err.Error() != "6 of 10 checks failed: begin with PostgreSQL" {
		t.Error(err)
	}
	if err := verdict([]finding{warn("login", "", "")}); err != nil {
		t.Errorf("a warning is no failure: %v", err)
	}
	if err := verdict([]finding{fail("HTTP", "", "")}); err == nil || err.Error() != "1 of 1 check failed: HTTP" {
		t.Error(err)
	}
	// A doctor who cannot see the database still says that it is the database.
	found = explain([]finding{skip(partPostgres, "", ""), component("auth.database", findingFail, "see the log")})
	if found[1].Detail != "PostgreSQL does not answer" {
		t.Errorf("from afar: %+v", found)
	}
}

func TestTheHintsAreAboutWhatIsThere(t *testing.T) { // not parallel: the working directory
	dir := t.TempDir()
	t.Chdir(dir)
	for _, sample := range []bool{true, false} {
		got := hints("cc", sample)
		if s := strings.Join(got, "\n"); !strings.Contains(s, "cc ingest - --name") || strings.Contains(s, "./") || !strings.Contains(s, `cc search "`) {
			t.Errorf("an empty folder: %v", got)
		}
	}
	if err := os.WriteFile("README.md", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := hints("cc", true); got[1] != "cc ingest ./README.md" || !strings.Contains(got[0], "kill -9") {
		t.Errorf("with a file: %v", got)
	}
	if err := os.Mkdir("deployments", 0o700); err != nil {
		t.Fatal(err)
	}
	if got := hints("cc", false); got[0] != "cc ingest ./deployments" {
		t.Errorf("with a folder: %v", got)
	}
}

func TestEachCommandWaitsAsLongAsItsHelpSays(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]time.Duration{"up": stack.UpWait, "serve auth": stack.ServeWait, "migrate": stack.MigrateWait, "up --wait 3s": 3 * time.Second} {
		e := &env{}
		root := e.root()
		c, rest, err := root.Find(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.ParseFlags(rest), e.load(c, nil)); err != nil {
			t.Fatal(err)
		}
		if e.wait != want {
			t.Errorf("%s waits %s, want %s", words, e.wait, want)
		}
	}
}

func TestDoctorSaysWhatIsTheMatterBeforeWhatToDo(t *testing.T) {
	t.Parallel()
	for said, want := range map[string][2]string{
		"it cannot be fetched; search is by words only. Run x. See y.": {"it cannot be fetched; search is by words only", "Run x. See y."},
		"one sentence.": {"one sentence", ""},
		"version 1.2":   {"version 1.2", ""},
	} {
		if what, todo := sentences(said); what != want[0] || todo != want[1] {
			t.Errorf("%q: %q, %q", said, what, todo)
		}
	}
}
