package foreign_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/foreign"
)

// server speaks as Chroma does: v1 or v2, with a token or without.
type server struct {
	v1          bool
	token       string
	collections map[string][]foreign.Record
	lacks       int // records that count promises and get does not give
	twice       bool
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	root, tenant := "/api/v2", "/tenants/default_tenant/databases/default_database"
	if s.v1 {
		root, tenant = "/api/v1", ""
	}
	rest, ok := strings.CutPrefix(r.URL.Path, root)
	if !ok {
		http.Error(w, `{"error":"not found"}`, http.StatusNotFound)
		return
	}
	if s.token != "" && r.Header.Get("X-Chroma-Token") != s.token {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) } // the client is gone, then
	if rest == "/heartbeat" {
		answer(map[string]int{"nanosecond heartbeat": 1})
		return
	}
	if s.v1 && (r.URL.Query().Get("tenant") != "default_tenant" || r.URL.Query().Get("database") != "default_database") {
		http.Error(w, "no tenant", http.StatusBadRequest)
		return
	}
	rest, ok = strings.CutPrefix(rest, tenant+"/collections")
	if !ok {
		http.Error(w, "no such tenant", http.StatusNotFound)
		return
	}
	if rest == "" {
		list := []map[string]string{}
		if r.URL.Query().Get("offset") == "0" {
			for name := range s.collections {
				list = append(list, map[string]string{"id": "id-" + name, "name": name})
			}
		}
		answer(list)
		return
	}
	name, what, _ := strings.Cut(strings.TrimPrefix(rest, "/id-"), "/")
	records := s.collections[name]
	if what == "count" {
		answer(len(records) + s.lacks)
		return
	}
	var ask struct{ Limit, Offset int }
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || what != "get" {
		http.Error(w, fmt.Sprint(what, err), http.StatusBadRequest)
		return
	}
	from, to := min(ask.Offset, len(records)), min(ask.Offset+ask.Limit, len(records))
	if s.twice {
		from, to = 0, min(ask.Limit, len(records))
	}
	ids, texts, metas := []string{}, []any{}, []any{}
	for _, x := range records[from:to] {
		ids, metas = append(ids, x.ID), append(metas, x.Meta)
		if x.Text == "" {
			texts = append(texts, nil)
		} else {
			texts = append(texts, x.Text)
		}
	}
	answer(map[string]any{"ids": ids, "documents": texts, "metadatas": metas})
}

func many(n int) []foreign.Record {
	out := make([]foreign.Record, n)
	for i := range out {
		out[i] = foreign.Record{ID: fmt.Sprint("r", i), Text: fmt.Sprint("text ", i), Meta: map[string]any{"n": float64(i)}}
	}
	out[n-1].Text, out[n-1].Meta = "", nil
	return out
}

func read(t *testing.T, s *server, c foreign.Chroma) (map[string][]foreign.Record, error) {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c.URL = srv.URL + "/"
	got := map[string][]foreign.Record{}
	err := c.Read(t.Context(), func(string, int) {}, func(b foreign.Base) error {
		got[b.Name] = b.Records
		return nil
	})
	return got, err
}

func TestEveryRecordOfAChromaServerIsRead(t *testing.T) {
	t.Parallel()
	for _, s := range []*server{{}, {v1: true}, {token: "secret"}} {
		s.collections = map[string][]foreign.Record{"notes": many(1203), "empty": {}, "code": many(1)}
		got, err := read(t, s, foreign.Chroma{Token: s.token})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || len(got["notes"]) != 1203 || len(got["code"]) != 1 || len(got["empty"]) != 0 {
			t.Fatalf("v1 %v: %d collections", s.v1, len(got))
		}
		for i, r := range got["notes"][:1202] {
			if r.ID != fmt.Sprint("r", i) || r.Text != fmt.Sprint("text ", i) || r.Meta["n"] != float64(i) {
				t.Fatalf("record %d: %+v", i, r)
			}
		}
		if got, err := read(t, s, foreign.Chroma{Token: s.token, Collections: []string{"code"}}); err != nil || len(got) != 1 {
			t.Errorf("one by its name: %v, %v", got, err)
		}
	}
}

func TestWhatAChromaServerCannotGiveIsSaid(t *testing.T) {
	t.Parallel()
	notes := map[string][]foreign.Record{"notes": many(3)}
	for name, c := range map[string]struct {
		s    *server
		ask  foreign.Chroma
		says string
	}{
		"a token is wanted":   {&server{token: "secret"}, foreign.Chroma{}, "--chroma-token-file"},
		"no such collection":  {&server{collections: notes}, foreign.Chroma{Collections: []string{"other"}}, "notes"},
		"no such tenant":      {&server{collections: notes}, foreign.Chroma{Tenant: "other"}, "404"},
		"records are missing": {&server{collections: notes, lacks: 2}, foreign.Chroma{}, "3 of 5"},
		"records come twice":  {&server{collections: notes, twice: true}, foreign.Chroma{}, "came twice"},
	} {
		if _, err := read(t, c.s, c.ask); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	for _, address := range []string{"", "localhost:8000", "ftp://localhost", "http://"} {
		if err := (foreign.Chroma{URL: address}).Read(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "address") {
			t.Errorf("%q: %v", address, err)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if err := (foreign.Chroma{URL: other.URL}).Read(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "no Chroma server") {
		t.Errorf("another server: %v", err)
	}
}

func TestTheTokenGoesToTheServerThatWasNamedAndNoOther(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("X-Chroma-Token") }))
	defer thief.Close()
	s := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	if err := (foreign.Chroma{URL: s.URL, Token: "secret"}).Read(t.Context(), nil, nil); err == nil {
		t.Error("a redirect was followed")
	}
	if len(asked) > 0 {
		t.Errorf("another server was told %q", <-asked)
	}
}
