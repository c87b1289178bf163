package user

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// register answers with one account, or fails.
type register struct {
	fail     error
	query    Query
	switched []bool
	by       int64
}

func (b *register) Find(_ context.Context, q Query) ([]User, int, error) {
	b.query = q
	return []User{{ID: 7}}, 1, b.fail
}

func (b *register) Get(_ context.Context, id int64) (User, error) {
	if id != 7 {
		return User{}, ErrGone
	}
	return User{ID: 7}, b.fail
}

func (b *register) Switch(_ context.Context, id int64, active bool, by tenant.Identity, _ time.Time) (User, error) {
	if b.fail == nil {
		b.switched, b.by = append(b.switched, active), by.UserID
	}
	return User{ID: id, Active: active}, b.fail
}

func TestTheDirectoryIsForSuperusers(t *testing.T) {
	t.Parallel()
	b := &register{}
	d := Directory{Accounts: b, Now: time.Now}
	owner, root := tenant.Identity{UserID: 7, Role: tenant.Owner}, tenant.Identity{UserID: 1, Superuser: true}
	ctx := t.Context()
	calls := func(who tenant.Identity) map[string]error {
		_, _, list := d.List(ctx, who, Query{Limit: 10})
		_, get := d.Get(ctx, who, 7)
		_, off := d.Deactivate(ctx, who, 7)
		_, on := d.Reactivate(ctx, who, 7)
		return map[string]error{"list": list, "get": get, "deactivate": off, "reactivate": on}
	}
	for what, err := range calls(owner) {
		if errs.KindOf(err) != errs.Forbidden {
			t.Errorf("an owner may %s: %v", what, err)
		}
	}
	for what, err := range calls(root) {
		if err != nil {
			t.Errorf("a superuser may not %s: %v", what, err)
		}
	}
	if len(b.switched) != 2 || b.switched[0] || !b.switched[1] || b.by != 1 {
		t.Errorf("switched %v by %d", b.switched, b.by)
	}
	for _, q := range []Query{{Limit: 0}, {Limit: 1001}, {Limit: 1, Skip: -1}, {Limit: 1, Skip: 1_000_001}} {
		if _, _, err := d.List(ctx, root, q); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := d.Get(ctx, root, 8); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown one: %v", err)
	}
	b.fail = ErrLastSuperuser
	for what, err := range calls(root) {
		if !errors.Is(err, ErrLastSuperuser) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
