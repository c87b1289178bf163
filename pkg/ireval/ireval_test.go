package ireval_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/commandcenter/commandcenter/pkg/ireval"
)

func golden(t testing.TB) (ireval.Qrels, ireval.Run) {
	t.Helper()
	qrels, err := os.ReadFile("testdata/qrels.txt")
	if err != nil {
		t.Fatal(err)
	}
	q, err := ireval.ReadQrels(bytes.NewReader(qrels))
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.ReadFile("testdata/run.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := ireval.ReadRun(bytes.NewReader(run))
	if err != nil {
		t.Fatal(err)
	}
	return q, r
}

// testdata/figures.json is what trec_eval says of the two files beside it, by
// pytrec_eval-terrier 0.5.11. They hold graded and negative judgements, ties, and scores
// that differ in double precision only.
func TestFiguresAreThoseOfTrecEval(t *testing.T) {
	t.Parallel()
	q, r := golden(t)
	data, err := os.ReadFile("testdata/figures.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[string]float64
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for query, figures := range want {
		for name, v := range figures {
			m, err := ireval.ParseMeasure(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Of(r.Ranked(query), q[query]); math.Abs(got-v) > 1e-9 || m.String() != name {
				t.Errorf("%s of %s is %v, trec_eval says %v", m, query, got, v)
			}
			compared++
		}
	}
	if compared < 200 {
		t.Errorf("only %d figures were compared", compared)
	}
}

func TestMeansAreOverTheJudgedQueries(t *testing.T) {
	t.Parallel()
	q := ireval.Qrels{"1": {"a": 1}, "2": {"a": 0}, "3": {"z": 1}, "4": {"b": 1}}
	r := ireval.Run{"1": {"a": 1}, "2": {"a": 1}, "4": {"b": 1}}
	f := ireval.Evaluate(q, r, nil, ireval.Measures("ndcg@10", "p@2")...)
	if !slices.Equal(f.Queries, []string{"1", "3", "4"}) || math.Abs(f.Mean("ndcg@10")-2./3) > 1e-12 || math.Abs(f.Mean("p@2")-1./3) > 1e-12 {
		t.Errorf("%+v", f)
	}
	if f = ireval.Evaluate(q, r, func(id string) bool { return id == "1" }, ireval.Measures("map")...); f.Mean("map") != 1 || len(f.Queries) != 1 {
		t.Errorf("%+v", f)
	}
	if f = ireval.Evaluate(nil, r, nil, ireval.Measures("map")...); f.Mean("map") != 0 {
		t.Errorf("%+v", f)
	}
}

func TestWhatIsNoMeasureIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "ndcg@", "ndcg@0", "ndcg@-1", "p", "recall", "err@20", "map@99999", "ndcg@1@2"} {
		if m, err := ireval.ParseMeasure(name); err == nil {
			t.Errorf("%q is %v", name, m)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a program's own mistake goes unnoticed")
		}
	}()
	ireval.Measures("nonsense")
}

func TestADifferenceIsToldFromChance(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	a, same, ahead := make([]float64, 100), make([]float64, 100), make([]float64, 100)
	for i := range a {
		a[i] = rng.Float64()
		same[i], ahead[i] = a[i]+rng.NormFloat64()*.1, a[i]+rng.NormFloat64()*.1+.05
	}
	if d := ireval.Compare(a, ahead, 1); !d.Significant() || d.P > .001 || d.Low <= 0 || d.Low > d.Mean || d.High < d.Mean || d.Better < 50 {
		t.Errorf("ahead: %+v", d)
	}
	if d := ireval.Compare(a, same, 1); d.Significant() || d.Low > 0 || d.High < 0 {
		t.Errorf("alike: %+v", d)
	}
	if d := ireval.Compare(a, a, 1); d.P != 1 || d.Mean != 0 || d.Same != 100 || d.Low != 0 || d.High != 0 {
		t.Errorf("equal: %+v", d)
	}
	if d := ireval.Compare(nil, a, 1); d.Significant() || d.P != 1 {
		t.Errorf("nothing: %+v", d)
	}
	if ireval.Compare(a, same, 7) != ireval.Compare(a, same, 7) {
		t.Error("the same seed draws otherwise")
	}
	if low, high := ireval.Interval(a, 1); low > .5 || high < .5 || low < .3 || high > .7 {
		t.Errorf("[%v, %v] for a hundred numbers around a half", low, high)
	}
	if low, high := ireval.Interval(nil, 1); low != 0 || high != 0 {
		t.Errorf("[%v, %v] for nothing", low, high)
	}
}

// TestTheRandomisationTestIsExactWhereItCanBeCounted: of five differences of one
// sign, 2 of the 32 swaps lie as far apart.
func TestTheRandomisationTestIsExactWhereItCanBeCounted(t *testing.T) {
	t.Parallel()
	d := ireval.Compare(make([]float64, 5), []float64{.1, .2, .3, .1, .2}, 3)
	if math.Abs(d.P-2./32) > .01 {
		t.Errorf("p %v, want about %v", d.P, 2./32)
	}
}

func TestQueriesFallIntoTwoHalves(t *testing.T) {
	t.Parallel()
	n := 0
	for i := range 1000 {
		id := strings.Repeat("q", i%3) + string(rune('0'+i%10)) + string(rune('0'+i/10%10)) + string(rune('0'+i/100))
		if ireval.Tuning.Has(id) == ireval.Report.Has(id) || !ireval.All.Has(id) {
			t.Fatalf("%s is in both halves or none", id)
		}
		if ireval.Tuning.Has(id) {
			n++
		}
	}
	if n < 430 || n > 570 {
		t.Errorf("%d of 1000 in the first half", n)
	}
	if ireval.HalfOf("1") == ireval.HalfOf("2") && ireval.HalfOf("2") == ireval.HalfOf("3") && ireval.HalfOf("3") == ireval.HalfOf("4") && ireval.HalfOf("4") == ireval.HalfOf("5") {
		t.Error("neighbours are all in one half")
	}
}

func TestFilesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	q, r := golden(t)
	var b bytes.Buffer
	if err := ireval.WriteQrels(&b, q); err != nil {
		t.Fatal(err)
	}
	again, err := ireval.ReadQrels(&b)
	if err != nil || len(again) != len(q) || len(again["q1"]) != len(q["q1"]) {
		t.Errorf("%v", err)
	}
	b.Reset()
	if err := ireval.WriteRun(&b, r, "a tag"); err != nil {
		t.Fatal(err)
	}
	run, err := ireval.ReadRun(&b)
	if err != nil {
		t.Fatal(err)
	}
	for query := range r {
		if !slices.Equal(run.Ranked(query), r.Ranked(query)) {
			t.Errorf("%s ranks otherwise", query)
		}
	}
	b.Reset()
	if err := ireval.WriteRun(&b, ireval.Run{"a query": {"a document": 1, " ": 2}}, ""); err != nil || b.String() != "a_query Q0 _ 1 2 _\na_query Q0 a_document 2 1 _\n" {
		t.Errorf("%q %v", b.String(), err)
	}
	if got := (ireval.Run{"q": ireval.Listed([]string{"b", "a", "b", "c"})}).Ranked("q"); !slices.Equal(got, []string{"b", "a", "c"}) {
		t.Errorf("%v", got)
	}
}

