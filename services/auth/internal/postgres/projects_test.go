package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/access"
	"github.com/commandcenter/commandcenter/services/auth/internal/project"
	"github.com/commandcenter/commandcenter/services/auth/internal/user"
)

func TestNameIsUniquePerOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	w.project(a.ID, "Alpha", monday)
	if _, err := w.projects.Create(w.ctx(), by(a.ID), project.Draft{Name: "Alpha"}, monday); !errors.Is(err, project.ErrExists) {
		t.Errorf("same owner: %v", err)
	}
	w.project(b.ID, "Alpha", monday)
	w.project(a.ID, "alpha", monday)
	if _, err := w.projects.Create(w.ctx(), by(999), project.Draft{Name: "Alpha"}, monday); !errors.Is(err, user.ErrGone) {
		t.Errorf("nobody: %v", err)
	}
}

func TestListShowsOnlyOnesOwnOldestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, first := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	w.project(b.ID, "Foreign", monday)
	third := w.project(a.ID, "Third", monday.Add(2*time.Hour))
	second := w.project(a.ID, "Second", monday.Add(time.Hour))
	ids := func(skip, limit int) (out []tenant.Project) {
		mine, err := w.projects.List(w.ctx(), a.ID, skip, limit)
		w.must(err)
		for _, p := range mine {
			out = append(out, p.ID)
		}
		return out
	}
	want := []tenant.Project{first, second.ID, third.ID}
	if got := ids(0, 100); !slices.Equal(got, want) {
		t.Errorf("all = %v, want %v", got, want)
	}
	if got := ids(1, 1); !slices.Equal(got, want[1:2]) {
		t.Errorf("page = %v", got)
	}
	if got := ids(3, 100); len(got) != 0 {
		t.Errorf("beyond = %v", got)
	}
}

func TestUpdateRisesTheVersionOnlyForAChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	p := w.project(a.ID, "Alpha", monday)
	w.project(a.ID, "Taken", monday)
	before := len(w.facts())
	later := monday.Add(time.Hour)
	rename := func(name string, changed bool) (project.Project, error) {
		return w.projects.Update(w.ctx(), p.ID, by(a.ID), later, func(p project.Project, _ project.Members) (project.Project, bool, error) {
			p.Name = name
			return p, changed, nil
		})
	}
	got, err := rename("Beta", false)
	if err != nil || got.Name != "Alpha" || got.Version != 1 {
		t.Errorf("unchanged: %+v, %v", got, err)
	}
	got, err = rename("Beta", true)
	if err != nil || got.Name != "Beta" || got.Version != 2 || !got.UpdatedAt.Equal(later) || !got.CreatedAt.Equal(monday) {
		t.Errorf("changed: %+v, %v", got, err)
	}
	if _, err = rename("Taken", true); !errors.Is(err, project.ErrExists) {
		t.Errorf("taken: %v", err)
	}
	if got := w.facts()[before:]; !slices.Equal(got, []string{"evt." + p.ID.Token() + ".auth.project.updated.v1"}) {
		t.Errorf("facts = %v", got)
	}
	if _, err := w.projects.Update(w.ctx(), 999, by(a.ID), later, nil); !errors.Is(err, project.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	if got, err := w.projects.Get(w.ctx(), p.ID); err != nil || got.Name != "Beta" || got.Owner != "a@example.org" {
		t.Errorf("Get = %+v, %v", got, err)
	}
	if _, err := w.projects.Get(w.ctx(), 999); !errors.Is(err, project.ErrNotFound) {
		t.Errorf("Get of none: %v", err)
	}
}

func TestTransferSwapsTheRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	b, _ := w.person("b@example.org")
	off, _ := w.person("off@example.org")
	p := w.project(a.ID, "Alpha", monday)
	for _, id := range []int64{b.ID, off.ID} {
		w.exec(`INSERT INTO memberships (project_id, user_id, role, created_at) VALUES ($1, $2, 'viewer', now())`, int64(p.ID), id)
	}
	w.exec(`UPDATE users SET is_active = false WHERE id = $1`, off.ID)
	before := len(w.facts())
	got, err := w.projects.Update(w.ctx(), p.ID, by(a.ID), monday, func(p project.Project, m project.Members) (project.Project, bool, error) {
		for address, want := range map[string]int64{"stranger@example.org": 0, "no address": 0, "off@example.org": 0, " B@Example.org": b.ID} {
			if got, err := m.ByAddress(address); err != nil || got != want {
				t.Errorf("member %q = %d, %v; want %d", address, got, err, want)
			}
		}
		p.OwnerID = b.ID
		return p, true, nil
	})
	if err != nil || got.Owner != "b@example.org" || got.OwnerID != b.ID {
		t.Fatalf("%+v, %v", got, err)
	}
	for id, want := range map[int64]tenant.Role{a.ID: tenant.Admin, b.ID: tenant.Owner} {
		if acc, err := w.store.Access(w.ctx(), id, p.ID, nil, monday); err != nil || acc.Role != want {
			t.Errorf("role of %d = %q, %v; want %q", id, acc.Role, err, want)
		}
	}
	m, r := "evt."+p.ID.Token()+".auth.membership.changed.v1", "evt."+p.ID.Token()+".auth.member.role_changed.v1"
	if got := w.facts()[before:]; !slices.Equal(got, []string{m, r, m, r, "evt." + p.ID.Token() + ".auth.project.transferred.v1", "evt." + p.ID.Token() + ".auth.project.updated.v1"}) {
		t.Errorf("facts = %v", got)
	}
}

func TestAccessIsDefaultElseOldestElseNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, first := w.person("a@example.org")
	b, foreign := w.person("b@example.org")
	second := w.project(a.ID, "Second", monday.Add(time.Hour)).ID
	ask := func(p tenant.Project) access.Access {
		acc, err := w.store.Access(w.ctx(), a.ID, p, nil, monday)
		w.must(err)
		return acc
	}
	if acc := ask(0); acc.Project != first || acc.Role != tenant.Owner || acc.Email != "a@example.org" || !acc.Active || !acc.SessionLive {
		t.Errorf("default: %+v", acc)
	}
	if acc := ask(second); acc.Project != second || acc.Role != tenant.Owner {
		t.Errorf("named: %+v", acc)
	}
	for _, p := range []tenant.Project{foreign, 999} {
		if acc := ask(p); acc.Project != 0 || acc.Role != "" || acc.UserID != a.ID {
			t.Errorf("project %d: %+v, want none", p, acc)
		}
	}
	w.exec(`UPDATE memberships SET is_default = false WHERE user_id = $1`, a.ID)
	if acc := ask(0); acc.Project != first {
		t.Errorf("without a default: %d, want the oldest, %d", acc.Project, first)
	}
	w.exec(`UPDATE memberships SET is_default = (project_id = $2) WHERE user_id = $1`, a.ID, int64(second))
	if acc := ask(0); acc.Project != second {
		t.Errorf("with another default: %d, want %d", acc.Project, second)
	}
	w.exec(`DELETE FROM memberships WHERE user_id = $1`, a.ID)
	if acc := ask(0); acc.Project != 0 || acc.Role != "" || !acc.Active {
		t.Errorf("without any: %+v", acc)
	}
	if acc, err := w.store.Access(w.ctx(), 999, 0, nil, monday); err != nil || !reflect.DeepEqual(acc, access.Access{}) {
		t.Errorf("nobody: %+v, %v", acc, err)
	}
	w.exec(`UPDATE users SET is_superuser = true WHERE id = $1`, a.ID)
	if acc := ask(foreign); acc.Project != foreign || !acc.Superuser {
		t.Errorf("superuser: %+v", acc)
	}
	if acc := ask(999); acc.Project != 0 {
		t.Errorf("superuser in no project: %+v", acc)
	}
	_ = b
}

