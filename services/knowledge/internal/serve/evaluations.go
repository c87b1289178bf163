package serve

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
)

type startEvaluation struct {
	Body EvaluationStart `json:"body"`
}

// started is the answer to the beginning of an evaluation.
type started struct{ wireEvaluation }

// StatusCode is 201.
func (started) StatusCode() int { return http.StatusCreated }

// Headers says where the evaluation is.
func (s started) Headers() map[string]string {
	return map[string]string{"Location": "/api/v1/knowledge/evaluations/" + strconv.FormatInt(s.Id, 10)}
}

func (h *Handlers) evaluate(ctx context.Context, r startEvaluation) (started, error) {
	who, b := tenant.From(ctx), r.Body
	modes := []EvaluationStartModes{"keyword", "vector", "hybrid"}
	if b.Modes != nil {
		modes = *b.Modes
	}
	ways, err := h.ways(ctx, who.Project, modes, b)
	if err != nil {
		return started{}, err
	}
	e, err := h.Trials.Evaluate(ctx, evaluation.Evaluation{
		Project: who.Project, Set: b.JudgementsId, Label: strings.TrimSpace(value(b.Label)), Collection: value(b.Collection), Settings: ways, Tune: value(b.Tune),
		Principal: who.Principal,
	})
	return started{wireOf(e)}, err
}

// ways are the settings that are asked for, with what the project has where
// nothing is said: the report stands when that is changed.
func (h *Handlers) ways(ctx context.Context, p tenant.Project, modes []EvaluationStartModes, b EvaluationStart) ([]trial.Setting, error) {
	s, err := h.Setting.Settings(ctx, p)
	if err != nil {
		return nil, err
	}
	_, method, alpha := h.Search.Defaults()
	if s.Weighted {
		alpha = s.Alpha
	}
	if b.Alpha != nil {
		alpha = *b.Alpha
	}
	if !(alpha >= 0 && alpha <= 1) {
		return nil, errs.InvalidField("out_of_range", "alpha must be from 0 to 1", "body", "alpha")
	}
	method = cmp.Or(fusion.Method(value(b.Fusion)), s.Method, method)
	if method != fusion.Convex && method != fusion.RRF {
		return nil, errs.InvalidField("enum", "fusion must be convex or rrf", "body", "fusion")
	}
	var ways []trial.Setting
	for i, m := range modes {
		w := trial.Setting{Mode: string(m)}
		switch index.Mode(m) {
		case index.Keyword, index.Vector:
		case index.Hybrid:
			w.Alpha, w.Fusion = &alpha, string(method)
		default:
			return nil, errs.InvalidField("enum", "modes must be of keyword, vector and hybrid", "body", "modes")
		}
		if slices.Index(modes, m) < i {
			return nil, errs.InvalidField("value_error", "modes must be different", "body", "modes")
		}
		ways = append(ways, w)
	}
	if len(ways) == 0 {
		return nil, errs.InvalidField("too_short", "modes must not be empty", "body", "modes")
	}
	if value(b.Rerank) {
		w := ways[len(ways)-1]
		w.Rerank = true
		ways = append(ways, w)
	}
	return ways, nil
}

// wireEvaluation is an evaluation as the contract has it.
type wireEvaluation struct {
	Evaluation
	Ways   []trial.Setting `json:"ways"`
	Report *trial.Report   `json:"report"`
}

func wireOf(e evaluation.Evaluation) wireEvaluation {
	var finished *time.Time
	if !e.FinishedAt.IsZero() {
		at := e.FinishedAt.UTC()
		finished = &at
	}
	return wireEvaluation{Ways: e.Settings, Report: e.Report, Evaluation: Evaluation{
		Id: e.ID, JudgementsId: orNil(e.Set), Judgements: e.SetName, Label: orNil(e.Label), Collection: orNil(e.Collection), Tune: e.Tune,
		State: EvaluationState(e.State), Error: orNil(e.Error), Asked: e.Asked, Total: e.Total, Model: orNil(e.Model), IndexGeneration: orNil(e.Generation),
		StartedBy: orNil(e.Principal), JobId: jobID(e.Job), CreatedAt: e.CreatedAt.UTC(), FinishedAt: finished,
	}}
}

