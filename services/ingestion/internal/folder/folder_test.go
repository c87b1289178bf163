package folder_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/folder"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// visit reads a folder, and returns its documents by key.
func visit(t *testing.T, r folder.Reader, x source.Source, marks map[string]string) (docs map[string]source.Document, same, failed []string, report source.Report, err error) {
	t.Helper()
	docs = map[string]source.Document{}
	report, err = r.Fetch(t.Context(), source.Visit{
		Source: x, Mark: func(k string) string { return marks[k] }, Tell: func(int, int, string) {},
		Same:   func(_ context.Context, keys ...string) error { same = append(same, keys...); return nil },
		Take:   func(_ context.Context, d source.Document) error { docs[d.Key] = d; return nil },
		Failed: func(key string, why error) { failed = append(failed, key+": "+why.Error()) },
	})
	return docs, same, failed, report, err
}

func of(path string) source.Source {
	return source.Source{Draft: source.Draft{Kind: source.Folder, Path: path}}
}

func TestAFolderIsReadWithoutWhatIsLeftOutAndNothingOutsideOfIt(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	root := filepath.Join(base, "handbook")
	write(t, base, map[string]string{"secret.md": "outside", "handbook-2/x.md": "beside"})
	write(t, root, map[string]string{
		"a.md": "# A", "team/b.txt": "b", "team/deep/c.html": "<p>c</p>", "team/deep/d.bin": "d", ".git/config.md": "no", "node_modules/x/readme.md": "no", "team/b.txt~": "no", "team/.#b.txt": "no", "team/~$x.docx": "no", "team/x.md.swp": "no",
		".gitignore": "build/\n*.draft.md\n", "build/out.md": "no", "team/x.draft.md": "no", "team/.ignore": "/local.md", "team/local.md": "no", "local.md": "yes", "empty.md": "", "notes/old/n.md": "no", "big.md": strings.Repeat("x", source.MaxContent+1),
	})
	for link, to := range map[string]string{"link.md": filepath.Join(base, "secret.md"), "linked": base} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	r := folder.Reader{Roots: []string{root}}
	x := of(root)
	x.Config.Ignore = []string{"notes/old", "*.gone"}
	docs, _, failed, report, err := visit(t, r, x, nil)
	want := []string{"a.md", "local.md", "team/b.txt", "team/deep/c.html"}
	if got := slices.Sorted(maps.Keys(docs)); err != nil || !slices.Equal(got, want) || !report.Whole {
		t.Errorf("read %v, want %v; %+v, %v", got, want, report, err)
	}
	if len(failed) != 1 || !strings.HasPrefix(failed[0], "big.md") {
		t.Errorf("failed %v", failed)
	}
	if d := docs["team/b.txt"]; d.Place != "handbook/team/b.txt" || string(d.Content) != "b" || d.Typed || d.Mark == "" {
		t.Errorf("%+v", d)
	}
	marks := map[string]string{}
	for k, d := range docs {
		marks[k] = d.Mark
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(filepath.Join(root, "a.md"), later, later); err != nil {
		t.Fatal(err)
	}
	if docs, same, _, _, err := visit(t, r, x, marks); err != nil || len(docs) != 1 || len(same) != 3 {
		t.Errorf("again: %v, the same %v, %v", docs, same, err)
	}
	// A folder in it has the same names.
	if docs, _, _, _, err := visit(t, r, of(filepath.Join(root, "team")), nil); err != nil || docs["b.txt"].Place != "handbook/team/b.txt" {
		t.Errorf("below: %v %v", docs, err)
	}
	x.Config.Patterns, x.Config.MaxItems = []string{"*.bin", "team/**/*.html"}, 1
	if docs, _, _, report, err := visit(t, r, x, nil); err != nil || len(docs) != 1 || report.Whole || !strings.Contains(report.Note, "more") {
		t.Errorf("one: %v %+v %v", docs, report, err)
	}
	for _, bad := range []string{base, root + "-2", root + "/../secret.md", "/etc", filepath.Join(root, "linked"), filepath.Join(root, "missing"), filepath.Join(root, "a.md")} {
		if _, _, _, _, err := visit(t, r, of(bad), nil); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if _, _, err := (folder.Reader{}).Root(root); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no roots: %v", err)
	}
}

func TestChangesOfAFolderAreHeard(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, map[string]string{"a.md": "a", "sub/b.md": "b"})
	told, asked := make(chan folder.Place, 100), make(chan struct{}, 1000)
	failing := true
	place := folder.Place{Project: 1, Source: 7, Path: root}
	w := &folder.Watcher{
		Reader: folder.Reader{Roots: []string{root}}, Look: 20 * time.Millisecond, Log: obs.Discard(),
		Places: func(context.Context) ([]folder.Place, error) {
			select {
			case asked <- struct{}{}:
			default:
			}
			return []folder.Place{place, {Project: 1, Source: 8, Path: "/etc"}}, nil
		},
		Changed: func(_ context.Context, p folder.Place) error {
			if failing {
				failing = false
				return errors.New("not now")
			}
			told <- p
			return nil
		},
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // it listens by then
		<-asked
	}
	await := func(what string) {
		t.Helper()
		select {
		case p := <-told:
			if p != place {
				t.Errorf("%s: told %+v", what, p)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing was told", what)
		}
	}
	write(t, root, map[string]string{"a.md": "a, anew"})
	await("a change")
	write(t, root, map[string]string{"new/deep/c.md": "c"})
	await("a new folder")
	for i := range 50 {
		write(t, root, map[string]string{fmt.Sprintf("new/deep/%d.md", i): "x"})
	}
	await("in the new folder")
	if err := os.RemoveAll(filepath.Join(root, "new")); err != nil {
		t.Fatal(err)
	}
	await("a folder that is gone")
	if err := w.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	none := &folder.Watcher{Log: obs.Discard()}
	if err := errors.Join(none.Start(t.Context()), none.Stop(t.Context())); err != nil || none.Name() == "" {
		t.Errorf("no roots: %v", err)
	}
}