func TestDeletedProjectIsGoneAtOnceAndItsRowWhenAllHavePurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, first := w.person("a@example.org")
	m, homeless := w.person("m@example.org")
	root, err := w.users.Create(w.ctx(), user.Draft{Email: "root@example.org", Hash: hash, Superuser: true}, monday)
	w.must(err)
	second := w.project(a.ID, "Second", monday.Add(time.Hour)).ID
	w.exec(`UPDATE memberships SET is_default = (project_id = $2) WHERE user_id = $1`, a.ID, int64(second))
	w.exec(`UPDATE memberships SET is_default = false WHERE user_id = $1`, m.ID)
	w.exec(`INSERT INTO memberships (project_id, user_id, role, is_default, created_at) VALUES ($1, $2, 'member', true, now())`, int64(second), m.ID)

	w.must(w.projects.Begin(w.ctx(), second, by(a.ID), []string{"graph", "knowledge"}, monday))
	if _, err := w.projects.Get(w.ctx(), second); !errors.Is(err, project.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := w.projects.Begin(w.ctx(), second, by(a.ID), nil, monday); !errors.Is(err, project.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	for _, id := range []int64{a.ID, m.ID, root.ID} {
		if acc, err := w.store.Access(w.ctx(), id, second, nil, monday); err != nil || acc.Project != 0 {
			t.Errorf("user %d may still enter: %+v, %v", id, acc, err)
		}
	}
	for id, want := range map[int64]tenant.Project{a.ID: first, m.ID: homeless} {
		n := w.count(`SELECT count(*) FROM memberships WHERE user_id = $1 AND project_id = $2 AND is_default`, id, int64(want))
		if n != 1 {
			t.Errorf("default of user %d did not move to %d", id, want)
		}
	}
	w.project(a.ID, "Second", monday) // the name is free again

	w.exec(`UPDATE outbox SET published_at = now()`)
	for i, c := range []struct {
		holder string
		done   bool
	}{{"knowledge", false}, {"knowledge", false}, {"stranger", false}, {"graph", true}, {"graph", true}} {
		w.must(w.projects.Confirm(w.ctx(), second, c.holder, []purge.Part{{Name: "things", Removed: int64(i + 1)}}, monday))
		if all := w.confirmed(); len(all) == 1 != c.done {
			t.Errorf("confirmed by %s: %v; done is %v", c.holder, all, c.done)
		}
	}
	if p, err := w.projects.Deletion(w.ctx(), second); err != nil || p.RequestedBy != a.ID || p.FinishedAt != nil || len(p.Purges) != 2 {
		t.Errorf("not finished: %+v, %v", p, err)
	}
	for range 2 {
		w.must(w.projects.Finish(w.ctx(), second, []purge.Part{{Name: "EVENTS", Removed: 9}}, monday))
	}
	p, err := w.projects.Deletion(w.ctx(), second)
	w.must(err)
	counted := map[string]int64{}
	for _, x := range p.Purges {
		counted[x.Service] = purge.Sum(x.Parts).Removed
		if x.ConfirmedAt == nil || purge.Sum(x.Parts).Left != 0 {
			t.Errorf("%+v", x)
		}
	}
	if p.FinishedAt == nil || counted["knowledge"] != 1 || counted["graph"] != 4 || counted["streams"] != 9 || counted["auth"] < 3 {
		t.Errorf("the proof %+v", p)
	}
	if _, err := w.projects.Deletion(w.ctx(), first); !errors.Is(err, project.ErrNoDeletion) {
		t.Errorf("a deletion of a living project: %v", err)
	}
	if n := w.count(`SELECT count(*) FROM projects WHERE project_id = $1`, int64(second)); n != 0 {
		t.Error("the row is still there")
	}
	w.must(w.projects.Confirm(w.ctx(), first, "knowledge", nil, monday))
	w.must(w.projects.Finish(w.ctx(), first, nil, monday))
	if _, err := w.projects.Get(w.ctx(), first); err != nil {
		t.Errorf("a living project was purged: %v", err)
	}
	var said []string
	for _, f := range w.facts() {
		if strings.HasPrefix(f, "evt."+second.Token()+".") { // all else that was said of it is gone
			said = append(said, f)
		}
	}
	if !slices.Equal(said, []string{"evt." + second.Token() + ".auth.project.deleting.v1", "evt." + second.Token() + ".auth.project.deleted.v1"}) {
		t.Errorf("facts = %v", said)
	}
}

func TestWithoutHoldersTheProjectGoesAsSoonAsThatWasSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	p := w.project(a.ID, "Second", monday)
	w.must(w.projects.Begin(w.ctx(), p.ID, by(a.ID), nil, monday))
	if all := w.confirmed(); len(all) != 1 || all[0].Settled {
		t.Errorf("before it was said: %+v", all)
	}
	w.exec(`UPDATE outbox SET published_at = now()`)
	if all := w.confirmed(); len(all) != 1 || all[0] != (project.Confirmed{Project: p.ID, Settled: true}) {
		t.Errorf("afterwards: %+v", all)
	}
	w.must(w.projects.Finish(w.ctx(), p.ID, nil, monday))
	if n := w.count(`SELECT count(*) FROM projects WHERE project_id = $1`, int64(p.ID)); n != 0 {
		t.Error("the row is still there")
	}
	if f := w.facts(); f[len(f)-1] != "evt."+p.ID.Token()+".auth.project.deleted.v1" {
		t.Errorf("last fact = %s", f[len(f)-1])
	}
}

