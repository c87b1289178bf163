package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/signon"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

// opens tries to open sessions of both kinds for who was let in at a version, and
// returns how that ended.
func (w *world) opens(id, version int64) [2]error {
	w.Helper()
	s := session.Session{ID: uuid.New(), UserID: id, CreatedAt: monday, ExpiresAt: monday.Add(time.Hour)}
	token := append(append(make([]byte, 0, 32), s.ID[:]...), s.ID[:]...)
	tab := s
	tab.ID = uuid.New()
	return [2]error{
		w.sessions.Open(w.ctx(), s, version, session.Next{Hash: token, ExpiresAt: s.ExpiresAt}),
		w.sessions.OpenBrowser(w.ctx(), tab, version, append(append(make([]byte, 0, 32), tab.ID[:]...), tab.ID[:]...)),
	}
}

func TestALoginUnderWayDoesNotSurviveWhatEndsAllSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, err := w.users.Create(w.ctx(), user.Draft{Email: "root@example.org", Hash: hash, Superuser: true}, monday)
	w.must(err)
	for name, end := range map[string]func(u user.User) error{
		"a logout everywhere": func(u user.User) error {
			_, err := w.sessions.RevokeAll(w.ctx(), u.ID, monday, session.LogoutReason)
			return err
		},
		"a new password": func(u user.User) error { return w.users.ChangePassword(w.ctx(), by(u.ID), u, hash, monday) },
		"a deactivation": func(u user.User) error {
			_, err := w.users.Switch(w.ctx(), u.ID, false, by(root.ID), monday)
			return err
		},
		"a link to an identity": func(u user.User) error {
			linked, _, err := w.users.Link(w.ctx(), signon.Identity{Issuer: "i", Subject: u.Email, Email: u.Email}, hash, 0, monday)
			if err == nil {
				for _, err := range w.opens(u.ID, linked.Version) { // who came by the provider is let in
					w.must(err)
				}
				w.exec(`DELETE FROM sessions WHERE user_id = $1`, u.ID)
			}
			return err
		},
	} {
		u, _ := w.person(strings.ReplaceAll(name, " ", "-") + "@example.org")
		w.must(end(u))
		for _, err := range w.opens(u.ID, u.Version) {
			if !errors.Is(err, session.ErrChanged) {
				t.Errorf("after %s: %v", name, err)
			}
		}
		if n := w.count(`SELECT count(*) FROM sessions WHERE user_id = $1`, u.ID); n != 0 {
			t.Errorf("after %s there are %d sessions", name, n)
		}
	}
}

func TestOfLoginsAndALogoutAtTheSameMomentNoSessionIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, err := range w.opens(u.ID, u.Version) {
				if err != nil && !errors.Is(err, session.ErrChanged) {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		if _, err := w.sessions.RevokeAll(w.ctx(), u.ID, monday, session.LogoutReason); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	if n := w.count(`SELECT count(*) FROM sessions WHERE revoked_at IS NULL`); n != 0 {
		t.Errorf("%d sessions live on", n)
	}
}

func TestWhatWasKnownOfAnAccountThatChangedReplacesNoPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	fresh, stale := strings.Replace(hash, "m=64", "m=128", 1), strings.Replace(hash, "m=64", "m=256", 1)
	w.must(w.users.ChangePassword(w.ctx(), by(u.ID), u, fresh, monday))
	// A login with the old password, whose hash was to be made anew.
	w.must(w.users.LoggedIn(w.ctx(), u, "192.0.2.1", monday, stale))
	if err := w.users.ChangePassword(w.ctx(), by(u.ID), u, stale, monday); !errors.Is(err, user.ErrChanged) {
		t.Errorf("a second change by the old password: %v", err)
	}
	if c, err := w.users.Credentials(w.ctx(), u.Email, ""); err != nil || c.Hash != fresh {
		t.Errorf("hash = %q, %v", c.Hash, err)
	}
}
