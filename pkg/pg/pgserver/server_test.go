package pgserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAServerStartsStopsAndKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	s := run(t, Config{DataDir: dir})
	execute(t, s.AdminDSN(), `CREATE TABLE kept AS SELECT 42 AS answer`)
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"listen_addresses": "", "server_encoding": "UTF8", "password_encryption": "scram-sha-256",
		"max_connections": "100", "unix_socket_permissions": "0700", "TimeZone": "UTC",
	} {
		if got := query[string](t, s.AdminDSN(), `SELECT current_setting('`+setting+`')`); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if got := query[string](t, s.AdminDSN(), `SELECT datcollate FROM pg_database WHERE datname = current_database()`); got != "C.UTF-8" {
		t.Errorf("collation %q", got)
	}
	must(t, s.Stop(t.Context()))
	must(t, s.Stop(t.Context()))
	if len(s.Failed()) != 0 {
		t.Fatalf("a stop was reported as a failure: %v", <-s.Failed())
	}
	began := time.Now()
	s = run(t, Config{DataDir: dir})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("an initialised server took %s to start", took)
	}
	if got := query[int](t, s.AdminDSN(), `SELECT answer FROM kept`); got != 42 {
		t.Fatal(got)
	}
	if s.Version() < minMajor || s.Dir() == "" {
		t.Fatal(s.Version(), s.Dir())
	}
}

func TestAWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	s := run(t, Config{DataDir: filepath.Join(publicDir(t), "pg"), Unsafe: true})
	db, err := sql.Open("postgres", s.AdminDSN()+" password=wrong")
	must(t, err)
	defer db.Close()
	contains(t, db.PingContext(t.Context()), "password authentication failed")
}

func TestTheServerIsNotRootAndItsFilesAreClosed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	s := run(t, Config{DataDir: dir, Unsafe: true})
	for path, want := range map[string]os.FileMode{s.place.cluster: 0o700, s.place.sockets: 0o700, s.place.passwordFile: 0o600} {
		st, err := os.Stat(path)
		must(t, err)
		if st.Mode().Perm() != want {
			t.Errorf("%s: %v, want %v", path, st.Mode().Perm(), want)
		}
	}
	st, err := os.Stat(s.place.cluster)
	must(t, err)
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid == 0 {
		t.Error("the cluster belongs to root")
	}
}

func TestTheServerEndsWhenItsProgramIsKilledAndNothingIsLost(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	c := startChild(t, dir, nil)
	execute(t, c.dsn, `CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 1000)`)
	must(t, c.cmd.Process.Kill())
	_ = c.cmd.Wait()
	began := time.Now()
	s := run(t, Config{DataDir: dir}) // at once: it waits for the old one to end
	if got := query[int](t, s.AdminDSN(), `SELECT count(*) FROM kept`); got != 1000 {
		t.Fatalf("%d rows", got)
	}
	if s.proc.pid == c.pid {
		t.Fatal("the old server")
	}
	t.Logf("killed to ready again: %s", time.Since(began))
}

func TestAServerThatOutlivedItsProgramIsStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	c := startChild(t, dir, nil, "PGSERVER_TEST_SURVIVE=1")
	execute(t, c.dsn, `CREATE TABLE kept AS SELECT 1 AS n`)
	must(t, c.cmd.Process.Kill())
	_ = c.cmd.Wait()
	if !isPostgres(c.pid, filepath.Join(dir, "data")) {
		t.Fatal("it did not survive: nothing to test")
	}
	s := run(t, Config{DataDir: dir})
	if isPostgres(c.pid, filepath.Join(dir, "data")) {
		t.Fatal("two servers")
	}
	if got := query[int](t, s.AdminDSN(), `SELECT n FROM kept`); got != 1 {
		t.Fatal(got)
	}
}

func TestAServerThatDiesIsReportedAndStartsAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	s := run(t, Config{DataDir: dir})
	execute(t, s.AdminDSN(), `CREATE TABLE kept AS SELECT 1 AS n`)
	must(t, syscall.Kill(s.proc.pid, syscall.SIGKILL))
	select {
	case err := <-s.Failed():
		contains(t, err, "ended by itself (signal: killed)", "the next start recovers it", "postgres.log")
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not reported")
	}
	must(t, s.Stop(t.Context()))
	s = run(t, Config{DataDir: dir}) // with the lock file and, for a moment, the children of the dead one
	if got := query[int](t, s.AdminDSN(), `SELECT n FROM kept`); got != 1 {
		t.Fatal(got)
	}
}

// Who is dead and not yet buried still holds the lock in PostgreSQL's eyes.
func TestTheLockOfAServerThatIsDeadAndNotYetBuriedIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	s := run(t, Config{DataDir: dir, Unsafe: true})
	must(t, s.Stop(t.Context()))
	dead := s.place.account.command("/", "/bin/cat")
	in, err := dead.StdinPipe()
	must(t, err)
	must(t, dead.Start()) // as long as nobody waits for it, it is one of the dead
	must(t, in.Close())
	must(t, os.WriteFile(filepath.Join(s.place.cluster, "postmaster.pid"), fmt.Appendf(nil, "%d\n%s\n0\n5432\n\n\n0 0\nready\n", dead.Process.Pid, s.place.cluster), 0o600))
	if os.Geteuid() == 0 {
		must(t, os.Chown(filepath.Join(s.place.cluster, "postmaster.pid"), s.place.account.uid, s.place.account.gid))
	}
	st, err := os.Stat(s.place.logFile)
	must(t, err)
	ended := make(chan error, 1)
	go func() {
		again, err := Start(t.Context(), Config{DataDir: dir, Unsafe: true})
		if err == nil {
			err = again.Stop(t.Context())
		}
		ended <- err
	}()
	for tick := time.NewTicker(5 * time.Millisecond); !strings.Contains(tail(s.place.logFile, st.Size(), 1<<20), lockExists); {
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatalf("before the lock was met: %v", err)
		}
	}
	must(t, dead.Wait())
	must(t, <-ended)
}