func TestAFileThatIsNoneNamesTheLine(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"q 0 d 1\nq 0 d", "q 0 d 1\nq 0 d x", "q 0 d 1\nq 0 d 2", "q 0 d 1\nq 0 e 99999999999"} {
		if _, err := ireval.ReadQrels(strings.NewReader(text)); !errors.Is(err, ireval.ErrLine) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"q Q0 d 1 1 t\nq Q0 d 1 1", "q Q0 d 1 1 t\nq Q0 e 1 x t", "q Q0 d 1 1 t\nq Q0 e 1 NaN t", "q Q0 d 1 1 t\nq Q0 d 2 2 t"} {
		if _, err := ireval.ReadRun(strings.NewReader(text)); !errors.Is(err, ireval.ErrLine) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ireval.ReadRun(strings.NewReader(strings.Repeat("x", ireval.MaxLine+1))); !errors.Is(err, ireval.ErrLine) {
		t.Errorf("an endless line: %v", err)
	}
}

func TestCollectionsOfBEIRAreRead(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"corpus.jsonl":   "{\"_id\":\"1\",\"title\":\"t\",\"text\":\"a\"}\n",
		"queries.jsonl":  "{\"_id\":\"q\",\"text\":\"a\",\"metadata\":{}}\n\n{\"_id\":\"other\",\"text\":\"b\"}\n",
		"qrels/test.tsv": "query-id\tcorpus-id\tscore\nq\t1\t2\n",
	}
	files := func(changed, to string) fstest.MapFS {
		m := fstest.MapFS{}
		for name, text := range good {
			if name == changed {
				text = to
			}
			if text != "" {
				m[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		return m
	}
	c, err := ireval.Load(files("", ""), "")
	if err != nil || len(c.Documents) != 1 || c.Documents[0].Title != "t" || len(c.Queries) != 1 || c.Qrels["q"]["1"] != 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := ireval.Load(files("", ""), "dev"); err == nil {
		t.Error("a split that is not there was read")
	}
	for name := range good {
		for _, bad := range []string{"", "{", "q 1"} {
			if _, err := ireval.Load(files(name, bad), "test"); err == nil || !strings.Contains(err.Error(), name) && bad != "q 1" {
				t.Errorf("%s as %q: %v", name, bad, err)
			}
		}
	}
	for name, bad := range map[string]string{"corpus.jsonl": `{"_id":"1"}` + "\n" + `{"_id":"1"}`, "queries.jsonl": `{"text":"x"}`} {
		if _, err := ireval.Load(files(name, bad), "test"); !errors.Is(err, ireval.ErrLine) {
			t.Errorf("%s as %q: %v", name, bad, err)
		}
	}
}

// FuzzQrels: what is read is written so that it is read the same.
func FuzzQrels(f *testing.F) {
	f.Add([]byte("1 0 d 1\n2 0 d 0\n"))
	f.Add([]byte("query-id\tcorpus-id\tscore\nq\t1\t2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := ireval.ReadQrels(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := ireval.WriteQrels(&b, q); err != nil {
			t.Fatal(err)
		}
		again, err := ireval.ReadQrels(&b)
		if err != nil || len(again) != len(q) {
			t.Fatalf("%d queries, then %d: %v", len(q), len(again), err)
		}
	})
}

// FuzzRun: as above, and figures stay within 0 and 1.
func FuzzRun(f *testing.F) {
	f.Add([]byte("q1 Q0 d1 1 2.5 t\nq1 Q0 d2 2 2.5 t\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ireval.ReadRun(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := ireval.WriteRun(&b, r, "t"); err != nil {
			t.Fatal(err)
		}
		again, err := ireval.ReadRun(&b)
		if err != nil || len(again) != len(r) {
			t.Fatalf("%d queries, then %d: %v", len(r), len(again), err)
		}
		for q := range r {
			if !slices.Equal(r.Ranked(q), again.Ranked(q)) {
				t.Fatalf("%q ranks otherwise", q)
			}
			for _, m := range ireval.Measures("ndcg@10", "ndcg", "recall@3", "p@3", "map", "mrr") {
				if v := m.Of(r.Ranked(q), map[string]int{"d1": 2, "d2": 1}); v < 0 || v > 1 {
					t.Fatalf("%s is %v", m, v)
				}
			}
		}
	})
}
