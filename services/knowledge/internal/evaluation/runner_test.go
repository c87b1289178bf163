package evaluation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// desk keeps evaluations in memory, and answers questions: each is about the
// document of its name, which words find second, meaning first, and both together
// first at one weight alone.
type desk struct {
	e         evaluation.Evaluation
	questions []trial.Question
	answers   map[int][]evaluation.Answered
	figures   [][]evaluation.Answered
	failed    string
	asked     int
	tuned     map[string]bool // questions that were asked in tuning
	mode      index.Mode      // that searches fall back to; "" is as asked
	unranked  string
	err       error
	gone      bool
}

func newDesk(settings ...trial.Setting) *desk {
	d := &desk{answers: map[int][]evaluation.Answered{}, tuned: map[string]bool{}}
	for i := range 40 {
		q := trial.Question{ID: fmt.Sprintf("q%d", i), Text: fmt.Sprintf("doc%d", i)}
		q.Relevant = []trial.Section{{Source: q.Text}}
		d.questions = append(d.questions, q)
	}
	d.e = evaluation.Evaluation{ID: 7, Project: 1, SetName: "set", Settings: settings, State: evaluation.Queued}
	return d
}

func (d *desk) Search(_ context.Context, _ tenant.Project, q search.Query) (search.Answer, error) {
	if d.err != nil {
		return search.Answer{}, d.err
	}
	d.asked++
	a := search.Answer{Mode: q.Mode, Generation: 3, Model: "m", Unranked: d.unranked}
	if d.mode != "" {
		a.Mode, a.Reason = d.mode, "no model"
	}
	good, bad := search.Found{Passage: search.Passage{Source: q.Text + ".txt"}}, search.Found{Passage: search.Passage{Source: "other.txt"}}
	if q.Mode == index.Keyword || q.Mode == index.Hybrid && *q.Alpha != .65 {
		good, bad = bad, good
	}
	a.Found = []search.Found{good, good, bad}
	if q.Mode == index.Hybrid && *q.Alpha != .5 && *q.Alpha != .65 {
		d.tuned[q.Text] = true
	}
	return a, nil
}

func (d *desk) Open(context.Context, tenant.Project, int64) (evaluation.Evaluation, []trial.Question, error) {
	if d.gone {
		return evaluation.Evaluation{}, nil, evaluation.ErrNone
	}
	return d.e, d.questions, nil
}

func (d *desk) Answers(_ context.Context, _ tenant.Project, _ int64, row int) ([]evaluation.Answered, error) {
	return slices.Clone(d.answers[row]), nil
}

func (d *desk) Answered(_ context.Context, e evaluation.Evaluation, row int, more []evaluation.Answered) error {
	if d.gone {
		return evaluation.ErrGone
	}
	d.e.Asked, d.answers[row] = e.Asked, append(d.answers[row], more...)
	return nil
}

func (d *desk) Tried(_ context.Context, e evaluation.Evaluation) error {
	d.e.Asked, d.e.Curve = e.Asked, slices.Clone(e.Curve)
	return nil
}

func (d *desk) Finish(_ context.Context, e evaluation.Evaluation, figures [][]evaluation.Answered) error {
	d.e, d.figures = e, figures
	return nil
}

func (d *desk) Fail(_ context.Context, _ tenant.Project, _ int64, why string) error {
	d.failed = why
	return nil
}

func weight(v float64) *float64 { return &v }

func all() []trial.Setting {
	return []trial.Setting{{Mode: "keyword"}, {Mode: "vector"}, {Mode: "hybrid", Alpha: weight(.5), Fusion: "convex"}}
}

