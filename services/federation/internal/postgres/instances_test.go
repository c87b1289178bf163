package postgres_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/postgres"
)

func store(t *testing.T) (*postgres.Instances, *pg.DB) {
	t.Helper()
	db := pgtest.New(t, pg.Schema{Name: "federation", FS: os.DirFS("../../migrations")})
	return postgres.NewInstances(db), db
}

func TestInstancesAreKeptAsTheyAre(t *testing.T) {
	t.Parallel()
	s, _ := store(t)
	ctx := t.Context()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	load := 0.25
	full := instance.Instance{
		Slug: "apollo", Status: instance.Online, HubURL: "https://a", Namespace: "hub.apollo", ProductVersion: "1", ReportedDegraded: true,
		LastHeartbeat: at, Sent: at.Add(-time.Second), FirstSeen: at.Add(-time.Hour), Version: 1,
		Name: "Apollo", Tags: []string{"go", "a, b"}, Source: instance.FromAPI, Admitted: true, KeyHash: []byte{1, 0, 2}, Contract: "0.1.0",
		Capabilities: []string{"presence"}, Load: &load, Key: "U1", SealKey: "X1", OtherKey: "U2", Sequence: 1 << 50, Beats: 3, Missed: 2,
		Interval: 30 * time.Second, Jitter: 1500 * time.Microsecond, Skew: -time.Second,
	}
	bare := instance.Instance{Slug: "bare", Source: instance.FromHeartbeat, Status: instance.Offline, LastHeartbeat: at, FirstSeen: at, Version: 1}
	for _, i := range []instance.Instance{full, bare} {
		if v, err := s.Save(ctx, i); err != nil || v != 1 {
			t.Fatalf("save %s: version %d, %v", i.Slug, v, err)
		}
	}
	all, err := s.All(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("all: %+v %v", all, err)
	}
	for n, want := range []instance.Instance{full, bare} {
		got := all[n]
		got.LastHeartbeat, got.FirstSeen = got.LastHeartbeat.UTC(), got.FirstSeen.UTC()
		if got.Number == 0 || got.Updated.IsZero() {
			t.Errorf("%+v has no number, or no time", got)
		}
		got.Number, got.Updated = 0, time.Time{}
		if !got.Sent.IsZero() {
			got.Sent = got.Sent.UTC()
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	full.Status, full.FirstSeen = instance.Degraded, at // the first time stays
	if v, err := s.Save(ctx, full); err != nil || v != 2 {
		t.Fatalf("save again: version %d, %v", v, err)
	}
	got, found, err := s.Find(ctx, "apollo")
	if err != nil || !found || got.Status != instance.Degraded || got.Version != 2 || !got.FirstSeen.Equal(at.Add(-time.Hour)) {
		t.Fatalf("find: %+v %v %v", got, found, err)
	}
	if rows, err := s.FindAll(ctx, []string{"bare", "nobody", "apollo"}); err != nil || len(rows) != 2 || rows["apollo"].Version != 2 || rows["bare"].Slug != "bare" {
		t.Fatalf("find all: %+v %v", rows, err)
	}
	if i, found, err := s.KeyOf(ctx, []byte{1, 0, 2}); err != nil || !found || i.Slug != "apollo" {
		t.Fatalf("the holder of the key: %+v %v %v", i, found, err)
	}
	if _, found, err := s.KeyOf(ctx, []byte{1}); found || err != nil {
		t.Fatalf("a key of nobody: %v %v", found, err)
	}
	if _, found, err := s.Find(ctx, "nobody"); found || err != nil {
		t.Fatalf("find nobody: %v %v", found, err)
	}
	if n, err := s.Count(ctx); n != (instance.Census{All: 2, Strangers: 1, Unsigned: 1}) || err != nil {
		t.Fatalf("count: %d %v", n, err)
	}
	if n, err := s.CountKey(ctx, "nobody's"); n != 0 || err != nil {
		t.Fatalf("strangers of a key of nobody: %d %v", n, err)
	}
	for range 2 { // the second time there is none
		if err := s.Delete(ctx, "apollo"); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.All(ctx); err != nil || len(all) != 1 || all[0].Slug != "bare" {
		t.Fatalf("after the deletion: %+v %v", all, err)
	}
}

func TestTheStrangerThatGoesFirstIsUnsignedAndSilentForLongest(t *testing.T) {
	t.Parallel()
	s, _ := store(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, found, err := s.LeastStranger(t.Context()); err != nil || found {
		t.Fatalf("found %v, %v", found, err)
	}
	for _, i := range []instance.Instance{
		{Slug: "known", Source: instance.FromAPI, LastHeartbeat: at}, {Slug: "signed", Key: "U1", LastHeartbeat: at},
		{Slug: "old", LastHeartbeat: at.Add(time.Hour)}, {Slug: "young", LastHeartbeat: at.Add(2 * time.Hour)},
	} {
		i.Status, i.FirstSeen = instance.Offline, at
		if _, err := s.Save(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"old", "young", "signed"} {
		i, found, err := s.LeastStranger(t.Context())
		if err != nil || !found || i.Slug != want {
			t.Fatalf("%s, %v, %v; want %s", i.Slug, found, err, want)
		}
		if err := s.Delete(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAChangeAndItsEventCommitTogether(t *testing.T) {
	t.Parallel()
	s, db := store(t)
	ctx := t.Context()
	i := instance.Instance{Slug: "apollo", Status: instance.Online, LastHeartbeat: time.Now(), FirstSeen: time.Now()}
	change := func(fail error) error {
		return s.Atomically(ctx, func(ctx context.Context) error {
			v, err := s.Save(ctx, i)
			if err != nil {
				return err
			}
			i.Version = v
			return errors.Join(s.Announce(ctx, instance.Change{Instance: i, Previous: instance.Offline}), fail)
		})
	}
	boom := errors.New("boom")
	if err := change(boom); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	waiting := func() (subjects []string) {
		t.Helper()
		err := db.InTenant(ctx, tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
			return tx.SelectContext(ctx, &subjects, `SELECT subject FROM outbox`)
		})
		if err != nil {
			t.Fatal(err)
		}
		return subjects
	}
	if n, err := s.Count(ctx); err != nil || n != (instance.Census{}) || len(waiting()) != 0 {
		t.Fatalf("a failed change left %d rows and %v", n, waiting())
	}
	if err := change(nil); err != nil {
		t.Fatal(err)
	}
	if got := waiting(); len(got) != 1 || got[0] != "evt.instance.federation.instance.status_changed.v1" {
		t.Fatalf("outbox %v", got)
	}
}

// pair is a store whose first two reads of a slug wait for each other, as when
// two replicas hear it for the first time at once.
type pair struct {
	*postgres.Instances
	both  sync.WaitGroup
	reads atomic.Int32

	registered atomic.Int32
}

func (p *pair) Find(ctx context.Context, slug string) (instance.Instance, bool, error) {
	i, found, err := p.Instances.Find(ctx, slug)
	if p.reads.Add(1) <= 2 {
		p.both.Done()
		p.both.Wait()
	}
	return i, found, err
}

func (p *pair) Announce(context.Context, instance.Change) error { return nil }
func (p *pair) Registered(context.Context, instance.Instance) error {
	p.registered.Add(1)
	return nil
}
func (p *pair) Removed(context.Context, instance.Instance, string) error { return nil }

func TestAnInstanceThatTwoReplicasHearAtOnceIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	s, _ := store(t)
	p := &pair{Instances: s}
	p.both.Add(2)
	now := time.Now()
	var replicas sync.WaitGroup
	for range 2 {
		c := instance.NewCatalog(p, instance.Self{Slug: "us", ID: "1"}, instance.Rules{Forget: time.Hour}, func() time.Time { return now })
		replicas.Go(func() {
			if err := c.Hear(t.Context(), instance.Heartbeat{Slug: "apollo", Sent: now, Heard: now}); err != nil && !errors.Is(err, instance.ErrAgain) && !errors.Is(err, instance.ErrReplay) {
				t.Error(err)
			}
		})
	}
	replicas.Wait()
	if n := p.registered.Load(); n != 1 {
		t.Errorf("registered %d times", n)
	}
}

func TestWhatTheTableCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := store(t)
	for name, i := range map[string]instance.Instance{
		"slug":   {Slug: "No Slug", Status: instance.Online, LastHeartbeat: time.Now(), FirstSeen: time.Now()},
		"status": {Slug: "x", Status: "asleep", LastHeartbeat: time.Now(), FirstSeen: time.Now()},
	} {
		if _, err := s.Save(t.Context(), i); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAnUnreachableDatabaseIsAnError(t *testing.T) {
	t.Parallel()
	s, _ := store(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, findErr := s.Find(ctx, "x")
	_, _, getErr := s.Get(ctx, "x")
	_, _, strangerErr := s.LeastStranger(ctx)
	_, _, keyErr := s.KeyOf(ctx, []byte("x"))
	_, countErr := s.Count(ctx)
	_, ofKeyErr := s.CountKey(ctx, "x")
	_, allErr := s.All(ctx)
	_, saveErr := s.Save(ctx, instance.Instance{})
	claimErr := s.Claim(ctx, "x")
	for _, err := range []error{claimErr, getErr, keyErr, strangerErr, findErr, countErr, ofKeyErr, allErr, saveErr, s.Delete(ctx, "x")} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	}
}