type listEvaluations struct {
	page
	Set *int64 `json:"judgements_id"`
}

// evaluationPage is a page of them.
type evaluationPage struct {
	Items []wireEvaluation `json:"items"`
	Total int              `json:"total"`
	Skip  int              `json:"skip"`
	Limit int              `json:"limit"`
}

func (h *Handlers) evaluations(ctx context.Context, r listEvaluations) (evaluationPage, error) {
	skip, limit, err := r.bounds()
	if err != nil {
		return evaluationPage{}, err
	}
	all, total, err := h.Trials.Evaluations(ctx, tenant.From(ctx).Project, value(r.Set), skip, limit)
	out := evaluationPage{Items: make([]wireEvaluation, len(all)), Total: total, Skip: skip, Limit: limit}
	for i, e := range all {
		out.Items[i] = wireOf(e)
	}
	return out, err
}

type oneEvaluation struct {
	ID int64 `json:"evaluation_id"`
}

func (h *Handlers) evaluation(ctx context.Context, r oneEvaluation) (wireEvaluation, error) {
	e, err := h.Trials.Evaluation(ctx, tenant.From(ctx).Project, r.ID)
	return wireOf(e), err
}

func (h *Handlers) unevaluate(ctx context.Context, r oneEvaluation) (struct{}, error) {
	return struct{}{}, h.Trials.Unevaluate(ctx, tenant.From(ctx).Project, r.ID)
}

type evaluationRow struct {
	page
	oneEvaluation
	Row *string `json:"row"`
}

// row finds a row of an evaluation, with its answers.
func (h *Handlers) row(ctx context.Context, id int64, name string) (trial.Row, []evaluation.Answered, error) {
	p := tenant.From(ctx).Project
	e, err := h.Trials.Evaluation(ctx, p, id)
	if err != nil {
		return trial.Row{}, nil, err
	}
	i, err := e.Row(name)
	if err != nil {
		return trial.Row{}, nil, err
	}
	answers, err := h.Trials.EvaluationAnswers(ctx, p, id, i)
	answers = slices.DeleteFunc(answers, func(a evaluation.Answered) bool { return a.Figures == nil }) // not of the report
	return e.Report.Rows[i], answers, err
}

// shown is how many of what a question has found are told.
const shown = 10

func (h *Handlers) evaluationQueries(ctx context.Context, r evaluationRow) (EvaluationQueryPage, error) {
	skip, limit, err := r.bounds()
	if err != nil {
		return EvaluationQueryPage{}, err
	}
	row, answers, err := h.row(ctx, r.ID, value(r.Row))
	if err != nil {
		return EvaluationQueryPage{}, err
	}
	slices.SortStableFunc(answers, func(a, b evaluation.Answered) int {
		return cmp.Compare(a.Figures[trial.Decisive], b.Figures[trial.Decisive])
	})
	out := EvaluationQueryPage{Row: row.Name, Total: len(answers), Skip: skip, Limit: limit}
	out.Items = make([]struct {
		Figures map[string]float64 `json:"figures"`

		// Found The best 10, as judgements call them
		Found []string `json:"found"`
		Id    string   `json:"id"`
	}, min(limit, max(len(answers)-skip, 0)))
	for i := range out.Items {
		a := answers[skip+i]
		out.Items[i].Id, out.Items[i].Figures, out.Items[i].Found = a.Question, a.Figures, orEmpty(a.Names[:min(len(a.Names), shown)])
	}
	return out, nil
}

// file is an answer that is a file.
type file struct{ kind, name, text string }

// Text is the file.
func (f file) Text() (kind, text string) { return f.kind, f.text }

// Headers says what it is called.
func (f file) Headers() map[string]string {
	return map[string]string{"Content-Disposition": `inline; filename="` + f.name + `"`}
}

