package federation_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation"
)

// world is the service as main builds it, on a bus and a database of its own.
type world struct {
	*testing.T
	env     *bustest.Env
	hub     *bus.Hub
	changes chan string
	module  *app.Module
	db      *pg.DB
	metrics *prometheus.Registry
	log     *lines
}

func newWorld(t *testing.T, change ...func(*federation.Config)) *world {
	t.Helper()
	env := bustest.Start(t, []string{federation.Name, "watcher"}, bustest.WithHub(federation.Presence, federation.Name))
	change = append([]func(*federation.Config){func(c *federation.Config) { c.Search = false }}, change...) // the users of this hub may not
	return start(t, env, "us", env.HubConfig(federation.Name), nil, change...)
}

// run starts the service under a slug, on a hub that may be another server.
func run(t *testing.T, env *bustest.Env, slug string, onHub bus.Config, neighbours ...bus.NeighbourConfig) *world {
	t.Helper()
	return start(t, env, slug, onHub, neighbours)
}

func start(t *testing.T, env *bustest.Env, slug string, onHub bus.Config, neighbours []bus.NeighbourConfig, change ...func(*federation.Config)) *world {
	t.Helper()
	hub, err := bus.ConnectHub(t.Context(), onHub)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	w := &world{T: t, env: env, hub: hub, changes: make(chan string, 16), metrics: prometheus.NewRegistry(), log: &lines{}, db: pgtest.New(t, federation.Migrations)}
	sub, err := env.Bus("watcher").Conn().Subscribe("evt.instance.federation.instance.status_changed.v1", func(m *nats.Msg) {
		var e struct {
			InstanceID     string `json:"instance_id"`
			Status         string `json:"status"`
			PreviousStatus string `json:"previous_status"`
		}
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Error(err)
		}
		w.changes <- e.InstanceID + ":" + e.PreviousStatus + ">" + e.Status
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sub.Unsubscribe(); err != nil {
			t.Log(err)
		}
	})
	c := federation.DefaultConfig()
	c.Slug, c.ID, c.HubURL, c.Version = slug, "id-"+slug, "http://"+slug+":8000", "1.2.3"
	c.Interval = time.Second // the tests wait for the next one
	for _, f := range change {
		f(&c)
	}
	w.module, err = federation.New(federation.Deps{
		DB: w.db, Bus: env.Bus(federation.Name), Hub: w.hub, Neighbours: neighbours,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Registerer: w.metrics, Secret: []byte("the secret of " + slug),
	}, c)
	if err != nil {
		t.Fatal(err)
	}
	part := w.module.Part()
	if err := part.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := part.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

