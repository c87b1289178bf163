//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package memory

import (
	"os"
	"syscall"
)

func alloc(bytes int) ([]byte, func() error, error) {
	b, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}

func mapFile(f *os.File, offset int64, bytes int) ([]byte, func() error, error) {
	b, err := syscall.Mmap(int(f.Fd()), offset, bytes, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, nil // some file systems cannot: read instead
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}
