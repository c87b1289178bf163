//go:build unix && !linux

package pgserver

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dieWithParent does nothing: there is no such request here. The next start
// stops what was left behind.
func dieWithParent(*syscall.SysProcAttr) {}

// isPostgres reports whether pid is a server that runs in cluster; the number
// may have gone to somebody else since.
func isPostgres(pid int, cluster string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), cluster)
}
