package trial_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
)

func TestAPassageIsNamedByTheSectionThatItIsOf(t *testing.T) {
	t.Parallel()
	q := trial.Question{ID: "1", Text: "x", Relevant: []trial.Section{
		{Source: "a.md", Heading: "Keys > Sealing"}, {Source: "a.md", Heading: "Small"}, {Source: "b.md"},
	}}
	got := trial.Naming{}.Names(q, []trial.Passage{
		{Source: "a.md", Path: []string{"Guide", "Keys", "Sealing"}, Content: "### Sealing\n\ntext"},
		{Source: "a.md", Path: []string{"Guide", "Keys", "Sealing", "Deeper"}, Content: "below another heading"},
		{Source: "a.md", Path: []string{"Guide", "Doors", "Sealing"}, Content: "another section of that name"},
		{Source: "a.md", Path: []string{"Guide"}, Content: "## `Small`\n\none\n\n## Other\n\ntwo"},
		{Source: "b.md", Path: []string{"Anything"}, Content: "#hashtag"},
		{Source: "c.md", Content: "text"},
	})
	want := []string{"a.md#Keys > Sealing", "a.md#Guide > Keys > Sealing > Deeper", "a.md#Guide > Doors > Sealing", "a.md#Small", "b.md", "c.md"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if qrels := trial.Qrels([]trial.Question{q}); qrels["1"]["a.md#Small"] != 1 || len(qrels["1"]) != 3 {
		t.Errorf("%v", qrels)
	}
}

func TestFilesOfQuestionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{", `{"id":"1","text":"a"}`, `{"id":"1","text":" ","relevant":[{"source":"a"}]}`, `{"id":"1","text":"a","relevant":[{"heading":"a"}]}`,
		`{"id":"1","text":"a","relevant":[{"source":"a"}],"relevent":1}`,
		`{"id":"1","text":"a","relevant":[{"source":"a"}]}` + "\n" + `{"id":"1","text":"b","relevant":[{"source":"a"}]}`,
	} {
		if q, err := trial.ReadQuestions(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read as %v", text, q)
		}
	}
}

func TestAReportComparesWithTheBetterLeg(t *testing.T) {
	t.Parallel()
	q := ireval.Qrels{}
	runs := map[string]ireval.Run{"keyword": {}, "vector": {}}
	for i := range 40 {
		id := fmt.Sprintf("q%d", i)
		q.Add(id, "good", 1)
		runs["keyword"][id], runs["vector"][id] = ireval.Listed([]string{"bad", "good"}), ireval.Listed([]string{"good", "bad"})
	}
	runs["hybrid"] = runs["keyword"]
	r := trial.NewReport(`<"title">`, q)
	for _, s := range []trial.Setting{{Mode: "keyword"}, {Mode: "vector"}, {Mode: "hybrid"}} {
		r.Add(trial.Row{Name: s.Mode, Setting: &s, Tuned: s.Mode == "hybrid"}, runs[s.Mode])
	}
	r.Compare(func(i int) bool { return i < 2 })
	x := r.Rows[2].Against
	if r.Queries != 40 || r.QueriesReport+r.QueriesTuning != 40 || r.Rows[1].Figures["ndcg@10"] != 1 || r.Rows[0].Figures["mrr@10"] != .5 || r.Rows[0].Against != nil {
		t.Errorf("%+v", r)
	}
	if x == nil || x.Name != "vector" || x.Half != "report" || x.Queries != r.QueriesReport || x.Mean >= 0 || x.P > .01 || x.High >= 0 {
		t.Errorf("%+v", x)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := r.Plot(&b); err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	for {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no SVG: %v\n%s", err, b.String())
		}
	}
	if n := strings.Count(b.String(), "<rect x="); n != 3*len(trial.Names)+3 {
		t.Errorf("%d bars and marks", n)
	}
}

