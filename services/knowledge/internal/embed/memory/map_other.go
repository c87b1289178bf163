//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package memory

import (
	"errors"
	"os"
)

func alloc(int) ([]byte, func() error, error) { return nil, nil, nil }

func mapFile(*os.File, int64, int) ([]byte, func() error, error) {
	return nil, nil, errors.ErrUnsupported
}
