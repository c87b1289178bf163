package key

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// shelf keeps keys and accounts in memory. fail, when set, is what it answers.
type shelf struct {
	fail     error
	keys     []Key
	hashes   map[uuid.UUID]string
	endings  []Ending
	accounts map[int64]Account
}

func newShelf() *shelf { return &shelf{hashes: map[uuid.UUID]string{}, accounts: map[int64]Account{}} }

func (s *shelf) Add(_ context.Context, _ tenant.Identity, k Key, hash []byte) error {
	if s.fail == nil {
		s.keys, s.hashes[k.ID] = append(s.keys, k), string(hash)
	}
	return s.fail
}

func (s *shelf) List(_ context.Context, p tenant.Project, user int64, _ time.Time) ([]Key, error) {
	var out []Key
	for _, k := range s.keys {
		if k.Project == p && (user == 0 || k.Holder.User == user) {
			out = append(out, k)
		}
	}
	return out, s.fail
}

func (s *shelf) End(ctx context.Context, p tenant.Project, _ tenant.Identity, id uuid.UUID, _ time.Time, judge func(Key) (Ending, error)) error {
	i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id && k.Project == p })
	if i < 0 {
		return ErrUnknown
	}
	e, err := judge(s.keys[i])
	if err != nil {
		return err
	}
	s.endings = append(s.endings, e)
	if e.Next != nil {
		return s.Add(ctx, tenant.Identity{}, *e.Next, e.Hash)
	}
	return nil
}

func (s *shelf) Find(_ context.Context, hash []byte, _ time.Time) (Key, error) {
	for _, k := range s.keys {
		if s.hashes[k.ID] == string(hash) {
			return k, s.fail
		}
	}
	return Key{}, ErrUnknown
}

func (s *shelf) ByID(_ context.Context, id uuid.UUID, _ time.Time) (Key, error) {
	for _, k := range s.keys {
		if k.ID == id {
			return k, nil
		}
	}
	return Key{}, ErrUnknown
}

func (s *shelf) Accounts(context.Context, tenant.Project) ([]Account, error) {
	var out []Account
	for _, a := range s.accounts {
		out = append(out, a)
	}
	return out, s.fail
}

func (s *shelf) CreateAccount(_ context.Context, _ tenant.Identity, a Account) (Account, error) {
	a.ID = int64(len(s.accounts) + 1)
	s.accounts[a.ID] = a
	return a, s.fail
}

func (s *shelf) UpdateAccount(_ context.Context, _ tenant.Project, _ tenant.Identity, id int64, now time.Time, c Change) (Account, error) {
	a, ok := s.accounts[id]
	if !ok {
		return a, ErrUnknownAccount
	}
	if c.Name != nil {
		a.Name = *c.Name
	}
	if c.Role != nil {
		a.Role = *c.Role
	}
	a.UpdatedAt = now
	s.accounts[id] = a
	return a, nil
}

