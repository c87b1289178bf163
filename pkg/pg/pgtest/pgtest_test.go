package pgtest_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

func copyFile(t *testing.T, to string) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
