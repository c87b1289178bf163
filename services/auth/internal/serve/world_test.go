package serve_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"

	auth "github.com/commandcenter/commandcenter/services/auth"
	"github.com/commandcenter/commandcenter/services/auth/internal/serve"
)

// world is the service as the binary builds it, on a bus and in a database of
// its own, asked as the gateway asks. Passwords are cheap to hash; the clock
// stands until it is moved.
type world struct {
	testing.TB
	env   *bustest.Env
	edge  *bus.Bus
	db    *pg.DB
	clock *clock
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

const password = "correct horse battery"

func cheap() auth.Config {
	c := auth.DefaultConfig()
	c.Password = auth.Password{MemoryKiB: 64, Iterations: 1, Parallelism: 1, Concurrent: 4, Waiting: 32}
	return c
}

func newWorld(t testing.TB, change ...func(*auth.Config)) *world {
	t.Helper()
	c := cheap()
	for _, f := range change {
		f(&c)
	}
	w := &world{
		TB: t, env: bustest.Start(t, []string{"auth", "knowledge", "research", "jobs", "reader"}, bustest.WithContract("auth", grants())), db: pgtest.New(t, auth.Migrations),
		clock: &clock{at: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)},
	}
	w.edge = w.env.Bus(bustest.Edge)
	m, err := auth.New(auth.Deps{
		DB: w.db, Bus: w.env.Bus("auth"), Log: slog.New(slog.DiscardHandler), Registerer: w.env.Registry,
		Secrets: secrettest.Ring(t), Secret: []byte(strings.Repeat("s", 32)), Now: w.clock.now,
	}, c)
	if err != nil {
		t.Fatal(err)
	}
	w.env.Run(m.Part())
	return w
}

// grants are what the service may do on the bus: what its contracts say, and no
// more.
func grants() bus.Contract {
	return bus.Contract{
		Serves: append(serve.Operations(), "resolveAccess", "resolveKey", "resolveBrowser", "signingKeys"), Calls: []string{"knowledge.countDocuments", "research.countResearch"},
		Publishes: events.SaidBy("auth"), Hears: append(events.ConsumedBy("auth"), events.FollowedBy("auth")...), TakesCommands: true, Purges: true, Jobs: true, Objects: true,
	}
}

// answer is what came back: a body for success, an error for a refusal.
type answer struct {
	w      *world
	op     string
	status int
	header map[string]string
	body   map[string]any
	list   []map[string]any
	err    error
}

// obj is a JSON object.
type obj map[string]any

// request asks an operation that is delivered as a request.
func (w *world) request(op string, id tenant.Identity, payload obj) answer {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), bustest.Patience)
	defer cancel()
	a, err := w.edge.Request(ctx, bus.Target{Service: "auth", Operation: op, Project: id.Project}, id, w.json(payload))
	return w.read(op, a, err)
}

// command asks an operation that is delivered as a command.
func (w *world) command(op, key string, id tenant.Identity, payload obj) answer {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), bustest.Patience)
	defer cancel()
	a, err := w.edge.Command(ctx, bus.Target{Service: "auth", Operation: op, Project: id.Project}, id, w.json(payload),
		bus.CommandOptions{Key: key, Wait: bustest.Patience})
	return w.read(op, a, err)
}

func (w *world) json(v any) []byte {
	w.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func (w *world) read(op string, a *bus.Answer, err error) answer {
	w.Helper()
	out := answer{w: w, op: op, err: err}
	if err != nil {
		return out
	}
	out.status, out.header = a.Status, a.Header
	if len(a.Body) > 0 {
		into := any(&out.body)
		if a.Body[0] == '[' {
			into = &out.list
		}
		if err := json.Unmarshal(a.Body, into); err != nil {
			w.Fatalf("%s: %v in %s", op, err, a.Body)
		}
	}
	return out
}

// ok fails the test unless the answer has the status.
func (a answer) ok(status int) answer {
	a.w.Helper()
	if a.err != nil || a.status != status {
		a.w.Fatalf("%s: %d, %v; want %d", a.op, a.status, a.err, status)
	}
	return a
}

// refused fails the test unless the answer is a refusal of the kind whose text
// holds the words.
func (a answer) refused(kind errs.Kind, words string) *errs.Error {
	a.w.Helper()
	e := errs.As(a.err)
	if e == nil || e.Kind != kind || !strings.Contains(e.Msg, words) {
		a.w.Errorf("%s: %d, %v; want %s with %q", a.op, a.status, a.err, kind, words)
		return &errs.Error{}
	}
	return e
}

func (a answer) str(key string) string {
	a.w.Helper()
	s, ok := a.body[key].(string)
	if !ok {
		a.w.Fatalf("%s: no text %q in %v", a.op, key, a.body)
	}
	return s
}

func (a answer) num(key string) int64 {
	a.w.Helper()
	n, ok := a.body[key].(float64)
	if !ok {
		a.w.Fatalf("%s: no number %q in %v", a.op, key, a.body)
	}
	return int64(n)
}

var nobody = tenant.Identity{}

func (w *world) register(email string) answer {
	w.Helper()
	return w.request("register", nobody, obj{"body": obj{"email": email, "password": password}})
}

func (w *world) login(email, password string) answer { return w.loginFrom("", email, password) }

// loginFrom is a login from a network address.
func (w *world) loginFrom(client, email, password string) answer {
	w.Helper()
	return w.request("login", tenant.Identity{Client: client}, obj{"body": obj{"email": email, "password": password}})
}

func (w *world) refresh(token string) answer {
	w.Helper()
	return w.request("refreshToken", nobody, obj{"body": obj{"refresh_token": token}})
}

// member registers an account and is its identity in its first project.
func (w *world) member(email string) tenant.Identity {
	w.Helper()
	return w.as(w.register(email).ok(201).num("id"), 0)
}

// as is the identity of the user in the project (0: the default), as the
// gateway makes it.
func (w *world) as(userID int64, p tenant.Project) tenant.Identity {
	w.Helper()
	a := w.access(userID, p, "")
	id := bustest.Person(userID, tenant.Project(a.GetProjectId()), tenant.Role(a.GetRole()))
	id.Email, id.Superuser = a.GetEmail(), a.GetSuperuser()
	return id
}

func (w *world) access(userID int64, p tenant.Project, session string) *authv1.ResolveAccessResponse {
	w.Helper()
	a, err := bus.CallInternal[*authv1.ResolveAccessResponse](w.Context(), w.edge, "auth", "resolveAccess",
		&authv1.ResolveAccessRequest{UserId: int32(userID), ProjectId: int32(p), Session: session})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// instance is the same caller in an operation without project.
func instance(id tenant.Identity) tenant.Identity {
	id.Project, id.Role = tenant.Instance, tenant.NoRole
	return id
}

func (w *world) exec(q string, args ...any) {
	w.Helper()
	err := w.db.AcrossProjects(w.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) count(q string, args ...any) (n int) {
	w.Helper()
	err := w.db.AcrossProjects(w.Context(), "test", func(ctx context.Context, tx *sqlx.Tx) error { return tx.GetContext(ctx, &n, q, args...) })
	if err != nil {
		w.Fatal(err)
	}
	return n
}
