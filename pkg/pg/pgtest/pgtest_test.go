package pgtest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
)

func schema(name string) pg.Schema {
	return pg.Schema{Name: name, Dir: "m", FS: fstest.MapFS{"m/000001_a.up.sql": {Data: []byte(`
		CREATE TABLE IF NOT EXISTS a (project_id bigint NOT NULL); SELECT platform.protect('a')`)}}}
}

func count(t *testing.T, db *pg.DB) (n int) {
	t.Helper()
	err := db.InTenant(t.Context(), 1, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM a`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO a VALUES (1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three", "four"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t, schema("first"), schema("second"))
			if n := count(t, db); n != 0 {
				t.Fatalf("%d rows of another test", n)
			}
			if n := count(t, pgtest.Open(t, pgtest.DSN(t, db), "second", 1)); n != 0 {
				t.Fatalf("%d rows of another test", n)
			}
			if n := count(t, db); n != 1 {
				t.Fatalf("%d rows", n)
			}
		})
	}
}

func TestAnEmptyDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	var n int
	if err := pgtest.Connect(t, pgtest.AdminDSN(t)).Get(&n, `SELECT count(*) FROM pg_namespace WHERE nspname = 'platform'`); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

// TestAProcess is what the next test runs in another process.
func TestAProcess(t *testing.T) {
	if os.Getenv("PGTEST_TEST_PROCESS") == "" {
		return
	}
	db := pgtest.New(t, schema("first"))
	if n := count(t, db); n != 0 {
		t.Fatal(n)
	}
	var dir string
	if err := pgtest.Admin(t, db).Get(&dir, `SELECT current_setting('data_directory')`); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("cluster " + dir + "\n")
}

func TestAProcessOfAnyUserCleansUpAfterItself(t *testing.T) {
	t.Parallel()
	users := map[string]uint32{"this": uint32(os.Geteuid())}
	if os.Geteuid() == 0 {
		users["nobody"] = 65534
	}
	for name, uid := range users {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("/tmp", "pgtest-test-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			program := filepath.Join(dir, "program") // go test builds where nobody else may go
			copyFile(t, program)
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "-test.run=^TestAProcess$")
			cmd.Dir = "/"
			cmd.Env = []string{"PGTEST_TEST_PROCESS=1", "PATH=" + os.Getenv("PATH"), "CC_PG_BIN=" + os.Getenv("CC_PG_BIN"), "HOME=/nonexistent"}
			if uid != uint32(os.Geteuid()) {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			}
			out, err := cmd.CombinedOutput()
			_, rest, ok := strings.Cut(string(out), "cluster ")
			if err != nil || !ok {
				t.Fatalf("%v: %s", err, out)
			}
			cluster, _, _ := strings.Cut(rest, "\n")
			deadline := time.After(20 * time.Second)
			for {
				if _, err := os.Stat(filepath.Dir(filepath.Dir(cluster))); os.IsNotExist(err) {
					return
				}
				select {
				case <-deadline:
					t.Fatalf("%s is left", cluster)
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
}

// copyFile has another process write: a file that is open for writing here when
// some other test forks cannot be run.
func copyFile(t *testing.T, to string) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", binary, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(to, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestAdministratorsSeePastThePolicies(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema("first"))
	count(t, db) // which inserts
	var n int
	if err := pgtest.Admin(t, db).Get(&n, `SELECT count(*) FROM first.a`); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}

func TestADatabaseIsGoneWhenItsTestHasEnded(t *testing.T) {
	t.Parallel()
	server := pgtest.Connect(t, pgtest.AdminDSN(t))
	var name string
	t.Run("a test", func(t *testing.T) { // it has to end first
		db := pgtest.New(t, schema("first"))
		if err := pgtest.Admin(t, db).Get(&name, `SELECT current_database()`); err != nil {
			t.Fatal(err)
		}
	})
	var n int
	if err := server.Get(&n, `SELECT count(*) FROM pg_database WHERE datname = $1`, name); err != nil || n != 0 || name == "" {
		t.Errorf("%q: %d databases, %v", name, n, err)
	}
}

// mistaken is a test that makes a mistake. It keeps what it is told.
type mistaken struct {
	testing.TB
	told string
}

func (m *mistaken) Helper() {}

func (m *mistaken) Fatal(args ...any) {
	m.told = fmt.Sprint(args...)
	runtime.Goexit()
}

func (m *mistaken) Fatalf(format string, args ...any) {
	m.told = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestAMistakeFailsTheTestAndSaysWhatItIs(t *testing.T) {
	t.Parallel()
	broken := pg.Schema{Name: "broken", Dir: "m", FS: fstest.MapFS{"m/000001_a.up.sql": {Data: []byte(`CREATE TABEL a ()`)}}}
	for want, do := range map[string]func(t testing.TB){
		"want a schema":          func(t testing.TB) { pgtest.New(t) },
		"TABEL":                  func(t testing.TB) { pgtest.New(t, broken) },
		"not a DB of this":       func(t testing.TB) { pgtest.DSN(t, &pg.DB{}) },
		"nobody_app":             func(t testing.TB) { pgtest.Open(t, pgtest.AdminDSN(t), "nobody", 1) },
		"DSN: missing":           func(t testing.TB) { pgtest.Open(t, "no DSN at all", "first", 1) },
		"m: file does not exist": func(t testing.TB) { pgtest.New(t, pg.Schema{Name: "gone", Dir: "m", FS: fstest.MapFS{}}) },
	} {
		m := &mistaken{TB: t}
		done := make(chan struct{})
		go func() { // which Fatal ends
			defer close(done)
			do(m)
		}()
		<-done
		if !strings.Contains(m.told, want) {
			t.Errorf("told %q, want %q in it", m.told, want)
		}
	}
}
