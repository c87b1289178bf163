package postgres_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/reset"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

func (w *world) resets() postgres.Resets { return postgres.Resets{Store: w.store} }

// draft is a reset for an account, by somebody; n tells secrets apart.
func draft(userID, who int64, n byte) reset.Draft {
	key := make([]byte, 32)
	key[0] = n
	return reset.Draft{UserID: userID, By: by(who), Operator: "operator:ada@host", Key: key, CreatedAt: monday, ExpiresAt: monday.Add(time.Hour)}
}

// Superusers issue resets for each other and switch each other off, all at once:
// nobody waits for nobody, and no reset outlives the right to it.
func TestNobodyIssuesAResetWhileLosingTheRightTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []int64
	for _, email := range []string{"a@example.org", "b@example.org", "c@example.org"} {
		u, _ := w.person(email)
		all = append(all, u.ID)
	}
	w.exec(`UPDATE users SET is_superuser = true`)
	jo, _ := w.person("jo@example.org")
	for round := range byte(10) {
		var wg sync.WaitGroup
		for i, issuer := range all {
			for j, target := range append([]int64{jo.ID}, all...) {
				wg.Go(func() {
					_, err := w.resets().Issue(w.ctx(), draft(target, issuer, round*16+byte(i*4+j)+1))
					if err != nil && !errors.Is(err, user.ErrRank) && !errors.Is(err, reset.ErrInactive) {
						t.Error(err)
					}
				})
			}
		}
		off := all[int(round)%2]
		wg.Go(func() {
			if _, err := w.users.Switch(w.ctx(), off, false, by(all[2]), monday); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if n := w.count(`SELECT count(*) FROM password_resets WHERE user_id = $1 OR issued_by = $1`, off); n != 0 {
			t.Errorf("%d resets of who is switched off", n)
		}
		if _, err := w.users.Switch(w.ctx(), off, true, by(all[2]), monday); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOfAResetAndAPasswordChangeAtTheSameMomentOneHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, _ := w.person("jo@example.org")
	const chosen = hash + "A" // the store takes any form
	for n := range byte(10) {
		d := draft(jo.ID, 0, n+1)
		if _, err := w.resets().Issue(w.ctx(), d); err != nil {
			t.Fatal(err)
		}
		now, err := w.users.Get(w.ctx(), jo.ID)
		w.must(err)
		var used, changed error
		var wg sync.WaitGroup
		wg.Go(func() { used = w.resets().Use(w.ctx(), d.Key, now, "", chosen, monday) })
		wg.Go(func() { changed = w.users.ChangePassword(w.ctx(), by(0), now, hash, monday) })
		wg.Wait()
		switch {
		case used == nil && errors.Is(changed, user.ErrChanged), changed == nil && errors.Is(used, reset.ErrInvalid):
		default:
			t.Errorf("used: %v; changed: %v", used, changed)
		}
		if left := w.count(`SELECT count(*) FROM password_resets`); left != 0 {
			t.Errorf("%d are left", left)
		}
	}
}

func TestAResetThatRanOutIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jo, _ := w.person("jo@example.org")
	d := draft(jo.ID, 0, 1)
	if _, err := w.resets().Issue(w.ctx(), d); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]int64{59 * time.Minute: jo.ID, time.Hour: 0} {
		if f, err := w.resets().Find(w.ctx(), d.Key, "", monday.Add(at)); err != nil || f.User.ID != want {
			t.Errorf("after %v: %+v, %v", at, f, err)
		}
	}
	if n, err := w.store.Sweep(w.ctx(), monday.Add(time.Hour), monday); err != nil || n != 1 {
		t.Errorf("removed %d, %v", n, err)
	}
}
