package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
)

// member starts an instance of its own name with a settings file, and returns
// where its hub is to be joined, when it says so.
func member(t *testing.T, slug, hub string) (p *product, listens string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("federation:\n  slug: %s\n  interval: 1s\nhub:\n%s", slug, hub)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, cancel, ended := begin(t, dataDir(t), "--config", file, "--no-sample")
	p.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("%s ended with %d:\n%s", slug, code, p.log)
			}
		case <-time.After(patience):
			t.Errorf("%s does not stop", slug)
		}
	})
	t.Cleanup(p.stop)
	if strings.Contains(hub, "listen") {
		e := p.await("started", func(e map[string]any) bool { return e["part"] == "Hub" })
		detail, _ := e["detail"].(string)
		listens, _, _ = strings.Cut(detail, ",")
	}
	p.awaitReady()
	return p, listens
}

// knows waits until the instance lists the others as online.
func (p *product) knows(slugs ...string) {
	p.t.Helper()
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var list struct {
			Instances []struct {
				Slug string `json:"slug"`
				Self bool   `json:"self"`
			} `json:"instances"`
		}
		p.must(&list, "federation", "status", "--status", "online")
		got = nil
		for _, i := range list.Instances {
			if !i.Self {
				got = append(got, i.Slug)
			}
		}
		if slices.Equal(got, slugs) {
			return
		}
		tick := time.NewTimer(100 * time.Millisecond)
		<-tick.C
	}
	p.t.Fatalf("knows %v, want %v\n%s", got, slugs, p.log)
}

func TestInstancesThatJoinAHubListEachOther(t *testing.T) {
	t.Parallel()
	north, addr := member(t, "north", "  listen: 127.0.0.1:0\n")
	creds := filepath.Join(north.dir, "keys", "neighbour.creds")
	south, _ := member(t, "south", fmt.Sprintf("  join: [\"leaf://%s %s\"]\n", addr, creds))
	// The same file lets a plain client in.
	east, _ := member(t, "east", fmt.Sprintf("  join: [\"%s %s\"]\n", north.nats, creds))
	north.knows("east", "south")
	south.knows("east", "north")
	east.knows("north", "south")
	var heard struct{ Subject string }
	if north.must(&heard, "bus", "tail", "hub.presence.south", "--count", "1"); heard.Subject != "hub.presence.south" {
		t.Errorf("tail of the hub: %+v", heard)
	}
	for _, p := range []*product{north, south, east} {
		if strings.Contains(p.log.String(), "collision") || strings.Contains(p.log.String(), "SEED") {
			t.Errorf("the log:\n%s", p.log)
		}
	}
}

