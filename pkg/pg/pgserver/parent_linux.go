package pgserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent asks the kernel for a fast shutdown of the server when the
// program dies.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// isPostgres reports whether pid is a server that runs in cluster; the number
// may have gone to somebody else since.
func isPostgres(pid int, cluster string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	b, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || !bytes.Contains(b, []byte("postgres")) {
		return false // a process that has ended and waits for its parent has no command line
	}
	if cwd, err := os.Readlink(filepath.Join(proc, "cwd")); err == nil {
		return cwd == cluster
	}
	return bytes.Contains(b, []byte(cluster))
}
