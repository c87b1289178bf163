package serve

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/federation/internal/mesh"
)

// Searcher asks this instance and others.
type Searcher interface {
	Search(ctx context.Context, p tenant.Project, q mesh.Query, within time.Duration, only []string) (mesh.Result, error)
}

type searchRequest struct {
	Body FederatedSearch `json:"body"`
}

func (h *Handlers) searchFederation(ctx context.Context, r searchRequest) (FederatedAnswer, error) {
	p := tenant.From(ctx).Project
	q := mesh.Query{Text: r.Body.Query, Category: value(r.Body.Category), Limit: 10}
	if r.Body.Limit != nil {
		q.Limit = *r.Body.Limit
	}
	within := 3 * time.Second
	if r.Body.TimeoutMs != nil {
		within = time.Duration(*r.Body.TimeoutMs) * time.Millisecond
	}
	res, err := h.Searcher.Search(ctx, p, q, within, value(r.Body.Instances))
	if err != nil {
		return FederatedAnswer{}, err
	}
	out := FederatedAnswer{
		Results: make([]FederatedResult, 0, len(res.Found)), Instances: make([]SearchedInstance, 0, len(res.Reports)),
		Answered: res.Answered, Asked: res.Asked, Summary: fmt.Sprintf("%d of %d", res.Answered, res.Asked),
	}
	for _, f := range res.Found {
		if f.Project == "" { // our own
			f.Project = "project-" + strconv.FormatInt(int64(p), 10)
		}
		out.Results = append(out.Results, FederatedResult{
			Instance: f.Instance, Project: f.Project, Content: f.Content, Title: f.Title, Category: f.Category, SourceFile: null(f.Source),
			HeadingPath: orEmpty(f.Path), Score: f.Score,
		})
	}
	for _, i := range res.Reports {
		out.Instances = append(out.Instances, SearchedInstance{
			Instance: i.Instance, Self: i.Self, Answered: i.Answered, Reason: null(i.Reason), Results: i.Results, TookMs: float64(i.Took.Microseconds()) / 1000,
		})
	}
	return out, nil
}