func TestQuestionsAreReadInTheFormsThatPeopleHaveThemIn(t *testing.T) {
	t.Parallel()
	const qrels = "1 0 d2 1\n1 0 d1 2\n1 0 d3 0\n9 0 d1 1\n"
	want := `[{"id":"1","text":"what is it","relevant":[{"source":"d1","grade":2},{"source":"d2","grade":1}]}]`
	for name, c := range map[string]struct {
		f         trial.Format
		questions string
	}{
		"lines":    {trial.TREC, "1\twhat is it\n2\tunjudged\n"},
		"topics":   {trial.TREC, "<top>\n<num> Number: 1\n<title> Topic: what\nis it\n<desc> Description:\nignored\n</top>\n\n<top>\n<num>2</num>\n<title>unjudged</title>\n</top>\n"},
		"BEIR":     {trial.BEIR, `{"_id":"1","text":"what is it","metadata":{}}` + "\n" + `{"_id":"2","text":"unjudged"}` + "\n"},
		"with BOM": {trial.TREC, "\ufeff1\twhat is it\n\n2\tunjudged"},
	} {
		got, unjudged, err := trial.Read(c.f, strings.NewReader(c.questions), strings.NewReader(qrels))
		b, merr := json.Marshal(got)
		if err != nil || merr != nil || string(b) != want || unjudged != 1 {
			t.Errorf("%s: %s, %d, %v", name, b, unjudged, err)
		}
		if q := trial.Qrels(got); q["1"]["d1"] != 2 || len(q) != 1 {
			t.Errorf("%s: %v", name, q)
		}
	}
	if got, _, err := trial.Read(trial.Own, strings.NewReader(want[1:len(want)-1]), nil); err != nil || got[0].Relevant[0].Grade != 2 {
		t.Errorf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		f                trial.Format
		questions, qrels string
		judgements       bool
	}{
		"no format":       {"csv", "1\ta", qrels, false},
		"no tab":          {trial.TREC, "1 a", qrels, false},
		"no id":           {trial.TREC, "<top>\n<title> a\n", qrels, false},
		"twice":           {trial.TREC, "1\ta\n1\tb", qrels, false},
		"no JSON":         {trial.BEIR, "{", qrels, false},
		"none judged":     {trial.TREC, "7\ta", qrels, true},
		"bad judgements":  {trial.TREC, "1\ta", "1 0 d1\nx", true},
		"an endless line": {trial.TREC, strings.Repeat("a", 2<<20), qrels, false},
	} {
		if got, _, err := trial.Read(c.f, strings.NewReader(c.questions), strings.NewReader(c.qrels)); err == nil || errors.Is(err, trial.ErrQrels) != c.judgements {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestDocumentsAreCalledAsTheirJudgementsCallThem(t *testing.T) {
	t.Parallel()
	c := &ireval.Collection{Queries: []ireval.Query{{ID: "1", Text: "a"}}, Qrels: ireval.Qrels{"1": {"12": 1, "13": 0}}}
	q := trial.FromBEIR(c)
	n := trial.NamingOf(q)
	if got := n.Names(q[0], []trial.Passage{{Source: "12.txt"}, {Source: "13.txt", Path: []string{"h"}}}); !n.Bare || !slices.Equal(got, []string{"12", "13"}) {
		t.Errorf("%v, %q", n, got)
	}
	q[0].Relevant = append(q[0].Relevant, trial.Section{Source: "a.md"})
	if n = trial.NamingOf(q); n.Bare {
		t.Error("a file's name was taken for an id")
	}
}

func TestWeightsGoFromNothingToAll(t *testing.T) {
	t.Parallel()
	if trial.Weight(0) != 0 || trial.Weight(13) != .65 || trial.Weight(trial.Steps-1) != 1 {
		t.Error(trial.Weight(0), trial.Weight(13), trial.Weight(trial.Steps-1))
	}
	if !trial.Better(.1, .6, .5, .5) || trial.Better(.1, .5, .5, .5) || !trial.Better(.5, .5, .9, .5) {
		t.Error("which weight is taken")
	}
	if got := (trial.Setting{Mode: "hybrid", Rerank: true}).String(); got != "hybrid, re-ranked" {
		t.Error(got)
	}
}
