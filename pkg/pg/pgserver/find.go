package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// binaries are the programs of one installation.
type binaries struct {
	dir      string
	postgres string
	initdb   string
	version  string // "15.18"
	major    int
}

// minMajor is the oldest version that the product's SQL is written for.
const minMajor = 14

// findBinaries looks through the machine, then the bundles fetched before, then
// fetches one. prefer is the major version that the cluster needs, 0 for none:
// then the newest of the first place that has any is taken.
func findBinaries(ctx context.Context, c Config, acc account, prefer int) (binaries, error) {
	explicit := c.BinDir
	if explicit == "" {
		explicit = os.Getenv("CC_PG_BIN")
	}
	if explicit != "" {
		b, err := inspect(ctx, explicit, acc)
		if err != nil {
			return binaries{}, fmt.Errorf("binaries in %s: %w", explicit, err)
		}
		return b, nil
	}
	return search{dirs: append(machineDirs(), bundleDirs(c)...), routes: routes()}.find(ctx, c, acc, prefer)
}

// search is where to look, and how to fetch.
type search struct {
	dirs   []string
	routes []route
}

func (s search) find(ctx context.Context, c Config, acc account, prefer int) (binaries, error) {
	var fallback *binaries
	var faults []error
	for _, dir := range s.dirs {
		b, err := inspect(ctx, dir, acc)
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) {
				faults = append(faults, fmt.Errorf("%s: %w", dir, err))
			}
			continue
		}
		if prefer == 0 || b.major == prefer {
			return b, nil
		}
		if fallback == nil {
			fallback = &b
		}
	}
	if fallback != nil && prefer != bundleMajor {
		return *fallback, nil // the caller explains the difference
	}
	b, err := fetch(ctx, c, acc, s.routes)
	if err != nil {
		if fallback != nil {
			return *fallback, nil
		}
		return binaries{}, fmt.Errorf("no PostgreSQL on this machine, and none could be fetched: "+
			"install one (apt-get install postgresql, brew install postgresql@18) or set CC_PG_BIN to its bin directory: %w",
			errors.Join(append(faults, err)...))
	}
	return b, nil
}

// machineDirs lists the places where systems put PostgreSQL, PATH first, newer
// versions before older ones. PATH is not enough: Debian keeps the server out
// of it.
func machineDirs() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // PGDG on Red Hat
		"/usr/lib/postgresql*/bin",  // Gentoo, SUSE
		"/usr/libexec/postgresql*",  // Alpine
		"/usr/local/pgsql*/bin",     // from source
		"/opt/homebrew/opt/postgresql@*/bin",
		"/opt/homebrew/opt/postgresql/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/Library/PostgreSQL/*/bin", // EDB on macOS
		"/opt/postgresql*/bin",
		"/opt/PostgreSQL/*/bin", // EDB on Linux
		"/opt/local/lib/postgresql*/bin",
		"/opt/bitnami/postgresql/bin",
		"/usr/bin", "/usr/local/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.SortStableFunc(found, func(a, b string) int { return numberIn(b) - numberIn(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

var digits = regexp.MustCompile(`\d+`)

// numberIn is the last number in a path, its version.
func numberIn(path string) int {
	all := digits.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		return 0
	}
	return n
}

var versionForm = regexp.MustCompile(`PostgreSQL\) (\d+)(\S*)`)

// inspect runs what is in dir, as the account that will run it later: what
// lies in another user's home, or was built for another machine, shows now.
func inspect(ctx context.Context, dir string, acc account) (binaries, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir: dir, postgres: filepath.Join(dir, "postgres"), initdb: filepath.Join(dir, "initdb")}
	for _, path := range []*string{&b.postgres, &b.initdb} {
		if *path, err = filepath.EvalSymlinks(*path); err != nil { // it finds its files from where it really is
			return binaries{}, err
		}
		if _, err := exec.LookPath(*path); err != nil {
			return binaries{}, err
		}
	}
	if closed := acc.closedTo(b.postgres); closed != "" {
		return binaries{}, fmt.Errorf("user %s cannot pass through %s", acc.name, closed)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := runBounded(ctx, acc.command("/", b.postgres, "--version"))
	if err != nil {
		return binaries{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(out))
	}
	m := versionForm.FindStringSubmatch(out)
	if m == nil {
		return binaries{}, fmt.Errorf("version %q is not one of PostgreSQL", strings.TrimSpace(out))
	}
	if b.major, err = strconv.Atoi(m[1]); err != nil || b.major < minMajor {
		return binaries{}, fmt.Errorf("version %s%s is too old, want %d or newer", m[1], m[2], minMajor)
	}
	b.version = m[1] + m[2]
	return b, nil
}
