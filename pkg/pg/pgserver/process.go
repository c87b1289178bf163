package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// process is a postmaster of ours.
type process struct {
	pid      int
	logStart int64 // size of the log before it
	exited   chan struct{}
	err      error // valid after exited
	cmd      *exec.Cmd
}

// maxLog is the size at which the log of earlier runs is put aside.
const maxLog = 8 << 20

// startProcess starts the server with all settings on its command line, so
// that the cluster's own files stay as PostgreSQL made them.
func startProcess(bin binaries, p place, c Config) (*process, error) {
	if st, err := os.Stat(p.logFile); err == nil && st.Size() > maxLog {
		if err := os.Rename(p.logFile, p.logFile+".1"); err != nil {
			return nil, fmt.Errorf("put the log aside: %w", err)
		}
	}
	out, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer out.Close()
	st, err := out.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	args := []string{"-D", p.cluster}
	for _, s := range settings(p, c) {
		args = append(args, "-c", s)
	}
	cmd := p.account.command(p.home, bin.postgres, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if !c.Survive {
		dieWithParent(cmd.SysProcAttr)
	}
	proc := &process{logStart: st.Size(), exited: make(chan struct{}), cmd: cmd}
	started := make(chan error)
	go func() {
		// The kernel tells the child of the death of the thread that started
		// it, not of the process: the thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		proc.err = cmd.Wait()
		close(proc.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s as %s: %w", bin.postgres, p.account.name, err)
	}
	proc.pid = cmd.Process.Pid
	return proc, nil
}

// signal asks the server to do something; a server that has ended does not.
func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.kill()
	}
}

// kill ends the server and waits for it. Its children see that it is gone and
// end as well.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err == nil || errors.Is(err, os.ErrProcessDone) {
		<-p.exited
	}
}

// settings are for a small machine that runs the rest of the product too.
func settings(p place, c Config) []string {
	s := []string{
		"listen_addresses=",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=" + p.sockets,
		"unix_socket_permissions=0700",
		"password_encryption=scram-sha-256",
		"max_connections=" + strconv.Itoa(c.MaxConnections),
		"shared_buffers=96MB",
		"effective_cache_size=512MB",
		"work_mem=8MB",
		"maintenance_work_mem=64MB",
		"max_wal_size=512MB",
		"min_wal_size=64MB",
		"checkpoint_timeout=15min",
		"random_page_cost=1.1",
		"jit=off", // our statements are short; compiling costs more than it saves
		"timezone=UTC",
		"log_timezone=UTC",
		"log_line_prefix=%m [%p] %q%a %u@%d ",
		"log_min_error_statement=panic", // a statement may hold what a log must not
		"logging_collector=off",
		"log_destination=stderr",
		"track_io_timing=off",
		"idle_in_transaction_session_timeout=10min",
	}
	if c.Unsafe {
		return append(s, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum_naptime=1h", "checkpoint_timeout=1h")
	}
	return append(s, "fsync=on", "synchronous_commit=on", "full_page_writes=on")
}
