package token

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// replacing is the memory of rows that replaces.
type replacing struct {
	*memory
	fail error
	wait *func() // when set, the commit waits for whoever calls it
}

func (m replacing) ReplaceSigningKeys(_ context.Context, _ tenant.Identity, now, until time.Time, next Row, revoked bool, committed func()) error {
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
	if m.wait != nil {
		*m.wait = committed
		return nil
	}
	committed()
	return nil
}

func TestAKeyThatIsNotCommittedYetSignsNothing(t *testing.T) {
	t.Parallel()
	now := monday
	i := newIssuer(t, &now)
	signs := func() string {
		k, err := i.Keys.signer(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	before := signs()
	now = now.Add(time.Minute)
	var commit func()
	keys, err := (Rotator{Keys: i.Keys, Store: replacing{memory: i.Keys.store.(*memory), wait: &commit}, Now: i.Now}).Rotate(t.Context(), tenant.Identity{}, false)
	if err != nil || keys[0].ID == before {
		t.Fatalf("%v, %v", keys, err)
	}
	if got := signs(); got != before {
		t.Errorf("signs with %s before the commit", got)
	}
	commit()
	if got := signs(); got != keys[0].ID {
		t.Errorf("signs with %s after it", got)
	}
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
		keys, err := r.Rotate(t.Context(), tenant.Identity{}, revoke)
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
		if _, err := (Rotator{Keys: i.Keys, Store: m, Now: i.Now}).Rotate(t.Context(), tenant.Identity{}, revoke); !errors.Is(err, m.fail) {
			t.Errorf("a fault: %v", err)
		}
	}
}
