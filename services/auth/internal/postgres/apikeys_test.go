package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/key"
	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
)

// apiKeyOf is a statement that writes a key with this user, account and project.
func apiKeyOf(user, account, project string) string {
	return fmt.Sprintf(`
		INSERT INTO api_keys (project_id, key_id, user_id, account_id, name, prefix, hash, scopes, created_by, created_at)
		VALUES (%s, gen_random_uuid(), %s, %s, 'x', 'abcdefgh', sha256('%s'), '{*:read}', 1, now())`, project, user, account, uuid.NewString())
}

func (w *world) keys() postgres.Keys { return postgres.Keys{Store: w.store} }

// account makes a service account named "ci".
func (w *world) account(p tenant.Project) int64 {
	w.Helper()
	a, err := w.keys().CreateAccount(w.ctx(), by(1), key.Account{Project: p, Name: "ci", Role: tenant.Member, CreatedBy: 1, CreatedAt: monday, UpdatedAt: monday})
	w.must(err)
	return a.ID
}

// apiKey makes a key of a service account and returns it with its hash.
func (w *world) apiKey(p tenant.Project, account int64, at time.Time, expires *time.Time) (key.Key, []byte) {
	w.Helper()
	k := key.Key{
		ID: uuid.New(), Project: p, Holder: key.Holder{Account: account}, Name: uuid.NewString(), Prefix: "abcdefgh", Scopes: []string{"*:read"},
		CreatedBy: 1, CreatedAt: at, Expires: expires,
	}
	hash := sha256.Sum256(k.ID[:])
	w.must(w.keys().Add(w.ctx(), by(k.CreatedBy), k, hash[:]))
	return k, hash[:]
}

func TestUsesAreWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, p := w.person("a@example.org")
	k, hash := w.apiKey(p, w.account(p), monday, nil)
	other, _ := w.apiKey(p, w.account2(p), monday, nil)
	last := func() *time.Time {
		found, err := w.keys().Find(w.ctx(), hash, monday)
		w.must(err)
		return found.LastUsed
	}
	for _, c := range []struct{ after, want time.Duration }{{time.Minute, time.Minute}, {90 * time.Second, time.Minute}, {2 * time.Minute, 2 * time.Minute}} {
		w.must(w.keys().Used(w.ctx(), map[uuid.UUID]time.Time{k.ID: monday.Add(c.after), uuid.New(): monday}))
		if got := last(); got == nil || !got.Equal(monday.Add(c.want)) {
			t.Errorf("used after %v, and known as %v", c.after, got)
		}
	}
	if n := w.count(`SELECT count(*) FROM api_keys WHERE key_id = $1 AND last_used_at IS NULL`, other.ID); n != 1 {
		t.Error("another key counts as used")
	}
}

func (w *world) account2(p tenant.Project) int64 {
	w.Helper()
	a, err := w.keys().CreateAccount(w.ctx(), by(1), key.Account{Project: p, Name: "cd", Role: tenant.Member, CreatedBy: 1, CreatedAt: monday, UpdatedAt: monday})
	w.must(err)
	return a.ID
}

func TestKeysThatEndedLongAgoAreSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, p := w.person("a@example.org")
	account, hour := w.account(p), monday.Add(time.Hour)
	alive, _ := w.apiKey(p, account, monday, nil)
	w.apiKey(p, account, monday, &hour)
	ended, _ := w.apiKey(p, account, monday, nil)
	w.must(w.keys().End(w.ctx(), p, by(1), ended.ID, hour, func(key.Key) (key.Ending, error) {
		return key.Ending{Until: hour, Reason: key.Revoked}, nil
	}))
	if n, err := w.keys().SweepKeys(w.ctx(), hour.Add(-time.Second)); err != nil || n != 0 {
		t.Errorf("swept %d too soon, %v", n, err)
	}
	if n, err := w.keys().SweepKeys(w.ctx(), hour); err != nil || n != 2 {
		t.Errorf("swept %d, %v", n, err)
	}
	if list, err := w.keys().List(w.ctx(), p, 0, hour); err != nil || len(list) != 1 || list[0].ID != alive.ID {
		t.Errorf("left: %v, %v", list, err)
	}
}

func TestAnEndedAccountTakesItsKeysAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, p := w.person("a@example.org")
	account := w.account(p)
	_, hash := w.apiKey(p, account, monday, nil)
	before := len(w.facts())
	w.must(w.keys().DeleteAccount(w.ctx(), p, by(u.ID), account))
	prefix := "evt." + p.Token() + ".auth."
	if got := w.facts()[before:]; !slices.Equal(got, []string{prefix + "key.revoked.v1", prefix + "service_account.changed.v1"}) {
		t.Errorf("said %v", got)
	}
	if _, err := w.keys().Find(w.ctx(), hash, monday); !errors.Is(err, key.ErrUnknown) {
		t.Errorf("its key: %v", err)
	}
	if a, err := w.store.AccountAccess(w.ctx(), account, p); err != nil || a.Active {
		t.Errorf("its standing: %+v, %v", a, err)
	}
}

// A key that is being made when its account is deleted is one that others may have
// heard of: it is said to have ended like all others.
func TestAKeyThatIsMadeWhileItsAccountIsDeletedIsSaidToHaveEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, p := w.person("a@example.org")
	account := w.account(p)
	deleted := make(chan error, 1)
	w.must(w.db.InTenant(w.ctx(), p, func(ctx context.Context, _ *sqlx.Tx) error {
		k := key.Key{
			ID: uuid.New(), Project: p, Holder: key.Holder{Account: account}, Name: "late", Prefix: "abcdefgh", Scopes: []string{"*:read"}, CreatedBy: u.ID, CreatedAt: monday,
		}
		hash := sha256.Sum256(k.ID[:])
		if err := w.keys().Add(ctx, by(u.ID), k, hash[:]); err != nil {
			return err
		}
		go func() { deleted <- w.keys().DeleteAccount(w.ctx(), p, by(u.ID), account) }()
		pgtest.AwaitLock(t, w.db)
		return nil
	}))
	w.must(<-deleted)
	if got := w.facts(); !slices.Contains(got, "evt."+p.Token()+".auth.key.revoked.v1") {
		t.Errorf("said %v", got)
	}
}

// Whoever ends a service account locks it and then its keys, and so does whoever ends
// one of these.
func TestAKeyAndItsAccountMayEndAtTheSameMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, p := w.person("a@example.org")
	for call := 1; call <= 2; call++ { // before the key is locked, and after
		account := w.account(p)
		k, _ := w.apiKey(p, account, monday, nil)
		deleted, calls := make(chan error, 1), 0
		ended := w.keys().End(w.ctx(), p, by(u.ID), k.ID, monday, func(old key.Key) (key.Ending, error) {
			if calls++; calls == call {
				go func() { deleted <- w.keys().DeleteAccount(w.ctx(), p, by(u.ID), account) }()
				if call == 1 {
					w.must(<-deleted)
					deleted <- nil
				} else {
					pgtest.AwaitLock(t, w.db)
				}
			}
			next := old
			next.ID, next.Prefix = uuid.New(), "bcdefghi"
			hash := sha256.Sum256(next.ID[:])
			return key.Ending{Until: monday, Reason: key.Rotated, Next: &next, Hash: hash[:]}, nil
		})
		w.must(<-deleted)
		if call == 1 && !errors.Is(ended, key.ErrUnknown) || call == 2 && ended != nil {
			t.Errorf("at call %d: %v", call, ended)
		}
	}
	if n := w.count(`SELECT count(*) FROM api_keys`); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// A key that is being made when its maker is removed from the project ends with the
// membership, whoever comes first.
func TestAKeyThatIsMadeWhileItsMakerIsRemovedEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, p := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	w.join(p, a.ID, b.ID, tenant.Member, 1)
	k := key.Key{
		ID: uuid.New(), Project: p, Holder: key.Holder{User: b.ID}, Name: "late", Prefix: "abcdefgh", Scopes: []string{"*:read"}, CreatedBy: b.ID, CreatedAt: monday,
	}
	hash, removed := sha256.Sum256(k.ID[:]), make(chan error, 1)
	w.must(w.db.InTenant(w.ctx(), p, func(ctx context.Context, _ *sqlx.Tx) error {
		if err := w.keys().Add(ctx, by(b.ID), k, hash[:]); err != nil {
			return err
		}
		go func() { removed <- w.members().Remove(w.ctx(), p, by(a.ID), b.ID, false, monday, yes("")) }()
		pgtest.AwaitLock(t, w.db)
		return nil
	}))
	w.must(<-removed)
	if _, err := w.keys().Find(w.ctx(), hash[:], monday); !errors.Is(err, key.ErrUnknown) {
		t.Errorf("the key: %v", err)
	}
}
