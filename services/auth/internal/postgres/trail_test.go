package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/audit"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"

	"github.com/commandcenter/commandcenter/services/auth/internal/postgres"
	"github.com/commandcenter/commandcenter/services/auth/internal/trail"
)

// trailWorld is a world with a log.
type trailWorld struct {
	*world
	trail postgres.Trail
	own   tenant.Project
}

func newTrail(t *testing.T) trailWorld {
	t.Helper()
	w := newWorld(t)
	u, own := w.person("jo@example.org")
	w.project(u.ID, "Another", monday) // so that the first one may go
	return trailWorld{w, postgres.Trail{Store: w.store}, own}
}

func (w trailWorld) append(p tenant.Project, change ...func(*audit.Entry)) {
	w.Helper()
	e := audit.Entry{
		ID: "c-1", RecordedAt: monday, AcceptedAt: monday, LastAt: monday, Count: 1, Service: "knowledge", Operation: "deleteDocument", Actor: "user:1",
		Status: 204, Address: "192.0.2.1", Target: []audit.Named{{Name: "document_id", Value: "7"}},
	}
	for _, c := range change {
		c(&e)
	}
	w.must(w.trail.Append(w.ctx(), p, e))
}

// log is the whole log of p, which must be sound.
func (w trailWorld) log(p tenant.Project) []audit.Entry {
	w.Helper()
	zero := int64(0)
	list, head, err := w.trail.List(w.ctx(), trail.Query{Chain: p, After: &zero, Limit: 10_000})
	w.must(err)
	v := audit.NewVerifier(int64(p), nil)
	for _, e := range list {
		v.Next(e)
	}
	if faults := v.End(&head); len(faults) > 0 && head.Seq > 0 {
		w.Errorf("log of project %d: %v", p, faults)
	}
	return list
}

func TestEntriesAreReadAsTheyWereSealed(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	w.append(w.own)
	w.append(w.own, func(e *audit.Entry) { e.Target, e.AcceptedAt = nil, monday.Add(-time.Second+time.Microsecond) })
	if got := w.log(w.own); len(got) != 2 || got[0].Seq != 1 || got[1].Prev != got[0].Hash || got[0].Target[0].Value != "7" {
		t.Errorf("log %+v", got)
	}
	if got := w.log(tenant.Instance); len(got) != 0 {
		t.Errorf("the instance's log has %+v", got)
	}
}

