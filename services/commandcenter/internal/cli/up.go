package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/version"
)

// serverKeys are the settings that commands which run a server have flags for.
var serverKeys = []string{
	"http", "nats", "database_url", "nats_url", "otlp_endpoint", "ops",
	"gateway.origins", "gateway.cert_file", "gateway.key_file", "hub.listen", "hub.join",
}

func (e *env) upCommand() *cobra.Command {
	var noSample, split, cluster bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Start everything on this machine",
		Long: `Starts NATS, PostgreSQL, every service and the HTTP gateway, and sets up what is
missing in the data directory. The first start makes the owner's account, a
project, and adds some documents to look at. Ctrl-C stops in order; a second one
at once.

With --split each part is a process of its own, which is started again when it
dies. The data directory is the same. With --cluster there are three NATS servers,
at --nats and the next two ports, whose streams have three copies, two processes
of every service, and two gateways, at --http and the next port. Their data
directory is not that of an ` + "`up`" + ` without it.`,
		Example: `  commandcenter up
  commandcenter up --http :8080 --no-sample
  commandcenter up --data-dir /srv/cc --database-url postgres://cc:secret@db/cc
  commandcenter up --split
  commandcenter up --cluster --data-dir /srv/cluster`,
		Args: nargs(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.up(cmd.Context(), noSample, shape{split || cluster, cluster})
		},
	}
	c.Flags().BoolVar(&noSample, "no-sample", false, "add no documents at the first start")
	waitFlag(c, stack.UpWait)
	c.Flags().BoolVar(&split, "split", false, "run each part as a process of its own")
	c.Flags().BoolVar(&cluster, "cluster", false, "three NATS servers and two processes of each service, so that any one may be lost")
	e.bind(c, false, serverKeys...)
	return ends(c, codesServer...)
}

// shape is in which processes everything runs.
type shape struct{ split, cluster bool }

// fault says what cannot be had together.
func (e *env) fault(s shape) error {
	switch {
	case s.split && e.cfg.Ops != "":
		return usageError{errors.New("--ops (CC_OPS) is an address for one process, and --split starts several: run `commandcenter serve SERVICE --ops ADDRESS` for each")}
	case s.cluster && e.cfg.NATSURL != "":
		return usageError{errors.New("--cluster starts NATS servers of its own: leave --nats-url (NATS_URL) out")}
	case e.cfg.Cluster.Name != "":
		return usageError{errors.New("cluster.name (CC_CLUSTER_NAME) makes `commandcenter serve nats` a member of a cluster; `commandcenter up --cluster` makes one by itself")}
	}
	return nil
}

func (e *env) up(ctx context.Context, noSample bool, s shape) error {
	if err := e.fault(s); err != nil {
		return err
	}
	split := s.split
	locks := []string{datadir.LockInstance, datadir.LockNATS, datadir.LockPostgres}
	if split {
		locks = locks[:1]
	}
	p, err := e.open(ctx, "up", locks...)
	if err != nil {
		return err
	}
	return p.finish(ctx, e.upIn(ctx, p, noSample, s))
}

// allFree looks whether everything can listen.
func (e *env) allFree(ctx context.Context, s shape) error {
	gateways, servers := 1, 1
	switch {
	case s.cluster:
		gateways, servers = stack.Gateways, stack.Servers
	case e.cfg.NATSURL != "":
		servers = 0
	}
	for i := range gateways {
		if err := free(ctx, stack.Next(e.cfg.HTTP, i), "--http", "CC_HTTP"); err != nil {
			return err
		}
	}
	for i := range servers {
		if err := free(ctx, stack.Next(e.cfg.NATS, i), "--nats", "CC_NATS"); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) upIn(ctx context.Context, p *process, noSample bool, s shape) error {
	if err := e.allFree(ctx, s); err != nil {
		return err
	}
	// The address of the last run is not ours, whoever listens there now.
	if err := p.Dir.Publish(datadir.EndpointHTTP, ""); err != nil {
		return err
	}
	first := p.Dir.Fresh()
	if first && !noSample {
		if err := p.Dir.SetSamplePending(true); err != nil {
			return err
		}
	}
	show := &display{env: e, p: p, sample: p.Dir.SamplePending() && !noSample}
	show.heading(first)
	p.Notice = show.notice
	after := []app.Part{app.Func("ready", func(context.Context) error { return show.ready(first) }, nil)}
	if p.Dir.SamplePending() && !noSample {
		after = append(after, &samplePart{env: e, p: p, show: show})
	}
	var err error
	if s.split {
		children := e.split(p, show)
		children.Cluster = s.cluster
		err = children.Run(ctx, after...)
	} else {
		err = stack.Up(ctx, p.Env, after...)
	}
	show.stopped(ctx)
	return err
}

// split makes the parent of one process per role: this program again, told by
// flags and environment what this one was told.
func (e *env) split(p *process, show *display) *stack.Split {
	return &stack.Split{
		Env: p.Env, Logs: p.logs, Started: show.process,
		Command: func(role string, own ...string) *exec.Cmd {
			args := []string{"serve", role, "--json", "--log-format", "json"}
			if config := e.loaded.File(); config != "" {
				args = append(args, "--config", config)
			}
			self, err := os.Executable()
			if err != nil {
				self = os.Args[0]
			}
			cmd := exec.Command(self, args...) //nolint:gosec,noctx // ourselves, and stopped in order
			cmd.Env = append(append(os.Environ(), e.childEnv()...), own...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to pass on, in order
			return cmd
		},
	}
}

// childEnv carries what flags said; secrets do not belong on a command line.
func (e *env) childEnv() []string {
	c := e.cfg
	out := []string{stack.Supervised + "=1", "CC_DATA_DIR=" + c.DataDir, "DATABASE_URL=" + c.DatabaseURL, "NATS_URL=" + c.NATSURL}
	for _, s := range e.loaded.List() {
		switch s.Key {
		case "data_dir", "database_url", "nats_url", "log.format", "ops":
		default:
			if s.Origin == "flag" {
				out = append(out, s.Env+"="+s.Value)
			}
		}
	}
	return append(out, "CC_OPS=")
}

// display tells people, or programs with --json, how the start goes.
type display struct {
	env    *env
	p      *process
	sample bool // the sample is, or is about to be, among the documents
	mu     sync.Mutex
}

func (d *display) heading(first bool) {
	if d.env.json {
		return
	}
	what := "starting"
	if first {
		what = "first start, setting up"
	}
	d.env.line("CommandCenter %s, %s in %s", version.Product, what, d.p.Dir.Path())
}

func (d *display) notice(n stack.Notice) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.env.json {
		d.env.print(d.env.Out, map[string]any{"event": "started", "part": n.Part, "detail": n.Detail, "ms": n.Took.Milliseconds()})
		return
	}
	d.env.line("  %s %-11s %s %s", d.env.paint(d.env.Out, green, "✓"), n.Part, n.Detail, d.env.paint(d.env.Out, dim, fmt.Sprintf("%d ms", n.Took.Milliseconds())))
}

func (d *display) process(role string, pid int, died error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.env.json:
		e := map[string]any{"event": "process", "role": role, "pid": pid, "again": died != nil}
		if died != nil {
			e["why"] = died.Error()
		}
		d.env.print(d.env.Out, e)
	case died != nil:
		d.env.line("  %s %-11s started again as process %d, after %v", d.env.paint(d.env.Out, yellow, "!"), role, pid, died)
	}
}

