package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// originName is the file in a cluster's home that names the data directory that
// it belongs to, where that is another place.
const originName = "belongs-to"

// remember writes down in the home of a cluster whose it is: a data directory
// that is removed leaves it behind. It is written at each start, since a data
// directory may have moved.
func remember(home, dir string) error {
	path := filepath.Join(home, originName)
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == dir {
		return nil
	}
	return writeFile(path, []byte(dir+"\n"), 0o600)
}

// Leftover is a cluster whose data directory is not there any more, or has
// another one.
type Leftover struct {
	Home    string // what is to be removed with it
	DataDir string // that it belonged to
	Bytes   int64
}

// Leftovers lists the clusters that were put elsewhere, see the package
// comment, and that nothing points to. None is ever removed here: a data
// directory that has moved, or is on a disk that is not mounted, looks the same.
// Who may not look into those places finds none.
func Leftovers() ([]Leftover, error) { return leftovers(elsewhere) }

var homeForm = regexp.MustCompile(`^[0-9a-f]{12}$`)

func leftovers(bases []string) ([]Leftover, error) {
	var out []Leftover
	for _, base := range bases {
		entries, err := os.ReadDir(base)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("look for clusters: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() || !homeForm.MatchString(entry.Name()) {
				continue
			}
			if l, left := leftover(filepath.Join(base, entry.Name())); left {
				out = append(out, l)
			}
		}
	}
	return out, nil
}

// leftover judges one. What does not say whose it is is nobody's to judge, and
// what runs is in use.
func leftover(home string) (Leftover, bool) {
	b, err := os.ReadFile(filepath.Join(home, originName))
	dir := strings.TrimSpace(string(b))
	if err != nil || !filepath.IsAbs(dir) {
		return Leftover{}, false
	}
	pointer, err := os.ReadFile(filepath.Join(dir, pointerName))
	if err == nil && strings.TrimSpace(string(pointer)) == home || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Leftover{}, false
	}
	cluster := filepath.Join(home, "data")
	if lock, err := readLock(cluster); err == nil && isPostgres(lock.pid, cluster) {
		return Leftover{}, false
	}
	l := Leftover{Home: home, DataDir: dir}
	err = filepath.WalkDir(home, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() {
			l.Bytes += st.Size()
		}
		return nil
	})
	return l, err == nil
}
