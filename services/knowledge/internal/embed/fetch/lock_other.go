//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package fetch

import "os"

// tryLock lets everybody in where the system has no lock that ends with the
// process: two fetches at a time cost a second download, and the check of the
// files notices when they got in each other's way.
func tryLock(*os.File) (bool, error) { return true, nil }