// ready says where everything is, and what to try.
func (d *display) ready(first bool) error {
	e, took := d.env, time.Since(d.p.began)
	url := *d.p.HTTP.Load()
	nats := e.cfg.NATSURL
	if nats == "" {
		nats = d.p.Dir.Endpoint(datadir.EndpointNATS)
	}
	nats = obs.RedactText(nats)
	second := ""
	if url := d.p.Second.Load(); url != nil {
		second = *url
	}
	if err := stack.PublishHTTP(d.p.Env); err != nil {
		return err
	}
	d.p.Log.Info("process.ready", "http", url, "nats", nats, "ms", took.Milliseconds())
	password := ""
	if first {
		var err error
		if password, err = d.p.Dir.ReadOwnerPassword(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.json {
		if first {
			e.print(e.Out, map[string]any{"event": "owner", "email": datadir.OwnerEmail, "password": password, "password_file": d.p.Dir.OwnerPasswordFile()})
		}
		ready := map[string]any{"event": stack.EventReady, "http": url, "nats": nats, "data_dir": d.p.Dir.Path(), "ms": took.Milliseconds()}
		if second != "" {
			ready["http_second"] = second
		}
		e.print(e.Out, ready)
		return nil
	}
	e.line("\nReady in %.1f s.\n", took.Seconds())
	e.line("  HTTP   %s   search page %s/ui, API documentation %s/docs", url, url, url)
	if second != "" {
		e.line("         %s   the same, by another process", second)
	}
	e.line("  NATS   %s", nats)
	if first {
		e.line("  Owner  %s   password %s", datadir.OwnerEmail, e.paint(e.Out, bold, password))
		e.line("         shown once; kept in %s", d.p.Dir.OwnerPasswordFile())
	}
	if d.p.logFile != "" {
		e.line("  Log    %s", d.p.logFile)
	}
	e.line("\nTry, in another terminal:\n")
	for _, h := range hints(d.command(), d.sample) {
		e.line("  %s", h)
	}
	e.line("")
	return nil
}

// hints are two commands that work from here as they stand. sample says that
// there is something to find before something is added.
func hints(command string, sample bool) []string {
	add, find := "echo 'Deploys go out on Fridays.' | "+command+" ingest - --name deploys.md", "when are deploys"
	for _, h := range []struct{ path, ask string }{{"deployments", "which port does the gateway listen on"}, {"README.md", "how to begin"}} {
		if _, err := os.Stat(h.path); err == nil {
			add, find = command+" ingest ./"+h.path, h.ask
			break
		}
	}
	if sample {
		return []string{command + ` search "what survives a kill -9"`, add}
	}
	return []string{add, command + ` search "` + find + `"`}
}

// command is how this program is called from another terminal, so that it
// finds this instance.
func (d *display) command() string {
	name := "commandcenter"
	if _, err := exec.LookPath(name); err != nil {
		name = os.Args[0]
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, name); err == nil && filepath.IsAbs(name) && !strings.HasPrefix(rel, "..") {
				name = rel
			}
		}
	}
	// The data directory says where the rest is. Another terminal has the same
	// settings file, if nobody named one, and neither our flags nor our environment.
	dir, _ := d.env.loaded.Get("data_dir")
	filed := dir.Origin == "file" && d.env.file == settings.DefaultFile()
	if d.env.cfg.DataDir != settings.Default().DataDir && !filed {
		name += " --data-dir " + shell(d.p.Dir.Path())
	}
	return name
}

func (d *display) stopped(ctx context.Context) {
	if ctx.Err() == nil || d.env.json {
		return
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, app.ErrSignal) {
		d.env.line("Stopped.")
	}
}

// shell quotes a word for a shell, if that is needed.
func shell(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