// heard is how many heartbeats had the outcome.
func (w *world) heard(outcome string) float64 {
	all, err := w.metrics.Gather()
	if err != nil {
		panic(err) // of the registry alone
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() == "federation_heartbeats_total" && m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// health returns the check's result.
func (w *world) health(check string) app.Result {
	w.Helper()
	for _, r := range app.RunChecks(w.Context(), 5*time.Second, w.module.Checks...) {
		if r.Name == check {
			return r
		}
	}
	w.Fatalf("no check %s", check)
	return app.Result{}
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(bustest.Patience); !ok(); {
		if time.Now().After(end) {
			w.Fatalf("%s: not within %s", what, bustest.Patience)
		}
		t := time.NewTimer(20 * time.Millisecond)
		<-t.C
	}
}

func (w *world) await(want string) {
	w.Helper()
	select {
	case got := <-w.changes:
		if got != want {
			w.Fatalf("change %s, want %s", got, want)
		}
	case <-time.After(bustest.Patience):
		w.Fatalf("no change %s", want)
	}
}

func (w *world) list(query string) (out struct {
	Instances []map[string]any `json:"instances"`
	Total     int              `json:"total"`
}) {
	w.Helper()
	who := tenant.Identity{Principal: "user:1", UserID: 1}
	a, err := w.env.Bus(bustest.Edge).Request(w.Context(), bus.Target{Service: federation.Name, Operation: "listInstances"}, who, []byte(query))
	if err != nil {
		w.Fatal(err)
	}
	if err := json.Unmarshal(a.Body, &out); err != nil || a.Status != 200 {
		w.Fatalf("status %d: %s %v", a.Status, a.Body, err)
	}
	return out
}

func beat(slug string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"payload":{"project_slug":%q,"hub_url":"https://%s.example","mesh_namespace":"hub.%s","timestamp":%q,"version":"0.9.0"},"correlation_id":null}`,
		slug, slug, slug, at.UTC().Format(time.RFC3339Nano))
}

func TestHeartbeatsBecomeACatalogAndEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.await("us:>online")
	for _, r := range app.RunChecks(t.Context(), 5*time.Second, w.module.Checks...) {
		if r.Status != app.StatusHealthy {
			t.Errorf("check %s: %v", r.Name, r.Err)
		}
	}
	// What cannot be true changes nothing, whatever comes with it.
	for slug, data := range map[string][]byte{
		"gemini":  beat("apollo", time.Now()),
		"mercury": beat("mercury", time.Now().Add(-time.Hour)),
		"vostok":  []byte("hello"),
	} {
		if err := w.hub.Announce(t.Context(), slug, nil, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.hub.Announce(t.Context(), "apollo", nil, beat("apollo", time.Now())); err != nil {
		t.Fatal(err)
	}
	w.await("apollo:>online")
	l := w.list(`{}`)
	if l.Total != 2 || len(l.Instances) != 2 {
		t.Fatalf("list %+v", l)
	}
	us, apollo := l.Instances[0], l.Instances[1]
	if us["slug"] != "us" || us["self"] != true || us["status"] != "online" || us["hub_url"] != "http://us:8000" || us["version"] != "1.2.3" || us["mesh_namespace"] != "hub.us" {
		t.Errorf("this instance: %v", us)
	}
	if apollo["slug"] != "apollo" || apollo["self"] != false || apollo["hub_url"] != "https://apollo.example" || apollo["version"] != "0.9.0" {
		t.Errorf("the other one: %v", apollo)
	}
	for _, key := range []string{"last_heartbeat_at", "first_seen_at"} {
		if s, ok := apollo[key].(string); !ok || !strings.HasSuffix(s, "Z") {
			t.Errorf("%s = %v, want UTC", key, apollo[key])
		}
	}
	if l := w.list(`{"status":"offline"}`); l.Total != 0 || l.Instances == nil {
		t.Errorf("offline: %+v, want an empty list", l)
	}
}

func TestAnotherInstanceWithOurSlugIsToldAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.await("us:>online")
	for n, version := range []string{"0.8.0", "0.9.0"} {
		data := fmt.Appendf(nil, `{"project_slug":"us","hub_url":"https://them.example","version":%q,"status":"degraded","timestamp":%q}`, version, time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano))
		if err := w.hub.Announce(t.Context(), "us", nil, data); err != nil {
			t.Fatal(err)
		}
		w.eventually("it is counted", func() bool { return w.heard("collision") == float64(n+1) }) // the stream keeps the last one alone
	}
	if l := w.list(`{}`); l.Total != 1 || l.Instances[0]["hub_url"] != "http://us:8000" || l.Instances[0]["status"] != "online" || l.Instances[0]["version"] != "1.2.3" {
		t.Errorf("our own row is %+v", l.Instances)
	}
	if r := w.health("slug"); r.Status != app.StatusDegraded || !strings.Contains(r.Err.Error(), "CC_FEDERATION_SLUG") {
		t.Errorf("health %+v", r)
	}
	if n := w.log.count("federation.collision"); n != 1 {
		t.Errorf("warned %d times", n)
	}
	w.eventually("our own come back and are no collision", func() bool { return w.heard("own") > 0 })
}

func TestAHeartbeatThatNoDatabaseTakesIsCountedOnceAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.await("us:>online")
	for slug, data := range map[string]string{
		"nul":    `{"project_slug":"nul","version":"\u0000"}`,
		"url":    `{"project_slug":"url","hub_url":"http://x/\u0000"}`,
		"bytes":  "{\"project_slug\":\"bytes\",\"version\":\"\xff\"}",
		"global": `{"project_slug":"global"}`,
	} {
		if err := w.hub.Announce(t.Context(), slug, nil, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	bare := base64.StdEncoding.EncodeToString(beat("apollo", time.Now()))
	if err := w.hub.Announce(t.Context(), "apollo", nil, []byte(bare)); err != nil {
		t.Fatal(err)
	}
	w.await("apollo:>online")
	if u, r, f := w.heard("unreadable"), w.heard("reserved"), w.heard("fault"); u != 3 || r != 1 || f != 0 {
		t.Errorf("%v unreadable, %v reserved, %v faults; want 3, 1, 0", u, r, f)
	}
}

func TestAFullCatalogIsToldUntilTheLongGoneAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.await("us:>online")
	const fill = `
		INSERT INTO instances (slug, status, last_heartbeat_at, first_seen_at)
		SELECT 'i' || n, 'offline', $1, $1 FROM generate_series(1, 2000) AS n`
	const age = `UPDATE instances SET last_heartbeat_at = $1 WHERE slug <> 'us'`
	exec := func(q string, at time.Time) {
		t.Helper()
		err := w.db.InTenant(t.Context(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, q, at)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	exec(fill, time.Now().Add(-24*time.Hour))
	if r := w.health("catalog"); r.Status != app.StatusDegraded || !strings.Contains(r.Err.Error(), "CC_FEDERATION_FORGET") {
		t.Errorf("health %+v", r)
	}
	if err := w.hub.Announce(t.Context(), "apollo", nil, beat("apollo", time.Now())); err != nil {
		t.Fatal(err)
	}
	w.await("apollo:>online") // in place of one that is gone
	exec(age, time.Now().Add(-31*24*time.Hour))
	w.await("apollo:online>offline")
	w.eventually("they are forgotten", func() bool { return w.list(`{"limit":1}`).Total == 1 })
	if r := w.health("catalog"); r.Status != app.StatusHealthy {
		t.Errorf("health %+v", r)
	}
	if err := w.hub.Announce(t.Context(), "apollo", nil, beat("apollo", time.Now())); err != nil {
		t.Fatal(err)
	}
	w.await("apollo:>online")
}

func TestTheServiceRefusesToBeBuiltWrongly(t *testing.T) {
	t.Parallel()
	if _, err := federation.New(federation.Deps{}, federation.DefaultConfig()); err == nil {
		t.Error("built without a bus")
	}
	if err := federation.DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	c := federation.Config{Slug: "No!", HubURL: "ftp://x", Interval: time.Hour, Sweep: -1, Unknown: "perhaps"}
	err := c.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"slug", "hub_url", "interval", "sweep", "forget", "unknown"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
