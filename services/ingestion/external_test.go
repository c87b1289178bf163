package ingestion_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/obs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/secret/secrettest"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	ingestionv1 "github.com/commandcenter/commandcenter/proto-events/ingestion/v1"
	platformv1 "github.com/commandcenter/commandcenter/proto-events/platform/v1"

	"github.com/commandcenter/commandcenter/services/ingestion"
)

// world is the service as main builds it, with no more than its permissions.
type world struct {
	*bustest.Env
	t        *testing.T
	accepted chan *ingestionv1.FactAccepted
	metas    chan bus.Meta
	purged   chan string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	own := bus.Contract{
		Serves: slices.Collect(maps.Keys(operations(t))), Publishes: events.SaidBy("ingestion"), Hears: events.ConsumedBy("ingestion"), TakesCommands: true, External: true,
		DeadLetters: true, Jobs: true, Live: true, Objects: true,
	}
	w := &world{
		Env: bustest.Start(t, []string{"ingestion", "knowledge", "auth"}, bustest.WithContract("ingestion", own)), t: t,
		accepted: make(chan *ingestionv1.FactAccepted, 10), metas: make(chan bus.Meta, 10), purged: make(chan string, 10),
	}
	m, err := ingestion.New(ingestion.Deps{DB: pgtest.New(t, ingestion.Migrations), Bus: w.Bus("ingestion"), Log: obs.Discard(), Secrets: secrettest.Ring(t), Version: "1.0.0"}, ingestion.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Parts {
		w.Run(p)
	}
	w.Run(bus.Follow(w.Bus("knowledge"), func(_ context.Context, m bus.Meta, e *ingestionv1.FactAccepted) { w.metas <- m; w.accepted <- e }),
		bus.Follow(w.Bus("auth"), func(_ context.Context, _ bus.Meta, e *platformv1.ProjectPurged) { w.purged <- e.GetService() }))
	return w
}

func (w *world) command(operation, payload string, role tenant.Role) (*bus.Answer, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), bustest.Patience)
	defer cancel()
	return w.Bus("gateway").Command(ctx, bus.Target{Service: "ingestion", Operation: operation, Project: 1}, bustest.Person(1, 1, role), []byte(payload), bus.CommandOptions{})
}

const registration = `{"body":{"team":"billing","noun":"invoice","fact":"paid","version":1,"schema":{"type":"object","required":["total"],"properties":{"total":{"type":"number"}}}}}`

// register registers the schema and returns its id.
func (w *world) register() json.Number {
	w.t.Helper()
	a, err := w.command("registerEventSchema", registration, tenant.Admin)
	if err != nil || a.Status != 201 {
		w.t.Fatalf("register: %+v %v", a, err)
	}
	var x struct{ ID json.Number }
	if err := json.Unmarshal(a.Body, &x); err != nil {
		w.t.Fatal(err)
	}
	return x.ID
}

// say says a fact as a team does.
func (w *world) say(subject, id, data string) {
	w.t.Helper()
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: []byte(data)}
	if id != "" {
		m.Header["ce-id"] = []string{id}
		m.Header["ce-time"] = []string{"2026-01-02T03:04:05Z"}
		m.Header["traceparent"] = []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	}
	if _, err := w.Bus("knowledge").JetStream().PublishMsg(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

// dead waits for the next dead letters of the service.
func (w *world) dead(n int) []bus.DeadLetter {
	w.t.Helper()
	var found []bus.DeadLetter
	bustest.Eventually(w.Env, func() (ok bool) {
		var err error
		if found, err = w.Bus("gateway").DeadLetters(w.t.Context(), bus.DeadFilter{Service: "ingestion"}); err != nil {
			w.t.Fatal(err)
		}
		return len(found) >= n
	})
	return found
}

const subject = "ext.p1.billing.invoice.paid.v1"

func TestAFactThatFitsItsSchemaIsSaidAgainOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Team(1, "billing")
	w.register()
	w.say(subject, "inv-1", `{"total":3.5,"who":{"name":"x"}}`)
	e, m := bustest.Await(w.Env, w.accepted), bustest.Await(w.Env, w.metas)
	if e.GetFactId() != "billing/inv-1" || e.GetTeam() != "billing" || e.GetNoun() != "invoice" || e.GetFact() != "paid" || e.GetFactVersion() != 1 ||
		e.GetData().GetFields()["total"].GetNumberValue() != 3.5 || e.GetOccurredAt().AsTime().Year() != 2026 || !e.GetReceivedAt().IsValid() {
		t.Errorf("accepted %v", e)
	}
	if m.Project != 1 || m.Subject != "evt.p1.ingestion.fact.accepted.v1" || m.ID == "" || m.Time.Month() != time.January {
		t.Errorf("meta %+v", m)
	}
	w.say(subject, "inv-1", `{"total":4}`) // the same id again
	w.say(subject, "inv-2", `{"total":5}`)
	if e := bustest.Await(w.Env, w.accepted); e.GetFactId() != "billing/inv-2" {
		t.Errorf("then %v", e)
	}
	w.say(subject, "", `{"total":6}`) // one without a name gets one
	if e := bustest.Await(w.Env, w.accepted); !strings.HasPrefix(e.GetFactId(), "billing/") || e.GetData().GetFields()["total"].GetNumberValue() != 6 {
		t.Errorf("without an id: %v", e)
	}
}

