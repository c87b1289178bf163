package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// every calls fn for each command of the tree with the words that call it.
func every(fn func(c *cobra.Command, words []string)) {
	var walk func(c *cobra.Command, words []string)
	walk = func(c *cobra.Command, words []string) {
		fn(c, words)
		for _, sub := range c.Commands() {
			walk(sub, append(words[:len(words):len(words)], sub.Name()))
		}
	}
	e := &env{}
	root := e.root()
	root.InitDefaultHelpCmd()
	walk(root, nil)
}

// cc runs a command line with a settings file of its own.
func cc(t *testing.T, in string, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), words, Streams{In: strings.NewReader(in), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func TestEveryCommandSaysHowItIsUsedAndHowItEnds(t *testing.T) {
	t.Parallel()
	every(func(c *cobra.Command, words []string) {
		name := strings.Join(words, " ")
		if c.Short == "" || !strings.Contains(c.Example, "commandcenter") {
			t.Errorf("%q: short %q, example %q", name, c.Short, c.Example)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%q: --%s says nothing", name, f.Name)
			}
		})
		code, out, errs := cc(t, "", append(words, "--help")...)
		if code != 0 || !strings.Contains(out, "Examples:") || !strings.Contains(out, "Exit codes:\n    0  done\n") || strings.Contains(out, "=true|false") {
			t.Errorf("%q --help: %d\n%s%s", name, code, out, errs)
		}
		code, out, errs = cc(t, "", append(words, "--help", "--json")...)
		var d description
		if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 || d.Command != strings.TrimSpace("commandcenter "+name) || d.Example == "" || len(d.ExitCodes) < 3 {
			t.Errorf("%q --help --json: %d %v\n%s%s", name, code, err, out, errs)
		}
	})
}

// TestWhoCallsAServerCanNameItsCertificateAndTheProject: what a program knows by a
// variable, a person types.
func TestWhoCallsAServerCanNameItsCertificateAndTheProject(t *testing.T) {
	t.Parallel()
	none := []string{"auth", "doctor", "login", "logout", "password", "session", "user"} // of no project
	every(func(c *cobra.Command, words []string) {
		has := func(flag string) bool { return c.Flags().Lookup(flag) != nil || c.InheritedFlags().Lookup(flag) != nil }
		if !has("server") {
			return
		}
		if !has("ca") || !slices.Contains(none, words[0]) && !has("project") {
			t.Errorf("%v: --server without --ca or --project", words)
		}
	})
}

func TestACommandThatIsNearlyRightIsNamed(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{"serch": "error: unknown command \"serch\" for \"commandcenter\": did you mean search or serve?\n", "xyzzy": "error: unknown command \"xyzzy\" for \"commandcenter\"\n"} {
		if code, _, errs := cc(t, "", typed); code != exitUsage || !strings.HasPrefix(errs, want) {
			t.Errorf("%s: %d\n%s", typed, code, errs)
		}
	}
}

