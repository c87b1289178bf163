package bus_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/outbox"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// listed is a page as text: what each operation is and how it stands.
func (w *world) listed(t *testing.T, who tenant.Identity, page bus.OperationsPage) (texts []string, all *bus.Operations) {
	t.Helper()
	page.Services = []string{"auth"}
	if page.Limit == 0 {
		page.Limit = 50
	}
	all, err := w.Bus(bustest.Edge).Operations(t.Context(), who, page)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all.List {
		state := "succeeded"
		if o.Pending {
			state = "pending"
		} else if o.Err != nil {
			state = string(errs.KindOf(o.Err))
		}
		texts = append(texts, o.Principal+" "+state)
	}
	return texts, all
}

func TestOperationsOfAProjectAreListedNewestFirstWhetherTheyRanOrWait(t *testing.T) {
	t.Parallel()
	w := &world{Env: bustest.Start(t, []string{"auth", "knowledge"}, contracts()...), db: pgtest.New(t, pg.Schema{Name: "auth"})}
	s := w.serve(bus.ServerConfig{}, func(_ context.Context, r echoRequest) error {
		if r.Text == "refused" {
			return errs.New(errs.Conflict, "taken")
		}
		return nil
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	bob, carol := bustest.Person(8, 42, tenant.Member), bustest.Person(9, 43, tenant.Owner)
	give := func(who tenant.Identity, text, key string, wait time.Duration) *bus.Answer {
		t.Helper()
		target := count
		target.Project = who.Project
		a, err := w.Bus(bustest.Edge).Command(t.Context(), target, who, []byte(`{"text":"`+text+`"}`), bus.CommandOptions{Key: key, Wait: wait})
		if err != nil && errs.KindOf(err) != errs.Conflict {
			t.Fatal(err)
		}
		return a
	}
	give(alice, "a", "", 0)
	give(bob, "refused", "", 0)
	give(carol, "c", "", 0)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	waits := give(bob, "later", "k", -1)
	give(carol, "later", "", -1)

	// The service is away: what was noted is all that is known, and it is said.
	if got, all := w.listed(t, alice, bus.OperationsPage{}); !slices.Equal(got, []string{"user:8 pending"}) || all.Complete || all.More {
		t.Errorf("while the service is away: %v %+v", got, all)
	}
	started := make(chan struct{}, 10)
	again := w.serve(bus.ServerConfig{}, func(ctx context.Context, _ echoRequest) error {
		started <- struct{}{}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	bustest.Await(w.Env, started)
	for state, want := range map[outbox.State][]string{
		outbox.AnyState:  {"user:8 pending", "user:8 conflict", "user:7 succeeded"},
		outbox.Pending:   {"user:8 pending"},
		outbox.Failed:    {"user:8 conflict"},
		outbox.Succeeded: {"user:7 succeeded"},
	} {
		if got, all := w.listed(t, alice, bus.OperationsPage{State: state}); !slices.Equal(got, want) || !all.Complete || all.More {
			t.Errorf("state %q: %v %+v, want %v", state, got, all, want)
		}
	}
	if got, _ := w.listed(t, carol, bus.OperationsPage{}); !slices.Equal(got, []string{"user:9 pending", "user:9 succeeded"}) {
		t.Errorf("another project: %v", got)
	}
	// Page by page it is the same.
	var paged []string
	page := bus.OperationsPage{Limit: 1}
	for range 3 {
		got, all := w.listed(t, alice, page)
		paged = append(paged, got...)
		if all.More != (len(paged) < 3) {
			t.Errorf("after %v: more is %v", paged, all.More)
		}
		last := all.List[len(all.List)-1]
		page.Before, page.BeforeID = last.AcceptedAt, uuid.MustParse(last.ID[len("auth."):])
	}
	if want := []string{"user:8 pending", "user:8 conflict", "user:7 succeeded"}; !slices.Equal(paged, want) {
		t.Errorf("paged %v, want %v", paged, want)
	}
	if got, _ := w.listed(t, alice, page); len(got) > 0 {
		t.Errorf("after the last page: %v", got)
	}
	if err := stopNow(again); err == nil {
		t.Error("the handler did not run")
	}

	w.Run(w.serve(bus.ServerConfig{}, nil))
	w.eventually(t, func() bool {
		got, all := w.listed(t, alice, bus.OperationsPage{})
		return slices.Equal(got, []string{"user:8 succeeded", "user:8 conflict", "user:7 succeeded"}) && all.List[0].ID == waits.OperationID && !all.List[0].StartedAt.IsZero()
	})
}

// stopNow cuts off what is running.
func stopNow(s *bus.Server) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Stop(ctx)
}

func TestOperationsAreListedForAProjectAndInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody := tenant.Identity{}
	for name, c := range map[string]struct {
		who   tenant.Identity
		limit int
	}{"the instance": {nobody, 10}, "no page": {alice, 0}, "a large page": {alice, 201}} {
		if all, err := w.Bus(bustest.Edge).Operations(t.Context(), c.who, bus.OperationsPage{Services: []string{"auth"}, Limit: c.limit}); err == nil {
			t.Errorf("%s: %s", name, fmt.Sprint(all))
		}
	}
}

func TestOperationsOfTheInstanceAreTheirCallersAndSayHowFarTheyAre(t *testing.T) {
	t.Parallel()
	w := &world{Env: bustest.Start(t, []string{"auth", "knowledge"}, contracts()...), db: pgtest.New(t, pg.Schema{Name: "auth"})}
	started := make(chan uuid.UUID, 10)
	s := w.serve(bus.ServerConfig{}, func(ctx context.Context, r echoRequest) error {
		if r.Text == "long" {
			started <- bus.CallFrom(ctx).CommandID
		}
		return nil
	})
	w.Run(s)
	me, other := alice, bustest.Person(8, 42, tenant.Member)
	me.Project, me.Role, other.Project, other.Role = tenant.Instance, tenant.NoRole, tenant.Instance, tenant.NoRole
	target := count
	target.Project = tenant.Instance
	for _, who := range []tenant.Identity{me, other} {
		if _, err := w.Bus(bustest.Edge).Command(t.Context(), target, who, []byte(`{"text":"long"}`), bus.CommandOptions{}); err != nil {
			t.Fatal(err)
		}
		<-started
	}
	for _, who := range []tenant.Identity{me, other} {
		if got, all := w.listed(t, who, bus.OperationsPage{}); !slices.Equal(got, []string{who.Principal + " succeeded"}) || !all.Complete {
			t.Errorf("%s is told %v, complete %v", who.Principal, got, all.Complete)
		}
	}
	// A command whose work goes on says how far it is.
	id := uuid.New()
	err := w.db.InTenant(t.Context(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		const q = `INSERT INTO operations (id, project_id, principal, operation, fingerprint, status, created_at) VALUES ($1, 0, $2, 'importProject', '', $3, now())`
		_, err := tx.ExecContext(ctx, q, id, me.Principal, outbox.Unfinished)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	at := outbox.Progress{Done: 3, Total: 8, Doing: "importing"}
	if err := s.Advance(t.Context(), tenant.Instance, id, at); err != nil {
		t.Fatal(err)
	}
	state, err := w.Bus(bustest.Edge).Operation(t.Context(), me, "auth."+id.String())
	if err != nil || !state.Pending || state.Progress == nil || *state.Progress != at {
		t.Errorf("%+v, %v", state, err)
	}
	_, all := w.listed(t, me, bus.OperationsPage{State: outbox.Pending})
	if len(all.List) != 1 || all.List[0].Progress == nil || *all.List[0].Progress != at {
		t.Errorf("listed as %+v", all.List)
	}
}

func TestManyOperationsThatWaitAreListedWithFewQuestions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := jetStream(t, w.Conn(natsd.UserAdmin))
	kv, err := js.KeyValue(t.Context(), bus.BucketOperations)
	if err != nil {
		t.Fatal(err)
	}
	const all = 1200 // more than a server gives at a time
	accepted := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range all {
		note := fmt.Sprintf(`{"operation":"count","principal":"user:%d","accepted_at":%q}`, i, accepted.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
		if _, err := js.PublishAsync("$KV."+bus.BucketOperations+".p42.auth."+uuid.NewString(), []byte(note)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	if _, err := kv.PutString(t.Context(), "p43.auth."+uuid.NewString(), `{"operation":"count","principal":"user:0","accepted_at":"2027-01-01T00:00:00Z"}`); err != nil {
		t.Fatal(err)
	}
	edge := w.Bus(bustest.Edge)
	before := edge.Conn().Stats().OutMsgs
	page, next := bus.OperationsPage{Limit: 200, State: outbox.Pending}, all-1
	for more := true; more; {
		got, listed := w.listed(t, alice, page)
		if len(got) == 0 || listed.Complete {
			t.Fatalf("%d of a page, complete: %t", len(got), listed.Complete)
		}
		for _, text := range got {
			if want := fmt.Sprintf("user:%d pending", next); text != want {
				t.Fatalf("%s, want %s", text, want)
			}
			next--
		}
		last := listed.List[len(listed.List)-1]
		page.Before, page.BeforeID = last.AcceptedAt, uuid.MustParse(last.ID[len("auth."):])
		more = listed.More
	}
	if next != -1 {
		t.Errorf("%d were not listed", next+1)
	}
	if asked := edge.Conn().Stats().OutMsgs - before; asked > 100 {
		t.Errorf("%d questions for six pages", asked)
	}
}
