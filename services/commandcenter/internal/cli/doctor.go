package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/spf13/cobra"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

// The outcomes of a finding.
const (
	findingOK   = "ok"
	findingWarn = "warning"
	findingFail = "failed"
	findingSkip = "skipped"
)

// finding is what doctor says of one part.
type finding struct {
	Part   string `json:"part"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func (e *env) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check every part and say how to mend it",
		Long: `Checks the settings, the data directory, PostgreSQL, NATS with its streams and
services, the HTTP gateway with every component behind it, and your login. It
changes nothing. The exit code is 7 when something has failed; warnings leave it 0.`,
		Example:     "  commandcenter doctor\n  commandcenter doctor --json | jq '.[] | select(.status != \"ok\")'",
		Args:        nargs(0, 0),
		Annotations: mendable,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := e.examine(cmd.Context())
			failed := 0
			for _, f := range found {
				if f.Status == findingFail {
					failed++
				}
				if !e.json {
					e.printFinding(f)
				}
			}
			if e.json {
				e.print(e.Out, found)
			}
			if failed > 0 {
				return partlyError{fmt.Errorf("%d of %d checks failed", failed, len(found))}
			}
			return nil
		},
	}
	e.bind(c, false, "http", "nats", "database_url", "nats_url", "client.server")
	return c
}

func (e *env) printFinding(f finding) {
	mark, colour := "✓", green
	switch f.Status {
	case findingWarn:
		mark, colour = "!", yellow
	case findingFail:
		mark, colour = "✗", red
	case findingSkip:
		mark, colour = "-", dim
	}
	e.line("%s %-14s %s", e.paint(e.Out, colour, mark), f.Part, f.Detail)
	if f.Fix != "" {
		e.line("  %-14s %s", "", e.paint(e.Out, bold, f.Fix))
	}
}

func (e *env) examine(ctx context.Context) []finding {
	out := []finding{e.checkSettings()}
	if out[0].Status == findingFail {
		return out // nothing else can be trusted
	}
	d := datadir.At(e.cfg.DataDir)
	running := d.Holder() != 0
	out = append(out, e.checkDataDir(d), checkDisk(d))
	for _, check := range []func(context.Context, *datadir.Dir, bool) []finding{e.checkPostgres, e.checkBus, e.checkHTTP} {
		ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
		out = append(out, check(ctx, d, running)...)
		cancel()
	}
	return out
}

func (e *env) checkSettings() finding {
	if err := e.cfg.Validate(); e.loaded == nil || err != nil {
		if err == nil {
			err = errors.New("the settings cannot be read")
		}
		return finding{"settings", findingFail, err.Error(), "mend " + e.file + ", the environment or the flags; `commandcenter config list` shows what is in force"}
	}
	if file := e.loaded.File(); file != "" {
		return finding{"settings", findingOK, file, ""}
	}
	return finding{"settings", findingOK, "defaults, environment and flags; no file at " + e.file, ""}
}

func (e *env) checkDataDir(d *datadir.Dir) finding {
	st, err := os.Stat(d.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{"data directory", findingSkip, d.Path() + " is not there yet", "`commandcenter up` makes it"}
	case err != nil:
		return finding{"data directory", findingFail, err.Error(), "choose another with --data-dir"}
	case !st.IsDir():
		return finding{"data directory", findingFail, d.Path() + " is no directory", "choose another with --data-dir"}
	}
	keys, err := os.Stat(d.Keys())
	if err == nil && keys.Mode().Perm()&0o077 != 0 {
		return finding{"data directory", findingFail, fmt.Sprintf("%s can be read by others (%o)", d.Keys(), keys.Mode().Perm()), "chmod 700 " + d.Keys()}
	}
	if d2, err := os.ReadDir(d.Keys()); err == nil {
		for _, f := range d2 {
			if st, err := f.Info(); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
				p := filepath.Join(d.Keys(), f.Name())
				return finding{"data directory", findingFail, p + " can be read by others", "chmod 600 " + p}
			}
		}
	}
	if err := d.Check(); err != nil {
		return finding{"data directory", findingFail, err.Error(), "run the newer version"}
	}
	if pid := d.Holder(); pid != 0 {
		return finding{"data directory", findingOK, fmt.Sprintf("%s, in use by process %d", d.Path(), pid), ""}
	}
	return finding{"data directory", findingOK, d.Path() + ", nothing runs from it", ""}
}

// lowDisk is when doctor begins to warn, in bytes.
const lowDisk = 2 << 30

func checkDisk(d *datadir.Dir) finding {
	dir := d.Path()
	var st syscall.Statfs_t
	for {
		err := syscall.Statfs(dir, &st)
		if err == nil {
			break
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return finding{"disk", findingSkip, err.Error(), ""}
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert,gosec // types differ between systems
	if free < lowDisk {
		return finding{"disk", findingWarn, fmt.Sprintf("%s free at %s", size(free), dir), "make room, or move the data directory: streams refuse writes when the disk is full"}
	}
	return finding{"disk", findingOK, fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30)), ""}
}

func (e *env) checkPostgres(ctx context.Context, d *datadir.Dir, running bool) []finding {
	if e.cfg.DatabaseURL == "" && !running {
		return []finding{{"PostgreSQL", findingSkip, "private, started by `commandcenter up`", ""}}
	}
	state, err := stack.InspectDatabase(ctx, e.cfg, d)
	switch {
	case err != nil && e.cfg.DatabaseURL != "":
		return []finding{{"PostgreSQL", findingFail, obs.RedactText(err.Error()), "check --database-url (DATABASE_URL), and that the server runs and lets this machine in"}}
	case err != nil:
		return []finding{{"PostgreSQL", findingFail, obs.RedactText(err.Error()), "see the log in " + d.Logs() + "; a restart of `commandcenter up` recovers a crashed server"}}
	case len(state.Missing) > 0:
		return []finding{{"PostgreSQL", findingFail, "no schema for " + strings.Join(state.Missing, ", "), "run `commandcenter migrate`"}}
	}
	return []finding{{"PostgreSQL", findingOK, fmt.Sprintf("version %s, %d connections of %d", state.Version, state.Connections, state.MaxConnections), ""}}
}

func (e *env) checkBus(ctx context.Context, d *datadir.Dir, running bool) []finding {
	if e.cfg.NATSURL == "" && !running {
		return []finding{{"NATS", findingSkip, "embedded, started by `commandcenter up`", ""}}
	}
	nc, err := e.admin()
	if err != nil {
		fix := "see the log in " + d.Logs()
		if e.cfg.NATSURL != "" {
			fix = "check --nats-url (NATS_URL), and that its server includes " + filepath.Join(d.Keys(), "nats-trust.conf")
		}
		return []finding{{"NATS", findingFail, err.Error(), fix}}
	}
	defer nc.Close()
	return []finding{e.checkStreams(ctx, nc), checkServices(ctx, nc)}
}

func (e *env) checkStreams(ctx context.Context, nc *nats.Conn) finding {
	js, err := jetstream.New(nc)
	if err != nil {
		return finding{"NATS", findingFail, err.Error(), ""}
	}
	var missing, waiting []string
	for _, c := range bus.Streams(bus.Specs{}) {
		s, err := js.Stream(ctx, c.Name)
		if err != nil {
			missing = append(missing, c.Name)
			continue
		}
		n := s.CachedInfo().State.Msgs
		if c.Name == bus.StreamDead && n > 0 {
			waiting = append(waiting, fmt.Sprintf("%d dead letters", n))
		}
	}
	switch {
	case len(missing) > 0:
		return finding{"NATS", findingFail, "no stream " + strings.Join(missing, ", "), "run `commandcenter migrate`, or restart `commandcenter up`"}
	case len(waiting) > 0:
		return finding{"NATS", findingWarn, strings.Join(waiting, ", "), "`commandcenter bus dead list` shows them; mend the cause, then `commandcenter bus dead redrive`"}
	}
	return finding{"NATS", findingOK, fmt.Sprintf("version %s at %s, every stream is there", nc.ConnectedServerVersion(), obs.RedactText(nc.ConnectedUrl())), ""}
}

func checkServices(ctx context.Context, nc *nats.Conn) finding {
	answers, err := gather[micro.Ping](ctx, nc, "$SRV.PING", 500*time.Millisecond)
	if err != nil {
		return finding{"services", findingFail, err.Error(), ""}
	}
	seen := map[string]int{}
	for _, a := range answers {
		seen[a.Name]++
	}
	var missing, there []string
	for _, name := range stack.Names() {
		switch {
		case name == "gateway": // asks, and answers nobody on the bus
		case seen[name] == 0:
			missing = append(missing, name)
		default:
			there = append(there, name)
		}
	}
	if len(missing) > 0 {
		return finding{"services", findingFail, "no answer from " + strings.Join(missing, ", "), "start them: `commandcenter serve " + strings.Join(missing, " ") + "`"}
	}
	return finding{"services", findingOK, strings.Join(there, ", ") + " answer", ""}
}

func (e *env) checkHTTP(ctx context.Context, _ *datadir.Dir, running bool) []finding {
	s, err := e.sessionWith(client.Config{Once: true})
	if err != nil {
		return []finding{{"HTTP", findingFail, err.Error(), ""}}
	}
	resp, err := s.Open().DetailedHealthCheck(ctx)
	if err != nil {
		status, fix := findingFail, "start it with `commandcenter up`, or name another with --server"
		if !running && e.cfg.Client.Server == "" {
			status, fix = findingSkip, "`commandcenter up` starts it"
		}
		return []finding{{"HTTP", status, err.Error(), fix}}
	}
	if resp.StatusCode == 503 {
		resp.StatusCode = 200 // unhealthy: the body says why
	}
	h, err := client.Into[client.DetailedHealth](resp, nil)
	if err != nil {
		return []finding{{"HTTP", findingFail, err.Error(), "is there a CommandCenter at " + s.Server() + "?"}}
	}
	out := []finding{{"HTTP", findingOK, fmt.Sprintf("%s, version %s", s.Server(), h.Version), ""}}
	names := make([]string, 0, len(h.Components))
	for n := range h.Components {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		c := h.Components[n]
		f := finding{Part: n, Status: findingOK, Detail: string(c.Status)}
		switch c.Status {
		case client.ComponentHealthStatusDegraded:
			f.Status, f.Detail, f.Fix = findingWarn, "works with less than usual", or(c.Message, "")
		case client.ComponentHealthStatusUnhealthy:
			f.Status, f.Detail, f.Fix = findingFail, "does not work", or(c.Message, "see the log")
		}
		out = append(out, f)
	}
	return append(out, e.checkLogin(ctx, s))
}

func (e *env) checkLogin(ctx context.Context, s *client.Session) finding {
	me, err := client.Into[client.UserResponse](s.GetCurrentUserInfo(ctx))
	switch {
	case errors.Is(err, client.ErrNotLoggedIn):
		return finding{"login", findingWarn, "not logged in at " + s.Server(), "commandcenter login"}
	case err != nil:
		return finding{"login", findingFail, err.Error(), "commandcenter login"}
	}
	return finding{"login", findingOK, me.Email, ""}
}