func TestManyWritersMakeOneChain(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	const writers, each = 8, 15
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			for i := range each {
				e := audit.Entry{ID: fmt.Sprintf("%d-%d", n, i), RecordedAt: monday, AcceptedAt: monday, LastAt: monday, Count: 1, Status: 200}
				if err := w.trail.Append(w.ctx(), w.own, e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, e := range w.log(w.own) { // which verifies that there is one chain
		seen[e.ID] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d entries", len(seen), writers*each)
	}
}

func TestTheLogIsFilteredAndRead(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	w.append(w.own)
	w.append(w.own, func(e *audit.Entry) { e.Actor, e.Reason, e.Status = "user:2", "forbidden", 0 })
	w.append(w.own, func(e *audit.Entry) { e.Operation, e.Reason, e.Status = "addDocument", "conflict", 0 })
	w.append(w.own, func(e *audit.Entry) {
		e.Reason, e.Status, e.AcceptedAt, e.LastAt = "internal", 0, monday.Add(time.Hour), monday.Add(time.Hour)
	})
	after, before, later := int64(1), int64(3), monday.Add(time.Minute)
	for name, c := range map[string]struct {
		q    trail.Query
		want string
	}{
		"everything":         {trail.Query{}, "4 3 2 1"},
		"a page":             {trail.Query{Limit: 2}, "4 3"},
		"the next page":      {trail.Query{Before: &before, Limit: 2}, "2 1"},
		"oldest first":       {trail.Query{After: &after, Limit: 2}, "2 3"},
		"an actor":           {trail.Query{Actor: "user:2"}, "2"},
		"an operation":       {trail.Query{Operation: "addDocument"}, "3"},
		"what went well":     {trail.Query{Outcome: audit.OK}, "1"},
		"what was denied":    {trail.Query{Outcome: audit.Denied}, "2"},
		"what was refused":   {trail.Query{Outcome: audit.Refused}, "3"},
		"what failed":        {trail.Query{Outcome: audit.Failed}, "4"},
		"from a time on":     {trail.Query{From: &later}, "4"},
		"until a time":       {trail.Query{Until: &later}, "3 2 1"},
		"a word of it":       {trail.Query{Text: "ADDdoc"}, "3"},
		"a word of a target": {trail.Query{Text: `document_id`, Actor: "user:2"}, "2"},
		"no pattern":         {trail.Query{Text: "%"}, ""},
	} {
		c.q.Chain, c.q.Reasons = w.own, c.q.Outcome.Reasons()
		if c.q.Limit == 0 {
			c.q.Limit = 100
		}
		list, _, err := w.trail.List(w.ctx(), c.q)
		w.must(err)
		var got []string
		for _, e := range list {
			got = append(got, fmt.Sprint(e.Seq))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

func TestTheDatabaseKeepsTheLogFromTheServiceItself(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	w.append(w.own)
	w.append(w.own)
	for _, q := range []string{
		`UPDATE audit_entries SET actor = 'user:9'`, `DELETE FROM audit_entries`, `TRUNCATE audit_entries`, `DELETE FROM audit_heads`,
		`UPDATE audit_heads SET seq = 1`, `UPDATE audit_heads SET hash = repeat('0', 64)`, `UPDATE audit_heads SET seq = seq + 1`,
		`SET LOCAL app.audit_purge = '1'; DELETE FROM audit_entries`, `ALTER TABLE audit_entries DISABLE TRIGGER ALL`,
		fmt.Sprintf(`SELECT audit_purge(%d)`, w.own), `SELECT audit_purge(0)`,
	} {
		for name, in := range map[string]func(context.Context, func(context.Context, *sqlx.Tx) error) error{
			"app": func(ctx context.Context, fn func(context.Context, *sqlx.Tx) error) error {
				return w.db.InTenant(ctx, w.own, fn)
			},
			"across": func(ctx context.Context, fn func(context.Context, *sqlx.Tx) error) error {
				return w.db.AcrossProjects(ctx, "test", fn)
			},
		} {
			err := in(w.ctx(), func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, q)
				return err
			})
			if err == nil {
				t.Errorf("%s may %s", name, q)
			}
		}
	}
	admin := pgtest.Admin(t, w.db)
	for _, q := range []string{`UPDATE auth.audit_entries SET actor = 'user:9'`, `DELETE FROM auth.audit_entries`, `TRUNCATE auth.audit_entries`, `UPDATE auth.audit_heads SET seq = 1`} {
		if _, err := admin.Exec(q); err == nil {
			t.Errorf("the owner of the database may %s, and nothing stops it", q)
		}
	}
	if got := w.log(w.own); len(got) != 2 {
		t.Errorf("log %+v", got)
	}
}

func TestALogGoesWithItsProjectAndItsEndStays(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	w.append(w.own)
	w.append(w.own)
	last := w.log(w.own)[1]
	w.must(w.projects.Begin(w.ctx(), w.own, by(1), []string{"knowledge"}, monday))
	w.append(w.own) // while the others still purge
	if got := w.log(w.own); len(got) != 3 {
		t.Fatalf("log %+v", got)
	}
	last = w.log(w.own)[2]
	w.must(w.projects.Confirm(w.ctx(), w.own, "knowledge", []purge.Part{{Name: "documents", Removed: 2}, {Name: "generations", Kept: 1, Why: "a mark"}}, monday))
	w.must(w.projects.Finish(w.ctx(), w.own, []purge.Part{{Name: "EVENTS", Removed: 5}}, monday))
	if n := w.count(`SELECT (SELECT count(*) FROM audit_entries WHERE project_id = $1) + (SELECT count(*) FROM audit_heads WHERE project_id = $1)`, int64(w.own)); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	w.append(w.own) // told late
	got := w.log(tenant.Instance)
	if len(got) != 3 || got[0].Operation != "deleteProject" || got[1].Operation != "purgeAudit" || got[2].Operation != "deleteDocument" {
		t.Fatalf("the instance's log %+v", got)
	}
	if by := got[0]; by.Actor != "user:1" || !by.AcceptedAt.Equal(monday) || len(by.Target) != 2 || by.Target[0].Value != fmt.Sprint(w.own) || by.Target[1].Name != "name" || by.Target[1].Value == "" {
		t.Errorf("who deleted it: %+v", by)
	}
	got = got[1:]
	want := fmt.Sprintf("[{project_id %d} {last_seq 3} {last_hash %s} {knowledge removed 2, left 0, kept 1} {streams removed 5, left 0, kept 0} {auth removed ", w.own, last.Hash)
	if !strings.HasPrefix(fmt.Sprint(got[0].Target), want) || fmt.Sprint(got[1].Target) != fmt.Sprintf("[{document_id 7} {project_id %d}]", w.own) {
		t.Errorf("targets %v and %v, want %s", got[0].Target, got[1].Target, want)
	}
}

func TestEachEndOfALogIsAnnouncedOnce(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	before := len(w.facts())
	w.append(w.own)
	w.append(w.own)
	w.append(tenant.Instance)
	n, err := w.trail.Anchor(w.ctx())
	w.must(err)
	again, err := w.trail.Anchor(w.ctx())
	w.must(err)
	got := strings.Join(w.facts()[before:], " ")
	if n != 2 || again != 0 || !strings.Contains(got, fmt.Sprintf("evt.p%d.auth.audit.anchored.v1", w.own)) || !strings.Contains(got, "evt.instance.auth.audit.anchored.v1") {
		t.Errorf("announced %d, then %d: %s", n, again, got)
	}
}
