//go:build unix

package embed_test

import (
	"syscall"
	"time"
)

// cpuTime is the processor time that this process has used: on a shared
// machine it says more than the clock.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
