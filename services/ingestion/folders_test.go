package ingestion_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/bus/bustest"

	"github.com/commandcenter/commandcenter/services/ingestion"
)

func TestAFolderIsFollowedThroughChangesRenamesAndDeletes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("a.md", "first")
	put("b.md", "second")
	f := newField(t, func(c *ingestion.Config) { c.Roots = []string{root} })
	x := f.ok("createSource", fmt.Sprintf(`{"body":{"name":"Handbook","type":"file_watcher","path":%q}}`, root))
	if run := bustest.Await(f.Env, f.ended); run.GetTaken() != 2 {
		t.Fatalf("run %v", run)
	}
	for range 2 {
		bustest.Await(f.Env, f.fetched)
	}
	bustest.Eventually(f.Env, func() bool { // until it is listened to
		put("a.md", "first, mended at "+time.Now().String())
		select {
		case e := <-f.fetched:
			return e.GetPlace() == filepath.Base(root)+"/a.md" && e.GetVersion() > 1
		case <-time.After(3 * time.Second):
			return false
		}
	})
	begin := time.Now()
	if err := os.Rename(filepath.Join(root, "b.md"), filepath.Join(root, "c.md")); err != nil {
		t.Fatal(err)
	}
	for e := bustest.Await(f.Env, f.fetched); e.GetPlace() != filepath.Base(root)+"/c.md"; {
		e = bustest.Await(f.Env, f.fetched)
	}
	if g := bustest.Await(f.Env, f.gone); g.GetPlace() != filepath.Base(root)+"/b.md" {
		t.Errorf("gone %v", g)
	}
	t.Logf("a rename was said %s later", time.Since(begin))
	// A run under way is followed by another one.
	if out := f.ok("getSource", fmt.Sprintf(`{"source_id":%v}`, x["id"])); out["path"] != root {
		t.Errorf("%v", out)
	}
	if status, out := f.call(1, "member", "createSource", `{"body":{"name":"x","type":"file_watcher","path":"/etc"}}`); status != 0 {
		t.Errorf("elsewhere: %d %v", status, out)
	}
}
