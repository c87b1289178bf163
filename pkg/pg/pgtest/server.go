package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/pg/pgserver"
)

var (
	startOnce sync.Once
	shared    *server
	startErr  error
)

// running returns the server of the process, starting it for the first test
// that wants one.
func running(ctx context.Context, t testing.TB) *server {
	t.Helper()
	startOnce.Do(func() { shared, startErr = startServer(ctx) })
	if startErr != nil {
		t.Fatalf("pgtest: %v", startErr)
	}
	return shared
}

func startServer(ctx context.Context) (*server, error) {
	root, err := workDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(root, "server-*")
	if err != nil {
		return nil, fmt.Errorf("directory of the server: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, fmt.Errorf("directory of the server: %w", err)
	}
	leash, err := reapWithUs(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Join(dir, "pg")
	if err := copyBase(ctx, root, data); err != nil {
		return nil, err
	}
	s, err := pgserver.Start(ctx, pgserver.Config{DataDir: data, Unsafe: true, MaxConnections: 200})
	if err != nil {
		return nil, err
	}
	admin, err := maintenance(s.AdminDSN())
	if err != nil {
		return nil, err
	}
	return &server{admin: admin, leash: leash, dsn: s.AdminDSN(), templates: map[string]*template{}}, nil
}

// workDir is where the servers of this user's test processes live. The
// server's account must be able to pass through it.
func workDir() (string, error) {
	base := os.TempDir()
	if os.Geteuid() == 0 {
		base = "/tmp" // root's TMPDIR may be closed to others
	}
	dir := filepath.Join(base, fmt.Sprintf("commandcenter-pgtest-%d", os.Geteuid()))
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", fmt.Errorf("directory of the servers: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil || !st.IsDir() {
		return "", fmt.Errorf("directory of the servers: %s is none", dir)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return "", fmt.Errorf("directory of the servers: %s is somebody else's", dir)
	}
	return dir, nil
}

// copyBase copies a cluster that was initialised once for all processes, which
// is ten times as fast as to initialise another.
func copyBase(ctx context.Context, root, data string) error {
	unlock, err := lock(filepath.Join(root, "base.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	// Whoever names other binaries gets another cluster.
	sum := sha256.Sum256([]byte(os.Getenv("CC_PG_BIN")))
	base := filepath.Join(root, "base-"+hex.EncodeToString(sum[:4]))
	done := base + ".done"
	if _, err := os.Stat(done); err != nil {
		if err := os.RemoveAll(base); err != nil {
			return fmt.Errorf("prepare a cluster: %w", err)
		}
		s, err := pgserver.Start(ctx, pgserver.Config{DataDir: base, Unsafe: true})
		if err != nil {
			return fmt.Errorf("prepare a cluster: %w", err)
		}
		if err := s.Stop(ctx); err != nil {
			return fmt.Errorf("prepare a cluster: %w", err)
		}
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			return fmt.Errorf("prepare a cluster: %w", err)
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-Rp", base, data).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the cluster: %w: %s", err, out)
	}
	return nil
}

// lock keeps other test processes away until unlock.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // which gives the lock up
}

// reaper waits for the end of its input, which the test process holds open for
// as long as it lives, and then removes what that has left. Nothing else can:
// a test process has no end of its own that a package could see, and may be
// killed.
const reaper = `cat >/dev/null
pid=$(head -n 1 "$1/pg/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
for i in 1 2 3 4 5; do rm -rf "$1" 2>/dev/null && exit; sleep 1; done`

// reapWithUs starts the reaper of dir and returns the other end of its input.
func reapWithUs(dir string) (leash *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", reaper, "pgtest-reaper", dir)
	cmd.Dir = "/"
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // outlives a Ctrl-C
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the reaper: %w", err), w.Close())
	}
	return w, cmd.Process.Release()
}
