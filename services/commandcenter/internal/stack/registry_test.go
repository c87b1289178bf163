package stack

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/pg/pgtest"
	"github.com/commandcenter/commandcenter/pkg/secret"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	events "github.com/commandcenter/commandcenter/proto-events"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/datadir"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/settings"
	"github.com/commandcenter/commandcenter/services/federation"
)

// TestEveryOperationOfTheContractHasItsHandlerAndNoHandlerLacksAnOperation
// builds each service as a process does and compares what it answers with what
// the contract says that it should.
func TestEveryOperationOfTheContractHasItsHandlerAndNoHandlerLacksAnOperation(t *testing.T) {
	t.Parallel()
	ops, err := Operations()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, op := range ops {
		if op.Delivery != "live" || op.Service == "gateway" { // the edge follows the job of another itself
			want[op.Service] = append(want[op.Service], op.ID)
		}
	}
	dbs := pgtest.NewAll(t, Schemas()...)
	env := bustest.Start(t, Names(), bustest.WithHub(federation.Presence, hubServices()...))
	for _, s := range services() {
		conf := settings.Default()
		conf.Secrets.Keys = keys(t)
		conf.Federation.Slug = "us"
		b := built{bus: env.Bus(s.name), env: &Env{
			Config: conf, Dir: datadir.At(t.TempDir()), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Secret: make([]byte, 32),
		}}
		b.db = dbs[s.name]
		if s.hub {
			if b.hub, err = bus.ConnectHub(t.Context(), env.HubConfig(s.name)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.hub.Close)
		}
		m, err := s.build(b)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		var got []string
		for _, op := range m.Operations {
			if !isCall(s.name, op) {
				got = append(got, op)
			}
		}
		slices.Sort(got)
		slices.Sort(want[s.name])
		if !slices.Equal(got, want[s.name]) {
			t.Errorf("%s answers %v\nthe contract says %v", s.name, got, want[s.name])
		}
		delete(want, s.name)
	}
	for name, ops := range want {
		t.Errorf("no service %s for %v", name, ops)
	}
}

func isCall(service, op string) bool {
	return slices.ContainsFunc(events.Calls(), func(c events.CallDescription) bool {
		return (c.Service == service || c.Service == events.Any) && c.Call == op
	})
}

func TestConsumersAndFollowersOfTheCatalogueAreServices(t *testing.T) {
	t.Parallel()
	for _, d := range events.Catalogue() {
		for _, name := range append(slices.Clone(d.Consumers), d.Followers...) {
			if !slices.Contains(Names(), name) {
				t.Errorf("%s is for %s, which is no service", d.ID(), name)
			}
		}
	}
}

func TestAServiceMaySayAndHearWhatItsContractsDeclareAndNothingElse(t *testing.T) {
	t.Parallel()
	users, err := Users("us", settings.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.Name == bus.HubUser("federation") && (!slices.Contains(u.Pub, "hub.presence.us") || slices.Contains(u.Pub, "hub.presence.*")) {
			t.Errorf("%s may say %v, want its own presence alone", u.Name, u.Pub)
		}
		for _, s := range append(slices.Clone(u.Pub), u.Sub...) {
			if s == ">" || strings.HasPrefix(s, "evt.>") || strings.HasPrefix(s, "$JS.API.>") || strings.HasPrefix(s, "_INBOX.") ||
				strings.HasPrefix(s, "$JS.API.STREAM.CREATE") || strings.HasPrefix(s, "$JS.API.CONSUMER.DURABLE") {
				t.Errorf("%s may use %s", u.Name, s)
			}
		}
		for _, other := range Names() {
			if other == u.Name || u.Name == "gateway" {
				continue
			}
			for _, s := range u.Pub {
				if strings.HasPrefix(s, "evt.*."+other+".") {
					t.Errorf("%s may speak for %s: %s", u.Name, other, s)
				}
				if strings.HasPrefix(s, "cmd.*."+other+".") {
					t.Errorf("%s may command %s: %s", u.Name, other, s)
				}
			}
		}
	}
}

// TestARealServerHoldsTheServicesToTheirContracts asks for what nobody may.
func TestARealServerHoldsTheServicesToTheirContracts(t *testing.T) {
	t.Parallel()
	opts := []bustest.Option{}
	for _, s := range services() {
		c, err := s.contract()
		if err != nil {
			t.Fatal(err)
		}
		opts = append(opts, bustest.WithContract(s.name, c))
	}
	env := bustest.Start(t, Names(), opts...)
	refused := make(chan string, 8)
	nc := env.Bus("knowledge").Conn()
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() })
	for _, subject := range []string{"evt.p1.auth.user.registered.v1", "cmd.p1.auth.deleteProject", "req.p1.auth.login", "hub.presence.x"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := <-refused; !strings.Contains(got, subject) {
			t.Errorf("%s: %s", subject, got)
		}
	}
	sub, err := nc.SubscribeSync("rsp.gateway.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := <-refused; !strings.Contains(got, "rsp.gateway") {
		t.Errorf("the answers of another: %s", got)
	}
	_ = sub.Unsubscribe() // it was refused
}

