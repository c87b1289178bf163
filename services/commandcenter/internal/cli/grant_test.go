package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/grants"
)

// TestADirectoryOfNobodyIsToldFromAnInstanceWithoutAnything: what is not known is
// not said to be nothing, and asking leaves nothing behind that a start would
// take for its own.
func TestADirectoryOfNobodyIsToldFromAnInstanceWithoutAnything(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{{"bus", "list"}, {"bus", "list", "docs"}, {"bus", "revoke", "docs"}, {"secrets", "status"}, {"secrets", "rotate"}, {"bus", "reconcile"}} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
			t.Fatal(err)
		}
		code, out, errs := cc(t, "", append(words, "--data-dir", dir)...)
		if code != exitAuth || out != "" || !strings.Contains(errs, "--data-dir") {
			t.Errorf("%v: exit code %d, %s%s", words, code, out, errs)
		}
		if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
			if path != dir && path != filepath.Join(dir, "keys") {
				t.Errorf("%v left %s behind", words, path)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestWhoLooksAtSecretsMakesNoKeys: a ring that is lost is not hidden by a new one.
func TestWhoLooksAtSecretsMakesNoKeys(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{"status", "rotate"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "keys", "secret"), []byte(strings.Repeat("0a", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, errs := cc(t, "", "secrets", sub, "--data-dir", dir, "--database-url", "postgres://127.0.0.1:1/none?sslmode=disable")
		if code == exitOK || !strings.Contains(errs, "sealing.json") {
			t.Errorf("%s: exit code %d, %s", sub, code, errs)
		}
		if _, err := os.Stat(filepath.Join(dir, "keys", "sealing.json")); err == nil {
			t.Errorf("%s made new keys", sub)
		}
	}
}

// TestALengthOfTimeIsNeverNegative: a grant until an hour ago would be one for ever.
func TestALengthOfTimeIsNeverNegative(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{
		{"bus", "grant", "docs", "--project", "1", "--publish", "a.b.v1", "--expires", "-1h"}, {"audit", "list", "--since", "-1h"}, {"bus", "events", "--since=-2d"},
	} {
		if code, _, errs := cc(t, "", append(words, "--data-dir", t.TempDir())...); code != exitUsage || !strings.Contains(errs, "is no length of time") {
			t.Errorf("%v: exit code %d, %s", words, code, errs)
		}
	}
}

func TestAGrantThatIsRevokedChangedThen(t *testing.T) {
	t.Parallel()
	given := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	later, never := given.Add(time.Hour), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		r    grants.Record
		want time.Time
	}{
		"active":  {grants.Record{ChangedAt: given, ExpiresAt: &never}, given},
		"expired": {grants.Record{ChangedAt: given, ExpiresAt: &later}, later},
		"revoked": {grants.Record{ChangedAt: given, ExpiresAt: &never, RevokedAt: &later}, later},
	} {
		if got := changedAt(c.r); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