func TestNumbersThatAreMoreThanAFloatAreKeptAsTheTeamWroteThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Team(1, "billing")
	w.register()
	for data, want := range map[string]string{
		`{"total":1,"order":9007199254740993}`:                                   `{"order":9007199254740993,"total":1}`,
		`{"total":1,"order":9007199254740992,"rate":0.1,"tiny":1e-7,"none":0.0}`: "",
		`{"total":1,"lines":[{"price":12345678901234567.25}]}`:                   `{"lines":[{"price":12345678901234567.25}],"total":1}`,
		`{"total":1,"far":1e-400}`:                                               `{"far":1e-400,"total":1}`,
	} {
		w.say(subject, "", data)
		if got := bustest.Await(w.Env, w.accepted).GetExactJson(); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

func TestAFactThatDoesNotFitIsADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	for i, c := range []struct{ subject, data, want string }{
		{subject, `{"total":"much"}`, "does not fit"},
		{subject, `nonsense`, "not JSON"},
		{"ext.p2.billing.invoice.paid.v1", `{"total":1}`, "bus schema register billing.invoice.paid.v1 FILE"},
		{"ext.p1.sales.invoice.paid.v1", `{"total":1}`, "no schema"},
		{"ext.p1.billing.invoice.paid.v2", `{"total":1}`, "no schema"},
		{"ext.p1.billing.invoice", `{"total":1}`, "want ext."},
	} {
		word := strings.Split(c.subject, ".")
		p, err := tenant.ParseToken(word[1])
		if err != nil {
			t.Fatal(err)
		}
		w.Team(p, word[2])
		w.say(c.subject, "", c.data)
		found := w.dead(i + 1)
		if got := found[i]; !strings.Contains(got.Error, c.want) || got.Subject != c.subject || got.Stream != bus.ExternalStream(p, word[2]) {
			t.Errorf("%s %s: %+v", c.subject, c.data, got)
		}
	}
	if len(w.accepted) != 0 {
		t.Errorf("accepted %v", <-w.accepted)
	}
}

func TestASchemaIsRegisteredByAnAdminAndGoneOnceDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.command("registerEventSchema", registration, tenant.Member); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("a member registers: %v", err)
	}
	id := w.register()
	if a, err := w.command("registerEventSchema", registration, tenant.Admin); err != nil || a.Status != 200 {
		t.Errorf("the same again: %+v %v", a, err)
	}
	if _, err := w.command("registerEventSchema", strings.Replace(registration, `"number"`, `"string"`, 1), tenant.Admin); errs.KindOf(err) != errs.Conflict {
		t.Errorf("another one of the version: %v", err)
	}
	if _, err := w.command("deleteEventSchema", `{"schema_id":`+id.String()+`}`, tenant.Viewer); errs.KindOf(err) != errs.Forbidden {
		t.Errorf("a viewer deletes: %v", err)
	}
	if a, err := w.command("deleteEventSchema", `{"schema_id":`+id.String()+`}`, tenant.Admin); err != nil || a.Status != 204 {
		t.Errorf("delete: %+v %v", a, err)
	}
	w.Team(1, "billing")
	w.say(subject, "late", `{"total":1}`)
	if got := w.dead(1)[0]; !strings.Contains(got.Error, "no schema") {
		t.Errorf("%+v", got)
	}
	w.register()
	if err := w.Bus("gateway").Redrive(t.Context(), w.dead(1)[0].Seq); err != nil { // the form is right now
		t.Fatal(err)
	}
	if e := bustest.Await(w.Env, w.accepted); e.GetFactId() != "billing/late" {
		t.Errorf("redriven: %v", e)
	}
}

func TestARedrivenFactWithoutAnIDHasTheNameOfItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Team(1, "billing")
	w.say(subject, "", `{"total":1}`)
	d := w.dead(1)[0]
	w.register()
	if err := w.Bus("gateway").Redrive(t.Context(), d.Seq); err != nil {
		t.Fatal(err)
	}
	if e, want := bustest.Await(w.Env, w.accepted), fmt.Sprintf("billing/%d-%d", d.StoredAt.UnixNano(), d.StreamSeq); e.GetFactId() != want {
		t.Errorf("%s, want %s", e.GetFactId(), want)
	}
}

func TestADeletedProjectKeepsNoSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.Say(&authv1.ProjectDeleting{ProjectId: 1, Version: 9})
	if got := bustest.Await(w.Env, w.purged); got != "ingestion" {
		t.Errorf("purged by %s", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	a, err := w.Bus("gateway").Request(ctx, bus.Target{Service: "ingestion", Operation: "listEventSchemas", Project: 1}, bustest.Person(1, 1, tenant.Viewer), []byte(`{}`))
	if err != nil || !strings.Contains(string(a.Body), `"total":0`) {
		t.Errorf("%+v %v", a, err)
	}
}
