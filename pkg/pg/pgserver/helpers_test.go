package pgserver

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
)

// TestMain lets the test binary be the program whose death the tests look at.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PGSERVER_TEST_DIR"); dir != "" {
		if err := program(dir); err != nil {
			fmt.Fprintln(os.Stdout, "error", strings.ReplaceAll(err.Error(), "\n", " "))
		}
		return
	}
	m.Run()
}

// program runs a server until its input ends.
func program(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Start(ctx, Config{DataDir: dir, Survive: os.Getenv("PGSERVER_TEST_SURVIVE") != ""})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready", s.proc.pid, s.AdminDSN())
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, s.Stop(ctx))
}

// child is a program in a process of its own.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
	pid int // of the server
	dsn string
}

func startChild(t *testing.T, dir string, as *account, env ...string) *child {
	t.Helper()
	binary, err := os.Executable()
	must(t, err)
	cmd := exec.Command(binary)
	if as != nil {
		// go test builds in a directory that nobody else may enter. Another
		// process writes the copy: one that is open for writing here when some
		// other test forks cannot be run.
		public := filepath.Join(publicDir(t), "program")
		if out, err := exec.Command("cp", binary, public).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		must(t, os.Chmod(public, 0o755))
		cmd = exec.Command(public)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}}
		cmd.Dir = "/"
	}
	cmd.Env = append(append(os.Environ(), "PGSERVER_TEST_DIR="+dir), env...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	c := &child{cmd: cmd, in: in}
	if _, serr := fmt.Sscanf(line, "ready %d", &c.pid); serr != nil {
		t.Fatalf("the program says %q, %v", line, err)
	}
	c.dsn = strings.TrimSpace(strings.SplitN(line, " ", 3)[2])
	return c
}

// publicDir is a directory that every user can pass through; t.TempDir of a
// root is not.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgserver-test-")
	must(t, err)
	must(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func run(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), c)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query[T any](t *testing.T, dsn, q string) T {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	must(t, err)
	defer db.Close()
	var v T
	must(t, db.QueryRowContext(t.Context(), q).Scan(&v))
	return v
}

func execute(t *testing.T, dsn, q string) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	must(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), q)
	must(t, err)
}

// awaitEnd waits until process pid is no server of cluster any more.
func awaitEnd(t *testing.T, pid int, cluster string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for isPostgres(pid, cluster) {
		select {
		case <-deadline:
			t.Fatalf("process %d still runs", pid)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("%q does not say %q", err, part)
		}
	}
}

// me is an account that is neither root nor the one that tests run as.
func nobody(t *testing.T) account {
	t.Helper()
	if os.Geteuid() == 0 {
		return account{name: "nobody", uid: 65534, gid: 65534, dropped: true}
	}
	return account{name: "me", uid: os.Geteuid(), gid: os.Getegid()}
}

var silent = slog.New(slog.DiscardHandler)
