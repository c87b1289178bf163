package stack

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestLeafConnectionsOfNATSElsewhereAreWatched(t *testing.T) {
	t.Parallel()
	run := func(c natsd.Config) *natsd.Server {
		c.Dir, c.Addr, c.NoSync, c.Log = t.TempDir(), "127.0.0.1:0", true, slog.New(slog.DiscardHandler)
		s, err := natsd.Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	alone := run(natsd.Config{})
	w := newWatcher(alone.ClientURL(), alone.Trust)
	defer w.close()
	if err := w.joined(t.Context()); err != nil || w.asked.IsZero() {
		t.Errorf("without a hub: %v, asked %v", err, w.asked)
	}
	lonely := run(natsd.Config{Remotes: []natsd.Remote{{Addr: "127.0.0.1:1"}}}) // nobody is there
	w = newWatcher(lonely.ClientURL(), lonely.Trust)
	defer w.close()
	err := w.joined(t.Context())
	if err == nil || err.Error() != "0 of 1 leaf connections to hubs are there" {
		t.Errorf("a hub that is not there: %v", err)
	}
	asked := w.asked
	if again := w.joined(t.Context()); again != err || !w.asked.Equal(asked) { //nolint:errorlint // the very same
		t.Errorf("asked again at once: %v", again)
	}
	away := newWatcher("nats://127.0.0.1:1", alone.Trust)
	if err := away.joined(t.Context()); err != nil {
		t.Errorf("NATS that is away says of its hubs: %v", err)
	}
	if err := os.Remove(alone.Trust.CredsFile(natsd.UserWatch)); err != nil {
		t.Fatal(err)
	}
	if newWatcher(alone.ClientURL(), alone.Trust) != nil {
		t.Error("somebody watches without credentials")
	}
}
