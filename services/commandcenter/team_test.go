package main_test

import (
	"encoding/json"
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
		if m, err := nc.Request(subject, []byte(data), patience); err != nil || !strings.Contains(string(m.Data), `"EXT"`) {
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
