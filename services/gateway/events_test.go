package gateway_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	authv1 "github.com/commandcenter/commandcenter/proto-events/auth/v1"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
)

// page is a page of history.
type page struct {
	Events []struct {
		Event, Position string
		Aggregate       string `json:"aggregate_id"`
		RecordedAt      string `json:"recorded_at"`
		Data            struct{ Version int32 }
	}
	Next     *string `json:"next_cursor"`
	Position string
}

func (w *world) history(query, user string) page {
	w.t.Helper()
	got := w.call("GET", "/api/v1/events"+query, "", map[string]string{"Authorization": "Bearer " + w.token(user, "s1")})
	var p page
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 {
		w.t.Fatalf("%s: %d %s", query, got.status, got.body)
	}
	return p
}

func (w *world) indexed(project, version int32, id string) {
	w.Say(&knowledgev1.DocumentIndexed{ProjectId: project, DocumentId: id, Version: version})
}

func TestHistoryShowsAProjectPageByPageAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for v := int32(1); v <= 7; v++ {
		w.indexed(1, v, "7")
		w.indexed(2, 100+v, "7")
		w.Say(&knowledgev1.DocumentDeleted{ProjectId: 1, DocumentId: "8", Version: v})
		w.Say(&authv1.MembershipChanged{ProjectId: 1, MembershipId: "1:9", Version: v, UserId: 9})
	}
	var seen []int32
	query := "?limit=3&service=knowledge&fact=indexed"
	for next := ""; ; {
		p := w.history(query+next, "2")
		for _, e := range p.Events {
			seen = append(seen, e.Data.Version)
		}
		if p.Next == nil {
			break
		}
		next = "&cursor=" + url.QueryEscape(*p.Next)
	}
	if want := []int32{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
	if p := w.history("?aggregate_id=8", "2"); len(p.Events) != 7 || p.Next != nil {
		t.Errorf("of one document: %d", len(p.Events))
	}
	all := w.history("", "2")
	if len(all.Events) != 14 {
		t.Errorf("what a viewer may see: %d events", len(all.Events))
	}
	if p := w.history("?internal=true", "1"); len(p.Events) != 21 {
		t.Errorf("what the owner may see: %d events", len(p.Events))
	}
	if p := w.history("?after="+all.Events[12].Position, "2"); len(p.Events) != 1 {
		t.Errorf("after the last but one: %d events", len(p.Events))
	}
	if p := w.history("?since=2999-01-01T00:00:00Z", "2"); len(p.Events) != 0 {
		t.Errorf("of the future: %d", len(p.Events))
	}
	if p := w.history("?until=2001-01-01T00:00:00Z", "2"); len(p.Events) != 0 {
		t.Errorf("of the past: %d", len(p.Events))
	}
	// What is later than until is behind the place that is told.
	third := all.Events[2]
	early := w.history("?until="+third.RecordedAt, "2")
	n := len(early.Events)
	if n < 3 || n > 13 {
		t.Fatalf("until the third: %d events", n)
	}
	if p := w.history("?after="+early.Position, "2"); len(p.Events) != 14-n || p.Events[0].Position != all.Events[n].Position {
		t.Errorf("after what was until the third: %d events", len(p.Events))
	}
	h := map[string]string{"Authorization": "Bearer " + w.token("2", "s1")}
	first := w.history("?limit=1", "2")
	for query, status := range map[string]int{
		"?internal=true": 403, "?cursor=x": 422, "?cursor=" + *first.Next + "&fact=indexed": 422, "?after=x": 422, "?limit=0": 422, "?service=a.b": 422, "?nuon=document": 422, "?after=12-1": 409,
	} {
		if got := w.call("GET", "/api/v1/events"+query, "", h); got.status != status {
			t.Errorf("%s: %d, want %d: %s", query, got.status, status, got.body)
		}
	}
	h["X-Project-ID"] = "2"
	if got := w.call("GET", "/api/v1/events", "", h); got.status != 403 {
		t.Errorf("another project: %d %s", got.status, got.body)
	}
}

func TestTheStreamGoesOnWhereHistoryEndsUntilTheSessionIsRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.indexed(1, 1, "7")
	p := w.history("", "2")
	w.indexed(1, 2, "7")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.address+"/api/v1/events/stream?after="+p.Position, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token("2", "s2"))
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() // read to its end
	lines := bufio.NewScanner(res.Body)
	next := func(prefix string) string {
		for lines.Scan() {
			if got, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return got
			}
		}
		return ""
	}
	for _, want := range []string{`"version":2,`, `"version":3,`} {
		if got := next("data: "); !strings.Contains(got, want) {
			t.Fatalf("%q, want %s", got, want)
		}
		w.indexed(1, 3, "7")
	}
	w.mu.Lock()
	w.revoked["s2"] = true
	w.mu.Unlock()
	w.Say(&authv1.SessionRevoked{SessionId: "s2", Version: 1, UserId: 2})
	if got := next("event: "); got != "closed" {
		t.Errorf("event %q, want closed", got)
	}
	if got := next("data: {\"id\""); got != "" {
		t.Errorf("and then %s", got)
	}
}
