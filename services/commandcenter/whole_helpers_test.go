package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/torture"
)

// patience is how long a test waits for what must happen.
const patience = 90 * time.Second

// TestMain gives the command line a home of its own. Tests run without the
// embedding model, so that they are the same on every machine; CC_TEST_MODEL=1
// runs them with it.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "commandcenter-test-")
	if err == nil {
		err = errors.Join(os.Setenv("XDG_CONFIG_HOME", home), os.Setenv("CC_GATEWAY_WRITES", "off"), os.Setenv("CC_GATEWAY_READS", "off"), os.Setenv("CC_GATEWAY_ANONYMOUS", "off"), os.Setenv("CC_GATEWAY_TRUSTED_PROXIES", "127.0.0.1"))
	}
	if os.Getenv("CC_TEST_MODEL") == "" {
		err = errors.Join(err, os.Setenv("CC_KNOWLEDGE_MODEL", "false"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(home)      // a temporary directory
	_ = os.RemoveAll(binaryDir) // likewise
	os.Exit(code)
}

var binaryDir string

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "commandcenter-bin-"); err != nil {
		return "", err
	}
	bin := filepath.Join(binaryDir, "commandcenter")
	args := []string{"build", "-o", bin}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput() //nolint:noctx // bounded by the test
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return bin, nil
})

// run runs one command line in this process.
func run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runIn(t.Context(), strings.NewReader(""), args...)
}

func runIn(ctx context.Context, in io.Reader, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	code = cli.Run(ctx, args, cli.Streams{In: in, Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// product is a running product.
type product struct {
	t      testing.TB
	dir    string
	url    string
	nats   string
	ready  time.Duration // as it says itself
	events chan map[string]any
	log    *tail
	stop   func() // in order, and wait
	kill   func() // kill -9, and wait; nil in this process
	pid    int
	pids   map[string]int // of the processes of --split
	killed map[int]bool   // of them, by a test
	ended  []torture.Ended
	hubs   []string // what was said of the hub before it was ready
}

// tail keeps the end of a log, for when a test fails.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if n := len(l.text) - 64<<10; n > 0 {
		l.text = l.text[n:]
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// await waits until the log has a line with text.
func (l *tail) await(t testing.TB, text string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !strings.Contains(l.String(), text) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %q in\n%s", text, l)
		}
	}
}

// dataDir is an empty data directory that a PostgreSQL of another user can
// reach: the folders of t.TempDir are closed to others.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "commandcenter-data-")
	if err == nil {
		err = os.Chmod(dir, 0o711) //nolint:gosec // G302: see above
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "data")
}

func upArgs(dir string, more ...string) []string {
	return append([]string{"up", "--json", "--data-dir", dir, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--log-level", "warn"}, more...)
}

// begin starts the product in this process. ended receives its exit code.
func begin(t testing.TB, dir string, more ...string) (p *product, stop context.CancelFunc, ended <-chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	p = &product{t: t, dir: dir, log: &tail{}, events: make(chan map[string]any, 256), pids: map[string]int{}, killed: map[int]bool{}}
	code := make(chan int, 1)
	go func() {
		c := cli.Run(ctx, upArgs(dir, more...), cli.Streams{In: strings.NewReader(""), Out: w, Err: p.log})
		_ = w.Close() // the reader sees the end
		code <- c
	}()
	p.follow(r)
	return p, cancel, code
}

// here starts the product in this process and stops it at the end of the test.
func here(t testing.TB, dir string, more ...string) *product {
	t.Helper()
	p, cancel, ended := begin(t, dir, more...)
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case code := <-ended:
				if code != 0 {
					t.Errorf("up ended with %d:\n%s", code, p.log)
				}
			case <-time.After(patience):
				t.Errorf("up does not stop:\n%s", p.log)
			}
		})
	}
	t.Cleanup(p.stop)
	p.awaitReady()
	return p
}

// apart starts the product as a process of its own.
func apart(t testing.TB, dir string, more ...string) *product {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return launched(t, dir, exec.Command(bin, upArgs(dir, more...)...)) //nolint:noctx // stopped by its own means
}

// launched starts the product by a command that becomes it.
func launched(t testing.TB, dir string, cmd *exec.Cmd) *product {
	t.Helper()
	p := &product{t: t, dir: dir, log: &tail{}, events: make(chan map[string]any, 256), pids: map[string]int{}, killed: map[int]bool{}}
	cmd.Stderr = p.log
	cmd.Dir = t.TempDir() // not the repository: the sample is the one that was built in
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	read := p.follow(out)
	end := sync.OnceValue(func() error { <-read; return cmd.Wait() })
	bounded := func() error {
		done := make(chan error, 1)
		go func() { done <- end() }()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("does not end")
		}
	}
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), bounded()); err != nil {
				t.Errorf("stop: %v\n%s", err, p.log)
			}
		})
	}
	p.kill = func() {
		once.Do(func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = bounded() // killed
		})
	}
	t.Cleanup(p.stop)
	p.awaitReady()
	return p
}

// in is the same product, for a subtest.
func (p *product) in(t testing.TB) *product {
	q := *p
	q.t = t
	return &q
}

