package project

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func now() time.Time { return monday }

func ptr(s string) *string { return &s }

func set(s string) Field[string] { return Field[string]{Set: true, Value: &s} }

var null = Field[string]{Set: true}

// desk is a store with one project.
type desk struct {
	p       Project
	members map[string]int64
	err     error
	saved   int
	owner   int64
}

func newDesk() *desk {
	return &desk{
		p:       Project{ID: 42, Name: "Alpha", OwnerID: 7, Owner: "jo@example.org", Description: ptr("first"), Version: 1},
		members: map[string]int64{"jo@example.org": 7, "JO@example.org": 7, "al@example.org": 8},
	}
}

func (d *desk) Create(_ context.Context, owner tenant.Identity, dr Draft, _ time.Time) (Project, error) {
	d.owner = owner.UserID
	return Project{ID: 43, Name: dr.Name, Description: dr.Description, OwnerID: owner.UserID}, d.err
}

func (d *desk) List(context.Context, int64, int, int) ([]Mine, error) {
	return []Mine{{Project: d.p, Role: tenant.Owner}}, d.err
}

func (d *desk) Get(context.Context, tenant.Project) (Project, error) { return d.p, d.err }

func (d *desk) Update(_ context.Context, _ tenant.Project, _ tenant.Identity, _ time.Time, change Change) (Project, error) {
	out, changed, err := change(d.p, Members{
		ByAddress: func(a string) (int64, error) { return d.members[a], d.err },
		ByID: func(id int64) (int64, error) {
			for _, member := range d.members {
				if member == id {
					return id, d.err
				}
			}
			return 0, d.err
		},
	})
	if err != nil || !changed {
		return d.p, err
	}
	d.saved++
	d.p = out
	return out, nil
}

func caller(role tenant.Role) tenant.Identity {
	return tenant.Identity{Principal: "user:7", UserID: 7, Email: "jo@example.org", Project: 42, Role: role}
}

func fields(err error) []string {
	var out []string
	for _, f := range errs.As(err).Fields {
		out = append(out, f.Loc[1].(string))
	}
	return out
}

func TestNamesOfProjects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"", false}, {"   \t", false}, {"Alpha", true}, {"  Alpha  ", true}, {strings.Repeat("é", 255), true},
		{strings.Repeat("x", 256), false}, {"a\x00b", false}, {"a\nb", false}, {"a\xff", false},
	} {
		s := Service{Projects: newDesk(), Now: now}
		p, err := s.Create(t.Context(), caller(tenant.NoRole), Draft{Name: c.name})
		if ok := err == nil; ok != c.ok || !ok && (errs.KindOf(err) != errs.Invalid || !slices.Equal(fields(err), []string{"name"})) {
			t.Errorf("%q: %v, want ok = %v", c.name, err, c.ok)
		}
		if err == nil && p.Name != strings.TrimSpace(c.name) {
			t.Errorf("%q kept as %q", c.name, p.Name)
		}
	}
}