func TestAnEvaluationAsksEveryWayAndTunesOnOneHalf(t *testing.T) {
	t.Parallel()
	d := newDesk(all()...)
	d.e.Tune = true
	r := evaluation.NewRunner(d, d)
	told := 0
	if err := r.Run(t.Context(), 1, 7, func(_ context.Context, asked, total int) error {
		if asked <= told || asked > total {
			t.Errorf("%d after %d of %d", asked, told, total)
		}
		told = asked
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	e := d.e
	if e.State != evaluation.Done || e.Asked != e.Total || e.Total != d.asked || e.Model != "m" || e.Generation != 3 || len(e.Curve) != trial.Steps {
		t.Errorf("%+v, %d asked", e, d.asked)
	}
	for text := range d.tuned {
		if !ireval.Tuning.Has("q" + strings.TrimPrefix(text, "doc")) {
			t.Errorf("%s is of the other half", text)
		}
	}
	rows := e.Report.Rows
	if len(rows) != 4 || rows[0].Figures["mrr@10"] != .5 || rows[1].Figures["ndcg@10"] != 1 || *rows[3].Setting.Alpha != .65 || rows[3].Name != "hybrid, alpha 0.65" {
		t.Errorf("%+v", rows)
	}
	if x := rows[2].Against; x == nil || x.Name != "vector" || x.Half != "all" || x.Mean >= 0 || rows[3].Against.Half != "report" || rows[3].Against.Same != e.Report.QueriesReport {
		t.Errorf("%+v %+v", x, rows[3].Against)
	}
	if len(d.figures) != 4 || d.figures[0][0].Figures["recall@100"] != 1 || !slices.Equal(d.answers[0][0].Names, []string{"other", "doc0"}) {
		t.Errorf("%+v %+v", d.figures[0][0], d.answers[0][0])
	}
	if row, ok := e.Tuned(); !ok || *row.Setting.Alpha != .65 {
		t.Errorf("%+v", row)
	}
	if i, err := e.Row(""); i != 3 || err != nil {
		t.Error(i, err)
	}
	if i, err := e.Row("vector"); i != 1 || err != nil {
		t.Error(i, err)
	}
	if _, err := e.Row("none"); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
	before := d.asked
	if err := r.Run(t.Context(), 1, 7, nil); err != nil || d.asked != before {
		t.Errorf("what is done was done again: %v", err)
	}
}

func TestAnEvaluationGoesOnWhereItWasCutShort(t *testing.T) {
	t.Parallel()
	d := newDesk(all()...)
	d.e.Tune = true
	r := evaluation.NewRunner(d, d)
	turn := errors.New("others have their turn")
	for tries := 0; d.e.State != evaluation.Done; tries++ {
		err := r.Run(t.Context(), 1, 7, func(context.Context, int, int) error { return turn })
		if err != nil && !errors.Is(err, turn) || tries > 100 {
			t.Fatal(err, tries)
		}
	}
	if d.asked != d.e.Total || d.e.Asked != d.e.Total {
		t.Errorf("%d asked, %d noted, of %d", d.asked, d.e.Asked, d.e.Total)
	}
}

func TestWhatCannotBeEvaluatedSaysWhy(t *testing.T) {
	t.Parallel()
	quiet := func(context.Context, int, int) error { return nil }
	run := func(change func(*desk)) (*desk, *evaluation.Runner, error) {
		d := newDesk(trial.Setting{Mode: "vector", Rerank: true})
		change(d)
		r := evaluation.NewRunner(d, d)
		return d, r, r.Run(t.Context(), 1, 7, quiet)
	}
	if d, _, err := run(func(d *desk) { d.err = errs.New(errs.Invalid, "too long") }); err != nil || !strings.Contains(d.failed, "question q0: too long") {
		t.Errorf("%v, %q", err, d.failed)
	}
	if d, _, err := run(func(d *desk) { d.questions = nil }); err != nil || !strings.Contains(d.failed, "set are gone") {
		t.Errorf("%v, %q", err, d.failed)
	}
	for _, gone := range []func(*desk){func(d *desk) { d.gone = true }} {
		if d, _, err := run(gone); err != nil || d.failed != "" {
			t.Errorf("%v, %q", err, d.failed)
		}
	}
	// A model may be there later.
	for want, change := range map[string]func(*desk){
		"by keyword where vector was asked for: no model": func(d *desk) { d.mode = index.Keyword },
		"not re-ranked: too slow":                         func(d *desk) { d.unranked = "too slow" },
		"internal error":                                  func(d *desk) { d.err = errors.New("disk") },
	} {
		d, r, err := run(change)
		if err == nil || d.failed != "" {
			t.Errorf("%v, %q", err, d.failed)
		}
		if err := r.GiveUp(t.Context(), 1, 7, err); err != nil || !strings.Contains(d.failed, want) {
			t.Errorf("%v, %q", err, d.failed)
		}
	}
	if _, err := (evaluation.Evaluation{State: evaluation.Running}).Row(""); errs.KindOf(err) != errs.Conflict {
		t.Error(err)
	}
}

func TestQuestionsAndNamesAreChecked(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"scifact": true, "my set 1.0": true, "": false, " a": false, "a ": false, "-a": false, strings.Repeat("a", 101): false, "a/b": false} {
		if err := evaluation.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	good := trial.Question{ID: "1", Text: "a", Relevant: []trial.Section{{Source: "a", Grade: 2}}}
	if err := evaluation.CheckQuestions([]trial.Question{good}); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*trial.Question){
		"no id":        func(q *trial.Question) { q.ID = "" },
		"a blank":      func(q *trial.Question) { q.ID = "a b" },
		"no text":      func(q *trial.Question) { q.Text = "" },
		"a long text":  func(q *trial.Question) { q.Text = strings.Repeat("a", 5000) },
		"no document":  func(q *trial.Question) { q.Relevant = []trial.Section{{}} },
		"a line break": func(q *trial.Question) { q.Relevant = []trial.Section{{Source: "a\nb"}} },
		"a grade":      func(q *trial.Question) { q.Relevant = []trial.Section{{Source: "a", Grade: 5000}} },
		"twice":        func(q *trial.Question) { q.Relevant = []trial.Section{{Source: "a"}, {Source: "a"}} },
		"too many":     func(q *trial.Question) { q.Relevant = sections(evaluation.MaxJudgements + 1) },
	} {
		q := good
		change(&q)
		if err := evaluation.CheckQuestions([]trial.Question{q}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := evaluation.CheckQuestions(make([]trial.Question, evaluation.MaxQuestions+1)); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

func sections(n int) []trial.Section {
	out := make([]trial.Section, n)
	for i := range out {
		out[i].Source = fmt.Sprint(i)
	}
	return out
}