func (s *shelf) DeleteAccount(_ context.Context, _ tenant.Project, _ tenant.Identity, id int64) error {
	if _, ok := s.accounts[id]; !ok {
		return ErrUnknownAccount
	}
	delete(s.accounts, id)
	return nil
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func caller(user int64, role tenant.Role) tenant.Identity {
	return tenant.Identity{Project: 42, Principal: Holder{User: user}.String(), UserID: user, Role: role}
}

var draft = Draft{Name: "ci", Scopes: []string{"knowledge:read"}}

func TestAKeyIsOfItsMakerOrOfAServiceAccountByAnAdmin(t *testing.T) {
	t.Parallel()
	s := newShelf()
	keeper := Keeper{Keys: s, Now: at(monday)}
	mine, err := keeper.Create(t.Context(), caller(7, tenant.Viewer), 0, draft)
	if err != nil || mine.Holder.String() != "user:7" || mine.Prefix != mine.Plain.Prefix() || mine.Expires != nil {
		t.Errorf("%+v, %v", mine.Key, err)
	}
	hash := mine.Plain.Hash()
	if s.hashes[mine.ID] != string(hash[:]) {
		t.Error("what is kept is not the hash")
	}
	if _, err := keeper.Create(t.Context(), caller(7, tenant.Member), 3, draft); !errors.Is(err, ErrAdmin) {
		t.Errorf("a member for a service account: %v", err)
	}
	its, err := keeper.Create(t.Context(), caller(7, tenant.Admin), 3, draft)
	if err != nil || its.Holder.String() != "service-account:3" || its.CreatedBy != 7 {
		t.Errorf("%+v, %v", its.Key, err)
	}
	s.fail = ErrTooMany
	if _, err := keeper.Create(t.Context(), caller(7, tenant.Viewer), 0, draft); !errors.Is(err, ErrTooMany) {
		t.Errorf("too many: %v", err)
	}
}

func TestADraftIsPutInOrderOrRefused(t *testing.T) {
	t.Parallel()
	later, past := monday.Add(time.Hour), monday
	areas := []string{"knowledge", "events"}
	for name, c := range map[string]struct {
		d    Draft
		most time.Duration
		ends *time.Time
		bad  string
	}{
		"plain":               {d: draft},
		"every area":          {d: Draft{Name: "x", Scopes: []string{"*:admin"}}},
		"with an end":         {d: Draft{Name: "x", Scopes: []string{"events:read"}, Expires: &later}, ends: &later},
		"an end by default":   {d: draft, most: time.Hour, ends: &later},
		"no such area":        {d: Draft{Name: "x", Scopes: []string{"graph:read"}}, bad: "no scope"},
		"no such level":       {d: Draft{Name: "x", Scopes: []string{"events:all"}}, bad: "no scope"},
		"nothing":             {d: Draft{Name: "x"}, bad: "scopes"},
		"no name":             {d: Draft{Name: "\t", Scopes: draft.Scopes}, bad: "name"},
		"a long name":         {d: Draft{Name: strings.Repeat("n", 101), Scopes: draft.Scopes}, bad: "name"},
		"over already":        {d: Draft{Name: "x", Scopes: draft.Scopes, Expires: &past}, bad: "to come"},
		"longer than allowed": {d: Draft{Name: "x", Scopes: draft.Scopes, Expires: &later}, most: time.Minute, bad: "at most"},
	} {
		got, err := c.d.check(areas, monday, c.most)
		if c.bad != "" {
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || (got.Expires == nil) != (c.ends == nil) || c.ends != nil && !got.Expires.Equal(*c.ends) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	twice := Draft{Name: " x ", Scopes: []string{"b:read", "a:read", "b:read"}}
	got, err := twice.check(nil, monday, 0)
	if err != nil || got.Name != "x" || !slices.Equal(got.Scopes, []string{"a:read", "b:read"}) || len(twice.Scopes) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestKeysAreListedForTheirHolderAndAllForAnAdmin(t *testing.T) {
	t.Parallel()
	s := newShelf()
	keeper := Keeper{Keys: s, Now: at(monday)}
	for _, user := range []int64{7, 8} {
		if _, err := keeper.Create(t.Context(), caller(user, tenant.Admin), 0, draft); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := keeper.List(t.Context(), caller(7, tenant.Viewer), false); err != nil || len(keys) != 1 || keys[0].Holder.User != 7 {
		t.Errorf("own: %v, %v", keys, err)
	}
	if _, err := keeper.List(t.Context(), caller(7, tenant.Member), true); !errors.Is(err, ErrAdmin) {
		t.Errorf("all, for a member: %v", err)
	}
	if keys, err := keeper.List(t.Context(), caller(7, tenant.Admin), true); err != nil || len(keys) != 2 {
		t.Errorf("all: %v, %v", keys, err)
	}
	s.fail = errors.New("gone")
	if _, err := keeper.List(t.Context(), caller(7, tenant.Admin), true); !errors.Is(err, s.fail) {
		t.Errorf("a fault: %v", err)
	}
}

func TestWhoMayEndAndRotateAKey(t *testing.T) {
	t.Parallel()
	s := newShelf()
	keeper := Keeper{Keys: s, Now: at(monday)}
	mine, err := keeper.Create(t.Context(), caller(7, tenant.Viewer), 0, draft)
	if err != nil {
		t.Fatal(err)
	}
	its, err := keeper.Create(t.Context(), caller(9, tenant.Admin), 3, draft)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		who            tenant.Identity
		key            Secret
		revoke, rotate bool
	}{
		"its holder":              {caller(7, tenant.Viewer), mine, true, true},
		"another member":          {caller(8, tenant.Member), mine, false, false},
		"an admin":                {caller(9, tenant.Admin), mine, true, false},
		"a superuser":             {tenant.Identity{Project: 42, UserID: 1, Superuser: true}, mine, true, false},
		"an admin, of an account": {caller(9, tenant.Admin), its, true, true},
		"a member, of an account": {caller(8, tenant.Member), its, false, false},
		"from another project":    {tenant.Identity{Project: 43, UserID: 7, Role: tenant.Owner}, mine, false, false},
	} {
		if err := keeper.Revoke(t.Context(), c.who, c.key.ID.String()); (err == nil) != c.revoke || err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("%s revokes: %v", name, err)
		}
		if _, err := keeper.Rotate(t.Context(), c.who, c.key.ID.String(), 0); (err == nil) != c.rotate || err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("%s rotates: %v", name, err)
		}
	}
	if err := keeper.Revoke(t.Context(), caller(7, tenant.Owner), "x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("no id: %v", err)
	}
}

func TestARotatedKeyLivesAsLongAsItWasGiven(t *testing.T) {
	t.Parallel()
	s := newShelf()
	keeper := Keeper{Keys: s, Now: at(monday)}
	end := monday.Add(24 * time.Hour)
	old, err := keeper.Create(t.Context(), caller(7, tenant.Viewer), 0, Draft{Name: "ci", Scopes: draft.Scopes, Expires: &end})
	if err != nil {
		t.Fatal(err)
	}
	noon := monday.Add(3 * time.Hour)
	keeper.Now = at(noon)
	next, err := keeper.Rotate(t.Context(), caller(7, tenant.Viewer), old.ID.String(), time.Minute)
	if err != nil || next.ID == old.ID || next.Plain == old.Plain || !next.Expires.Equal(noon.Add(24*time.Hour)) || next.Name != "ci" {
		t.Errorf("%+v, %v", next.Key, err)
	}
	if e := s.endings[0]; !e.Until.Equal(noon.Add(time.Minute)) || e.Reason != Rotated {
		t.Errorf("the old one: %+v", e)
	}
	keeper.Rules.MaxLife = time.Hour // since then
	next, err = keeper.Rotate(t.Context(), caller(7, tenant.Viewer), next.ID.String(), 0)
	if err != nil || !next.Expires.Equal(noon.Add(time.Hour)) {
		t.Errorf("with a shorter rule: %+v, %v", next.Key, err)
	}
}

func TestAResolvedKeyIsRememberedAsUsed(t *testing.T) {
	t.Parallel()
	s, uses := newShelf(), &Uses{}
	made, err := Keeper{Keys: s, Now: at(monday)}.Create(t.Context(), caller(7, tenant.Viewer), 0, draft)
	if err != nil {
		t.Fatal(err)
	}
	r := Reader{Keys: s, Uses: uses, Now: at(monday)}
	hash := made.Plain.Hash()
	if k, err := r.Resolve(t.Context(), hash[:]); err != nil || k.ID != made.ID {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := r.Resolve(t.Context(), []byte("another")); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown one: %v", err)
	}
	if last := uses.Take(); len(last) != 1 || !last[made.ID].Equal(monday) {
		t.Errorf("used: %v", last)
	}
	if last := uses.Take(); len(last) != 0 {
		t.Errorf("twice: %v", last)
	}
	if p, err := r.Project(t.Context(), tenant.Identity{Key: made.ID.String()}); err != nil || p != 42 {
		t.Errorf("bound to %d, %v", p, err)
	}
	for _, id := range []string{"", uuid.NewString()} {
		if _, err := r.Project(t.Context(), tenant.Identity{Key: id}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestServiceAccountsAreForAdmins(t *testing.T) {
	t.Parallel()
	s := newShelf()
	all := Accounts{Store: s, Now: at(monday)}
	admin, member := caller(7, tenant.Admin), caller(8, tenant.Member)
	a, err := all.Create(t.Context(), admin, " ci ", tenant.Member)
	if err != nil || a.Name != "ci" || a.Role != tenant.Member || a.CreatedBy != 7 || a.Project != 42 {
		t.Errorf("%+v, %v", a, err)
	}
	role, name, none := tenant.Viewer, "cd", ""
	if a, err := all.Update(t.Context(), admin, a.ID, Change{Name: &name, Role: &role}); err != nil || a.Name != "cd" || a.Role != tenant.Viewer {
		t.Errorf("%+v, %v", a, err)
	}
	owner := tenant.Owner
	for what, err := range map[string]error{
		"an owner":     second(all.Create(t.Context(), admin, "x", tenant.Owner)),
		"made owner":   second(all.Update(t.Context(), admin, a.ID, Change{Role: &owner})),
		"no name":      second(all.Create(t.Context(), admin, " ", tenant.Viewer)),
		"without name": second(all.Update(t.Context(), admin, a.ID, Change{Name: &none})),
	} {
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"create": second(all.Create(t.Context(), member, "x", tenant.Viewer)), "update": second(all.Update(t.Context(), member, a.ID, Change{})),
		"delete": all.Delete(t.Context(), member, a.ID),
	} {
		if !errors.Is(err, ErrAdmin) {
			t.Errorf("a member may %s: %v", what, err)
		}
	}
	if list, err := all.List(t.Context(), member); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := all.Delete(t.Context(), admin, a.ID); err != nil {
		t.Error(err)
	}
	if err := all.Delete(t.Context(), admin, a.ID); !errors.Is(err, ErrUnknownAccount) {
		t.Errorf("again: %v", err)
	}
	s.fail = errors.New("gone")
	if _, err := all.List(t.Context(), member); !errors.Is(err, s.fail) {
		t.Errorf("a fault: %v", err)
	}
}

func second(_ Account, err error) error { return err }
