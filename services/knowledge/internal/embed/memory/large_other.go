//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package memory

// adviseLarge does nothing: these systems choose the size of pages alone.
func adviseLarge([]byte) {}