func TestAnOrdinaryUserRunsItsServerDirectly(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("the other tests do it already")
		return
	}
	user := nobody(t)
	parent := publicDir(t)
	must(t, os.Chown(parent, user.uid, user.gid))
	dir := filepath.Join(parent, "pg")
	c := startChild(t, dir, &user)
	if got := query[int](t, c.dsn, `SELECT 1`); got != 1 {
		t.Fatal(got)
	}
	st, err := os.Stat(filepath.Join("/proc", itoa(c.pid)))
	must(t, err)
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || int(sys.Uid) != user.uid {
		t.Fatal("the server runs as somebody else")
	}
	must(t, c.cmd.Process.Kill())
	awaitEnd(t, c.pid, filepath.Join(dir, "data"))
	c = startChild(t, dir, &user)
	must(t, c.in.Close())
	must(t, c.cmd.Wait())
	awaitEnd(t, c.pid, filepath.Join(dir, "data"))
}

func TestAStopThatTakesTooLongIsMadeShort(t *testing.T) {
	t.Parallel()
	s := run(t, Config{DataDir: filepath.Join(publicDir(t), "pg"), Unsafe: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, syscall.Kill(s.proc.pid, syscall.SIGSTOP)) // it hears nothing
	go func() {
		time.AfterFunc(50*time.Millisecond, func() { _ = syscall.Kill(s.proc.pid, syscall.SIGCONT) })
	}()
	contains(t, s.Stop(ended), "too long")
	if isPostgres(s.proc.pid, s.place.cluster) {
		t.Fatal("it runs")
	}
}

func TestAStartThatIsKilledHalfWayLeavesNothingInTheWay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	must(t, os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700)) // without PG_VERSION
	s := run(t, Config{DataDir: dir, Unsafe: true})
	execute(t, s.AdminDSN(), `SELECT 1`)
	must(t, s.Stop(t.Context()))
	// And between the cluster and its database.
	s = run(t, Config{DataDir: dir, Unsafe: true})
	execute(t, s.AdminDSN()+" dbname=postgres", `DROP DATABASE commandcenter`)
	must(t, s.Stop(t.Context()))
	s = run(t, Config{DataDir: dir, Unsafe: true})
	execute(t, s.AdminDSN(), `SELECT 1`)
}

func TestAClusterOfAnotherVersionIsAClearError(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	must(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("12\n"), 0o600))
	_, err := Start(t.Context(), Config{DataDir: dir})
	contains(t, err, "made by PostgreSQL 12", "install postgresql-12")
}

func TestALostOrChangedPasswordIsAClearError(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	s := run(t, Config{DataDir: dir, Unsafe: true})
	must(t, s.Stop(t.Context()))
	must(t, os.WriteFile(s.place.passwordFile, []byte("other\n"), 0o600))
	_, err := Start(t.Context(), Config{DataDir: dir, Unsafe: true})
	contains(t, err, "is not that of the cluster")
	must(t, os.Remove(s.place.passwordFile))
	_, err = Start(t.Context(), Config{DataDir: dir, Unsafe: true})
	contains(t, err, "admin-password is missing")
}

func TestAServerThatCannotStartShowsItsLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	s := run(t, Config{DataDir: dir, Unsafe: true})
	must(t, s.Stop(t.Context()))
	must(t, os.WriteFile(filepath.Join(s.place.cluster, "postgresql.conf"), []byte("nonsense = 1\n"), 0o600))
	_, err := Start(t.Context(), Config{DataDir: dir, Unsafe: true})
	contains(t, err, "did not start", "nonsense", "postgres.log")
}

func TestADeadlineEndsAStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := Start(ctx, Config{DataDir: filepath.Join(publicDir(t), "pg")})
	if err == nil || time.Since(began) > 10*time.Second {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
}

func TestALargeLogIsPutAside(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "pg")
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "postgres.log"), []byte(strings.Repeat("x", maxLog+1)), 0o600))
	s := run(t, Config{DataDir: dir, Unsafe: true})
	st, err := os.Stat(s.place.logFile + ".1")
	must(t, err)
	if st.Size() != maxLog+1 {
		t.Fatal(st.Size())
	}
}

func TestTheLastWordOfAServerIsItsOwn(t *testing.T) {
	t.Parallel()
	const at = "2026-01-02 03:04:05.678 UTC [12] "
	for want, log := range map[string]string{
		"":                        at + "LOG:  ready\n" + at + "commandcenter auth auth_app@commandcenter FATAL:  terminating connection due to unexpected postmaster exit",
		"could not map memory":    at + "FATAL:  could not map memory\n" + at + "psql a@b FATAL:  password authentication failed",
		"No space left on device": at + "auth a@b PANIC:  No space left on device\n" + at + "LOG:  all server processes terminated",
	} {
		if got := why(log); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (&EndedError{Err: errors.New("exit status 1"), Why: "disk full", Log: "/l"}).Error(); !strings.Contains(got, "(exit status 1): disk full;") {
		t.Error(got)
	}
}
