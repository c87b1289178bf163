package bench

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ticker beats every interval. Go's own timers are no better than a millisecond
// while the process idles, and calls that ought to come one by one come in
// bunches, which then wait for each other.
type ticker struct{ f *os.File }

func newTicker(tb testing.TB, interval time.Duration) *ticker {
	tb.Helper()
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	every := unix.NsecToTimespec(interval.Nanoseconds())
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		tb.Fatal(err)
	}
	return &ticker{os.NewFile(uintptr(fd), "timer")}
}

// wait returns how many beats are due, at least one.
func (t *ticker) wait(tb testing.TB) int {
	tb.Helper()
	var n [8]byte
	if _, err := t.f.Read(n[:]); err != nil {
		tb.Fatal(err)
	}
	return int(binary.NativeEndian.Uint64(n[:]))
}

func (t *ticker) stop() { _ = t.f.Close() }
