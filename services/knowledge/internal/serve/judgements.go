package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
)

type importJudgements struct {
	Body JudgementsImport `json:"body"`
}

// imported is the answer to an import.
type imported struct{ JudgedSetImported }

// StatusCode is 201.
func (imported) StatusCode() int { return http.StatusCreated }

// Headers says where the set is.
func (i imported) Headers() map[string]string {
	return map[string]string{"Location": "/api/v1/knowledge/judgements/" + strconv.FormatInt(i.Id, 10)}
}

func (h *Handlers) judge(ctx context.Context, r importJudgements) (imported, error) {
	b := r.Body
	if err := evaluation.CheckName(b.Name); err != nil {
		return imported{}, err
	}
	format := trial.Format(b.Format)
	if own := format == trial.Own; own == (value(b.Qrels) != "") {
		return imported{}, errs.InvalidField("value_error", "qrels are needed for trec and beir, and not for json, which has the judgements beside the questions", "body", "qrels")
	}
	questions, unjudged, err := trial.Read(format, strings.NewReader(b.Questions), strings.NewReader(value(b.Qrels)))
	if err != nil {
		field, what := "questions", err.Error()
		if errors.Is(err, trial.ErrQrels) {
			field = "qrels"
		}
		return imported{}, errs.InvalidField("value_error", fmt.Sprintf("%s cannot be read: %.300s", field, what), "body", field)
	}
	if err := evaluation.CheckQuestions(questions); err != nil {
		return imported{}, err
	}
	who := tenant.From(ctx)
	set, err := h.Judging.Judge(ctx, who.Project, b.Name, who.Principal, questions, value(b.Add))
	if err != nil {
		return imported{}, err
	}
	bus.Noted(ctx, "judgements", set.Name)
	return imported{JudgedSetImported{Id: set.ID, Set: wireSet(set), Unjudged: unjudged}}, nil
}

func wireSet(s evaluation.Set) JudgedSet {
	return JudgedSet{
		Id: s.ID, Name: s.Name, Questions: s.Questions, Judgements: s.Judgements, ImportedBy: orNil(s.Principal), CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
}

func (h *Handlers) sets(ctx context.Context, _ struct{}) ([]JudgedSet, error) {
	all, err := h.Judging.Sets(ctx, tenant.From(ctx).Project)
	out := make([]JudgedSet, len(all))
	for i, s := range all {
		out[i] = wireSet(s)
	}
	return out, err
}

type page struct {
	Skip  *int `json:"skip"`
	Limit *int `json:"limit"`
}

func (p page) bounds() (skip, limit int, err error) {
	skip, limit = value(p.Skip), 50
	if p.Limit != nil {
		limit = *p.Limit
	}
	if skip < 0 {
		return 0, 0, errs.InvalidField("out_of_range", "skip must not be below 0", "query", "skip")
	}
	if limit < 1 || limit > 500 {
		return 0, 0, errs.InvalidField("out_of_range", "limit must be from 1 to 500", "query", "limit")
	}
	return skip, limit, nil
}

type oneSet struct {
	page
	ID int64 `json:"judgements_id"`
}

func (h *Handlers) judged(ctx context.Context, r oneSet) (JudgedQuestions, error) {
	skip, limit, err := r.bounds()
	if err != nil {
		return JudgedQuestions{}, err
	}
	set, questions, err := h.Judging.Judged(ctx, tenant.From(ctx).Project, r.ID, skip, limit)
	if err != nil {
		return JudgedQuestions{}, err
	}
	out := JudgedQuestions{Set: wireSet(set), Items: make([]JudgedQuestion, len(questions)), Total: set.Questions, Skip: skip, Limit: limit}
	for i, q := range questions {
		out.Items[i] = JudgedQuestion{Id: q.ID, Text: q.Text}
		for _, s := range q.Relevant {
			out.Items[i].Relevant = append(out.Items[i].Relevant, struct {
				Grade   int     `json:"grade"`
				Heading *string `json:"heading"`
				Source  string  `json:"source"`
			}{max(s.Grade, 1), orNil(s.Heading), s.Source})
		}
	}
	return out, nil
}

func (h *Handlers) unjudge(ctx context.Context, r oneSet) (struct{}, error) {
	set, err := h.Judging.Unjudge(ctx, tenant.From(ctx).Project, r.ID)
	if err == nil {
		bus.Noted(ctx, "judgements", set.Name)
	}
	return struct{}{}, err
}