func (h *Handlers) evaluationRun(ctx context.Context, r evaluationRow) (file, error) {
	row, answers, err := h.row(ctx, r.ID, value(r.Row))
	if err != nil {
		return file{}, err
	}
	run := ireval.Run{}
	for _, a := range answers {
		run[a.Question] = a.Scores()
	}
	var b bytes.Buffer
	tag := strings.NewReplacer(", ", "-", " ", "-").Replace(row.Name)
	if err := ireval.WriteRun(&b, run, tag); err != nil {
		return file{}, err
	}
	return file{"text/plain; charset=utf-8", "evaluation-" + strconv.FormatInt(r.ID, 10) + "-" + tag + ".run", b.String()}, nil
}

func (h *Handlers) plot(ctx context.Context, r oneEvaluation) (file, error) {
	e, err := h.Trials.Evaluation(ctx, tenant.From(ctx).Project, r.ID)
	if err != nil {
		return file{}, err
	}
	if _, err := e.Row(""); err != nil {
		return file{}, err
	}
	var b bytes.Buffer
	if err := e.Report.Plot(&b); err != nil {
		return file{}, err
	}
	return file{"image/svg+xml", "evaluation-" + strconv.FormatInt(r.ID, 10) + ".svg", b.String()}, nil
}

type compareEvaluations struct {
	oneEvaluation
	Row     *string `json:"row"`
	With    int64   `json:"with"`
	WithRow *string `json:"with_row"`
}

func (h *Handlers) compare(ctx context.Context, r compareEvaluations) (EvaluationComparison, error) {
	row, answers, err := h.row(ctx, r.ID, value(r.Row))
	if err != nil {
		return EvaluationComparison{}, err
	}
	with, others, err := h.row(ctx, r.With, value(r.WithRow))
	if err != nil {
		return EvaluationComparison{}, err
	}
	half := ireval.All
	if row.Tuned || with.Tuned {
		half = ireval.Report
	}
	here := make(map[string]float64, len(answers))
	for _, a := range answers {
		here[a.Question] = a.Figures[trial.Decisive]
	}
	var a, b []float64
	for _, o := range others {
		if v, both := here[o.Question]; both && half.Has(o.Question) {
			a, b = append(a, v), append(b, o.Figures[trial.Decisive])
		}
	}
	const seed = 1
	d := ireval.Compare(a, b, seed)
	return EvaluationComparison{
		Row: row.Name, With: r.With, WithRow: with.Name, Half: EvaluationComparisonHalf(cmp.Or(string(half), "all")), Queries: d.Queries, Mean: d.Mean,
		Low: d.Low, High: d.High, P: d.P, Better: d.Better, Same: d.Same, Significant: d.Significant(),
	}, nil
}

type applyEvaluation struct {
	oneEvaluation
	Body *EvaluationApply `json:"body"`
}

// apply sets how the project is searched to what a row was asked with.
func (h *Handlers) apply(ctx context.Context, r applyEvaluation) (KnowledgeSettings, error) {
	e, err := h.Trials.Evaluation(ctx, tenant.From(ctx).Project, r.ID)
	if err != nil {
		return KnowledgeSettings{}, err
	}
	row, tuned := e.Tuned()
	switch {
	case r.Body != nil && r.Body.Row != nil:
		i, err := e.Row(*r.Body.Row)
		if err != nil {
			return KnowledgeSettings{}, err
		}
		row = e.Report.Rows[i]
	case !tuned:
		return KnowledgeSettings{}, errs.New(errs.Conflict, "the evaluation has not tuned: name the row to apply")
	}
	mode := row.Setting.Mode
	w := wanted{Mode: given(&mode)}
	if index.Mode(mode) == index.Hybrid {
		w.Alpha, w.Fusion = given(row.Setting.Alpha), given(orNil(row.Setting.Fusion))
	}
	return h.setSettings(ctx, setKnowledgeSettings{Body: w})
}