func TestCreatorOwnsTheProject(t *testing.T) {
	t.Parallel()
	d := newDesk()
	p, err := (Service{Projects: d, Now: now}).Create(t.Context(), caller(tenant.NoRole), Draft{Name: "Beta", Description: ptr("x\ny")})
	if err != nil || d.owner != 7 || p.Role != tenant.Owner {
		t.Fatalf("p = %+v, owner %d, err = %v", p, d.owner, err)
	}
	_, err = (Service{Projects: d, Now: now}).Create(t.Context(), caller(tenant.NoRole), Draft{Description: ptr(strings.Repeat("x", 10001))})
	if !slices.Equal(fields(err), []string{"name", "description"}) {
		t.Errorf("fields = %v, want both", fields(err))
	}
	d.err = ErrExists
	if _, err := (Service{Projects: d, Now: now}).Create(t.Context(), caller(tenant.NoRole), Draft{Name: "Beta"}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
}

func TestAKeyGivesNoProjectAway(t *testing.T) {
	t.Parallel()
	who := caller(tenant.Owner)
	who.Key = "k"
	d := newDesk()
	s := Service{Projects: d, Now: now}
	if _, err := s.Update(t.Context(), who, 42, Patch{Owner: set("al@example.org")}); !errors.Is(err, ErrForbidden) || d.saved > 0 {
		t.Errorf("%v, saved %d times", err, d.saved)
	}
	if _, err := s.Update(t.Context(), who, 42, Patch{Name: set("Beta")}); err != nil || d.saved != 1 {
		t.Errorf("another name: %v, saved %d times", err, d.saved)
	}
}

func TestListIsBounded(t *testing.T) {
	t.Parallel()
	s := Service{Projects: newDesk(), Now: now}
	for _, c := range []struct {
		skip, limit int
		ok          bool
	}{{0, 1, true}, {0, 1000, true}, {1_000_000, 100, true}, {-1, 100, false}, {0, 0, false}, {0, 1001, false}, {0, -5, false}, {1_000_001, 1, false}} {
		if _, err := s.List(t.Context(), 7, c.skip, c.limit); (err == nil) != c.ok || err != nil && errs.KindOf(err) != errs.Invalid {
			t.Errorf("skip %d, limit %d: %v", c.skip, c.limit, err)
		}
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	d := newDesk()
	s := Service{Projects: d, Now: now}
	del := Deletion{Projects: &bin{}, Now: now}
	ops := map[string]func(tenant.Identity) error{
		"get": func(id tenant.Identity) error { _, err := s.Get(t.Context(), id, 42); return err },
		"stats": func(id tenant.Identity) error {
			_, _, err := (Census{Projects: s}).Stats(t.Context(), id, 42)
			return err
		},
		"update": func(id tenant.Identity) error { _, err := s.Update(t.Context(), id, 42, Patch{}); return err },
		"transfer": func(id tenant.Identity) error {
			_, err := s.Update(t.Context(), id, 42, Patch{Owner: set("al@example.org")})
			return err
		},
		"delete": func(id tenant.Identity) error { return del.Delete(t.Context(), id, 42) },
	}
	elsewhere := caller(tenant.Owner)
	elsewhere.Project = 41
	for op, want := range map[string]map[tenant.Role]error{
		"get":      {tenant.NoRole: ErrNotFound, tenant.Viewer: nil, tenant.Member: nil, tenant.Admin: nil, tenant.Owner: nil},
		"stats":    {tenant.NoRole: ErrNotFound, tenant.Viewer: nil, tenant.Owner: nil},
		"update":   {tenant.NoRole: ErrNotFound, tenant.Viewer: ErrForbidden, tenant.Member: ErrForbidden, tenant.Admin: nil, tenant.Owner: nil},
		"transfer": {tenant.NoRole: ErrNotFound, tenant.Member: ErrForbidden, tenant.Admin: ErrForbidden, tenant.Owner: nil},
		"delete":   {tenant.NoRole: ErrNotFound, tenant.Member: ErrForbidden, tenant.Admin: ErrForbidden, tenant.Owner: nil},
	} {
		for role, err := range want {
			d.p.OwnerID = 7
			if got := ops[op](caller(role)); !errors.Is(got, err) {
				t.Errorf("%s as %q: %v, want %v", op, role, got, err)
			}
		}
		if got := ops[op](elsewhere); !errors.Is(got, ErrNotFound) {
			t.Errorf("%s from another project: %v, want not found", op, got)
		}
		if got := ops[op](tenant.Identity{}); !errors.Is(got, ErrNotFound) {
			t.Errorf("%s as nobody: %v, want not found", op, got)
		}
	}
}

func TestPatchChangesOnlyWhatIsSet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patch Patch
		want  Project
		saved int
	}{
		"nothing":          {Patch{}, Project{Name: "Alpha", Description: ptr("first"), OwnerID: 7}, 0},
		"name":             {Patch{Name: set(" Beta ")}, Project{Name: "Beta", Description: ptr("first"), OwnerID: 7}, 1},
		"same name":        {Patch{Name: set("Alpha")}, Project{Name: "Alpha", Description: ptr("first"), OwnerID: 7}, 0},
		"description":      {Patch{Description: set("second")}, Project{Name: "Alpha", Description: ptr("second"), OwnerID: 7}, 1},
		"no description":   {Patch{Description: null}, Project{Name: "Alpha", OwnerID: 7}, 1},
		"same description": {Patch{Description: set("first")}, Project{Name: "Alpha", Description: ptr("first"), OwnerID: 7}, 0},
		"same owner":       {Patch{Owner: set(" jo@example.org ")}, Project{Name: "Alpha", Description: ptr("first"), OwnerID: 7}, 0},
		"respelt owner":    {Patch{Owner: set("JO@example.org")}, Project{Name: "Alpha", Description: ptr("first"), OwnerID: 7}, 0},
		"new owner":        {Patch{Owner: set("al@example.org"), Name: set("B")}, Project{Name: "B", Description: ptr("first"), OwnerID: 8}, 1},
	} {
		d := newDesk()
		p, err := (Service{Projects: d, Now: now}).Update(t.Context(), caller(tenant.Owner), 42, c.patch)
		if err != nil || p.Name != c.want.Name || p.OwnerID != c.want.OwnerID || !same(p.Description, c.want.Description) || d.saved != c.saved {
			t.Errorf("%s: %+v, saved %d times, %v", name, p, d.saved, err)
		}
	}
}

