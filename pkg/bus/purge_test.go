package bus_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go/jetstream"

	events "github.com/commandcenter/commandcenter/proto-events"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/purge"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
)

// TestWhatStreamsHoldOfAProjectIsPurgedByItsSubject puts something of three
// projects, one of whose numbers begins with another's, wherever messages are
// kept, in streams and buckets that the bus does not know as well.
func TestWhatStreamsHoldOfAProjectIsPurgedByItsSubject(t *testing.T) {
	t.Parallel()
	env := bustest.Start(t, []string{"auth", "knowledge"}, bustest.WithContract("auth", bus.Contract{Purges: true, Hears: events.ConsumedBy("auth")}))
	ctx := t.Context()
	nc := env.Conn(natsd.UserAdmin)
	admin, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	later, err := admin.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "later", Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	kv, err := admin.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "later", Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	env.Team(42, "docs")
	notes, err := admin.KeyValue(ctx, bus.BucketOperations)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []tenant.Project{42, 4, 421} {
		at := p.Token()
		for _, subject := range []string{
			"evt." + at + ".knowledge.document.indexed.v1", "evt." + at + ".auth.project.deleting.v1", "cmd." + at + ".knowledge.addDocument", "job." + at + ".knowledge.index",
			"dead.knowledge.evt." + at + ".auth.project.deleting.v1", "dead.auth.cmd." + at + ".auth.updateProject",
			"spill.gateway." + at + "-0198c0de.0", "body.knowledge." + at + "-0198c0de.0",
		} {
			if _, err := admin.Publish(ctx, subject, []byte("of "+at)); err != nil {
				t.Fatalf("%s: %v", subject, err)
			}
		}
		if err := nc.Publish("live."+at+".job-1", nil); err != nil { // acknowledged by nobody
			t.Fatal(err)
		}
		if _, err := env.Bus(bustest.Edge).PutObject(ctx, p, "f", "", strings.NewReader(strings.Repeat("x", 300<<10)), 1<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := later.PutString(ctx, at+"/export", "content"); err != nil {
			t.Fatal(err)
		}
		for _, b := range []jetstream.KeyValue{kv, notes} {
			if _, err := b.PutString(ctx, at+".knowledge.1", "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := admin.Publish(ctx, "ext.p42.docs.document.published.v1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	b := env.Bus("auth")
	keep := func(subject string) string {
		if strings.HasSuffix(subject, ".project.deleting.v1") && strings.HasPrefix(subject, "evt.") {
			return "others hear it yet"
		}
		return ""
	}
	(&world{Env: env}).eventually(t, func() bool { return everything(t, admin)["live.p421.job-1"] == 1 })
	before := everything(t, admin)
	parts, err := b.PurgeProject(ctx, 42, bus.PurgeOptions{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	for subject, n := range everything(t, admin) {
		if mine(subject, 42) && keep(subject) == "" {
			t.Errorf("%d messages are left on %s", n, subject)
		}
	}
	for subject, n := range before {
		if !mine(subject, 42) && everything(t, admin)[subject] != n && !strings.HasPrefix(subject, "$O.") {
			t.Errorf("%s of another project is gone", subject)
		}
	}
	got := map[string]purge.Part{}
	for _, x := range parts {
		got[x.Name] = x
	}
	for name, want := range map[string]int64{"COMMANDS": 1, "EVENTS": 1, "JOBS": 1, "DEAD": 2, "LIVE": 1, "SPILL": 1, "BODIES": 1, "OBJ_" + bus.BucketBlobs: 4, "OBJ_later": 2, "KV_later": 1, "KV_" + bus.BucketOperations: 1} {
		if got[name].Removed != want || got[name].Left != 0 {
			t.Errorf("%s: %+v, want %d removed", name, got[name], want)
		}
	}
	if x := got["EVENTS"]; x.Kept != 1 || x.Why == "" {
		t.Errorf("%+v", x)
	}
	for _, p := range []string{"p4", "p421"} {
		if text, err := later.GetString(ctx, p+"/export"); err != nil || text != "content" {
			t.Errorf("the object of %s: %q, %v", p, text, err)
		}
	}
	if again, err := b.PurgeProject(ctx, 42, bus.PurgeOptions{Keep: keep}); err != nil || purge.Sum(again).Removed != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := b.PurgeProject(ctx, tenant.Instance, bus.PurgeOptions{}); err == nil {
		t.Error("the instance was purged")
	}
}

func TestAPurgeTakesNothingFromWhoHasNotHandledIt(t *testing.T) {
	t.Parallel()
	env := bustest.New(t, "auth", "knowledge")
	d := describe(&authv1.ProjectDeleting{})
	after := []string{bus.EventDurable("knowledge", d)}
	env.Say(&authv1.ProjectDeleting{ProjectId: 42, Version: 2})
	if _, err := env.Bus("knowledge").PurgeProject(t.Context(), 42, bus.PurgeOptions{After: after}); errs.KindOf(err) != errs.Unavailable || errors.Is(err, purge.ErrLeft) {
		t.Fatalf("purged with %v", err)
	}
	if _, err := env.Bus("knowledge").PurgeProject(t.Context(), 43, bus.PurgeOptions{}); err != nil {
		t.Fatal(err)
	}
}

// everything is the subjects of all streams, those of objects by their names.
func everything(t *testing.T, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for s := range js.ListStreams(t.Context()).Info() {
		st, err := js.Stream(t.Context(), s.Config.Name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := st.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject, n := range info.State.Subjects {
			if at := strings.LastIndex(subject, ".M."); strings.HasPrefix(subject, "$O.") && at > 0 {
				name, err := base64.URLEncoding.DecodeString(subject[at+3:])
				if err != nil {
					t.Fatal(err)
				}
				subject = subject[:at+3] + strings.ReplaceAll(string(name), "/", ".")
			}
			out[subject] = n
		}
	}
	return out
}

func mine(subject string, p tenant.Project) bool {
	for _, token := range strings.Split(subject, ".") {
		if token == p.Token() || strings.HasPrefix(token, p.Token()+"-") {
			return true
		}
	}
	return false
}

// TestNothingIsKeptOfAProjectThatIsGone: commands and facts that come after its
// purge, or were in hand, leave no row, and are not tried again.
func TestNothingIsKeptOfAProjectThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ran := make(chan string, 8)
	w.Run(w.serve(bus.ServerConfig{Attempts: 1}, func(_ context.Context, r echoRequest) error {
		ran <- r.Text
		if r.Text == "purged meanwhile" {
			must(w.db.InTenant(pg.Detached(t.Context()), 43, func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := purge.Rows(ctx, tx, 43)
				return err
			}))
		}
		if r.Text == "refused" {
			return errs.New(errs.Conflict, "as asked")
		}
		return nil
	}))
	must(w.db.InTenant(t.Context(), 42, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := purge.Rows(ctx, tx, 42)
		return err
	}))
	for text, p := range map[string]tenant.Project{"late": 42, "refused": 42, "purged meanwhile": 43} {
		who := alice
		who.Project = p
		_, err := w.Bus(bustest.Edge).Command(t.Context(), bus.Target{Service: "auth", Operation: "count", Project: p}, who, []byte(`{"text":"`+text+`"}`), bus.CommandOptions{Key: text, Wait: bustest.Patience})
		if errs.KindOf(err) != errs.NotFound {
			t.Errorf("%s: %v", text, err)
		}
		if got := bustest.Await(w.Env, ran); got != text {
			t.Errorf("ran %q", got)
		}
	}
	var rows int
	const q = `SELECT (SELECT count(*) FROM auth.operations WHERE project_id > 0) + (SELECT count(*) FROM auth.outbox WHERE project_id > 0)`
	must(pgtest.Admin(t, w.db).Get(&rows, q))
	if rows != 0 {
		t.Errorf("%d rows are kept", rows)
	}
	if dead, err := w.Bus(bustest.Edge).DeadLetters(t.Context(), bus.DeadFilter{}); err != nil || len(dead) != 0 {
		t.Errorf("dead letters %v, %v", dead, err)
	}

	heard := make(chan string, 8)
	env := bustest.New(t, "auth", "knowledge")
	in := newInbox(env, bus.InboxConfig{DB: w.db}, func(_ context.Context, m bus.Meta, _ *authv1.ProjectDeleting) error {
		heard <- m.ID
		return nil
	})
	env.Run(in)
	env.SayAs("gone", deleting(42, 2))
	env.SayAs("there", deleting(44, 2))
	for _, want := range []string{"gone", "there"} {
		if got := bustest.Await(env, heard); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	eventually(t, func() bool {
		var all []string
		must(pgtest.Admin(t, w.db).Select(&all, `SELECT message_id FROM auth.inbox`))
		return len(all) == 1 && all[0] == "there"
	})
}
