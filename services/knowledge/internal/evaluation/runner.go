package evaluation

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// Searching answers a question.
type Searching interface {
	Search(ctx context.Context, p tenant.Project, q search.Query) (search.Answer, error)
}

// Keeping keeps what an evaluation has come to. Every method is a transaction;
// those that write return ErrGone when the evaluation was deleted.
type Keeping interface {
	// Open returns an evaluation and the questions of its set.
	Open(ctx context.Context, p tenant.Project, id int64) (Evaluation, []trial.Question, error)
	// Answers are those that were kept of a row.
	Answers(ctx context.Context, p tenant.Project, id int64, row int) ([]Answered, error)
	// Answered keeps more of them, and how far the evaluation is.
	Answered(ctx context.Context, e Evaluation, row int, more []Answered) error
	// Tried keeps the curve of the tuning, and how far the evaluation is.
	Tried(ctx context.Context, e Evaluation) error
	// Finish ends the evaluation with its report, and the figures of each answer of
	// a row.
	Finish(ctx context.Context, e Evaluation, figures [][]Answered) error
	// Fail ends it with what is wrong.
	Fail(ctx context.Context, p tenant.Project, id int64, why string) error
}

// Runner runs evaluations.
type Runner struct {
	search Searching
	kept   Keeping
}

// NewRunner returns a runner.
func NewRunner(s Searching, k Keeping) *Runner { return &Runner{s, k} }

// batch is how many answers are kept at a time.
const batch = 16

// Run asks what is still to ask, and reports. What was kept is not asked again, so
// that it may be called until it ends. progress is told after each batch, and may
// end it with an error. What is refused fails the evaluation, and is no error; what is
// missing now may be there later.
func (r *Runner) Run(ctx context.Context, p tenant.Project, id int64, progress func(ctx context.Context, asked, total int) error) error {
	err := r.run(ctx, p, id, progress)
	switch kind := errs.KindOf(err); {
	case err == nil, ctx.Err() != nil:
		return err
	case errors.Is(err, ErrGone), errors.Is(err, ErrNone):
		return nil // nobody waits for it
	case kind.Refusal():
		return r.kept.Fail(ctx, p, id, err.Error())
	}
	return err
}

// GiveUp fails an evaluation after the last try ended with err.
func (r *Runner) GiveUp(ctx context.Context, p tenant.Project, id int64, err error) error {
	why := "it failed repeatedly by an internal error"
	if missing := new(missingError); errors.As(err, &missing) {
		why = missing.Error()
	}
	return r.kept.Fail(ctx, p, id, why)
}

// missingError says that a search did not go as it was told.
type missingError struct {
	asked trial.Setting
	a     search.Answer
}

func (m *missingError) Error() string {
	if m.a.Mode != index.Mode(m.asked.Mode) {
		return fmt.Sprintf("searches were by %s where %s was asked for: %s", m.a.Mode, m.asked.Mode, m.a.Reason)
	}
	return "searches were not re-ranked: " + m.a.Unranked
}

// trying is one run under way.
type trying struct {
	*Runner
	e         Evaluation
	questions []trial.Question
	naming    trial.Naming
	qrels     ireval.Qrels
	progress  func(ctx context.Context, asked, total int) error
}

func (r *Runner) run(ctx context.Context, p tenant.Project, id int64, progress func(ctx context.Context, asked, total int) error) error {
	e, questions, err := r.kept.Open(ctx, p, id)
	if err != nil {
		return err
	}
	if e.State == Done || e.State == Failed {
		return nil
	}
	if len(questions) == 0 {
		return errs.Newf(errs.NotFound, "the judged questions %s are gone", e.SetName)
	}
	t := &trying{r, e, questions, trial.NamingOf(questions), trial.Qrels(questions), progress}
	t.e.State, t.e.Total, t.e.Asked = Running, Searches(questions, len(e.Settings), e.Tune), t.tried(len(e.Curve))
	report := trial.NewReport(e.SetName, t.qrels)
	var figures [][]Answered
	add := func(row trial.Row, number int) error {
		answers, err := t.row(ctx, *row.Setting, number)
		if err != nil {
			return err
		}
		run := ireval.Run{}
		for _, a := range answers {
			run[a.Question] = a.Scores()
		}
		report.Add(row, run)
		figures = append(figures, t.figures(answers))
		return nil
	}
	for i, s := range e.Settings {
		if err := add(trial.Row{Name: s.String(), Setting: &s}, i); err != nil {
			return err
		}
	}
	if e.Tune {
		s, err := t.tune(ctx)
		if err != nil {
			return err
		}
		row := trial.Row{Name: s.String() + ", alpha " + strconv.FormatFloat(*s.Alpha, 'f', 2, 64), Setting: &s, Tuned: true}
		if err := add(row, len(e.Settings)); err != nil {
			return err
		}
	}
	report.Compare(func(i int) bool { return report.Rows[i].Setting.Mode != string(index.Hybrid) })
	report.Curve = t.e.Curve
	t.e.Report, t.e.State = report, Done
	return r.kept.Finish(ctx, t.e, figures)
}