func TestRolesAreServicesAndWhatTheyStandOn(t *testing.T) {
	t.Parallel()
	if got := Roles(); got[0] != RoleNATS || got[1] != RolePostgres || len(got) != 2+len(Names()) {
		t.Errorf("roles %v", got)
	}
	if _, err := find("nobody"); err == nil {
		t.Error("a service that is not there was found")
	}
	if l := Locks([]string{"auth"}, settings.Default()); len(l) != 0 {
		t.Errorf("locks of auth %v", l)
	}
	c := settings.Default()
	if l := Locks(Roles(), c); len(l) != 2 {
		t.Errorf("locks of everything %v", l)
	}
	alone := Locks([]string{RoleNATS}, c)
	if c.Cluster.Name = "n1"; slices.Equal(Locks([]string{RoleNATS}, c), alone) {
		t.Errorf("a member has the lock of a server alone, %v", alone)
	}
}

func TestACommandThatWaitedIsJudgedByTheRightsOfNow(t *testing.T) {
	t.Parallel()
	id := tenant.Identity{Project: 7, Principal: "user:1", UserID: 1, Role: tenant.Owner}
	good := &authv1.ResolveAccessResponse{UserId: 1, Email: "new@example.org", Active: true, ProjectId: 7, Role: "member"}
	now, err := judge(id, good, permissionOf("addDocument"))
	if err != nil || now.Role != tenant.Member || now.Email != "new@example.org" {
		t.Fatalf("%+v %v", now, err)
	}
	for name, c := range map[string]struct {
		edit func(r *authv1.ResolveAccessResponse)
		op   string
		want errs.Kind
	}{
		"switched off":    {func(r *authv1.ResolveAccessResponse) { r.Active = false }, "addDocument", errs.Forbidden},
		"no member":       {func(r *authv1.ResolveAccessResponse) { r.ProjectId = 0 }, "addDocument", errs.NotFound},
		"a viewer now":    {func(r *authv1.ResolveAccessResponse) { r.Role = "viewer" }, "addDocument", errs.Forbidden},
		"too little":      {func(*authv1.ResolveAccessResponse) {}, "deleteProject", errs.Forbidden},
		"nobody knows it": {func(*authv1.ResolveAccessResponse) {}, "noSuchOperation", errs.Forbidden},
	} {
		r := &authv1.ResolveAccessResponse{UserId: 1, Active: true, ProjectId: 7, Role: "member"}
		c.edit(r)
		if _, err := judge(id, r, permissionOf(c.op)); errs.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	id.Project = tenant.Instance
	if _, err := judge(id, &authv1.ResolveAccessResponse{Active: true}, permissionOf("createProject")); err != nil {
		t.Errorf("without a project: %v", err)
	}
	service := tenant.Identity{Principal: "service:auth"}
	if got, err := recheck(t.Context(), nil, service, "x"); err != nil || got != service {
		t.Errorf("a service: %+v %v", got, err)
	}
}

func TestOnlyWhatIsAllowedCrossesTheBorderOfTheHub(t *testing.T) {
	t.Parallel()
	c := settings.Default()
	for _, w := range []struct {
		search bool
		allow  []string
		want   []string
	}{
		{true, nil, []string{"hub.answer.>", "hub.ask.*", "hub.presence.>"}},
		{false, nil, []string{"hub.presence.>"}},
		{false, []string{"hub.north.project.>"}, []string{"hub.north.project.>", "hub.presence.>"}},
	} {
		c.Federation.Search, c.Hub.Allow = w.search, w.allow
		users, err := Users("us", c)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if u.Name != bus.NeighbourUser {
				continue
			}
			slices.Sort(u.Pub)
			slices.Sort(u.Sub)
			if !slices.Equal(u.Pub, w.want) || !slices.Equal(u.Sub, w.want) {
				t.Errorf("search %v: a neighbour may say %v and hear %v, want %v", w.search, u.Pub, u.Sub, w.want)
			}
		}
	}
}

func keys(t *testing.T) string {
	t.Helper()
	text, err := secret.NewKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
