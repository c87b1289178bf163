package inbox_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/inbox"
	"github.com/commandcenter/commandcenter/services/federation/internal/instance"
	"github.com/commandcenter/commandcenter/services/federation/internal/mesh"
	"github.com/commandcenter/commandcenter/services/federation/internal/share"
)

// hub is a server where everybody hears everything.
func hub(t *testing.T) func() *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(bustest.Patience) {
		t.Fatal("the server is not ready")
	}
	return func() *nats.Conn {
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
}

// known is a catalog; shared is what everybody may read.
type known map[string]instance.Instance

func (k known) Get(_ context.Context, slug string) (instance.Entry, error) {
	i, ok := k[slug]
	if !ok {
		return instance.Entry{}, instance.ErrNotFound
	}
	return instance.Entry{Instance: i}, nil
}

type shared []share.Share

func (s shared) With(context.Context, string) ([]share.Share, error) { return s, nil }

// member is an instance whose keys follow from its slug.
func member(t *testing.T, slug string) instance.Instance {
	t.Helper()
	k := keys(t, slug)
	return instance.Instance{Slug: slug, Admitted: true, Key: k.Public(), SealKey: k.SealsPublic()}
}

type ends struct {
	*inbox.Mesh
	answerer *mesh.Answerer
}

func join(t *testing.T, nc *nats.Conn, slug string, others known, local func(ctx context.Context) ([]mesh.Hit, error)) ends {
	t.Helper()
	a := &mesh.Answerer{
		Catalog: others, Shares: shared{{Project: 1, Name: "Handbook"}}, Now: time.Now,
		Local: func(ctx context.Context, _ tenant.Project, _ mesh.Query) ([]mesh.Hit, error) { return local(ctx) },
	}
	m, err := inbox.NewMesh(inbox.MeshConfig{Slug: slug, Keys: keys(t, slug), Conn: nc, Answerer: a, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		if err := m.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return ends{m, a}
}

func one(context.Context) ([]mesh.Hit, error) { return []mesh.Hit{{Title: "Landing"}}, nil }

func TestOnlyTheInstanceThatWasAskedIsBelieved(t *testing.T) {
	t.Parallel()
	connect := hub(t)
	everybody := known{"north": member(t, "north"), "south": member(t, "south")}
	north := join(t, connect(), "north", everybody, one)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	q := mesh.Query{Text: "land", Limit: 5}
	if _, err := north.Ask(ctx, everybody["south"], q); !errors.Is(err, mesh.ErrAway) {
		t.Errorf("nobody is there: %v", err)
	}
	// Somebody else answers in the name of south, with a key of its own.
	impostor := join(t, connect(), "south", everybody, one)
	other := everybody["south"]
	other.Key = member(t, "west").Key
	if _, err := north.Ask(ctx, other, q); !errors.Is(err, mesh.ErrForged) {
		t.Errorf("signed by another key: %v", err)
	}
	if hits, err := north.Ask(ctx, everybody["south"], q); err != nil || len(hits) != 1 || hits[0].Title != "Landing" || hits[0].Project != "Handbook" {
		t.Errorf("%v, %v", hits, err)
	}
	delete(impostor.answerer.Catalog.(known), "north")
	if _, err := north.Ask(ctx, everybody["south"], q); !errors.Is(err, mesh.ErrRefused) {
		t.Errorf("unknown there: %v", err)
	}
}

func TestAQuestionCannotBeChangedOrAskedAgain(t *testing.T) {
	t.Parallel()
	connect := hub(t)
	everybody := known{"north": member(t, "north"), "south": member(t, "south")}
	asked := make(chan struct{}, 8)
	north := join(t, connect(), "north", everybody, one)
	join(t, connect(), "south", everybody, func(ctx context.Context) ([]mesh.Hit, error) { asked <- struct{}{}; return one(ctx) })
	ear := connect()
	heard := make(chan *nats.Msg, 8)
	if _, err := ear.Subscribe("hub.ask.south", func(m *nats.Msg) { heard <- m }); err != nil {
		t.Fatal(err)
	}
	answers := make(chan *nats.Msg, 8)
	if _, err := ear.Subscribe("hub.answer.>", func(m *nats.Msg) { answers <- m }); err != nil {
		t.Fatal(err)
	}
	if err := ear.FlushTimeout(bustest.Patience); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	if _, err := north.Ask(ctx, everybody["south"], mesh.Query{Text: "land", Limit: 5}); err != nil {
		t.Fatal(err)
	}
	<-asked
	question := <-heard
	first := <-answers
	// Changed, to another reply, and nonsense: no answer. Again: refused.
	for _, c := range [][2]string{
		{question.Reply, strings.Replace(string(question.Data), `"to":"south"`, `"to":"North"`, 1)},
		{question.Reply, strings.Replace(string(question.Data), `"from":"north"`, `"from":"west"`, 1)},
		{question.Reply + "x", string(question.Data)},
		{question.Reply, "hello"}, {question.Reply, `{}`}, {question.Reply, strings.Repeat("x", 800<<10)},
		{question.Reply, string(question.Data)},
	} {
		if err := ear.PublishRequest("hub.ask.south", c[0], []byte(c[1])); err != nil {
			t.Fatal(err)
		}
	}
	second := <-answers
	if len(second.Data) >= len(first.Data) {
		t.Error("the one answer is no refusal")
	}
	if hits, err := north.Ask(ctx, everybody["south"], mesh.Query{Text: "land", Limit: 5}); err != nil || len(hits) != 1 {
		t.Errorf("and then: %v, %v", hits, err)
	}
	<-asked
	if n := len(asked); n != 0 || len(answers) > 1 {
		t.Errorf("%d searches more, %d answers", n, len(answers))
	}
}

func TestAnInstanceThatIsSlowIsLeftBehind(t *testing.T) {
	t.Parallel()
	connect := hub(t)
	everybody := known{"north": member(t, "north"), "south": member(t, "south"), "west": member(t, "west")}
	north := join(t, connect(), "north", everybody, one)
	join(t, connect(), "south", everybody, func(ctx context.Context) ([]mesh.Hit, error) { <-ctx.Done(); return nil, ctx.Err() })
	join(t, connect(), "west", everybody, func(context.Context) ([]mesh.Hit, error) { return nil, errors.New("no index") })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := north.Ask(ctx, everybody["south"], mesh.Query{Text: "land", Limit: 5, Budget: 300}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	if _, err := north.Ask(ctx, everybody["west"], mesh.Query{Text: "land", Limit: 5}); !errors.Is(err, mesh.ErrSearch) {
		t.Errorf("failing: %v", err)
	}
}

func TestAnAnswerThatIsTooLongIsCut(t *testing.T) {
	t.Parallel()
	connect := hub(t)
	everybody := known{"north": member(t, "north"), "south": member(t, "south")}
	north := join(t, connect(), "north", everybody, one)
	join(t, connect(), "south", everybody, func(context.Context) ([]mesh.Hit, error) {
		return []mesh.Hit{{Title: "a", Content: strings.Repeat("x", 200<<10)}, {Title: "b", Content: strings.Repeat("x", 600<<10)}}, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	if hits, err := north.Ask(ctx, everybody["south"], mesh.Query{Text: "land", Limit: 5}); err != nil || len(hits) != 1 || hits[0].Title != "a" {
		t.Errorf("%d hits, %v", len(hits), err)
	}
}
