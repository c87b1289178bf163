package memory

import "syscall"

// adviseLarge asks for large pages. Where there are none, small ones do.
func adviseLarge(b []byte) { _ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) }
