package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// initialise makes the cluster beside its place and moves it there when it is
// whole: a start that is killed half-way leaves nothing that looks like one.
func (p place) initialise(ctx context.Context, bin binaries, password string, c Config) error {
	draft := p.cluster + ".new"
	for _, stale := range []string{draft, p.cluster} { // p.cluster without PG_VERSION is no cluster
		if err := os.RemoveAll(stale); err != nil {
			return fmt.Errorf("remove a half-made cluster: %w", err)
		}
	}
	pwfile := filepath.Join(p.home, ".initdb-password")
	if err := errors.Join(os.WriteFile(pwfile, []byte(password+"\n"), 0o600), p.account.own(pwfile)); err != nil {
		return fmt.Errorf("hand the password to initdb: %w", err)
	}
	defer os.Remove(pwfile)

	var refusals []error
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8", "C"} { // the last is everywhere
		args := []string{
			"-D", draft, "-U", adminUser, "--pwfile", pwfile, "--encoding=UTF8", "--locale=" + locale,
			"--auth=scram-sha-256", "--data-checksums",
		}
		if c.Unsafe {
			args = append(args, "--no-sync")
		}
		out, err := runBounded(ctx, p.account.command(p.home, bin.initdb, args...))
		if err == nil {
			if err := os.Rename(draft, p.cluster); err != nil {
				return fmt.Errorf("put the new cluster in place: %w", err)
			}
			return nil
		}
		refusals = append(refusals, fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(out)))
		if !strings.Contains(out, "locale") || ctx.Err() != nil {
			break
		}
		if err := os.RemoveAll(draft); err != nil {
			return fmt.Errorf("remove a half-made cluster: %w", err)
		}
	}
	return refusals[len(refusals)-1]
}

// runBounded runs cmd to its end, or kills its whole group when ctx ends, and
// returns what it printed.
func runBounded(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	stop := context.AfterFunc(ctx, func() {
		// The group, because initdb has children of its own. It may just have ended.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	defer stop()
	err := cmd.Wait()
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return out.String(), err
}
