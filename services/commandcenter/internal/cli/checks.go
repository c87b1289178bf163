package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/stack"
)

func (e *env) checkSettings() finding {
	if err := e.cfg.Validate(); e.loaded == nil || err != nil {
		if err == nil {
			err = errors.New("the settings cannot be read")
		}
		return fail("settings", err.Error(), "mend "+e.file+", the environment or the flags; `commandcenter config list` shows what is in force")
	}
	// The rest of these are no settings: where the file is, what starts other processes, and tests.
	if stray := e.loaded.Strays(os.Environ(), "CC_CONFIG", "CC_PG_BIN", stack.Supervised, "CC_TEST_"); len(stray) > 0 {
		return warn("settings", strings.Join(stray, ", ")+" in the environment sets nothing", "`commandcenter config list` names the variable of each setting")
	}
	if file := e.loaded.File(); file != "" {
		return fine("settings", file)
	}
	return fine("settings", "defaults, environment and flags; no file at "+e.file)
}

func (e *env) checkDataDir(d *datadir.Dir) finding {
	st, err := os.Stat(d.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return skip("data directory", d.Path()+" is not there yet", "`commandcenter up` makes it")
	case err != nil:
		return fail("data directory", err.Error(), "choose another with --data-dir")
	case !st.IsDir():
		return fail("data directory", d.Path()+" is no directory", "choose another with --data-dir")
	}
	keys, err := os.Stat(d.Keys())
	if err == nil && keys.Mode().Perm()&0o077 != 0 {
		return fail("data directory", fmt.Sprintf("%s can be read by others (%o)", d.Keys(), keys.Mode().Perm()), "chmod 700 "+d.Keys())
	}
	if d2, err := os.ReadDir(d.Keys()); err == nil {
		for _, f := range d2 {
			if st, err := f.Info(); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
				p := filepath.Join(d.Keys(), f.Name())
				return fail("data directory", p+" can be read by others", "chmod 600 "+p)
			}
		}
	}
	if err := d.Check(); err != nil {
		var newer *datadir.NewerError
		if errors.As(err, &newer) {
			return fail("data directory", err.Error(), "run the newer version")
		}
		return fail("data directory", err.Error(), "")
	}
	if pid := d.Holder(); pid != 0 {
		return fine("data directory", fmt.Sprintf("%s, in use by process %d", d.Path(), pid))
	}
	return fine("data directory", d.Path()+", nothing runs from it")
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
		return skip("disk", err.Error(), "")
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert,gosec // types differ between systems
	if free < lowDisk {
		return warn("disk", fmt.Sprintf("%s free at %s", size(free), dir), "make room, or move the data directory: streams refuse writes when the disk is full")
	}
	return fine("disk", fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30)))
}

// checkLeftovers tells of PostgreSQL clusters outside of any data directory,
// whose own is gone. There is no finding without one.
func checkLeftovers(context.Context, *datadir.Dir) []finding {
	left, err := pgserver.Leftovers()
	if err != nil || len(left) == 0 {
		return nil // who may not look has made none
	}
	return []finding{leftBehind(left)}
}

func leftBehind(left []pgserver.Leftover) finding {
	var bytes int64
	var of, homes []string
	for _, l := range left {
		bytes += l.Bytes
		of, homes = append(of, l.DataDir), append(homes, shell(l.Home))
	}
	return warn("left behind", fmt.Sprintf("%s (%s) of PostgreSQL without a data directory: of %s", count(len(left), "cluster"), size(bytes), strings.Join(of, ", ")),
		"if those were deleted, and have neither moved nor are on a disk that is not mounted: rm -r "+strings.Join(homes, " "))
}

// runs reports whether a process serves what the lock is of, or all of it.
func runs(d *datadir.Dir, lock string) bool { return d.Holder() != 0 || d.HolderOf(lock) != 0 }

func (e *env) checkPostgres(ctx context.Context, d *datadir.Dir) []finding {
	if e.cfg.DatabaseURL == "" && !runs(d, datadir.LockPostgres) {
		return []finding{skip(partPostgres, "private, started by `commandcenter up`", "")}
	}
	state, err := stack.InspectDatabase(ctx, e.cfg, d)
	switch {
	case err != nil && e.cfg.DatabaseURL != "":
		return []finding{fail(partPostgres, obs.RedactText(err.Error()), "check --database-url (DATABASE_URL), and that the server runs and lets this machine in")}
	case err != nil:
		return []finding{fail(partPostgres, obs.RedactText(err.Error()), "see the log in "+d.Logs()+"; a restart of `commandcenter up` recovers a crashed server")}
	case len(state.Missing) > 0:
		return []finding{fail(partPostgres, "no schema for "+strings.Join(state.Missing, ", "), "run `commandcenter migrate`")}
	}
	return []finding{fine(partPostgres, fmt.Sprintf("version %s, %d connections of %d", state.Version, state.Connections, state.MaxConnections))}
}

func (e *env) checkBus(ctx context.Context, d *datadir.Dir) []finding {
	if e.cfg.NATSURL == "" && !runs(d, datadir.LockNATS) {
		return []finding{skip("NATS", "embedded, started by `commandcenter up`", "")}
	}
	nc, err := e.admin()
	if err != nil {
		fix := "see the log in " + d.Logs()
		if e.cfg.NATSURL != "" {
			fix = "check --nats-url (NATS_URL), and that its server includes " + filepath.Join(d.Keys(), "nats-trust.conf")
		}
		return []finding{fail("NATS", err.Error(), fix)}
	}
	defer nc.Close()
	return append([]finding{e.checkStreams(ctx, nc)}, append(e.checkLeafs(ctx), checkServices(ctx, nc))...)
}

