package trail

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// memory has three entries in every log, and remembers what it was asked.
type memory struct {
	asked    Query
	appended audit.Entry
	err      error
}

func (m *memory) Append(_ context.Context, _ tenant.Project, e audit.Entry) error {
	m.appended = e
	return m.err
}

func (m *memory) List(_ context.Context, q Query) ([]audit.Entry, audit.Anchor, error) {
	m.asked = q
	return []audit.Entry{{Seq: 3}, {Seq: 2}, {Seq: 1}}[:min(3, q.Limit)], audit.Anchor{Chain: int64(q.Chain), Seq: 3}, m.err
}

func (m *memory) Person(_ context.Context, chain tenant.Project, email string) (string, error) {
	if email == "jo@example.org" && chain != 8 {
		return "user:7", m.err
	}
	return "", m.err
}

func (m *memory) Anchor(context.Context) (int, error) { return 2, m.err }

func TestALogIsShownToWhoRunsWhatItIsOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		who      tenant.Identity
		instance bool
		chain    tenant.Project
		kind     errs.Kind
	}{
		"an admin":                     {tenant.Identity{Project: 7, Role: tenant.Admin}, false, 7, ""},
		"a member":                     {tenant.Identity{Project: 7, Role: tenant.Member}, false, 0, errs.Forbidden},
		"an owner, of the instance":    {tenant.Identity{Project: 7, Role: tenant.Owner}, true, 0, errs.Forbidden},
		"a superuser, of the instance": {tenant.Identity{Project: 7, Superuser: true}, true, tenant.Instance, ""},
		"a superuser, of some project": {tenant.Identity{Project: 8, Superuser: true}, false, 8, ""},
	} {
		m := &memory{}
		s := Service{Log: m}
		_, err := s.List(t.Context(), c.who, c.instance, Query{Limit: 2, Outcome: audit.Denied})
		_, herr := s.Head(t.Context(), c.who, c.instance)
		if c.kind != "" {
			if errs.KindOf(err) != c.kind || errs.KindOf(herr) != c.kind {
				t.Errorf("%s: %v, %v", name, err, herr)
			}
			continue
		}
		if err != nil || herr != nil || m.asked.Chain != c.chain {
			t.Errorf("%s: %+v, %v, %v", name, m.asked, err, herr)
		}
	}
}

func TestAPersonIsFoundInItsOwnLogAlone(t *testing.T) {
	t.Parallel()
	s := Service{Log: &memory{}}
	for _, c := range []struct {
		project tenant.Project
		role    tenant.Role
		email   string
		want    string
		kind    errs.Kind
	}{
		{7, tenant.Admin, "jo@example.org", "user:7", ""},
		{8, tenant.Admin, "jo@example.org", "", errs.Invalid},
		{7, tenant.Admin, "nobody@example.org", "", errs.Invalid},
		{7, tenant.Member, "jo@example.org", "", errs.Forbidden},
	} {
		who, err := s.Person(t.Context(), tenant.Identity{Project: c.project, Role: c.role}, false, "actor", c.email)
		if who != c.want || err != nil != (c.kind != "") || err != nil && errs.KindOf(err) != c.kind {
			t.Errorf("%+v: %q, %v", c, who, err)
		}
	}
}

func TestAPageSaysWhetherThereIsMore(t *testing.T) {
	t.Parallel()
	admin := tenant.Identity{Project: 7, Role: tenant.Admin}
	for limit, more := range map[int]bool{2: true, 3: false} {
		m := &memory{}
		page, err := Service{Log: m}.List(t.Context(), admin, false, Query{Limit: limit, Outcome: audit.Denied})
		if err != nil || len(page.Entries) != limit || page.More != more || page.Head.Seq != 3 || len(m.asked.Reasons) == 0 {
			t.Errorf("%d: %+v, %v", limit, page, err)
		}
	}
	away := errors.New("away")
	if _, err := (Service{Log: &memory{err: away}}).List(t.Context(), admin, false, Query{Limit: 2}); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
}

func TestAnEntryHasTimesThatTheDatabaseKeeps(t *testing.T) {
	t.Parallel()
	m := &memory{}
	s := Service{Log: m, Now: func() time.Time { return monday }}
	if err := s.Append(t.Context(), 7, audit.Entry{AcceptedAt: monday.Add(1500)}); err != nil {
		t.Fatal(err)
	}
	e := m.appended
	if !e.RecordedAt.Equal(monday) || !e.AcceptedAt.Equal(monday.Add(time.Microsecond)) || !e.LastAt.Equal(e.AcceptedAt) || e.Count != 1 {
		t.Errorf("appended %+v", e)
	}
	if n, err := s.Anchor(t.Context()); n != 2 || err != nil {
		t.Errorf("announced %d, %v", n, err)
	}
}
