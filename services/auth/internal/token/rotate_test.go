package token

import (
	"context"
	"errors"
	"testing"
	"time"
)

// replacing is the memory of rows that replaces.
type replacing struct {
	*memory
	fail error
}

func (m replacing) ReplaceSigningKeys(_ context.Context, now, until time.Time, next Row, revoked bool) error {
	if m.fail != nil {
		return m.fail
	}
	for i := range m.rows {
		m.rows[i].SignUntil, m.rows[i].VerifyUntil = now, until
	}
	if revoked {
		m.rows = nil
	}
	m.rows = append(m.rows, next)
	return nil
}

func TestAKeyIsReplacedBeforeItsTime(t *testing.T) {
	t.Parallel()
	for _, revoke := range []bool{false, true} {
		now := monday
		i := newIssuer(t, &now)
		before := issue(t, i, "s")
		now = now.Add(time.Minute)
		m := replacing{memory: i.Keys.store.(*memory)}
		r := Rotator{Keys: i.Keys, Store: m, Now: i.Now}
		keys, err := r.Rotate(t.Context(), revoke)
		if err != nil || len(keys) != map[bool]int{false: 2, true: 1}[revoke] {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		if after := issue(t, i, "s"); !i.IsAccess(t.Context(), after) || i.IsAccess(t.Context(), before) == revoke {
			t.Errorf("revoke %v: a token from before is good: %v", revoke, i.IsAccess(t.Context(), before))
		}
		if key, err := i.Keys.signer(t.Context(), now); err != nil || key.ID != keys[0].ID {
			t.Errorf("signs with %s, %v", key.ID, err)
		}
		now = now.Add(rotation.Keep)
		if i.IsAccess(t.Context(), before) {
			t.Error("the old key never ends")
		}
		m.fail = errors.New("gone")
		if _, err := (Rotator{Keys: i.Keys, Store: m, Now: i.Now}).Rotate(t.Context(), revoke); !errors.Is(err, m.fail) {
			t.Errorf("a fault: %v", err)
		}
	}
}
