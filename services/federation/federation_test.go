package federation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
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
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := bustest.Start(t, []string{federation.Name, "watcher"}, bustest.WithHub(federation.Name))
	hub, err := bus.ConnectHub(t.Context(), env.HubConfig(federation.Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	w := &world{T: t, env: env, hub: hub, changes: make(chan string, 16)}
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
	c.Slug, c.HubURL, c.Version = "us", "http://us:8000", "1.2.3"
	m, err := federation.New(federation.Deps{
		DB: pgtest.New(t, federation.Migrations), Bus: env.Bus(federation.Name), Hub: w.hub, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Operations) != 1 || m.Operations[0] != "listInstances" {
		t.Fatalf("operations %v", m.Operations)
	}
	for _, r := range app.RunChecks(t.Context(), 5*time.Second, m.Checks...) {
		if r.Status != app.StatusHealthy {
			t.Errorf("check %s: %v", r.Name, r.Err)
		}
	}
	part := m.Part()
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

func TestTheServiceRefusesToBeBuiltWrongly(t *testing.T) {
	t.Parallel()
	if _, err := federation.New(federation.Deps{}, federation.DefaultConfig()); err == nil {
		t.Error("built without a bus")
	}
	c := federation.Config{Slug: "No!", HubURL: "ftp://x", Interval: time.Hour, Sweep: -1}
	err := c.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"slug", "hub_url", "interval", "sweep"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