// follow reads the lines of --json.
func (p *product) follow(r io.Reader) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.events)
		sc := bufio.NewScanner(r)
		for sc.Scan() {
			var e map[string]any
			if json.Unmarshal(sc.Bytes(), &e) == nil {
				p.events <- e
			}
		}
	}()
	return done
}

// await returns the next event of a kind; it drops others.
func (p *product) await(event string, fits ...func(map[string]any) bool) map[string]any {
	p.t.Helper()
	timeout := time.After(patience)
next:
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				p.t.Fatalf("ended before %q:\n%s", event, p.log)
			}
			p.note(e)
			if detail, ok := e["detail"].(string); ok && e["part"] == "Hub" {
				p.hubs = append(p.hubs, detail)
			}
			if e["event"] != event {
				continue
			}
			for _, f := range fits {
				if !f(e) {
					continue next
				}
			}
			return e
		case <-timeout:
			p.t.Fatalf("no event %q:\n%s", event, p.log)
		}
	}
}

// note keeps which process a role has.
func (p *product) note(e map[string]any) {
	if e["event"] == "process" {
		role, _ := e["role"].(string)
		pid, _ := e["pid"].(float64)
		if why, again := e["why"].(string); again && !p.killed[p.pids[role]] {
			p.ended = append(p.ended, torture.Ended{Role: role, Why: why})
		}
		p.pids[role] = int(pid)
	}
}

// catchUp notes what was told and not awaited.
func (p *product) catchUp() {
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				return
			}
			p.note(e)
		default:
			return
		}
	}
}

func (p *product) awaitReady() {
	p.t.Helper()
	e := p.await("ready")
	p.url, _ = e["http"].(string)
	p.nats, _ = e["nats"].(string)
	ms, _ := e["ms"].(float64)
	p.ready = time.Duration(ms) * time.Millisecond
}

// cc runs a client command against the product.
func (p *product) cc(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	args = append(args, "--data-dir", p.dir)
	if args[0] != "bus" && args[0] != "secrets" {
		args = append(args, "--server", p.url)
	}
	return run(p.t, args...)
}

// loginOwner makes the owner known to the command line: a product of parts holds no
// data directory whose owner would need no login.
func (p *product) loginOwner(dir string) {
	p.t.Helper()
	password, err := os.Open(filepath.Join(dir, "owner-password"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer password.Close()
	code, _, errs := runIn(p.t.Context(), password, "login", "--email", "owner@commandcenter.local", "--password-stdin", "--data-dir", p.dir, "--server", p.url)
	if code != 0 {
		p.t.Fatalf("login: exit code %d\n%s", code, errs)
	}
}

// must runs a client command that has to succeed, with --json, into v.
func (p *product) must(v any, args ...string) {
	p.t.Helper()
	code, out, errs := p.cc(append(args, "--json")...)
	if code != 0 {
		p.t.Fatalf("%v: exit code %d\n%s%s\nlog:\n%s", args, code, out, errs, p.log)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		p.t.Fatalf("%v: %v in %s", args, err, out)
	}
}

// caller is a user of the HTTP API.
type caller struct {
	t     testing.TB
	url   string
	token string
	http  *http.Client
}

func (p *product) caller(token string) *caller {
	return &caller{t: p.t, url: p.url, token: token, http: &http.Client{Timeout: 30 * time.Second}}
}

// do sends a request and returns status, headers and body. An error means that
// no answer came.
func (c *caller) do(method, path, contentType string, body []byte, headers ...string) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, data, errors.Join(err, resp.Body.Close())
}

// json sends JSON and expects a status and an answer.
func (c *caller) json(method, path string, body any, want int, into any, headers ...string) http.Header {
	c.t.Helper()
	var data []byte
	var err error
	contentType := ""
	if body != nil {
		contentType = "application/json"
		if data, err = json.Marshal(body); err != nil {
			c.t.Fatal(err)
		}
	}
	status, h, answer, err := c.do(method, path, contentType, data, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, status, want, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
	return h
}

// form is a multipart body with one file.
func form(t testing.TB, name, content string, fields ...string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// attached puts a file to a task, and returns its id.
func (c *caller) attached(task string, headers ...string) string {
	c.t.Helper()
	kind, body := form(c.t, "a.md", "# Because")
	status, _, answer, err := c.do("POST", "/api/v1/research-tasks/"+task+"/documents", kind, body, headers...)
	var x struct {
		Documents []struct{ ID json.Number } `json:"uploaded_documents"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &x)
	}
	if err != nil || status != 200 || len(x.Documents) == 0 {
		c.t.Fatalf("a file to task %s: %d %s, %v", task, status, answer, err)
	}
	return x.Documents[len(x.Documents)-1].ID.String()
}

// owner is the HTTP API as the owner.
func (p *product) owner() *caller {
	p.t.Helper()
	password, err := os.ReadFile(filepath.Join(p.dir, "owner-password"))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.login("owner@commandcenter.local", strings.TrimSpace(string(password)))
}

func (p *product) login(email, password string) *caller {
	p.t.Helper()
	c := p.caller("")
	var tok struct {
		AccessToken string `json:"access_token"`
	}
	c.json("POST", "/api/v1/auth/login", map[string]string{"email": email, "password": password}, 200, &tok)
	return p.caller(tok.AccessToken)
}
