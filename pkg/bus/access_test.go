package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	federationv1 "github.com/commandcenter/commandcenter/proto-events/federation/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
)

const indexed = "evt.p1.knowledge.document.indexed.v1"

// team is a holder of a grant.
type team struct {
	*nats.Conn
	access bus.Access
	creds  string
	closed chan error
}

// grantee makes a grant in project 1 and connects with it.
func grantee(t *testing.T, e *bustest.Env, name string, says, hears []string) *team {
	t.Helper()
	a, err := bus.ParseAccess(name, 1, name, says, hears)
	if err != nil {
		t.Fatal(err)
	}
	x := &team{access: a, creds: filepath.Join(t.TempDir(), "c.creds"), closed: make(chan error, 1)}
	x.grant(t, e, false)
	x.connect(t, e)
	return x
}

// grant makes or changes the grant as the command line does.
func (x *team) grant(t *testing.T, e *bustest.Env, renew bool) {
	t.Helper()
	if err := bus.ProvisionAccess(t.Context(), e.Conn(natsd.UserAdmin), x.access, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if len(x.access.Says) > 0 {
		e.Team(x.access.Project, x.access.Team)
	}
	g, err := natsd.Grant(e.Dir(), x.access.Grant(), renew)
	if err != nil {
		t.Fatal(err)
	}
	if err := natsd.Push(t.Context(), e.Conn(natsd.UserSys), g); err != nil {
		t.Fatal(err)
	}
	if g.Creds != nil {
		if err := os.WriteFile(x.creds, g.Creds, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (x *team) dial(e *bustest.Env) (*nats.Conn, error) {
	return nats.Connect(e.Server.ClientURL(), nats.UserCredentials(x.creds), nats.NoReconnect(), nats.Timeout(bustest.Patience),
		nats.ClosedHandler(func(nc *nats.Conn) { x.closed <- nc.LastError() }))
}

func (x *team) connect(t *testing.T, e *bustest.Env) {
	t.Helper()
	var err error
	if x.Conn, err = x.dial(e); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
}

func (x *team) consumer(t *testing.T) jetstream.Consumer {
	t.Helper()
	js, err := jetstream.NewWithDomain(x.Conn, bus.AccessDomain)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), bus.StreamEvents, x.access.Durable())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestATeamSaysItsFactsAndHearsWhatItWasGranted(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP())
	x := grantee(t, e, "billing", []string{"invoice.paid.v1"}, []string{"knowledge.document.*"})
	js, err := jetstream.New(x.Conn)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), "ext.p1.billing.invoice.paid.v1", []byte(`{"total":3}`))
	if err != nil || ack.Stream != bus.ExternalStream(1, "billing") {
		t.Fatalf("publish: %+v %v", ack, err)
	}
	live, err := x.SubscribeSync("evt.p1.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	sayVersions(e, 2, 1)
	sayVersions(e, 1, 1)
	if m, err := live.NextMsg(bustest.Patience); err != nil || m.Subject != indexed || m.Header.Get("ce-id") == "" {
		t.Fatalf("live: %+v %v", m, err)
	}
	m, err := x.consumer(t).Next(jetstream.FetchMaxWait(bustest.Patience))
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject() != indexed || !strings.Contains(string(m.Data()), `"version":1`) {
		t.Errorf("pulled %s %s", m.Subject(), m.Data())
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := x.consumer(t).Info(t.Context())
	if err != nil || info.AckFloor.Consumer != 1 || info.NumPending != 0 {
		t.Errorf("info %+v %v", info, err)
	}
}

// spy sees everything in account CC.
func spy(t *testing.T, e *bustest.Env) (seen func() []string) {
	t.Helper()
	nc := e.Conn(natsd.UserAdmin)
	sub, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() (out []string) {
		t.Helper()
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := sub.NextMsg(50 * time.Millisecond)
			if errors.Is(err, nats.ErrTimeout) {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, m.Subject)
		}
	}
}

func TestATeamCannotReachAnythingElse(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP())
	x := grantee(t, e, "billing", []string{"invoice.paid.v1"}, []string{"knowledge.document.indexed.v1"})
	other := grantee(t, e, "sales", []string{">"}, []string{"knowledge.document.indexed.v1"})
	sayVersions(e, 1, 1, 2, 3)
	sayVersions(e, 2, 1, 2, 3)
	own := x.access.Durable()

	t.Run("by asking JetStream", func(t *testing.T) {
		subjects := []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.EVENTS", "$JS.API.STREAM.MSG.GET.EVENTS", "$JS.API.DIRECT.GET.EVENTS",
			"$JS.API.DIRECT.GET.EVENTS.evt.p2.knowledge.document.indexed.v1", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.EVENTS", "$JS.API.STREAM.DELETE.EVENTS",
			"$JS.API.STREAM.PURGE.EVENTS", "$JS.API.STREAM.MSG.DELETE.EVENTS", "$JS.API.STREAM.SNAPSHOT.EVENTS", "$JS.API.CONSUMER.NAMES.EVENTS", "$JS.API.CONSUMER.LIST.EVENTS",
			"$JS.API.CONSUMER.CREATE.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS.mine.evt.p1.knowledge.document.indexed.v1", "$JS.API.CONSUMER.CREATE.EVENTS.mine.evt.p2.>",
			"$JS.API.CONSUMER.CREATE.EVENTS." + own, "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS." + own, "$JS.API.CONSUMER.DELETE.EVENTS." + own,
			"$JS.API.CONSUMER.INFO.EVENTS." + other.access.Durable(), "$JS.API.CONSUMER.MSG.NEXT.EVENTS." + other.access.Durable(),
			"$JS.API.CONSUMER.MSG.NEXT.EVENTS.evt-knowledge-auth-project-deleting-v1", "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.cmd-knowledge",
			"$JS.ACK.EVENTS." + other.access.Durable() + ".1.1.1.1.1", "$SYS.REQ.SERVER.PING", "$SRV.PING", "req.p1.knowledge.listDocuments",
			"cmd.p1.knowledge.deleteDocument", "$KV.OPERATIONS.x", "$O.blobs.M.x",
		}
		for _, s := range slices.Clone(subjects) { // in every domain that it may try
			if api, ok := strings.CutPrefix(s, "$JS.API."); ok {
				subjects = append(subjects, "$JS."+bus.AccessDomain+".API."+api, "$JS."+e.Server.Trust.Domain()+".API."+api)
			}
		}
		for _, subject := range subjects {
			ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
			// The server's own word about an account without streams is no answer.
			if m, err := x.RequestWithContext(ctx, subject, []byte(`{}`)); !errors.Is(err, nats.ErrNoResponders) && (err != nil || !strings.Contains(string(m.Data), "10039")) {
				t.Errorf("%s is answered: %+v %v", subject, m, err)
			}
			cancel()
		}
	})
	t.Run("by saying", func(t *testing.T) {
		seen := spy(t, e)
		for _, subject := range []string{
			indexed, "evt.p1.billing.invoice.paid.v1", "ext.p2.billing.invoice.paid.v1", "ext.p1.sales.invoice.paid.v1", "ext.p1.billing.invoice.lost.v1", "ext.p1.billing.invoice.paid.v1.x",
			"cmd.p1.knowledge.deleteDocument", "req.p1.knowledge.listDocuments", "job.p1.knowledge.index", "live.p1.x", "dead.knowledge.evt.p1.x", "rsp.gateway.x.y", "hub.presence.x",
			"_INBOX_gateway.x", "_INBOX.x", "$JS.ACK.EVENTS.evt-knowledge-auth-project-deleting-v1.1.1.1.1.1",
		} {
			if err := x.Publish(subject, []byte(`{}`)); err != nil {
				t.Errorf("%s: %v", subject, err)
			}
		}
		if err := x.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := seen(); len(got) != 0 {
			t.Errorf("these came through: %v", got)
		}
	})
	t.Run("by choosing where the answer goes", func(t *testing.T) {
		seen := spy(t, e)
		for _, reply := range []string{
			"cmd.p1.knowledge.deleteDocument", "evt.p2.knowledge.document.indexed.v1", "ext.p2.billing.invoice.paid.v1", "$JS.API.STREAM.PURGE.EVENTS", "$JS.API.STREAM.DELETE.EXT_p1_billing",
			"_INBOX_gateway.x", "rsp.gateway.x.y", "job.p1.knowledge.index",
		} {
			for subject, body := range map[string]string{
				"$JS.commandcenter.API.CONSUMER.MSG.NEXT.EVENTS." + own: `{"batch":3,"no_wait":true}`, "$JS.commandcenter.API.CONSUMER.INFO.EVENTS." + own: ``, "ext.p1.billing.invoice.paid.v1": `{"a":1}`,
			} {
				if err := x.PublishRequest(subject, reply, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := x.consumer(t).Info(t.Context()); err != nil { // after it everything before has been answered
			t.Fatal(err)
		}
		for _, subject := range seen() {
			// What it may say arrives, and JetStream's words about it pass; so does what
			// it may hear, on its way out.
			if subject != "ext.p1.billing.invoice.paid.v1" && subject != indexed && !strings.HasPrefix(subject, "$JS.API.CONSUMER.") && !strings.HasPrefix(subject, "$JS.EVENT.") && !strings.HasPrefix(subject, "_R_.") {
				t.Errorf("reached %s", subject)
			}
		}
		if _, last, err := e.Bus("gateway").StreamState(t.Context(), bus.StreamEvents); err != nil || last != 6 {
			t.Errorf("EVENTS ends at %d (%v)", last, err)
		}
		if s, err := e.Bus("gateway").JetStream().Stream(t.Context(), bus.StreamEvents); err != nil || s.CachedInfo().State.Msgs != 6 {
			t.Errorf("EVENTS holds %+v (%v)", s.CachedInfo().State, err)
		}
	})
	t.Run("by listening", func(t *testing.T) {
		// Another account: answers that the first one sent astray may still reach it.
		ear := grantee(t, e, "listeners", []string{"invoice.paid.v1"}, []string{"knowledge.document.indexed.v1"})
		sub, err := ear.SubscribeSync(">")
		if err != nil {
			t.Fatal(err)
		}
		if err := ear.Flush(); err != nil {
			t.Fatal(err)
		}
		sayVersions(e, 2, 9)
		e.Say(&knowledgev1.DocumentDeleted{ProjectId: 1, DocumentId: "7", Version: 9})
		if _, err := other.consumer(t).Info(t.Context()); err != nil { // its answer passes through its inbox
			t.Fatal(err)
		}
		if err := other.Publish("ext.p1.sales.lead.won.v1", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if err := other.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Conn("gateway").Request("$SRV.PING", nil, 100*time.Millisecond); err == nil {
			t.Error("somebody answers")
		}
		sayVersions(e, 1, 9) // the only one that it may hear
		var heard []string
		for !slices.Contains(heard, indexed) {
			m, err := sub.NextMsg(bustest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			heard = append(heard, m.Subject)
		}
		if len(heard) != 1 {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestARevokedGrantEndsAtOnceAndForGood(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP())
	x := grantee(t, e, "billing", []string{">"}, []string{"knowledge.document.indexed.v1"})
	stays := grantee(t, e, "sales", []string{">"}, nil)
	g, err := natsd.Revoke(e.Dir(), "billing")
	if err != nil {
		t.Fatal(err)
	}
	if err := natsd.Push(t.Context(), e.Conn(natsd.UserSys), g); err != nil {
		t.Fatal(err)
	}
	bustest.Await(e, x.closed)
	if nc, err := x.dial(e); err == nil {
		nc.Close()
		t.Error("let in again")
	}
	if err := bus.RemoveAccess(t.Context(), e.Conn(natsd.UserAdmin), "billing"); err != nil {
		t.Fatal(err)
	}
	if err := stays.Flush(); err != nil {
		t.Errorf("another grant: %v", err)
	}
	if _, err := natsd.Revoke(e.Dir(), "billing"); err == nil {
		t.Error("revoked twice")
	}
	e.Restart()
	if nc, err := x.dial(e); err == nil {
		nc.Close()
		t.Error("let in after a restart")
	}
	stays.connect(t, e)
	again := grantee(t, e, "billing", []string{">"}, nil) // a new one of the name is another account
	if err := again.Flush(); err != nil {
		t.Error(err)
	}
	if nc, err := x.dial(e); err == nil {
		nc.Close()
		t.Error("the old credentials open the new grant")
	}
}

func TestAGrantChangesWithoutNewCredentialsAndCanBeRenewed(t *testing.T) {
	t.Parallel()
	e := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP())
	x := grantee(t, e, "billing", []string{"invoice.paid.v1"}, []string{"knowledge.document.indexed.v1"})
	says := func(fact string) error {
		_, err := x.Request("ext.p1.billing."+fact, []byte(`{}`), bustest.Patience)
		return err
	}
	if err := says("invoice.lost.v1"); !errors.Is(err, nats.ErrNoResponders) {
		t.Fatalf("before it is granted: %v", err)
	}
	a, err := bus.ParseAccess("billing", 1, "billing", []string{"invoice.lost.v1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.access = a
	x.grant(t, e, false)
	if err := says("invoice.lost.v1"); err != nil {
		t.Errorf("after it is granted: %v", err)
	}
	if err := says("invoice.paid.v1"); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("what is granted no more: %v", err)
	}
	old := x.creds
	x.creds = filepath.Join(t.TempDir(), "new.creds")
	x.grant(t, e, true)
	if err := bustest.Await(e, x.closed); err == nil {
		t.Error("the connection with the old credentials goes on")
	}
	x.connect(t, e)
	x.creds = old
	if nc, err := x.dial(e); err == nil {
		nc.Close()
		t.Error("the old credentials still open it")
	}
}

func TestWhatCannotBeGrantedIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		team        string
		says, hears []string
		want        string
	}{
		{"billing", nil, nil, "nothing"},
		{"Billing", []string{">"}, nil, "team"},
		{"billing", []string{"evt.p1.x"}, nil, "publish"},
		{"billing", []string{"ext.p2.billing.a.b.v1"}, nil, "publish"},
		{"billing", []string{"a.b.1"}, nil, "publish"},
		{"billing", []string{"a.>"}, nil, "publish"},
		{"billing", nil, []string{"auth.session.revoked.v1"}, "no public fact"},
		{"billing", nil, []string{"evt.p2.knowledge.document.indexed.v1"}, "no public fact"},
	} {
		if _, err := bus.ParseAccess("x", 1, c.team, c.says, c.hears); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	a, err := bus.ParseAccess("x", 1, "billing", []string{"ext.p1.billing.invoice.*.v1"}, []string{"*", "evt.p1.knowledge.document.indexed.v1"})
	if err != nil || !slices.Equal(a.Says, []string{"invoice.*.v1"}) || slices.Contains(a.Hears, "auth.session.revoked.v1") || !slices.Contains(a.Hears, "knowledge.document.indexed.v1") {
		t.Errorf("%+v %v", a, err)
	}
}

func TestFactsOfTheInstanceAreGrantedByTheirSubjectAlone(t *testing.T) {
	t.Parallel()
	const removed = "evt.instance.federation.instance.removed.v1"
	if _, err := bus.ParseAccess("x", 1, "x", nil, []string{"federation.instance.removed.v1"}); err == nil || !strings.Contains(err.Error(), "evt.instance.") {
		t.Errorf("by its id: %v", err)
	}
	if a, err := bus.ParseAccess("x", 1, "x", nil, []string{"*"}); err != nil || slices.Contains(a.Subjects(), removed) {
		t.Errorf("with everything of a project: %v %v", a.Subjects(), err)
	}
	e := bustest.Start(t, []string{"knowledge"}, bustest.OverTCP())
	x := grantee(t, e, "watchers", nil, []string{"evt.instance.federation.instance.*", "knowledge.document.indexed.v1"})
	live, err := x.SubscribeSync("evt.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(); err != nil {
		t.Fatal(err)
	}
	sayVersions(e, 2, 1)
	e.Say(&federationv1.InstanceRemoved{InstanceId: "apollo", Version: 3})
	if m, err := live.NextMsg(bustest.Patience); err != nil || m.Subject != removed {
		t.Errorf("live: %+v %v", m, err)
	}
	m, err := x.consumer(t).Next(jetstream.FetchMaxWait(bustest.Patience))
	if err != nil || m.Subject() != removed || !strings.Contains(string(m.Data()), "apollo") {
		t.Errorf("kept: %v %v", m, err)
	}
}