func TestCreationDoesNotWaitForAChangeOfTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	w.must(w.db.AcrossProjects(w.ctx(), "hold the owner", func(_ context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(w.ctx(), `SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE`, a.ID); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(w.ctx(), 10*time.Second)
		defer cancel()
		_, err := w.projects.Create(ctx, by(a.ID), project.Draft{Name: "Meanwhile"}, monday)
		return err
	}))
}

func TestFirstProjectsAtOnceLeaveOneDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	w.exec(`DELETE FROM memberships WHERE user_id = $1`, a.ID)
	var wg sync.WaitGroup
	errc := make([]error, 8)
	for i := range errc {
		wg.Go(func() {
			_, errc[i] = w.projects.Create(w.ctx(), by(a.ID), project.Draft{Name: fmt.Sprint("P", i)}, monday)
		})
	}
	wg.Wait()
	w.must(errors.Join(errc...))
	if n := w.count(`SELECT count(*) FROM memberships WHERE user_id = $1 AND is_default`, a.ID); n != 1 {
		t.Errorf("%d defaults, want 1", n)
	}
}

func TestLastProjectOfItsOwnerStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, first := w.person("a@example.org")
	if err := w.projects.Begin(w.ctx(), first, by(a.ID), nil, monday); !errors.Is(err, project.ErrLast) {
		t.Fatalf("err = %v", err)
	}
	second := w.project(a.ID, "Second", monday).ID
	var wg sync.WaitGroup
	errc := make([]error, 2)
	for i, p := range []tenant.Project{first, second} {
		wg.Go(func() { errc[i] = w.projects.Begin(w.ctx(), p, by(a.ID), nil, monday) })
	}
	wg.Wait()
	if (errc[0] == nil) == (errc[1] == nil) {
		t.Errorf("two deletions at once of the last two: %v and %v; want one refused", errc[0], errc[1])
	}
	if n := w.count(`SELECT count(*) FROM memberships WHERE user_id = $1 AND is_default`, a.ID); n != 1 {
		t.Errorf("%d defaults left, want 1", n)
	}
}

func TestWaitingDeletionsAreSaidAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, _ := w.person("a@example.org")
	p := w.project(a.ID, "Second", monday).ID
	w.must(w.projects.Begin(w.ctx(), p, by(a.ID), []string{"knowledge"}, monday))
	before := len(w.facts())
	for at, want := range map[time.Duration]int{30 * time.Minute: 0} {
		if n, err := w.projects.Remind(w.ctx(), monday.Add(at-time.Hour), monday.Add(at)); n != want || err != nil {
			t.Errorf("after %v: %d, %v", at, n, err)
		}
	}
	for _, want := range []int{1, 0} { // said once an hour
		if n, err := w.projects.Remind(w.ctx(), monday, monday.Add(time.Hour)); n != want || err != nil {
			t.Errorf("%d, %v; want %d", n, err, want)
		}
	}
	if got := w.facts()[before:]; !slices.Equal(got, []string{"evt." + p.Token() + ".auth.project.deleting.v1"}) {
		t.Errorf("facts = %v", got)
	}
}