func TestPatchRefusesNullAndStrangers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patch Patch
		want  []string
	}{
		"null name":       {Patch{Name: null}, []string{"name"}},
		"blank name":      {Patch{Name: set(" ")}, []string{"name"}},
		"null owner":      {Patch{Owner: null}, []string{"owner"}},
		"both":            {Patch{Name: null, Owner: null}, []string{"name", "owner"}},
		"a stranger":      {Patch{Owner: set("stranger@example.org")}, []string{"owner"}},
		"NUL in the text": {Patch{Description: set("a\x00")}, []string{"description"}},
	} {
		d := newDesk()
		_, err := (Service{Projects: d, Now: now}).Update(t.Context(), caller(tenant.Owner), 42, c.patch)
		if errs.KindOf(err) != errs.Invalid || !slices.Equal(fields(err), c.want) || d.saved != 0 {
			t.Errorf("%s: %v at %v", name, err, fields(err))
		}
	}
}

func TestAfterATransferTheCallerIsAdmin(t *testing.T) {
	t.Parallel()
	p, err := (Service{Projects: newDesk(), Now: now}).Update(t.Context(), caller(tenant.Owner), 42, Patch{Owner: set("al@example.org")})
	if err != nil || p.Role != tenant.Admin {
		t.Errorf("owner: role %q, %v", p.Role, err)
	}
	root := caller(tenant.NoRole)
	root.UserID, root.Superuser = 1, true
	p, err = (Service{Projects: newDesk(), Now: now}).Update(t.Context(), root, 42, Patch{Owner: set("al@example.org")})
	if err != nil || p.Role != tenant.NoRole {
		t.Errorf("superuser: role %q, %v", p.Role, err)
	}
	d := newDesk()
	d.err = errors.New("gone")
	if _, err := (Service{Projects: d, Now: now}).Update(t.Context(), caller(tenant.Owner), 42, Patch{Owner: set("al@example.org")}); errs.KindOf(err) != errs.Internal {
		t.Errorf("fault: %v", err)
	}
}

func TestStatsCountWhatIsThere(t *testing.T) {
	t.Parallel()
	s := Service{Projects: newDesk(), Now: now}
	_, n, err := Census{Projects: s, Knowledge: func(_ context.Context, id tenant.Project) (int, error) { return int(id), nil }}.
		Stats(t.Context(), caller(tenant.Viewer), 42)
	if err != nil || n != (Counts{KnowledgeItems: 42}) {
		t.Errorf("counts = %+v, %v", n, err)
	}
	_, n, err = Census{Projects: s}.Stats(t.Context(), caller(tenant.Viewer), 42)
	if err != nil || n != (Counts{}) {
		t.Errorf("without services: %+v, %v", n, err)
	}
	away := errs.New(errs.Unavailable, "nobody answers")
	_, _, err = Census{Projects: s, Knowledge: func(context.Context, tenant.Project) (int, error) { return 0, away }}.
		Stats(t.Context(), caller(tenant.Viewer), 42)
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a service that does not answer: %v, want unavailable and no zero", err)
	}
}

// bin is a remover that remembers.
type bin struct {
	began     []tenant.Project
	holders   []string
	confirmed []string
	before    time.Time
	ready     []Confirmed
	finished  map[tenant.Project][]purge.Part
	err       error
}

func (b *bin) Begin(_ context.Context, id tenant.Project, _ tenant.Identity, holders []string, _ time.Time) error {
	b.began, b.holders = append(b.began, id), holders
	return b.err
}

func (b *bin) Confirm(_ context.Context, _ tenant.Project, holder string, _ []purge.Part, _ time.Time) error {
	b.confirmed = append(b.confirmed, holder)
	return b.err
}

func (b *bin) Confirmed(context.Context) ([]Confirmed, error) { return b.ready, b.err }

func (b *bin) Finish(_ context.Context, id tenant.Project, streams []purge.Part, _ time.Time) error {
	b.finished[id] = streams
	return nil
}

func (b *bin) Deletion(_ context.Context, id tenant.Project) (Proof, error) {
	return Proof{Project: id, RequestedBy: 7}, b.err
}

// bus purges what it is not told to fail at.
type bus map[tenant.Project]error

func (b bus) Purge(_ context.Context, id tenant.Project) ([]purge.Part, error) {
	return []purge.Part{{Name: "EVENTS", Removed: int64(id)}}, b[id]
}

func (b *bin) Remind(_ context.Context, before, _ time.Time) (int, error) {
	b.before = before
	return 3, b.err
}

