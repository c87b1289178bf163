package pgserver

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestAClusterMovesWhenItsAccountCannotReachTheDataDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("an ordinary user reaches its own directories")
		return
	}
	closed := publicDir(t)
	must(t, os.Chmod(closed, 0o700))
	dir := filepath.Join(closed, "pg")
	s := run(t, Config{DataDir: dir, Unsafe: true})
	t.Cleanup(func() { _ = os.RemoveAll(s.place.home) })
	if strings.HasPrefix(s.Dir(), closed) {
		t.Fatalf("the cluster is in %s", s.Dir())
	}
	b, err := os.ReadFile(filepath.Join(dir, pointerName))
	must(t, err)
	if strings.TrimSpace(string(b)) != s.place.home {
		t.Fatalf("the pointer says %q, the cluster is in %q", b, s.place.home)
	}
	execute(t, s.AdminDSN(), `CREATE TABLE kept AS SELECT 1 AS n`)
	must(t, s.Stop(t.Context()))
	must(t, os.Chmod(closed, 0o711)) // it stays where it is
	s = run(t, Config{DataDir: dir, Unsafe: true})
	if got := query[int](t, s.AdminDSN(), `SELECT n FROM kept`); got != 1 {
		t.Fatal(got)
	}
	left := func() bool {
		t.Helper()
		all, err := Leftovers()
		must(t, err)
		i := slices.IndexFunc(all, func(l Leftover) bool { return l.Home == s.place.home })
		if i >= 0 && (all[i].DataDir != dir || all[i].Bytes < 1<<20) {
			t.Errorf("left %+v", all[i])
		}
		return i >= 0
	}
	must(t, s.Stop(t.Context()))
	if left() {
		t.Error("what the data directory points to is called left behind")
	}
	must(t, os.RemoveAll(dir))
	if !left() {
		t.Error("nobody is told what a removed data directory has left")
	}
	// A new instance in the old place finds no old cluster.
	must(t, os.Chmod(closed, 0o700))
	other := run(t, Config{DataDir: dir, Unsafe: true})
	t.Cleanup(func() { _ = os.RemoveAll(other.place.home) })
	if other.place.home == s.place.home {
		t.Fatal("the old cluster again")
	}
}

func TestWhatIsInUseOrNobodysIsNotCalledLeftBehind(t *testing.T) {
	t.Parallel()
	base, dir := publicDir(t), publicDir(t)
	home := func(name, belongs string) string {
		h := filepath.Join(base, name)
		must(t, os.MkdirAll(h, 0o700))
		if belongs != "" {
			must(t, remember(h, belongs))
		}
		return h
	}
	used := home("aaaaaaaaaaaa", dir)
	must(t, os.WriteFile(filepath.Join(dir, pointerName), []byte(used+"\n"), 0o600))
	home("bbbbbbbbbbbb", "") // does not say whose it is
	home("nats", filepath.Join(dir, "gone"))
	home("cccccccccccc", "not/absolute")
	gone := home("dddddddddddd", filepath.Join(dir, "gone"))
	replaced := home("eeeeeeeeeeee", dir)
	all, err := leftovers([]string{filepath.Join(base, "missing"), base})
	must(t, err)
	if len(all) != 2 || all[0].Home != gone || all[1].Home != replaced {
		t.Errorf("left %+v", all)
	}
	must(t, remember(used, dir)) // again is normal
}

func TestABrokenPointerIsAClearError(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	must(t, os.WriteFile(filepath.Join(dir, pointerName), []byte("not/absolute"), 0o600))
	_, err := choosePlace(Config{DataDir: dir, Log: silent}, nobody(t))
	contains(t, err, "is no directory")
	if os.Geteuid() != 0 {
		return
	}
	closed := publicDir(t)
	must(t, os.Chmod(closed, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, pointerName), []byte(filepath.Join(closed, "x")), 0o600))
	_, err = choosePlace(Config{DataDir: dir, Log: silent}, nobody(t))
	contains(t, err, "cannot pass through "+closed)
}

func TestALongPathGetsAShortSocketDirectory(t *testing.T) {
	t.Parallel()
	long := filepath.Join(publicDir(t), strings.Repeat("long", 30))
	s := run(t, Config{DataDir: long, Unsafe: true})
	t.Cleanup(func() { _ = os.RemoveAll(s.place.sockets) })
	if len(s.place.sockets) > socketMax {
		t.Fatalf("%d bytes", len(s.place.sockets))
	}
	execute(t, s.AdminDSN(), `SELECT 1`)
}

func TestAPathThatNeedsQuotesWorks(t *testing.T) {
	t.Parallel()
	s := run(t, Config{DataDir: filepath.Join(publicDir(t), `o'ne "two", th\ree`), Unsafe: true})
	execute(t, s.AdminDSN(), `SELECT 1`)
}

func TestAccountsPassWhereTheModeAllowsIt(t *testing.T) {
	t.Parallel()
	dir := publicDir(t)
	st := func(mode os.FileMode) os.FileInfo {
		must(t, os.Chmod(dir, mode))
		st, err := os.Stat(dir)
		must(t, err)
		return st
	}
	uid, gid := os.Geteuid(), os.Getegid()
	for name, c := range map[string]struct {
		a    account
		mode os.FileMode
		want bool
	}{
		"owner":        {account{uid: uid, gid: gid}, 0o100, true},
		"owner closed": {account{uid: uid, gid: gid}, 0o011, false},
		"group":        {account{uid: uid + 1, gid: gid}, 0o010, true},
		"group closed": {account{uid: uid + 1, gid: gid}, 0o101, false},
		"other":        {account{uid: uid + 1, gid: gid + 1}, 0o001, true},
		"other closed": {account{uid: uid + 1, gid: gid + 1}, 0o110, false},
	} {
		if got := c.a.passes(st(c.mode)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	must(t, os.Chmod(dir, 0o700))
}
