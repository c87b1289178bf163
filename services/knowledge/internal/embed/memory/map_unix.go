//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package memory

import (
	"os"
	"syscall"
	"unsafe"
)

// largePage is the size of a large page. Weights are read from end to end for
// each query; with small pages a fifth of a short query goes into looking up
// where the pages are.
const largePage = 2 << 20

func alloc(bytes int) ([]byte, func() error, error) {
	extra := 0
	if bytes >= 2*largePage {
		extra = largePage // to begin at a large page
	}
	all, err := syscall.Mmap(-1, 0, bytes+extra, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	b := all
	if extra > 0 {
		b = all[-uintptr(unsafe.Pointer(unsafe.SliceData(all)))%largePage:][:bytes]
		adviseLarge(b)
	}
	return b, func() error { return syscall.Munmap(all) }, nil
}

func mapFile(f *os.File, offset int64, bytes int) ([]byte, func() error, error) {
	b, err := syscall.Mmap(int(f.Fd()), offset, bytes, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}
