package postgres_test

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/services/auth/internal/session"
	"github.com/commandcenter/commandcenter/services/auth/internal/token"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"

	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
)

func always(v session.Verdict, n session.Next) func(session.Stored) (session.Verdict, session.Next) {
	return func(session.Stored) (session.Verdict, session.Next) { return v, n }
}

func next(b byte) session.Next {
	return session.Next{Hash: bytes.Repeat([]byte{b}, 32), ExpiresAt: monday.Add(2 * time.Hour)}
}

func TestTradeKeepsTheNextTokenAndMarksTheOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	s, first := w.session(u.ID)
	at := monday.Add(time.Minute)
	old, v, found, err := w.sessions.Trade(w.ctx(), first, at, always(session.Trade, next(1)))
	w.must(err)
	if !found || v != session.Trade || old.Session.ID != s.ID || old.Session.UserID != u.ID || old.Email != u.Email || !old.Active ||
		old.TradedAt != nil || old.RevokedAt != nil || !old.TokenExpires.Equal(s.ExpiresAt) {
		t.Fatalf("old = %+v, %v, %v", old, v, found)
	}
	again, _, _, err := w.sessions.Trade(w.ctx(), first, at, always(session.Refuse, session.Next{}))
	w.must(err)
	if again.TradedAt == nil || !again.TradedAt.Equal(at) || !again.Session.ExpiresAt.Equal(monday.Add(2*time.Hour)) {
		t.Errorf("the old token afterwards: %+v", again)
	}
	fresh, _, found, err := w.sessions.Trade(w.ctx(), next(1).Hash, at, always(session.Refuse, session.Next{}))
	w.must(err)
	if !found || fresh.TradedAt != nil || fresh.Session.ID != s.ID {
		t.Errorf("the next token: %+v, %v", fresh, found)
	}
	if _, _, found, err := w.sessions.Trade(w.ctx(), next(9).Hash, at, always(session.Trade, next(2))); found || err != nil {
		t.Errorf("a made-up token: found %v, %v", found, err)
	}
}

func TestOfTradesOfOneTokenOneIsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	_, first := w.session(u.ID)
	rules := session.Rules{Refresh: time.Hour, Longest: time.Hour, Grace: 2 * time.Second}
	var traded, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			_, v, _, err := w.sessions.Trade(w.ctx(), first, monday, func(s session.Stored) (session.Verdict, session.Next) {
				return rules.Judge(s, monday), next(byte(i + 1))
			})
			switch {
			case err != nil:
				t.Error(err)
			case v == session.Trade:
				traded.Add(1)
			case v == session.Refuse:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if traded.Load() != 1 || refused.Load() != 9 {
		t.Errorf("%d traded, %d refused; want 1 and 9", traded.Load(), refused.Load())
	}
	if n := w.count(`SELECT count(*) FROM sessions WHERE revoked_at IS NULL`); n != 1 {
		t.Error("a token sent twice at the same moment ended the session")
	}
}

func TestRevokedSessionIsOverAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	stolen, token := w.session(u.ID)
	left, _ := w.session(u.ID)
	before := len(w.facts())
	for range 2 {
		_, v, _, err := w.sessions.Trade(w.ctx(), token, monday, always(session.Revoke, session.Next{}))
		if err != nil || v != session.Revoke {
			t.Fatal(v, err)
		}
	}
	for i, want := range []bool{true, false} {
		if ended, err := w.sessions.Revoke(w.ctx(), left.ID, u.ID, monday, session.LogoutReason); err != nil || ended != want {
			t.Errorf("revoke %d: %v, %v", i+1, ended, err)
		}
	}
	third, _ := w.session(u.ID)
	if ended, err := w.sessions.Revoke(w.ctx(), third.ID, u.ID+1, monday, session.LogoutReason); err != nil || ended {
		t.Errorf("a stranger ended the session: %v, %v", ended, err)
	}
	want := []string{"evt.instance.auth.session.revoked.v1", "evt.instance.auth.session.revoked.v1"}
	if got := w.facts()[before:]; !slices.Equal(got, want) {
		t.Errorf("facts = %v", got)
	}
	for id, live := range map[uuid.UUID]bool{stolen.ID: false, left.ID: false, third.ID: true, uuid.New(): false} {
		if a, err := w.store.Access(w.ctx(), u.ID, 0, &id, monday); err != nil || a.SessionLive != live {
			t.Errorf("session %v live = %v, %v; want %v", id, a.SessionLive, err, live)
		}
	}
}

func TestSweepRemovesWhatHasRunOutAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, _ := w.person("jo@example.org")
	w.session(u.ID)
	s := session.Session{ID: uuid.New(), UserID: u.ID, CreatedAt: monday, ExpiresAt: monday.Add(3 * time.Hour)}
	w.must(w.sessions.Open(w.ctx(), s, u.Version, next(7)))
	keep := func(here, all user.Attempts) (user.Attempts, user.Attempts) {
		here.Failures, here.WindowFrom = 1, monday
		return here, here
	}
	locked := func(here, all user.Attempts) (user.Attempts, user.Attempts) {
		here.LockedUntil = monday.Add(48 * time.Hour)
		return here, here
	}
	w.must(w.users.Failed(w.ctx(), "old@example.org", "", monday, keep))
	w.must(w.users.Failed(w.ctx(), "locked@example.org", "", monday, locked))
	w.must(w.users.Failed(w.ctx(), "new@example.org", "", monday.Add(2*time.Hour), keep))
	n, err := w.store.Sweep(w.ctx(), monday.Add(2*time.Hour), monday.Add(time.Hour))
	if err != nil || n != 3 {
		t.Errorf("removed %d, %v; want the token and the old records", n, err)
	}
	if s := w.count(`SELECT count(*) FROM sessions`); s != 2 {
		t.Errorf("%d sessions left: a command may wait that was given while one lived", s)
	}
	if s, a := w.count(`SELECT count(*) FROM refresh_tokens`), w.count(`SELECT count(*) FROM login_attempts`); s != 1 || a != 4 {
		t.Errorf("%d tokens and %d records left, want 1 and 4", s, a)
	}
	if n, err := w.store.Sweep(w.ctx(), monday.Add(2*time.Hour+30*24*time.Hour), monday.Add(time.Hour)); err != nil || n != 2 {
		t.Errorf("a month later removed %d, %v; want the session that ran out, and the token of the other", n, err)
	}
}

func TestReplicasMakeOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sealer, err := token.NewSealer(secrettest.Ring(t), bytes.Repeat([]byte("s"), 32))
	w.must(err)
	rotation := token.Rotation{Every: 24 * time.Hour, Announce: time.Hour, Keep: time.Hour}
	refresh := func(at time.Time) []token.Key {
		var wg sync.WaitGroup
		var ring atomic.Pointer[[]token.Key]
		for range 4 {
			wg.Go(func() {
				k, err := token.NewKeys(w.store, sealer, rotation)
				if err == nil {
					err = k.Refresh(w.ctx(), at)
				}
				if err != nil {
					t.Error(err)
					return
				}
				keys := k.Published(at)
				ring.Store(&keys)
			})
		}
		wg.Wait()
		return *ring.Load()
	}
	first := refresh(monday)
	if len(first) != 1 {
		t.Fatalf("%d keys, want 1", len(first))
	}
	both := refresh(monday.Add(23 * time.Hour))
	if len(both) != 2 || both[1].ID != first[0].ID || !both[1].VerifyUntil.Equal(first[0].VerifyUntil) {
		t.Fatalf("keys = %+v", both)
	}
	refresh(monday.Add(60 * time.Hour))
	if n := w.count(`SELECT count(*) FROM signing_keys`); n != 1 {
		t.Errorf("%d keys kept after all others ran out, want 1", n)
	}
}
