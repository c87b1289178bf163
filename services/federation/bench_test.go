package federation_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation"
)

// crowd are simulated instances, each with a key of its own.
type crowd struct {
	b    *testing.B
	nc   *nats.Conn
	keys []nkeys.KeyPair
	pub  []string
	seq  int64
}

func newCrowd(b *testing.B, nc *nats.Conn, n int) *crowd {
	b.Helper()
	c := &crowd{b: b, nc: nc}
	for range n {
		k, err := nkeys.CreateUser()
		if err != nil {
			b.Fatal(err)
		}
		pub, err := k.PublicKey()
		if err != nil {
			b.Fatal(err)
		}
		c.keys, c.pub = append(c.keys, k), append(c.pub, pub)
	}
	return c
}

// message is a signed heartbeat.
type message struct {
	subject string
	data    []byte
}

// sign makes the heartbeat of one for a time to come: signing is work of the
// others, and not to be counted.
func (c *crowd) sign(n int, at time.Time) message {
	c.b.Helper()
	c.seq++
	slug, now, seq := fmt.Sprintf("i%d", n), at.UTC().Format(time.RFC3339Nano), strconv.FormatInt(c.seq, 10)
	var text strings.Builder
	for _, f := range []string{"commandcenter.presence.v1", slug, "https://" + slug + ".example.org", "hub." + slug, now, "1.2.3", "online", "id", "presence,search", "healthy", "0.25", "0.1.0", seq, "30", c.pub[n], ""} {
		fmt.Fprintf(&text, "%d:%s,", len(f), f)
	}
	sig, err := c.keys[n].Sign([]byte(text.String()))
	if err != nil {
		c.b.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{
		"project_slug": slug, "hub_url": "https://" + slug + ".example.org", "mesh_namespace": "hub." + slug, "timestamp": now, "version": "1.2.3", "status": "online",
		"instance_id": "id", "capabilities": []string{"presence", "search"}, "health": "healthy", "load": json.Number("0.25"), "contract": "0.1.0",
		"sequence": json.Number(seq), "interval": 30, "key": c.pub[n], "signature": base64.StdEncoding.EncodeToString(sig),
	})
	if err != nil {
		c.b.Fatal(err)
	}
	return message{"hub.presence." + slug, data}
}

func (c *crowd) say(m message) {
	c.b.Helper()
	if err := c.nc.Publish(m.subject, m.data); err != nil {
		c.b.Fatal(err)
	}
}

// BenchmarkAThousandInstances is what 1,000 instances cost that beat every 30
// seconds: the processor time of the service with its sweeps, of NATS and of
// PostgreSQL, over a minute, in percent of one core, less what the three take
// for half a minute before, when nobody is known. Bound: 5.
func BenchmarkAThousandInstances(b *testing.B) {
	const n = 1000
	env := bustest.Start(b, []string{federation.Name}, bustest.WithHub(federation.Presence, federation.Name))
	hub, err := bus.ConnectHub(b.Context(), env.HubConfig(federation.Name))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(hub.Close)
	db, metrics := pgtest.New(b, federation.Migrations), prometheus.NewRegistry()
	c := federation.DefaultConfig()
	c.Slug, c.ID, c.HubURL, c.Version, c.Search = "us", "id", "http://us:8000", "1.2.3", false
	module, err := federation.New(federation.Deps{
		DB: db, Bus: env.Bus(federation.Name), Hub: hub, Log: slog.New(slog.DiscardHandler), Registerer: metrics, Secret: []byte("a secret"),
	}, c)
	if err != nil {
		b.Fatal(err)
	}
	part := module.Part()
	if err := part.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		if err := part.Stop(ctx); err != nil {
			b.Error(err)
		}
	})
	all := newCrowd(b, env.Conn("hub-admin"), n)
	idled, began := cpu(b, db), time.Now()
	<-time.After(30 * time.Second) // nobody is there
	idle := (cpu(b, db) - idled).Seconds() / time.Since(began).Seconds() * 100
	for i := range n { // they become known
		all.say(all.sign(i, time.Now()))
	}
	heard := func() float64 {
		w := &world{metrics: metrics}
		return w.heard("heard")
	}
	await(b, "all are known", func() bool { return heard() >= n })
	const pause = 30 * time.Second / n
	var beats []message
	for i := range 2 * n { // a minute
		beats = append(beats, all.sign(i%n, time.Now().Add(time.Duration(i)*pause)))
	}
	used := cpu(b, db)
	began = time.Now()
	for range b.N {
		if b.N > 1 {
			b.Fatal("one round is a minute: use -benchtime 1x")
		}
		tick := time.NewTicker(pause)
		for _, m := range beats {
			<-tick.C
			all.say(m)
		}
		tick.Stop()
	}
	await(b, "all were heard", func() bool { return heard() >= float64(n+len(beats)) })
	b.ReportMetric((cpu(b, db)-used).Seconds()/time.Since(began).Seconds()*100-idle, "%core")
	b.ReportMetric(idle, "%core-idle")
	b.ReportMetric(float64(len(beats))/time.Since(began).Seconds(), "beats/s")
}

func await(b *testing.B, what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(bustest.Patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			b.Fatalf("%s: not within %s", what, bustest.Patience)
		}
	}
}

// cpu is the processor time of this process and of the server behind db so far.
func cpu(b *testing.B, db *pg.DB) (total time.Duration) {
	b.Helper()
	var backend int
	err := db.InTenant(b.Context(), tenant.Instance, func(ctx context.Context, tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &backend, `SELECT pg_backend_pid()`)
	})
	if err != nil {
		b.Fatal(err)
	}
	_, server := stat(strconv.Itoa(backend))
	if server == 0 {
		b.Skip("no /proc here")
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range dirs {
		pid := filepath.Base(d)
		used, parent := stat(pid)
		if parent == server || pid == strconv.Itoa(server) || pid == strconv.Itoa(os.Getpid()) {
			total += used
		}
	}
	return total
}

// stat reads the processor time and the parent of a process.
func stat(pid string) (used time.Duration, parent int) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest) // from the state on
	if len(f) < 13 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(f[1])
	for _, ticks := range f[11:13] {
		n, _ := strconv.Atoi(ticks)
		used += time.Duration(n) * 10 * time.Millisecond // 100 ticks a second
	}
	return used, parent
}
