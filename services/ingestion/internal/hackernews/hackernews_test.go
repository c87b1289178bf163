package hackernews_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/commandcenter/commandcenter/pkg/egress"

	"github.com/commandcenter/commandcenter/services/ingestion/internal/hackernews"
	"github.com/commandcenter/commandcenter/services/ingestion/internal/source"
)

func TestStoriesThatNameAWordAreTakenOnceAndAgainWhenTheTalkDoubles(t *testing.T) {
	t.Parallel()
	points, broken := 100, ""
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("query")+" "+r.URL.Query().Get("numericFilters"))
		switch {
		case broken != "":
			_, _ = w.Write([]byte(broken))
		case r.URL.Path == "/items/1":
			_, _ = w.Write([]byte(`{"children":[{"author":"x","text":"<p>well <i>said</i>","children":[{"author":"y","text":"no","children":[]}]},{"author":null,"text":null}]}`))
		case r.URL.Path == "/items/2":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			_, _ = fmt.Fprintf(w, `{"hits":[{"objectID":"1","title":"NATS <2> is out","url":"https://nats.io/blog","author":"a","points":%d,"num_comments":9,"created_at_i":1700000000},{"objectID":"2","title":"Ask","url":null,"author":"b","points":30,"num_comments":1,"story_text":"why?","created_at_i":1700000000},{"objectID":"x","title":"none"}]}`, points)
		}
	}))
	defer server.Close()
	c := egress.New(egress.Config{Policy: egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	defer c.Close()
	r := &hackernews.Reader{Client: c, API: server.URL + "/", Now: func() time.Time { return time.Unix(1_700_604_801, 0) }}
	x := source.Source{Draft: source.Draft{Kind: source.HackerNews, Config: source.Config{Keywords: []string{"nats", "jetstream"}, MinComments: 1, FullText: true}}}
	marks := map[string]string{}
	var docs []source.Document
	var same, failed []string
	visit := func() error {
		docs, same, failed = nil, nil, nil
		_, err := r.Fetch(t.Context(), source.Visit{
			Source: x, Mark: func(k string) string { return marks[k] }, Tell: func(int, int, string) {}, Failed: func(k string, _ error) { failed = append(failed, k) },
			Same: func(_ context.Context, keys ...string) error { same = append(same, keys...); return nil },
			Take: func(_ context.Context, d source.Document) error {
				docs = append(docs, d)
				marks[d.Key] = d.Mark
				return nil
			},
		})
		return err
	}
	if err := visit(); err != nil || len(docs) != 1 || len(failed) != 1 {
		t.Fatalf("%+v, failed %v, %v", docs, failed, err)
	}
	d := docs[0]
	if text := string(d.Content); d.Place != "news.ycombinator.com/item?id=1" || d.Title != "NATS <2> is out" || !strings.Contains(text, "100 points and 9 comments") || !strings.Contains(text, "well <i>said</i>") || !strings.Contains(text, "<b>y</b>: no") || !strings.Contains(text, "NATS &lt;2&gt;") || d.Published.Year() != 2023 {
		t.Errorf("%+v", d)
	}
	if asked[0] != `"nats" points>=20,num_comments>=1,created_at_i>1700000001` {
		t.Errorf("asked %q", asked[0])
	}
	x.Config.FullText = false
	if err := visit(); err != nil || len(docs) != 2 || !strings.Contains(string(docs[1].Content), "why?") {
		t.Errorf("without the talk: %+v, %v", docs, err)
	}
	points = 110
	if err := visit(); err != nil || len(docs) != 0 || len(same) != 2 {
		t.Errorf("a little more talk: %d, %v", len(docs), err)
	}
	points = 300
	x.Config.MaxItems = 1
	if err := visit(); err != nil || len(docs) != 1 || len(same) != 0 {
		t.Errorf("much more talk: %d, %v, %v", len(docs), same, err)
	}
	broken = "<html>"
	if err := visit(); err == nil {
		t.Error("no JSON: no error")
	}
}