func TestDeletionWaitsForItsHoldersOnly(t *testing.T) {
	t.Parallel()
	b := &bin{}
	d := Deletion{Projects: b, Holders: []string{"knowledge"}, Now: now}
	if err := d.Delete(t.Context(), caller(tenant.Owner), 42); err != nil || !slices.Equal(b.holders, d.Holders) {
		t.Fatalf("asked %v, %v", b.holders, err)
	}
	if err := d.Purged(t.Context(), 42, "stranger", nil); err != nil || len(b.confirmed) != 0 {
		t.Errorf("a service that was not asked: %v, %v", b.confirmed, err)
	}
	if err := d.Purged(t.Context(), 42, "knowledge", nil); err != nil || len(b.confirmed) != 1 {
		t.Errorf("confirmed %v, %v", b.confirmed, err)
	}
	if n, err := d.Remind(t.Context(), time.Hour); n != 3 || err != nil || !b.before.Equal(monday.Add(-time.Hour)) {
		t.Errorf("reminded %d of before %v, %v", n, b.before, err)
	}
	b.err = errors.New("gone")
	if err := d.Purged(t.Context(), 42, "knowledge", nil); !errors.Is(err, b.err) {
		t.Error(err)
	}
}

func TestADeletionEndsWhenTheBusHoldsNothingAnyMore(t *testing.T) {
	t.Parallel()
	b := &bin{finished: map[tenant.Project][]purge.Part{}, ready: []Confirmed{{42, true}, {43, false}, {44, true}, {45, true}}}
	d := Deletion{Projects: b, Streams: bus{44: purge.ErrLeft, 45: errs.New(errs.Unavailable, "not yet")}, Now: now}
	waiting, err := d.Finish(t.Context())
	if waiting != 3 || !errors.Is(err, purge.ErrLeft) || strings.Contains(err.Error(), "not yet") {
		t.Errorf("%d wait, %v", waiting, err)
	}
	if len(b.finished) != 1 || len(b.finished[42]) != 1 || b.finished[42][0].Removed != 42 {
		t.Errorf("finished %+v", b.finished)
	}
	b.err = errors.New("gone")
	if _, err := d.Finish(t.Context()); !errors.Is(err, b.err) {
		t.Error(err)
	}
}

func TestTheProofIsForWhoDeletedAndForSuperusers(t *testing.T) {
	t.Parallel()
	d := Deletion{Projects: &bin{}, Now: now}
	for name, c := range map[string]struct {
		who tenant.Identity
		ok  bool
	}{
		"who deleted it": {tenant.Identity{UserID: 7}, true}, "a superuser": {tenant.Identity{UserID: 1, Superuser: true}, true},
		"somebody else": {tenant.Identity{UserID: 8}, false},
	} {
		if p, err := d.Proof(t.Context(), c.who, 42); (err == nil) != c.ok || c.ok && p.Project != 42 || !c.ok && !errors.Is(err, ErrNoDeletion) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := (Deletion{Projects: &bin{err: ErrNoDeletion}}).Proof(t.Context(), tenant.Identity{UserID: 7}, 42); !errors.Is(err, ErrNoDeletion) {
		t.Error(err)
	}
}

func TestAProjectIsGivenToAMember(t *testing.T) {
	t.Parallel()
	root := caller(tenant.NoRole)
	root.UserID, root.Superuser = 1, true
	before := caller(tenant.Owner) // the call says owner, the project says otherwise
	before.UserID = 8
	for name, c := range map[string]struct {
		who   tenant.Identity
		to    int64
		role  tenant.Role
		kind  errs.Kind
		saved int
	}{
		"the owner":               {caller(tenant.Owner), 8, tenant.Admin, "", 1},
		"a superuser":             {root, 8, tenant.NoRole, "", 1},
		"to oneself":              {caller(tenant.Owner), 7, tenant.Owner, "", 0},
		"to a stranger":           {caller(tenant.Owner), 9, "", errs.Invalid, 0},
		"an admin":                {caller(tenant.Admin), 8, "", errs.Forbidden, 0},
		"an owner of a while ago": {before, 8, "", errs.Forbidden, 0},
		"somebody from elsewhere": {tenant.Identity{UserID: 7, Project: 1, Role: tenant.Owner}, 8, "", errs.NotFound, 0},
	} {
		d := newDesk()
		p, err := (Service{Projects: d, Now: now}).Transfer(t.Context(), c.who, 42, c.to)
		if c.kind == "" && (err != nil || p.Role != c.role || p.OwnerID != c.to) || c.kind != "" && errs.KindOf(err) != c.kind || d.saved != c.saved {
			t.Errorf("%s: %+v, saved %d times, %v", name, p, d.saved, err)
		}
	}
	d := newDesk()
	d.err = errors.New("gone")
	if _, err := (Service{Projects: d, Now: now}).Transfer(t.Context(), caller(tenant.Owner), 42, 8); errs.KindOf(err) != errs.Internal {
		t.Error(err)
	}
}
