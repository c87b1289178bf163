package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
)

// Browser answers for the cookies that were given.
func (w *world) Browser(_ context.Context, hash [32]byte) (Browser, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keyFinds++
	if w.down {
		return Browser{}, false, errs.New(errs.Unavailable, "away")
	}
	b, found := w.browsers[hash]
	return b, found, nil
}

func TestTheCookieOfABrowserIsItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const cookie = "ccs_abc"
	w.browsers = map[[32]byte]Browser{sha256.Sum256([]byte(cookie)): {Session: "s", User: 7, Email: "a@b.io"}}
	for range 3 {
		if c, err := w.AuthenticateBrowser(t.Context(), cookie); err != nil || c != (Claims{UserID: 7, Session: "s", Email: "a@b.io"}) {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	if w.keyFinds != 1 {
		t.Errorf("asked %d times", w.keyFinds)
	}
	for _, bad := range []string{"", "abc", "ccr_abc", "cc_abc", "ccs_" + strings.Repeat("a", 300)} {
		if _, err := w.AuthenticateBrowser(t.Context(), bad); !errors.Is(err, ErrSession) {
			t.Errorf("%.10s: %v", bad, err)
		}
	}
	if w.keyFinds != 1 {
		t.Errorf("asked %d times for what is none", w.keyFinds)
	}
	if _, err := w.AuthenticateBrowser(t.Context(), "ccs_other"); !errors.Is(err, ErrSession) {
		t.Errorf("an unknown one: %v", err)
	}
	w.set(func() { w.down = true })
	w.pass(2 * time.Minute)
	if c, err := w.AuthenticateBrowser(t.Context(), cookie); err != nil || c.Session != "s" {
		t.Errorf("two minutes without auth: %+v, %v", c, err)
	}
	w.pass(14 * time.Minute)
	if _, err := w.AuthenticateBrowser(t.Context(), cookie); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("without auth: %v", err)
	}
}
