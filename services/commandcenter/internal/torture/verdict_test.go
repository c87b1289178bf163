package torture

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// sound is evidence of a run without a fault.
func sound() Evidence {
	all := func(*Said) bool { return true }
	return Evidence{
		Things: []Thing{
			{Kind: Document, Name: "a.md", Done: 2}, {Kind: Document, Name: "b.md", Done: 1, Deleted: true},
			{Kind: Document, Name: "c.md", Unsure: 1}, {Kind: Document, Name: "d.md", Done: 1, DeleteOpen: true},
			{Kind: Project, Name: "p", Done: 1}, {Kind: Fact, Name: "f", Done: 1}, {Kind: Refused, Name: "bad", Done: 1},
		},
		Rows: []Row{{Document, "a.md", 2, "indexed"}, {Document, "c.md", 1, "indexed"}, {Project, "p", 1, ""}, {Fact, "f", 1, ""}},
		Said: []Said{
			{ID: "1", Service: "knowledge", Subject: "evt.p1.knowledge.document.received.v1", Order: 1, Aggregate: "7", Version: 1},
			{ID: "2", Service: "knowledge", Subject: "evt.p1.knowledge.document.received.v1", Order: 2, Aggregate: "7", Version: 2},
			{ID: "3", Service: "knowledge", Subject: "evt.p1.knowledge.document.indexed.v1", Order: 3, Aggregate: "7", Version: 2},
			{ID: "4", Service: "auth", Subject: "evt.p1.auth.project.created.v1", Order: 1, Aggregate: "7", Version: 1},
		},
		Stream:     []string{"1", "4", "2", "1", "3"},
		Readers:    []Reader{{Name: "sse", Heard: []string{"1", "2", "3", "4"}, Wants: all}},
		Dead:       []Dead{{Seq: 1, Consumer: "ingestion-ext", Subject: "ext.p1.docs.document.published.v1", Data: `{"title":3,"url":"bad"}`, Reason: "title"}},
		Referenced: []string{"x"}, Trash: []string{"y"}, Objects: []string{"x", "y", "z"}, Orphans: 1,
	}
}

func TestASoundRunHasNoViolation(t *testing.T) {
	t.Parallel()
	v := Judge(sound())
	if len(v.Violations) != 0 {
		t.Errorf("violations %v", v.Violations)
	}
	if v.Writes != 8 || v.Unsure != 1 || v.Again != 1 || v.InStream != 4 || v.Heard["sse"] != 4 || v.Aggregates != 2 || v.Unreferenced != 1 || len(v.Dead) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestEveryPlantedFaultIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant func(*Evidence)
		want  string
	}{
		"a document is lost":                {func(e *Evidence) { e.Rows = e.Rows[1:] }, "lost: document a.md"},
		"an update is lost":                 {func(e *Evidence) { e.Rows[0].Writes = 1 }, "lost: document a.md has 1"},
		"a deletion is lost":                {func(e *Evidence) { e.Rows = append(e.Rows, Row{Document, "b.md", 1, "indexed"}) }, "lost: the deletion of document b.md"},
		"a project is lost":                 {func(e *Evidence) { e.Rows = slices.Delete(e.Rows, 2, 3) }, "lost: project p"},
		"a fact is lost":                    {func(e *Evidence) { e.Rows = e.Rows[:3] }, "lost: fact f"},
		"a document is there twice":         {func(e *Evidence) { e.Rows = append(e.Rows, e.Rows[0]) }, "twice: document a.md"},
		"an update was done twice":          {func(e *Evidence) { e.Rows[0].Writes = 3 }, "twice: document a.md has 3"},
		"an unsure write was done twice":    {func(e *Evidence) { e.Rows[1].Writes = 2 }, "twice: document c.md"},
		"a row that nobody wrote":           {func(e *Evidence) { e.Rows = append(e.Rows, Row{Document, "ghost", 1, "indexed"}) }, "nobody wrote document ghost"},
		"a job did not end":                 {func(e *Evidence) { e.Rows[0].State = "indexing" }, "unfinished: document a.md"},
		"an event is missing in the stream": {func(e *Evidence) { e.Stream = []string{"1", "4", "3"} }, "EVENTS: missing evt.p1.knowledge.document.received.v1"},
		"a reader misses an event":          {func(e *Evidence) { e.Readers[0].Heard = []string{"1", "2", "3"} }, "sse: missing evt.p1.auth.project.created.v1"},
		"an event of no outbox":             {func(e *Evidence) { e.Stream = append(e.Stream, "9") }, "EVENTS: event 9 is in no outbox"},
		"the stream is out of order":        {func(e *Evidence) { e.Stream = []string{"2", "1", "3", "4"} }, "EVENTS: order of"},
		"a reader hears out of order":       {func(e *Evidence) { e.Readers[0].Heard = []string{"1", "3", "2", "4"} }, "sse: order of"},
		"a version goes back":               {func(e *Evidence) { e.Said[2].Version = 1 }, "order of"},
		"a fact is said twice":              {func(e *Evidence) { e.Said[1].Version = 1 }, "is said twice"},
		"an event waits":                    {func(e *Evidence) { e.Said[0].Waits = true }, "event not published"},
		"an event is parked":                {func(e *Evidence) { e.Said[0].Parked = true }, "event parked"},
		"a reader lost its place":           {func(e *Evidence) { e.Readers[0].Resets = 1 }, "its place is not kept"},
		"a dead letter of a command": {func(e *Evidence) {
			e.Dead = append(e.Dead, Dead{Seq: 2, Subject: "cmd.p1.knowledge.addDocument", Data: `{"x":"bad"}`})
		}, "dead letter 2 is not explained"},
		"a dead letter of a sound fact":        {func(e *Evidence) { e.Dead[0].Data = `{"url":"f"}` }, "dead letter 1 is not explained"},
		"a refused fact vanished":              {func(e *Evidence) { e.Dead = nil }, "lost: the fact bad"},
		"a refused fact is two letters":        {func(e *Evidence) { e.Dead = append(e.Dead, e.Dead[0]) }, "twice: the fact bad"},
		"the bytes of a document are gone":     {func(e *Evidence) { e.Objects = e.Objects[1:] }, "lost: the bytes x"},
		"objects that no broken upload leaves": {func(e *Evidence) { e.Orphans = 0 }, "objects are nobody's"},
		"an answer that no outage explains":    {func(e *Evidence) { e.Strange = []string{"500"} }, "strange answer: 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sound()
			c.plant(&e)
			v := Judge(e)
			if !slices.ContainsFunc(v.Violations, func(s string) bool { return strings.Contains(s, c.want) }) {
				t.Errorf("violations %q, want one with %q", v.Violations, c.want)
			}
		})
	}
}

func TestTheReportTellsCountsAndViolations(t *testing.T) {
	t.Parallel()
	e := sound()
	var b strings.Builder
	r := Report{Seed: 7, Rounds: 3, Took: time.Minute, Kills: map[string]int{"nats": 2, "auth": 1}, Verdict: Judge(e)}
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 rounds", "seed 7", "auth 1, nats 2", "8 writes done", "on purpose", "every promise was kept"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	e.Rows = nil
	r.Verdict, r.Logs = Judge(e), "/logs"
	b.Reset()
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "VIOLATIONS") || !strings.Contains(b.String(), "lost: project p") || !strings.Contains(b.String(), "/logs") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if err := r.Write(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("a pipe that breaks: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
