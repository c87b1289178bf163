package pgserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// place is where the parts of a cluster are.
type place struct {
	account      account
	home         string // holds the cluster
	cluster      string // PostgreSQL's data directory
	sockets      string
	logFile      string
	passwordFile string
}

// Names in the data directory.
const (
	pointerName  = "cluster"        // says where the cluster is when it is not here
	passwordName = "admin-password" // of the superuser
)

const (
	port      = 5432                             // names the socket; nothing listens on a network
	socketMax = 107 - len("/.s.PGSQL.5432.lock") // longest socket directory
)

// elsewhere are the parents for clusters whose data directory is closed to the
// server's account, in order of preference.
var elsewhere = []string{"/var/lib/commandcenter", "/var/lib/commandcenter-postgres", "/var/tmp/commandcenter-postgres"}

// choosePlace finds, or decides, where the cluster lives.
func choosePlace(c Config, acc account) (place, error) {
	dir, err := absolute(c.DataDir)
	if err != nil {
		return place{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return place{}, fmt.Errorf("data directory: %w", err)
	}
	home, err := chooseHome(dir, acc, c.Log)
	if err != nil {
		return place{}, err
	}
	p := place{
		account: acc, home: home, cluster: filepath.Join(home, "data"),
		logFile: filepath.Join(home, "postgres.log"), passwordFile: filepath.Join(dir, passwordName),
	}
	if err := acc.mkdir(home); err != nil {
		return place{}, err
	}
	if home != dir {
		if err := remember(home, dir); err != nil {
			return place{}, err
		}
	}
	p.sockets, err = p.socketDir()
	return p, err
}

func chooseHome(dir string, acc account, log *slog.Logger) (string, error) {
	pointer := filepath.Join(dir, pointerName)
	switch b, err := os.ReadFile(pointer); {
	case err == nil:
		home := strings.TrimSpace(string(b))
		if !filepath.IsAbs(home) {
			return "", fmt.Errorf("%s: %q is no directory", pointer, home)
		}
		if closed := acc.closedTo(home); closed != "" {
			return "", fmt.Errorf("user %s cannot pass through %s to the cluster", acc.name, closed)
		}
		return home, nil
	case !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("find the cluster: %w", err)
	}
	closed := acc.closedTo(dir)
	if closed == "" {
		return dir, nil
	}
	for _, base := range elsewhere {
		if acc.closedTo(filepath.Join(base, "x")) != "" || os.MkdirAll(base, 0o711) != nil { //nolint:gosec // G301: others pass through
			continue
		}
		// By chance as well as by name: a data directory that was deleted and
		// made again is a new instance and must not find the old cluster.
		sum := sha256.Sum256([]byte(rand.Text() + dir))
		home := filepath.Join(base, hex.EncodeToString(sum[:6]))
		if err := writeFile(pointer, []byte(home+"\n"), 0o600); err != nil {
			return "", err
		}
		log.Warn("postgres.place", "cluster", home, "data_dir", dir, "user", acc.name, "closed", closed,
			"why", "the server runs as another user, who cannot pass through the closed directory")
		return home, nil
	}
	return "", fmt.Errorf("the server must run as user %s, who cannot pass through %s, and none of %s can be used: "+
		"choose another data directory, or chmod o+x %s", acc.name, closed, strings.Join(elsewhere, ", "), closed)
}

// socketDir is in the home of the cluster, or, when that path is too long for
// a socket, in the directory for temporary files under a name made from it.
func (p place) socketDir() (string, error) {
	dir := filepath.Join(p.home, "run")
	if len(dir) <= socketMax && !strings.ContainsAny(dir, `,"`) {
		return dir, p.account.mkdir(dir)
	}
	sum := sha256.Sum256([]byte(p.home))
	name := fmt.Sprintf("cc-pg-%d-%s", p.account.uid, hex.EncodeToString(sum[:6]))
	bases := []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"}
	if p.account.dropped {
		bases = bases[1:]
	}
	for _, base := range bases {
		dir = filepath.Join(base, name)
		if base == "" || len(dir) > socketMax || p.account.closedTo(dir) != "" {
			continue
		}
		if err := p.account.mkdir(dir); err != nil {
			continue
		}
		// Others may write to this parent: it must be ours, and no link.
		st, err := os.Lstat(dir)
		if err != nil || !st.IsDir() || st.Mode().Perm() != 0o700 {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != p.account.uid {
			continue
		}
		return dir, nil
	}
	return "", fmt.Errorf("no directory for the socket: %s is longer than %d bytes and neither of the others can be used",
		filepath.Join(p.home, "run"), socketMax)
}

// clusterVersion is the major version that made the cluster, 0 when there is
// none.
func (p place) clusterVersion() int {
	b, err := os.ReadFile(filepath.Join(p.cluster, "PG_VERSION"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return n
}

// password reads the superuser's password, or makes it before there is a
// cluster to have another one.
func (p place) password() (string, error) {
	b, err := os.ReadFile(p.passwordFile)
	if password := strings.TrimSpace(string(b)); err == nil && password != "" {
		return password, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if p.clusterVersion() != 0 {
		return "", fmt.Errorf("%s is missing, and the cluster in %s cannot be opened without it", p.passwordFile, p.cluster)
	}
	password := rand.Text() // 128 bits or more
	return password, writeFile(p.passwordFile, []byte(password+"\n"), 0o600)
}

// writeFile writes the whole file or nothing, and has it on disk.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// lockFile is what a running server writes about itself.
type lockFile struct {
	pid   int
	ready bool
}

func readLock(cluster string) (lockFile, error) {
	b, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return lockFile{}, err
	}
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return lockFile{}, fmt.Errorf("%s: no process id", filepath.Join(cluster, "postmaster.pid"))
	}
	return lockFile{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// stopLeftover ends a server that a killed program has left in the cluster.
// The data directory's owner lets one program in at a time, so it is nobody's.
func (p place) stopLeftover(ctx context.Context, log *slog.Logger) error {
	lock, err := readLock(p.cluster)
	if err != nil {
		return nil // none, or one that PostgreSQL itself will judge
	}
	if !isPostgres(lock.pid, p.cluster) {
		return nil // the file of a machine that crashed: PostgreSQL removes it
	}
	log.Warn("postgres.leftover", "pid", lock.pid, "cluster", p.cluster)
	if err := syscall.Kill(lock.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the server that an earlier run left (process %d): %w", lock.pid, err)
	}
	deadline := time.NewTimer(stopWithin)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	hard := time.After(stopWithin / 2)
	for isPostgres(lock.pid, p.cluster) {
		select {
		case <-tick.C:
		case <-hard:
			if err := syscall.Kill(lock.pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop the server that an earlier run left (process %d): %w", lock.pid, err)
			}
		case <-deadline.C:
			return fmt.Errorf("a server that an earlier run left (process %d) does not stop", lock.pid)
		case <-ctx.Done():
			return fmt.Errorf("stop the server that an earlier run left (process %d): %w", lock.pid, context.Cause(ctx))
		}
	}
	return nil
}