// TestEveryCommandAnswersInJSON runs every command of the tree without a
// server: what can be answered is one document on standard output, and what
// cannot is one object on standard error with the code that the process ends
// with.
func TestEveryCommandAnswersInJSON(t *testing.T) { // not parallel: the environment
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "home"))
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test
	file := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("data_dir: %s\nhttp: %s\nnats: %s\nclient:\n  server: http://127.0.0.1:1\n", filepath.Join(dir, "data"), ln.Addr(), ln.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	readme := put("README.md", "# Text\n")
	old := put("old.json", `{"version": "1.0", "documents": [{"id": "1", "content": "x"}]}`)
	questions, qrels, run := put("q.jsonl", `{"id":"1","text":"a","relevant":[{"source":"b.md"}]}`), put("qrels.txt", "1 0 a 1\n"), put("a.run", "1 Q0 a 1 1 t\n")
	cases := map[string]struct {
		in   string
		args []string
		code int
	}{
		"":           {},
		"completion": {}, "completion bash": {}, "completion zsh": {}, "completion fish": {}, "completion powershell": {},
		"config": {}, "config init": {code: exitRefused}, "config path": {}, "config list": {},
		"config get": {args: []string{"http"}}, "config set": {args: []string{"log.level", "warn"}},
		"version": {}, "exit-codes": {}, "help": {args: []string{"ingest"}},
		"bus": {}, "bus dead": {}, "project": {}, "federation": {}, "operation": {},
		"doctor":   {code: exitPartly},
		"ingest":   {args: []string{readme}, code: exitUnavailable},
		"search":   {args: []string{"text"}, code: exitUnavailable},
		"answer":   {args: []string{"why?"}, code: exitUnavailable},
		"login":    {in: "secret\n", args: []string{"--email", "me@example.org", "--password-stdin"}, code: exitUnavailable},
		"logout":   {},
		"bus tail": {code: exitAuth}, "bus events": {code: exitUnavailable}, "bus list": {code: exitAuth}, "bus schema": {}, "bus schema list": {code: exitUnavailable}, "bus schema delete": {args: []string{"1"}, code: exitUnavailable},
		"bus schema register": {in: "{}", args: []string{"billing.invoice.paid.v1", "-"}, code: exitUnavailable},
		"bus grant":           {args: []string{"billing", "--project", "1", "--publish", ">"}, code: exitAuth}, "bus revoke": {args: []string{"billing"}, code: exitAuth}, "bus services": {code: exitAuth}, "bus dead list": {code: exitAuth},
		"secrets": {}, "secrets status": {code: exitFailure}, "secrets rotate": {code: exitFailure},
		"bus reconcile": {code: exitAuth}, "bus replay": {args: []string{"auth"}, code: exitAuth},
		"bus dead show": {args: []string{"1"}, code: exitAuth}, "bus dead redrive": {args: []string{"1"}, code: exitAuth}, "bus dead discard": {args: []string{"1"}, code: exitAuth}, "bus dead purge": {args: []string{"--all"}, code: exitAuth},
		"project list": {code: exitUnavailable}, "project create": {args: []string{"x"}, code: exitUnavailable}, "project use": {args: []string{"x"}, code: exitUnavailable}, "project default": {args: []string{"x"}, code: exitUnavailable},
		"project export": {args: []string{"x"}, code: exitUnavailable}, "project import": {args: []string{readme}, code: exitUnavailable}, "project verify": {args: []string{readme}, code: exitRefused},
		"project rename": {args: []string{"x", "y"}, code: exitUnavailable}, "project delete": {args: []string{"x", "--yes"}, code: exitUnavailable},
		"key": {}, "key list": {code: exitUnavailable}, "key create": {args: []string{"ci", "--scope", "*:read"}, code: exitUnavailable},
		"key rotate": {args: []string{"ci"}, code: exitUnavailable}, "key revoke": {args: []string{"ci"}, code: exitUnavailable},
		"service-account": {}, "service-account list": {code: exitUnavailable}, "service-account create": {args: []string{"ci"}, code: exitUnavailable},
		"service-account role": {args: []string{"ci", "viewer"}, code: exitUnavailable}, "service-account delete": {args: []string{"ci"}, code: exitUnavailable},
		"auth": {}, "auth rotate-keys": {code: exitUnavailable},
		"user": {}, "user list": {code: exitUnavailable}, "user deactivate": {args: []string{"1"}, code: exitUnavailable}, "user reactivate": {args: []string{"1"}, code: exitUnavailable}, "user reset-password": {args: []string{"1"}, code: exitUnavailable},
		"session": {}, "session list": {code: exitUnavailable}, "session end": {args: []string{"--all"}, code: exitUnavailable},
		"password": {}, "password reset": {in: "ccp_x\nnew password\n", args: []string{"-", "--password-stdin"}, code: exitUnavailable}, "password change": {in: "old\nnew\n", args: []string{"--password-stdin"}, code: exitUnavailable},
		"limits": {}, "limits show": {code: exitUnavailable}, "limits set": {args: []string{"reads", "1/minute"}, code: exitUnavailable}, "limits reset": {args: []string{"reads"}, code: exitUnavailable},
		"audit": {}, "audit list": {code: exitUnavailable}, "audit export": {code: exitUnavailable}, "audit verify": {code: exitUnavailable},
		"member": {}, "member list": {code: exitUnavailable}, "member invite": {code: exitUnavailable}, "member role": {args: []string{"1", "viewer"}, code: exitUnavailable},
		"member remove": {args: []string{"1"}, code: exitUnavailable}, "member leave": {code: exitUnavailable}, "member transfer": {args: []string{"1"}, code: exitUnavailable},
		"invitation": {}, "invitation list": {code: exitUnavailable}, "invitation revoke": {args: []string{"1"}, code: exitUnavailable}, "invitation accept": {args: []string{"cci_x"}, code: exitUnavailable},
		"federation status":   {code: exitUnavailable},
		"federation shares":   {code: exitUnavailable},
		"federation register": {args: []string{"x"}, code: exitUnavailable}, "federation admit": {args: []string{"x"}, code: exitUnavailable}, "federation remove": {args: []string{"x"}, code: exitUnavailable},
		"federation share": {args: []string{"x"}, code: exitUnavailable}, "federation unshare": {args: []string{"x"}, code: exitUnavailable}, "federation search": {args: []string{"x"}, code: exitUnavailable},
		"federation join":  {args: []string{"leaf://127.0.0.1:1", "--within", "200ms"}, code: exitUnavailable},
		"federation leave": {args: []string{"leaf://127.0.0.1:1"}, code: exitNotFound},
		"mcp":              {code: exitUnavailable},
		"operation list":   {code: exitUnavailable}, "operation show": {args: []string{"p1.auth.x"}, code: exitUnavailable}, "operation wait": {args: []string{"p1.auth.x", "--timeout", "1s"}, code: exitUnavailable},
		"up": {code: exitInUse}, "serve": {args: []string{"gateway"}, code: exitInUse},
		"models": {}, "models list": {}, "models pull": {args: []string{"no-such-model"}, code: exitNotFound}, "models verify": {args: []string{"no-such-model"}, code: exitNotFound}, "models use": {code: exitUnavailable},
		"knowledge": {}, "knowledge settings": {args: []string{"--alpha", "0.5", "--languages", "default"}, code: exitUnavailable}, "knowledge import": {args: []string{old}, code: exitUnavailable},
		"source": {}, "source add": {args: []string{"example.com"}, code: exitUnavailable}, "source list": {code: exitUnavailable}, "source show": {args: []string{"1"}, code: exitUnavailable},
		"source edit": {args: []string{"1", "--disable"}, code: exitUnavailable}, "source run": {args: []string{"1"}, code: exitUnavailable}, "source preview": {args: []string{"1"}, code: exitUnavailable},
		"source history": {args: []string{"1"}, code: exitUnavailable}, "source remove": {args: []string{"1"}, code: exitUnavailable}, "source discover": {args: []string{"example.com"}, code: exitUnavailable},
		"source opml": {}, "source opml import": {args: []string{readme}, code: exitUnavailable}, "source opml export": {code: exitUnavailable},
		"technology": {}, "technology list": {code: exitUnavailable}, "technology add": {args: []string{"Go"}, code: exitUnavailable}, "technology show": {args: []string{"1"}, code: exitUnavailable},
		"technology edit": {args: []string{"1", "--notes", "x"}, code: exitUnavailable}, "technology move": {args: []string{"1", "hold"}, code: exitUnavailable}, "technology delete": {args: []string{"1"}, code: exitUnavailable},
		"task": {}, "task list": {code: exitUnavailable}, "task add": {args: []string{"Why?"}, code: exitUnavailable}, "task show": {args: []string{"1"}, code: exitUnavailable},
		"task edit": {args: []string{"1", "--notes", "x"}, code: exitUnavailable}, "task move": {args: []string{"1", "blocked"}, code: exitUnavailable}, "task done": {args: []string{"1"}, code: exitUnavailable},
		"task delete": {args: []string{"1"}, code: exitUnavailable}, "task stats": {code: exitUnavailable}, "task attach": {args: []string{"1", readme}, code: exitUnavailable}, "task files": {args: []string{"1"}, code: exitUnavailable},
		"task download": {args: []string{"1", "2", "-"}, code: exitUnavailable}, "task detach": {args: []string{"1", "2"}, code: exitUnavailable}, "task export": {args: []string{"-"}, code: exitUnavailable}, "task import": {args: []string{readme}, code: exitUnavailable},
		"technology radar": {code: exitUnavailable}, "technology import": {args: []string{readme}, code: exitUnavailable},
		"schedule": {}, "schedule add": {args: []string{"n", "call", "--every", "1h"}, code: exitUnavailable}, "schedule list": {code: exitUnavailable}, "schedule show": {args: []string{"1"}, code: exitUnavailable},
		"schedule next": {args: []string{"1"}, code: exitUnavailable}, "schedule enable": {args: []string{"1"}, code: exitUnavailable}, "schedule disable": {args: []string{"1"}, code: exitUnavailable},
		"schedule run": {args: []string{"1"}, code: exitUnavailable}, "schedule delete": {args: []string{"1"}, code: exitUnavailable},
		"job": {}, "job list": {code: exitUnavailable}, "job show": {args: []string{"33"}, code: exitUnavailable}, "job watch": {args: []string{"33"}, code: exitUnavailable}, "job types": {code: exitUnavailable},
		"job add": {args: []string{"call"}, code: exitUnavailable}, "job dispatch": {args: []string{"33"}, code: exitUnavailable}, "job cancel": {args: []string{"33"}, code: exitUnavailable},
		"job retry": {args: []string{"33"}, code: exitUnavailable}, "job delete": {args: []string{"33"}, code: exitUnavailable},
		"knowledge templates": {code: exitUnavailable}, "knowledge apply": {args: []string{"documentation"}, code: exitUnavailable},
		"eval": {}, "eval run": {args: []string{"--questions", questions}, code: exitUnavailable}, "eval report": {args: []string{"--qrels", qrels, run}},
		"eval import": {args: []string{"x", "--questions", questions}, code: exitUnavailable}, "eval sets": {code: exitUnavailable}, "eval apply": {args: []string{"1"}, code: exitUnavailable}, "eval delete": {args: []string{"1"}, code: exitUnavailable},
		"migrate": {code: exitFailure},
	}
	every(func(_ *cobra.Command, words []string) {
		name := strings.Join(words, " ")
		c, ok := cases[name]
		if !ok {
			t.Errorf("%q: not tried; say here how", name)
			return
		}
		code, out, errs := cc(t, c.in, append(append(words, c.args...), "--json", "--config", file)...)
		if code != c.code {
			t.Errorf("%q: exit code %d, want %d: %s%s", name, code, c.code, out, errs)
		}
		if answers := documents(t, name, out); code == exitOK && answers != 1 || code != exitOK && code != exitPartly && answers > 0 {
			t.Errorf("%q: %d documents on standard output with exit code %d: %s", name, answers, code, out)
		}
		if code == exitOK {
			return
		}
		var last struct {
			Error string `json:"error"`
			Code  int    `json:"exit_code"`
		}
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		documents(t, name, errs)
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Error == "" || last.Code != code {
			t.Errorf("%q: exit code %d, and the last line of standard error is %s", name, code, lines[len(lines)-1])
		}
	})
	code, out, _ := cc(t, "", "ingest", readme, "--dry-run", "--json", "--config", file)
	if code != exitOK || documents(t, "dry run", out) != 1 {
		t.Errorf("dry run: %d %s", code, out)
	}
}

