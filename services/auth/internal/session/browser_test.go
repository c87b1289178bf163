package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// tabs keeps one session of a browser.
type tabs struct {
	s       Session
	hash    string
	used    time.Time
	touched int
	fail    error
}

func (b *tabs) OpenBrowser(_ context.Context, s Session, _ int64, hash []byte) error {
	b.s, b.hash, b.used = s, string(hash), s.CreatedAt
	return b.fail
}

func (b *tabs) Browser(_ context.Context, hash []byte, now time.Time) (Session, string, time.Time, bool, error) {
	return b.s, "a@b.io", b.used, string(hash) == b.hash && now.Before(b.s.ExpiresAt), b.fail
}

func (b *tabs) Touch(_ context.Context, id uuid.UUID, now, expires time.Time) error {
	if id != b.s.ID {
		return errors.New("another session")
	}
	b.used, b.s.ExpiresAt, b.touched = now, expires, b.touched+1
	return nil
}

func (b *tabs) ByCookie(_ context.Context, id uuid.UUID) (bool, error) { return id == b.s.ID, b.fail }

func TestASessionOfABrowserLivesOnWhileItIsUsed(t *testing.T) {
	t.Parallel()
	kept, now := &tabs{}, time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	b := Browsers{Sessions: kept, Rules: Rules{Refresh: 24 * time.Hour, Longest: 36 * time.Hour}, Now: func() time.Time { return now }}
	c, err := b.Open(t.Context(), Login{UserID: 7})
	if err != nil || !strings.HasPrefix(c.Value, "ccs_") || len(c.Value) != 47 || c.Life != 36*time.Hour || kept.hash != string(digest(c.Value)) {
		t.Fatalf("%d characters, %v, %v", len(c.Value), c.Life, err)
	}
	resolve := func() bool {
		s, email, found, err := b.Resolve(t.Context(), digest(c.Value))
		if err != nil || found && (s.UserID != 7 || email != "a@b.io") {
			t.Fatalf("%+v of %s, %v", s, email, err)
		}
		return found
	}
	for _, step := range []struct {
		wait    time.Duration
		found   bool
		touched int
	}{{time.Minute, true, 0}, {time.Hour, true, 1}, {time.Minute, true, 1}, {23 * time.Hour, true, 2}, {13 * time.Hour, false, 2}} {
		now = now.Add(step.wait)
		if got := resolve(); got != step.found || kept.touched != step.touched {
			t.Errorf("after %v: found %v, written %d times", step.wait, got, kept.touched)
		}
	}
	for id, want := range map[string]bool{kept.s.ID.String(): true, uuid.NewString(): false} {
		if is, err := b.ByCookie(t.Context(), id); is != want || err != nil {
			t.Errorf("session %s: of a browser %t, %v", id, is, err)
		}
	}
	if _, err := b.ByCookie(t.Context(), "none"); !errors.Is(err, ErrEnded) {
		t.Errorf("no session: %v", err)
	}
	kept.fail = errors.New("gone")
	if _, err := b.ByCookie(t.Context(), kept.s.ID.String()); !errors.Is(err, kept.fail) {
		t.Errorf("kind: %v", err)
	}
	if _, err := b.Open(t.Context(), Login{UserID: 7}); !errors.Is(err, kept.fail) {
		t.Errorf("open: %v", err)
	}
	if _, _, _, err := b.Resolve(t.Context(), nil); !errors.Is(err, kept.fail) {
		t.Errorf("resolve: %v", err)
	}
}