// tried is how many searches as many steps of tuning took.
func (t *trying) tried(steps int) (n int) {
	for _, q := range t.questions {
		if ireval.Tuning.Has(q.ID) {
			n += steps
		}
	}
	return n
}

// row asks all questions in one way.
func (t *trying) row(ctx context.Context, s trial.Setting, number int) ([]Answered, error) {
	have, err := t.kept.Answers(ctx, t.e.Project, t.e.ID, number)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	kept := have[:0]
	for _, a := range have {
		if t.qrels[a.Question] != nil { // the set may have changed
			kept, there[a.Question] = append(kept, a), true
		}
	}
	t.e.Asked += len(kept)
	var more []Answered
	flush := func() error {
		if len(more) == 0 {
			return nil
		}
		t.e.Asked += len(more)
		if err := t.kept.Answered(ctx, t.e, number, more); err != nil {
			return err
		}
		kept, more = append(kept, more...), nil
		return t.progress(ctx, t.e.Asked, t.e.Total)
	}
	for _, q := range t.questions {
		if there[q.ID] {
			continue
		}
		names, err := t.ask(ctx, q, s)
		if err != nil {
			return nil, err
		}
		if more = append(more, Answered{Question: q.ID, Names: names}); len(more) == batch {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return kept, flush()
}

// tune finds the weight on the half of the questions that is there for it, by the
// last of the settings that is hybrid.
func (t *trying) tune(ctx context.Context) (trial.Setting, error) {
	s := trial.Setting{Mode: string(index.Hybrid)}
	for _, x := range t.e.Settings {
		if x.Mode == s.Mode && !x.Rerank {
			s = x
		}
	}
	for step := len(t.e.Curve); step < trial.Steps; step++ {
		w := trial.Weight(step)
		s.Alpha = &w
		run := ireval.Run{}
		for _, q := range t.questions {
			if !ireval.Tuning.Has(q.ID) {
				continue
			}
			names, err := t.ask(ctx, q, s)
			if err != nil {
				return s, err
			}
			run[q.ID] = ireval.Listed(names)
		}
		v := ireval.Evaluate(t.qrels, run, ireval.Tuning.Has, ireval.Measures(trial.Decisive)...).Mean(trial.Decisive)
		t.e.Curve, t.e.Asked = append(t.e.Curve, trial.Point{Alpha: w, NDCG: v}), t.e.Asked+t.tried(1)
		if err := t.kept.Tried(ctx, t.e); err != nil {
			return s, err
		}
		if err := t.progress(ctx, t.e.Asked, t.e.Total); err != nil {
			return s, err
		}
	}
	best := trial.Point{NDCG: -1}
	for _, x := range t.e.Curve {
		if trial.Better(x.Alpha, x.NDCG, best.Alpha, best.NDCG) {
			best = x
		}
	}
	s.Alpha = &best.Alpha
	return s, nil
}

// ask asks one question and names what was found.
func (t *trying) ask(ctx context.Context, q trial.Question, s trial.Setting) ([]string, error) {
	limit := search.MaxLimit
	if s.Rerank {
		limit = Reranked
	}
	a, err := t.search.Search(ctx, t.e.Project, search.Query{
		Fresh: true, Text: q.Text, Mode: index.Mode(s.Mode), Alpha: s.Alpha, Method: fusion.Method(s.Fusion), Limit: limit,
		Filter: index.Filter{Collection: t.e.Collection}, Rerank: search.Rerank{On: &s.Rerank},
	})
	if err != nil {
		return nil, fmt.Errorf("question %s: %w", q.ID, err)
	}
	// A question of conditions alone has no meaning to search for.
	topicless := a.Mode == index.Keyword && a.Reason == search.NoTopic
	if a.Mode != index.Mode(s.Mode) && !topicless || s.Rerank && a.Unranked != "" {
		return nil, &missingError{s, a}
	}
	t.e.Generation, t.e.Model = a.Generation, a.Model
	found := make([]trial.Passage, len(a.Found))
	for i, f := range a.Found {
		found[i] = trial.Passage{Source: f.Source, Path: f.Path, Content: f.Text}
	}
	var names []string
	seen := map[string]bool{}
	for _, n := range t.naming.Names(q, found) {
		if !seen[n] && len(names) < Depth {
			names, seen[n] = append(names, n), true
		}
	}
	return names, nil
}

// figures measures each answer.
func (t *trying) figures(answers []Answered) []Answered {
	measures := ireval.Measures(trial.Names...)
	out := make([]Answered, len(answers))
	for i, a := range answers {
		ranked := a.Names
		out[i] = Answered{Question: a.Question, Figures: make(map[string]float64, len(measures))}
		for _, m := range measures {
			out[i].Figures[m.String()] = m.Of(ranked, t.qrels[a.Question])
		}
	}
	return out
}
