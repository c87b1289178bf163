package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

type setLimitRequest struct {
	Class string      `json:"class"`
	Body  LimitUpdate `json:"body"`
}

func (h *Handlers) setLimit(ctx context.Context, r setLimitRequest) (ProjectLimit, error) {
	q, err := h.Quotas.Set(ctx, tenant.From(ctx), r.Class, r.Body.Limit)
	if err != nil {
		return ProjectLimit{}, err
	}
	return ProjectLimit{Class: q.Class, Limit: q.Limit(), Raised: q.Raised, SetBy: tenant.From(ctx).Principal, SetAt: q.Set}, nil
}

type limitRequest struct {
	Class string `json:"class"`
}

func (h *Handlers) resetLimit(ctx context.Context, r limitRequest) (gone, error) {
	return gone{}, h.Quotas.Reset(ctx, tenant.From(ctx), r.Class)
}
