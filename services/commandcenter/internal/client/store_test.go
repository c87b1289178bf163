package client

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestWhoWaitsForTheStoredTokensCanBeStopped(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "credentials.json")
	within, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- NewStore(path).Update(t.Context(), "http://x", func(c *Credentials) error {
			close(within)
			<-release // a server that does not answer
			c.Email = "first"
			return nil
		})
	}()
	<-within
	ctx, cancel := context.WithCancelCause(t.Context())
	second := make(chan error, 1)
	go func() {
		second <- NewStore(path).Update(ctx, "http://x", func(*Credentials) error { return errors.New("both at once") })
	}()
	enough := errors.New("enough")
	cancel(enough)
	if err := <-second; !errors.Is(err, enough) {
		t.Errorf("stopped while it waited: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	// The lock is free again, and what was kept is there.
	if err := NewStore(path).Update(t.Context(), "http://x", func(c *Credentials) error {
		if c.Email != "first" {
			t.Errorf("kept %+v", c)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
