package federation_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/bus/bustest"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/natsd"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/federation"
)

// knows makes a knowledge service of the instance that finds one passage in
// every project.
func (w *world) knows(slug string, score float64) {
	w.Helper()
	s := bus.NewServer(w.env.Bus("knowledge"), bus.ServerConfig{Service: "knowledge"})
	bus.Internal(s, "searchProject", func(_ context.Context, r *knowledgev1.SearchProjectRequest) (*knowledgev1.SearchProjectResponse, error) {
		return &knowledgev1.SearchProjectResponse{Passages: []*knowledgev1.Passage{{
			Title: fmt.Sprintf("%s %d", slug, r.GetProjectId()), Content: "the secret of " + slug, Category: r.GetCategory(), Score: score, HeadingPath: []string{r.GetQuery()},
		}}}, nil
	})
	w.env.Run(s)
}

type answer struct {
	Summary string `json:"summary"`
	Results []struct {
		Instance string   `json:"instance"`
		Project  string   `json:"project"`
		Title    string   `json:"title"`
		Content  string   `json:"content"`
		Path     []string `json:"heading_path"`
	} `json:"results"`
	Instances []struct {
		Instance string `json:"instance"`
		Answered bool   `json:"answered"`
		Reason   string `json:"reason"`
	} `json:"instances"`
}

// reasons are why instances have not answered, or with nothing.
func (a answer) reasons() map[string]string {
	out := map[string]string{}
	for _, i := range a.Instances {
		out[i.Instance] = i.Reason
	}
	return out
}

func (a answer) found() string {
	var out []string
	for _, r := range a.Results {
		out = append(out, r.Instance+"/"+r.Project)
	}
	return strings.Join(out, " ")
}