func TestDoctorSeesTheLeafConnectionsOfAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	north, addr := member(t, "near", "  listen: 127.0.0.1:0\n")
	join := fmt.Sprintf("leaf://%s %s", addr, filepath.Join(north.dir, "keys", "neighbour.creds"))
	south := apart(t, dataDir(t), "--split", "--no-sample", "--hub-join", join+",leaf://127.0.0.1:1")
	if !slices.ContainsFunc(south.hubs, func(s string) bool { return strings.Contains(s, "joins leaf://"+addr+", leaf://127.0.0.1:1;") }) {
		t.Errorf("up said of the hub %q", south.hubs)
	}
	for want, p := range map[string]*product{"connected to 1 of 2 hubs: " + addr + ", 127.0.0.1:1": south, "1 instance joined here": north} {
		var out string
		for end := time.Now().Add(patience); !strings.Contains(out, want) && time.Now().Before(end); {
			_, out, _ = p.cc("doctor") // the connection may still be made
		}
		if !strings.Contains(out, want) || strings.Contains(out, "! leaf connections") != (p == south) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestAHubThatCannotBeJoinedIsAnErrorBeforeTheStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ join, want string }{
		{"leaf://hub.example.org:7422", "without TLS"},
		{"leaf+tls://somebody:hush@hub.example.org", "in a file"},
		{"leaf://127.0.0.1:1 /nowhere/creds", "/nowhere/creds"},
	} {
		code, _, errs := run(t, upArgs(dataDir(t), "--hub-join", c.join)...)
		if code == 0 || !strings.Contains(errs, c.want) || strings.Contains(errs, "hush") {
			t.Errorf("%s: %d, %s", c.join, code, errs)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var help strings.Builder
	if code := cli.Run(ctx, []string{"up", "--help"}, cli.Streams{In: strings.NewReader(""), Out: &help, Err: &help}); code != 0 || !strings.Contains(help.String(), "--hub-join") || !strings.Contains(help.String(), "$CC_HUB_JOIN") {
		t.Errorf("help %d:\n%s", code, help.String())
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	code, _, errs := run(t, "config", "init", "--config", file)
	text, err := os.ReadFile(file)
	if code != 0 || err != nil || !strings.Contains(string(text), "#hub:") || !strings.Contains(string(text), "neighbour.creds") || !strings.Contains(string(text), "leaf+tls://host:7422") {
		t.Errorf("config init: %d %s %v\n%s", code, errs, err, text)
	}
}

// Two products, each with its own database, bus and people.
func TestAProjectSharedWithAnInstanceIsFoundFromThere(t *testing.T) {
	t.Parallel()
	north, addr := member(t, "north", "  listen: 127.0.0.1:0\n")
	creds := filepath.Join(north.dir, "keys", "neighbour.creds")
	file := filepath.Join(t.TempDir(), "config.yaml")
	if code, _, errs := run(t, "federation", "join", "leaf://127.0.0.1:1", "--creds", creds, "--within", "300ms", "--config", file); code != 5 || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("nobody is there: %d %s", code, errs)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a hub that cannot be joined was written down")
	}
	for _, url := range []string{"leaf://" + addr, north.nats} {
		if code, out, errs := run(t, "federation", "join", url, "--creds", creds, "--config", file); code != 0 || !strings.Contains(errs, "commandcenter up") {
			t.Fatalf("join %s: %d %s%s", url, code, out, errs)
		}
	}
	code, out, _ := run(t, "config", "get", "hub.join", "--config", file)
	if code != 0 || !strings.Contains(out, "leaf://"+addr+" "+creds) || !strings.Contains(out, north.nats) {
		t.Fatalf("hub.join: %d %s", code, out)
	}
	if code, _, errs := run(t, "federation", "join", "leaf://"+addr, "--creds", creds, "--config", file, "--data-dir", north.dir); code != 6 || !strings.Contains(errs, "join its own hub") {
		t.Errorf("an instance that joins itself: %d %s", code, errs)
	}
	// Without its own credentials, and whatever its settings say of where it listens.
	for _, url := range []string{"leaf://" + addr, north.nats} {
		if code, _, errs := run(t, "federation", "join", url, "--config", file, "--data-dir", north.dir); code != 6 || !strings.Contains(errs, "this instance itself answers") {
			t.Errorf("an instance that joins %s, which is itself: %d %s", url, code, errs)
		}
	}
	if code, _, errs := run(t, "federation", "leave", "leaf://127.0.0.1:1", "--config", file); code != 4 || !strings.Contains(errs, addr) {
		t.Errorf("a hub that was never joined: %d %s", code, errs)
	}
	if code, out, errs := run(t, "federation", "leave", north.nats, "--config", file); code != 0 || !strings.Contains(out, "no more in hub.join") || !strings.Contains(errs, "restart") {
		t.Errorf("leave: %d %s%s", code, out, errs)
	}
	if _, out, _ := run(t, "config", "get", "hub.join", "--config", file); !strings.Contains(out, "leaf://"+addr) || strings.Contains(out, north.nats) {
		t.Errorf("after leaving one: %s", out)
	}
	south, _ := member(t, "south", fmt.Sprintf("  join: [\"leaf://%s %s\"]\n", addr, creds))
	north.knows("south")
	south.knows("north")
	contentType, body := form(t, "landing.md", "# Landing\n\nIn fog the horn is blown twice before the landing.\n", "category", "x")
	if status, _, answer, err := south.owner().do("POST", "/api/v1/knowledge/documents", contentType, body); err != nil || status != 201 {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	type answer struct {
		Summary string `json:"summary"`
		Results []struct {
			Instance string `json:"instance"`
			Project  string `json:"project"`
			Content  string `json:"content"`
		} `json:"results"`
		Instances []struct {
			Instance string `json:"instance"`
			Reason   string `json:"reason"`
		} `json:"instances"`
	}
	var a answer
	north.must(&a, "federation", "search", "fog horn")
	if a.Summary != "2 of 2" || len(a.Results) != 0 || len(a.Instances) != 2 || !strings.Contains(a.Instances[1].Reason, "shares no project") {
		t.Errorf("before it is shared: %+v", a)
	}
	var ignored any
	south.must(&ignored, "federation", "share", "north", "--name", "Handbook")
	a = answer{}
	north.must(&a, "federation", "search", "fog horn")
	if a.Summary != "2 of 2" || len(a.Results) != 1 || a.Results[0].Instance != "south" || a.Results[0].Project != "Handbook" || !strings.Contains(a.Results[0].Content, "blown twice") {
		t.Errorf("after it is shared: %+v", a)
	}
	a = answer{}
	south.must(&a, "federation", "search", "fog horn")
	if len(a.Results) != 1 || a.Results[0].Instance != "south" {
		t.Errorf("from where it is: %+v", a)
	}
	var registered struct {
		APIKey string `json:"api_key"`
	}
	north.must(&registered, "federation", "register", "ghost")
	a = answer{}
	if north.must(&a, "federation", "search", "fog horn"); a.Summary != "2 of 2" {
		t.Errorf("with one that is not there: %+v", a)
	}
	south.stop()
	a = answer{}
	if north.must(&a, "federation", "search", "fog horn", "--within", "1s"); a.Summary != "1 of 2" || len(a.Results) != 0 {
		t.Errorf("after it stopped: %+v", a)
	}
}