// documents counts the JSON documents in text, one per line.
func documents(t *testing.T, name, text string) (n int) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n++; !json.Valid([]byte(line)) {
			t.Errorf("%q: not JSON: %s", name, line)
		}
	}
	return n
}

func TestWhatIsUnknownIsAMistake(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{
		{"nope"}, {"completion", "nope"}, {"help", "nope"}, {"help", "bus", "nope"}, {"bus", "nope"}, {"bus", "dead", "nope"}, {"config", "nope"}, {"federation", "nope"},
		{"exit-codes", "nope"}, {"version", "nope"}, {"project", "list", "nope"}, {"completion", "bash", "nope"}, {"doctor", "--nope"},
	} {
		if code, out, errs := cc(t, "", words...); code != exitUsage || !strings.Contains(errs, "--help") {
			t.Errorf("%v: exit code %d: %s%s", words, code, out, errs)
		}
	}
	// An input that cannot be read has the same code, and no word on usage.
	if code, _, errs := cc(t, "", "ingest", "/does/not/exist"); code != exitUsage || strings.Contains(errs, "--help") || !strings.Contains(errs, "/does/not/exist: no such file") {
		t.Errorf("a missing file: %d %s", code, errs)
	}
	code, out, errs := cc(t, "", "help", "bus", "dead")
	if code != exitOK || !strings.Contains(out, "redrive") {
		t.Errorf("help of a command: %d %s%s", code, out, errs)
	}
}

func TestValuesOfFlagsAreCompleted(t *testing.T) {
	t.Parallel()
	for want, words := range map[string][]string{
		"keyword": {"search", "x", "--mode", ""}, "rrf": {"search", "x", "--fusion", ""}, "offline": {"federation", "status", "--status", ""},
		"debug": {"up", "--log-level", ""}, "auto": {"serve", "--log-format", ""}, "knowledge": {"serve", ""}, "powershell": {"completion", ""},
		"redrive": {"help", "bus", "dead", ""}, "gateway.metrics": {"config", "get", ""},
	} {
		if code, out, errs := cc(t, "", append([]string{"__complete"}, words...)...); code != exitOK || !strings.Contains("\n"+out, "\n"+want) {
			t.Errorf("%v: %d, no %s in %s%s", words, code, want, out, errs)
		}
	}
}