func (e *env) checkStreams(ctx context.Context, nc *nats.Conn) finding {
	js, err := jetstream.New(nc)
	if err != nil {
		return fail("NATS", err.Error(), "")
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
			waiting = append(waiting, count(int(n), "dead letter"))
		}
	}
	switch {
	case len(missing) > 0:
		return fail("NATS", "no stream "+strings.Join(missing, ", "), "run `commandcenter migrate`, or restart `commandcenter up`")
	case len(waiting) > 0:
		return warn("NATS", strings.Join(waiting, ", "), "`commandcenter bus dead list` shows them; mend the cause, then `commandcenter bus dead redrive`")
	}
	return fine("NATS", fmt.Sprintf("version %s at %s, every stream is there", nc.ConnectedServerVersion(), obs.RedactText(nc.ConnectedUrl())))
}

func checkServices(ctx context.Context, nc *nats.Conn) finding {
	answers, err := gather[micro.Ping](ctx, nc, "$SRV.PING", 500*time.Millisecond)
	if err != nil {
		return fail("services", err.Error(), "")
	}
	seen := map[string]int{}
	for _, a := range answers {
		seen[a.Name]++
	}
	var missing, there []string
	for _, name := range stack.Names() {
		if seen[name] == 0 {
			missing = append(missing, name)
		} else {
			there = append(there, name)
		}
	}
	if len(missing) > 0 {
		return fail("services", "no answer from "+strings.Join(missing, ", "), "start them: `commandcenter serve "+strings.Join(missing, " ")+"`")
	}
	return fine("services", strings.Join(there, ", ")+" answer")
}

func (e *env) checkHTTP(ctx context.Context, _ *datadir.Dir) []finding {
	s, err := e.sessionWith(client.Config{Once: true})
	if err != nil {
		return []finding{fail("HTTP", err.Error(), "")}
	}
	resp, err := s.Open().DetailedHealthCheck(ctx)
	var gone *client.UnreachableError
	switch {
	case errors.As(err, &gone) && gone.Untrusted():
		return []finding{fail("HTTP", fmt.Sprintf("the certificate of %s is not trusted: %v", s.Server(), gone.Err), gone.Mend())}
	case errors.As(err, &gone) && e.cfg.Client.Server != "":
		return []finding{fail("HTTP", fmt.Sprintf("no answer from %s: %v", s.Server(), gone.Err), "start it there, or name another with --server")}
	case errors.As(err, &gone):
		return []finding{fail("HTTP", fmt.Sprintf("no answer from %s: %v", s.Server(), gone.Err), "start it with `commandcenter up`, or name another with --server")}
	case err != nil:
		return []finding{fail("HTTP", err.Error(), "")}
	}
	if resp.StatusCode == 503 {
		resp.StatusCode = 200 // unhealthy: the body says why
	}
	h, err := client.Into[client.DetailedHealth](resp, nil)
	if err != nil {
		return []finding{fail("HTTP", err.Error(), "is there a CommandCenter at "+s.Server()+"?")}
	}
	out := []finding{fine("HTTP", fmt.Sprintf("%s, version %s", s.Server(), h.Version))}
	names := make([]string, 0, len(h.Components))
	for n := range h.Components {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		c := h.Components[n]
		f := finding{Part: n, Status: findingOK, Detail: string(c.Status), component: true}
		switch c.Status {
		case client.ComponentHealthStatusDegraded:
			f.Status = findingWarn
			f.Detail, f.Fix = sentences(or(c.Message, "works with less than usual"))
		case client.ComponentHealthStatusUnhealthy:
			f.Status, f.Detail, f.Fix = findingFail, "does not work", or(c.Message, "see the log")
		}
		out = append(out, f)
	}
	return append(out, e.checkLogin(ctx, s))
}

// sentences are the first sentence of what a component says of itself, which is what is
// the matter, and the rest, which is what to do.
func sentences(message string) (what, todo string) {
	what, todo, _ = strings.Cut(message, ". ")
	return strings.TrimSuffix(what, "."), todo
}

func (e *env) checkLogin(ctx context.Context, s *client.Session) finding {
	me, err := client.Into[client.UserResponse](s.GetCurrentUserInfo(ctx))
	switch {
	case errors.Is(err, client.ErrNotLoggedIn):
		_, why, _ := strings.Cut(err.Error(), "; ")
		if why == "" {
			why = "`commandcenter login`"
		}
		return warn("login", "not logged in at "+s.Server(), why)
	case errors.Is(err, client.ErrTokenRefused):
		return fail("login", err.Error(), "make a key with `commandcenter key create`, or unset CC_TOKEN")
	case s.ByToken() && forbidden(err):
		// It was recognised: it is the key of a program, or its scopes leave out whose it is.
		return fine("login", "CC_TOKEN is accepted, and does not say whose account it is: "+err.Error())
	case err != nil:
		f := fail("login", err.Error(), "commandcenter login")
		f.component = true
		return f
	}
	return fine("login", me.Email)
}

func forbidden(err error) bool {
	var api *client.APIError
	return errors.As(err, &api) && api.Status == http.StatusForbidden
}
