package knowledge

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
)

func TestAMissingModelIsExplainedWithoutPaths(t *testing.T) {
	t.Parallel()
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "model.safetensors"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{damaged: encoder.Damaged, filepath.Join(damaged, "none"): encoder.NotFetched} {
		c := DefaultConfig()
		c.ModelDir = dir
		_, err := known(c, embed.NewGate(1), slog.New(slog.DiscardHandler))[0].Load(t.Context())
		var f *encoder.Failure
		if !errors.As(err, &f) || f.Reason != want || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %+v, want %q and for the log the path", dir, err, want)
		}
	}
	for _, c := range []struct {
		err     error
		fetched bool
		want    string
	}{
		{fmt.Errorf("%w: %w", embed.ErrMissing, fs.ErrNotExist), false, encoder.NotFetched},
		{fmt.Errorf("%w: %w", embed.ErrMissing, fs.ErrNotExist), true, encoder.Unfetchable},
		{fmt.Errorf("%w: %w", embed.ErrMissing, embed.ErrDamaged), false, encoder.Damaged},
		{&fs.PathError{Op: "open", Path: "/a", Err: fs.ErrPermission}, true, encoder.Unreadable},
		{&fs.PathError{Op: "read", Path: "/a", Err: errors.New("broken disk")}, false, encoder.Unreadable},
		{errors.New("no directory for models"), true, encoder.Unusable},
	} {
		if got := whyMissing(c.err, c.fetched); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