func TestASearchAsksOtherInstancesForWhatTheyShare(t *testing.T) {
	t.Parallel()
	north := hub(t, "north", natsd.Config{LeafAddr: "127.0.0.1:0"})
	addr, err := north.LeafAddr()
	if err != nil {
		t.Fatal(err)
	}
	join := natsd.Config{Remotes: []natsd.Remote{{Addr: addr, Credentials: north.Trust.CredsFile(bus.NeighbourUser), Deny: bus.HubPrivate(federation.Name)}}}
	westHub := hub(t, "west", join)
	n, s, w := instance(t, north, "north"), instance(t, hub(t, "south", join), "south"), instance(t, westHub, "west")
	for i, slug := range map[*world]string{n: "north", s: "south", w: "west"} {
		i.knows(slug, map[string]float64{"north": 0.5, "south": 0.9, "west": 0.1}[slug])
	}
	n.sees("south")
	n.sees("west")
	s.sees("north")
	w.sees("north")
	n.must("registerInstance", root, `{"body":{"slug":"ghost"}}`, nil)

	// The third instance hears what the other two say to each other.
	var mu sync.Mutex
	var overheard []string
	if _, err := as(t, westHub, natsd.UserHubAdmin).Subscribe("hub.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		overheard = append(overheard, m.Subject+" "+string(m.Data))
	}); err != nil {
		t.Fatal(err)
	}
	reader := bustest.Person(7, 1, tenant.Viewer)
	search := func(body string) (a answer) {
		t.Helper()
		n.must("searchFederation", reader, `{"body":{"query":"how to land",`+body+`}}`, &a)
		return a
	}
	a := search(`"limit":5`)
	if a.Summary != "3 of 3" || a.found() != "north/project-1" {
		t.Errorf("nothing is shared: %+v", a)
	}
	if r := a.reasons(); r["south"] != "it shares no project with this instance" || r["ghost"] != "it was never heard" || r["north"] != "" {
		t.Errorf("%v", r)
	}
	owner := bustest.Person(8, 42, tenant.Admin)
	s.refused(errs.NotFound, "shareProject", owner, `{"body":{"instance":"nobody"}}`)
	s.refused(errs.Conflict, "shareProject", owner, `{"body":{"instance":"south"}}`)
	n.refused(errs.Conflict, "shareProject", owner, `{"body":{"instance":"ghost"}}`) // nobody could tell it from others
	s.must("shareProject", owner, `{"body":{"instance":"north","name":"Handbook"}}`, nil)
	var shares []map[string]any
	if s.must("listShares", owner, `{}`, &shares); len(shares) != 1 || shares[0]["instance"] != "north" || shares[0]["name"] != "Handbook" {
		t.Errorf("shares %v", shares)
	}
	if s.must("listShares", bustest.Person(8, 43, tenant.Admin), `{}`, &shares); len(shares) != 0 {
		t.Errorf("another project sees %v", shares)
	}
	a = search(`"category":"flight"`)
	if a.Summary != "3 of 3" || a.found() != "north/project-1 south/Handbook" {
		t.Fatalf("%+v", a)
	}
	if r := a.Results[1]; r.Title != "south 42" || r.Content != "the secret of south" || r.Path[0] != "how to land" {
		t.Errorf("%+v", r)
	}
	if a := search(`"instances":["west"]`); a.Summary != "1 of 1" || len(a.Results) != 0 {
		t.Errorf("those that were named: %+v", a)
	}
	if a := search(`"limit":1`); a.found() != "north/project-1" {
		t.Errorf("the best: %+v", a)
	}
	var b answer
	w.must("searchFederation", reader, `{"body":{"query":"how to land"}}`, &b)
	if strings.Contains(b.found(), "south") {
		t.Errorf("it is shared with north alone: %+v", b)
	}
	w.eventually("it hears the others", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(strings.Join(overheard, "\n"), "hub.answer.north.")
	})
	mu.Lock()
	if all := strings.Join(overheard, "\n"); strings.Contains(all, "land") || strings.Contains(all, "secret of south") || strings.Contains(all, "Handbook") {
		t.Error("what is said between two can be read by a third")
	}
	mu.Unlock()
	s.must("unshareProject", owner, `{"slug":"north"}`, nil)
	s.refused(errs.NotFound, "unshareProject", owner, `{"slug":"north"}`)
	if a := search(`"limit":5`); a.found() != "north/project-1" {
		t.Errorf("it is shared no more: %+v", a)
	}
	// Who leaves the catalog is not answered, and takes the shares along.
	s.must("shareProject", owner, `{"body":{"instance":"north"}}`, nil)
	s.must("removeInstance", root, `{"slug":"north"}`, nil)
	if s.must("listShares", owner, `{}`, &shares); len(shares) != 0 {
		t.Errorf("shares %v", shares)
	}
}

func TestADeletedProjectIsSharedNoMore(t *testing.T) {
	t.Parallel()
	north := hub(t, "north", natsd.Config{LeafAddr: "127.0.0.1:0"})
	addr, err := north.LeafAddr()
	if err != nil {
		t.Fatal(err)
	}
	join := natsd.Config{Remotes: []natsd.Remote{{Addr: addr, Credentials: north.Trust.CredsFile(bus.NeighbourUser), Deny: bus.HubPrivate(federation.Name)}}}
	n, s := instance(t, north, "north"), instance(t, hub(t, "south", join), "south")
	s.sees("north")
	n.sees("south")
	owner := bustest.Person(8, 42, tenant.Admin)
	s.must("shareProject", owner, `{"body":{"instance":"north"}}`, nil)
	purged := make(chan string, 1)
	if _, err := s.env.Bus("watcher").Conn().Subscribe("evt.p42.federation.project.purged.v1", func(m *nats.Msg) { purged <- string(m.Data) }); err != nil {
		t.Fatal(err)
	}
	s.env.Say(&authv1.ProjectDeleting{ProjectId: 42, Version: 3})
	if got := bustest.Await(s.env, purged); !strings.Contains(got, `"federation"`) {
		t.Errorf("%s", got)
	}
	var shares []map[string]any
	if s.must("listShares", owner, `{}`, &shares); len(shares) != 0 {
		t.Errorf("shares %v", shares)
	}
}
