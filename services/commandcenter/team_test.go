package main_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestATeamPublishesADocumentThatIsFound walks the way of a fact from outside:
// a grant, a schema, a fact over NATS, an event, a search, and the end of it.
func TestATeamPublishesADocumentThatIsFound(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	creds := filepath.Join(t.TempDir(), "docs.creds")
	var granted struct{ Consumer, Credentials string }
	p.must(&granted, "bus", "grant", "docs", "--project", "1", "--publish", "document.published.v1", "--subscribe", "ingestion.fact.accepted.v1",
		"--subscribe", "knowledge.document.indexed.v1", "--out", creds)
	if granted.Credentials != creds || granted.Consumer != "grant-docs" {
		t.Fatalf("granted %+v", granted)
	}
	form := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(form, []byte(`{"type":"object","required":["title","content"],"properties":{"title":{"type":"string"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.must(nil, "bus", "schema", "register", "docs.document.published.v1", form)

	closed := make(chan struct{})
	nc, err := nats.Connect(p.nats, nats.UserCredentials(creds), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const subject = "ext.p1.docs.document.published.v1"
	for _, data := range []string{`{"title":"Runbook","content":"The frobnicator restarts by the green lever."}`, `{"title":3,"content":"x"}`} {
		if m, err := nc.Request(subject, []byte(data), patience); err != nil || !strings.Contains(string(m.Data), `"EXT_p1_docs"`) {
			t.Fatalf("say: %+v %v", m, err)
		}
	}
	js, err := jetstream.NewWithDomain(nc, "commandcenter")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), "EVENTS", granted.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"evt.p1.ingestion.fact.accepted.v1", "evt.p1.knowledge.document.indexed.v1"} {
		m, err := consumer.Next(jetstream.FetchMaxWait(patience))
		if err != nil || m.Subject() != want {
			t.Fatalf("heard %v (%v), want %s", m, err, want)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var found []struct {
		Title    string `json:"title"`
		Category string `json:"category"`
	}
	p.must(&found, "search", "green lever")
	if len(found) != 1 || found[0].Title != "Runbook" || found[0].Category != "docs" {
		t.Errorf("found %+v", found)
	}
	var page struct {
		Events []struct{ Event string } `json:"events"`
	}
	p.must(&page, "bus", "events", "--service", "ingestion")
	if len(page.Events) != 1 || page.Events[0].Event != "ingestion.fact.accepted.v1" {
		t.Errorf("events %+v", page)
	}
	var dead struct {
		Items []struct {
			Seq     json.Number
			Subject string
		}
	}
	owner := p.owner()
	for end := time.Now().Add(patience); len(dead.Items) == 0 && time.Now().Before(end); {
		owner.json("GET", "/api/v1/dead-letters", nil, 200, &dead)
	}
	if len(dead.Items) != 1 || dead.Items[0].Subject != subject {
		t.Fatalf("dead letters %+v", dead)
	}
	owner.json("DELETE", "/api/v1/dead-letters/"+dead.Items[0].Seq.String(), nil, 204, nil)

	p.must(nil, "bus", "revoke", "docs")
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the connection outlives the grant")
	}
}

// TestAGrantEndsWithItsProject: of a project that is not there nothing is granted,
// and of one that is deleted nothing is left.
func TestAGrantEndsWithItsProject(t *testing.T) {
	t.Parallel()
	p := here(t, dataDir(t), "--no-sample")
	creds := filepath.Join(t.TempDir(), "docs.creds")
	grant := func(project string) []string {
		return []string{"bus", "grant", "docs", "--project", project, "--publish", "document.published.v1", "--subscribe", "knowledge.document.indexed.v1", "--out", creds}
	}
	if code, _, errs := p.cc(grant("4711")...); code != 4 || !strings.Contains(errs, "no such project as 4711: there are 1 (") {
		t.Errorf("a project that is not there: exit code %d, %s", code, errs)
	}
	if _, err := os.Stat(creds); err == nil {
		t.Error("credentials were given out")
	}
	owner := p.owner()
	var made struct{ ID json.Number }
	owner.json("POST", "/api/v1/projects", map[string]any{"name": "Short"}, 201, &made)
	p.must(nil, grant(made.ID.String())...)
	closed := make(chan struct{})
	nc, err := nats.Connect(p.nats, nats.UserCredentials(creds), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	owner.json("DELETE", "/api/v1/projects/"+made.ID.String(), nil, 204, nil)
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("the connection outlives the project")
	}
	if again, err := nats.Connect(p.nats, nats.UserCredentials(creds), nats.NoReconnect()); err == nil {
		again.Close()
		t.Error("the credentials outlive the project")
	}
	for end := time.Now().Add(patience); ; { // it is told to the server first, and written down then
		var all []struct {
			RevokedAt *time.Time `json:"revoked_at"`
			Pending   any
		}
		if p.must(&all, "bus", "list"); len(all) == 1 && all[0].RevokedAt != nil && all[0].Pending == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("listed as %+v", all)
		}
	}
	admin, err := nats.Connect(p.nats, nats.UserCredentials(filepath.Join(p.dir, "keys", "admin.creds")))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	js, err := jetstream.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Consumer(t.Context(), "EVENTS", "grant-docs"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("its consumer: %v", err)
	}
}
